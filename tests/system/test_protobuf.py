"""kubectl's typed clients send protobuf, and are understood."""

import json
import shutil
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from mooring.api.protobuf import decoded
from tests.system.kubectl_messages import full, made, pool_of
from tests.system.server import Server, eventually

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.system, pytest.mark.skipif(not KUBECTL, reason="no kubectl")]


@cache
def messages() -> DescriptorPool:
    return pool_of(Path(KUBECTL).read_bytes())


MESSAGES = [
    ("v1", "core.v1", "ConfigMap Event Namespace Node"),
    ("v1", "core.v1", "PersistentVolume PersistentVolumeClaim Pod Secret"),
    ("authentication.k8s.io/v1", "authentication.v1", "SelfSubjectReview TokenReview"),
    ("authorization.k8s.io/v1", "authorization.v1", "SelfSubjectAccessReview SubjectAccessReview"),
    ("authorization.k8s.io/v1", "authorization.v1", "SelfSubjectRulesReview"),
    ("coordination.k8s.io/v1", "coordination.v1", "Lease"),
    ("events.k8s.io/v1", "events.v1", "Event"),
    ("storage.k8s.io/v1", "storage.v1", "CSIDriver CSINode StorageClass VolumeAttachment"),
]
META = "k8s.io.apimachinery.pkg.apis.meta.v1."
CASES = [("v1", "DeleteOptions", f"{META}DeleteOptions")] + [
    (version, kind, f"k8s.io.api.{package}.{kind}")
    for version, package, kinds in MESSAGES
    for kind in kinds.split()
]


def body_of(api_version: str, kind: str, sent: Message) -> bytes:
    frame = made(messages(), "k8s.io.apimachinery.pkg.runtime.Unknown")(
        typeMeta={"apiVersion": api_version, "kind": kind}, raw=sent.SerializeToString()
    )
    return b"k8s\x00" + bytes(frame.SerializeToString())


@pytest.mark.parametrize(("api_version", "kind", "message"), CASES)
def test_every_field_that_kubectl_knows_is_read(api_version: str, kind: str, message: str) -> None:
    sent, doc = full(messages(), message)
    read = decoded(body_of(api_version, kind, sent), api_version, kind)
    assert read == {"kind": kind, "apiVersion": api_version, **doc}


class Client:
    """Sends protobuf with the administrator's token."""

    def __init__(self, server: Server) -> None:
        self.url = f"https://127.0.0.1:{server.port}"
        users = yaml.safe_load(server.kubeconfig.read_text())["users"]
        self.headers = {
            "Authorization": f"Bearer {users[0]['user']['token']}",
            "Content-Type": "application/vnd.kubernetes.protobuf",
        }

    def ask(self, method: str, path: str, body: bytes, accept: str = "*/*") -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path, body, {**self.headers, "Accept": accept}, method=method
        )
        trusting = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(request, context=trusting, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def namespace(name: str) -> bytes:
    sent = made(messages(), "k8s.io.api.core.v1.Namespace")(metadata={"name": name})
    return body_of("v1", "Namespace", sent)


def test_kubectl_creates_with_its_typed_clients_and_asks_for_its_rights(server: Server) -> None:
    server.kubectl("create", "namespace", "team")
    server.kubectl("create", "configmap", "settings", "--from-literal=a=1", "-n", "team")
    server.kubectl("create", "secret", "generic", "keys", "--from-literal=p=hunter2", "-n", "team")
    assert server.get("configmap", "settings", "-n", "team")["data"] == {"a": "1"}
    keys = server.get("secret", "keys", "-n", "team")
    assert keys["data"] == {"p": b64encode(b"hunter2").decode()}
    assert server.kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "*.*" in server.kubectl("auth", "can-i", "--list")
    assert "admin" in server.kubectl("auth", "whoami")


def test_a_large_body_is_read_as_well(server: Server) -> None:
    text = "x" * 100_000
    server.kubectl("create", "configmap", "large", f"--from-literal=text={text}")
    assert server.get("configmap", "large")["data"] == {"text": text}


def test_a_volume_and_its_claim_come_from_protobuf_and_bind(server: Server) -> None:
    client = Client(server)
    size = {"storage": {"string": "2Gi"}}
    volume = made(messages(), "k8s.io.api.core.v1.PersistentVolume")(
        metadata={"name": "disk"},
        spec={
            "capacity": size,
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
            "persistentVolumeSource": {"hostPath": {"path": "/srv/disk"}},
        },
    )
    claim = made(messages(), "k8s.io.api.core.v1.PersistentVolumeClaim")(
        metadata={"name": "data"},
        spec={
            "resources": {"requests": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
        },
    )
    code, made_volume = client.ask(
        "POST", "/api/v1/persistentvolumes", body_of("v1", "PersistentVolume", volume)
    )
    assert (code, made_volume["spec"]["hostPath"]["path"]) == (201, "/srv/disk")
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    assert client.ask("POST", claims, body_of("v1", "PersistentVolumeClaim", claim))[0] == 201
    eventually(lambda: server.phase("pvc", "data") == "Bound", "data is Bound")
    assert server.get("pvc", "data")["spec"]["volumeName"] == "disk"


def test_the_preconditions_of_a_delete_hold(server: Server) -> None:
    client = Client(server)
    client.ask("POST", "/api/v1/namespaces", namespace("kept"))
    options = made(messages(), f"{META}DeleteOptions")(preconditions={"uid": "of another"})
    path, body = "/api/v1/namespaces/kept", body_of("v1", "DeleteOptions", options)
    code, status = client.ask("DELETE", path, body)
    assert (code, status["reason"]) == (409, "Conflict")
    assert client.ask("DELETE", path, body_of("v1", "Namespace", options))[0] == 400


def test_a_damaged_body_is_a_bad_request(server: Server) -> None:
    code, status = Client(server).ask("POST", "/api/v1/namespaces", namespace("cut")[:-3])
    assert (code, status["reason"]) == (400, "BadRequest")
    assert status["message"].startswith(
        "the object provided is unrecognized (must be of type Namespace): "
    )


def test_a_kind_without_a_message_is_an_unsupported_media_type(server: Server) -> None:
    code, status = Client(server).ask("POST", "/apis/mooring.dev/v1/pools", namespace("p"))
    assert (code, status["reason"]) == (415, "UnsupportedMediaType")


def test_who_takes_protobuf_alone_is_told_before_anything_is_written(server: Server) -> None:
    client = Client(server)
    protobuf = "application/vnd.kubernetes.protobuf"
    code, status = client.ask("POST", "/api/v1/namespaces", namespace("never"), protobuf)
    assert (code, status["reason"]) == (406, "NotAcceptable")
    assert server.run("get", "namespace", "never").returncode != 0
    both = f"{protobuf},application/json"
    assert client.ask("POST", "/api/v1/namespaces", namespace("once"), both)[0] == 201
