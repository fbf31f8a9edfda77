"""Bodies in protobuf are read as their JSON, and nothing in them does harm."""

import json
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.api.messages import messages
from mooring.api.protobuf import Malformed, decoded
from mooring.api.status import failure
from tests.api import wire

# What kubectl 1.32 sent, by command; `auth` asked about the namespace default.
SENT: dict[str, str] = json.loads((Path(__file__).parent / "data/kubectl-1.32.json").read_text())
READ = {
    "create namespace": (
        {"kind": "Namespace", "apiVersion": "v1"},
        {"name": "team", "creationTimestamp": None},
        {"spec": {}, "status": {}},
    ),
    "create configmap": (
        {"kind": "ConfigMap", "apiVersion": "v1"},
        {"name": "settings", "creationTimestamp": None},
        {"data": {"a": "1", "empty": ""}, "binaryData": {"bin": "AP8="}},
    ),
    "create secret": (
        {"kind": "Secret", "apiVersion": "v1"},
        {"name": "keys", "creationTimestamp": None},
        {"data": {"empty": "", "password": "aHVudGVyMg=="}},
    ),
    "auth can-i create": (
        {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"},
        {"creationTimestamp": None},
        {
            "spec": {
                "resourceAttributes": {
                    "namespace": "default",
                    "verb": "create",
                    "resource": "pods",
                }
            },
            "status": {"allowed": False},
        },
    ),
    "auth can-i --list": (
        {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1"},
        {"creationTimestamp": None},
        {"spec": {"namespace": "default"}, "status": {"incomplete": False}},
    ),
    "auth whoami": (
        {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
        {"creationTimestamp": None},
        {"status": {"userInfo": {}}},
    ),
}


@pytest.mark.parametrize("command", READ)
def test_what_kubectl_sends_is_read_as_the_json_it_could_have_sent(command: str) -> None:
    (body,) = (b64decode(sent) for words, sent in SENT.items() if words.startswith(command))
    head, metadata, rest = READ[command]
    expected: dict[str, Any] = {**head, "metadata": metadata, **rest}
    assert decoded(body, expected["apiVersion"], expected["kind"]) == expected


METADATA = {
    "name": "data",
    "namespace": "default",
    "generation": 3,
    "creationTimestamp": "2026-11-25T12:30:45Z",
    "deletionGracePeriodSeconds": 0,
    "labels": {"app": "db", "empty": ""},
    "ownerReferences": [
        {"kind": "Node", "name": "here", "uid": "u", "apiVersion": "v1", "controller": False}
    ],
    "finalizers": ["kubernetes.io/pvc-protection"],
}
TERMS = [{"matchExpressions": [{"key": "host", "operator": "In", "values": ["a", "b"]}]}]
DOCUMENTS = {
    "PersistentVolume v1": {
        "spec": {
            "capacity": {"storage": "1536Mi"},
            "csi": {"driver": "d", "volumeHandle": "", "volumeAttributes": {"pool": "p"}},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data"},
            "volumeMode": "Filesystem",
            "nodeAffinity": {"required": {"nodeSelectorTerms": TERMS}},
        },
        "status": {"phase": "Available", "lastPhaseTransitionTime": "2026-11-25T12:30:45Z"},
    },
    "PersistentVolumeClaim v1": {
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "selector": {"matchLabels": {"disk": "fast"}},
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",  # not the same as none: no class at all
        },
        "status": {},
    },
    "StorageClass storage.k8s.io/v1": {
        "provisioner": "directory.mooring.dev",
        "parameters": {"type": ""},
        "reclaimPolicy": "Delete",
        "mountOptions": ["noatime"],
        "allowVolumeExpansion": False,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "host", "values": ["a"]}]}],
    },
    "VolumeAttachment storage.k8s.io/v1": {
        "spec": {"attacher": "d", "source": {"persistentVolumeName": "v"}, "nodeName": "n"},
        "status": {"attached": False, "attachError": {"time": None, "errorCode": 0}},
    },
    "Lease coordination.k8s.io/v1": {
        "spec": {
            "holderIdentity": "",
            "leaseDurationSeconds": 0,
            "renewTime": "2026-11-25T12:30:45.000007Z",
        },
    },
    "Pod v1": {
        "spec": {
            "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "b", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "c", "configMap": {"name": "settings", "defaultMode": 0}},
            ],
            "containers": [
                {
                    "name": "db",
                    "command": ["sh", ""],
                    "ports": [{"containerPort": 80}],
                    "livenessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 5},
                    "readinessProbe": {"tcpSocket": {"port": -1}},
                }
            ],
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": 0, "supplementalGroups": [0, 1000, -1]},
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("named", DOCUMENTS)
def test_a_document_comes_back_from_its_protobuf(named: str) -> None:
    kind, version = named.split()
    doc = {"kind": kind, "apiVersion": version, "metadata": METADATA, **DOCUMENTS[named]}
    assert decoded(wire.body_of(doc), version, kind) == doc


def read(raw: bytes, kind: str = "Pod") -> Any:
    return decoded(wire.framed("v1", kind, raw), "v1", kind)


def test_zeros_that_json_omits_are_omitted() -> None:
    spec = wire.encoded("PodSpec", {"nodeName": "", "hostNetwork": False, "priority": 0})
    assert read(wire.span(2, spec))["spec"] == {"priority": 0}


def test_what_is_not_known_is_skipped_whatever_it_is() -> None:
    unknown = (
        wire.number(999, 2**64 - 1)
        + wire.span(999, b"\xff" * 300)
        + wire.varint(999 << 3 | 1) + b"12345678"
        + wire.varint(999 << 3 | 5) + b"1234"
    )  # fmt: skip
    assert read(wire.span(2, unknown + wire.span(10, b"here") + unknown))["spec"] == {
        "nodeName": "here"
    }


def test_a_message_in_two_parts_is_one_and_of_two_values_the_last_counts() -> None:
    parts = wire.span(1, wire.span(1, b"a") + wire.span(3, b"ns")) + wire.span(
        1, wire.span(1, b"b")
    )
    assert read(parts)["metadata"] == {"name": "b", "namespace": "ns"}


def test_numbers_may_be_packed() -> None:
    packed = wire.span(4, wire.varint(7) + wire.varint(-1) + wire.varint(300))
    assert read(wire.span(2, wire.span(14, packed)))["spec"]["securityContext"] == {
        "supplementalGroups": [7, -1, 300]
    }


def test_a_body_that_names_no_kind_is_of_the_kind_that_is_expected() -> None:
    body = b"k8s\x00" + wire.span(2, wire.span(1, wire.span(1, b"a")))
    doc = decoded(body, "v1", "Secret")
    assert doc == {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}


def test_options_of_a_delete_may_be_of_any_version() -> None:
    raw = wire.encoded("DeleteOptions", {"preconditions": {"uid": ""}, "dryRun": ["All"]})
    body = wire.framed("storage.k8s.io/v1", "DeleteOptions", raw)
    doc = decoded(body, "v1", "DeleteOptions")
    assert doc["preconditions"] == {"uid": ""}
    assert doc["dryRun"] == ["All"]


def test_no_message_holds_itself() -> None:
    """So that no body nests further than the table does."""

    def depth(message: str, above: tuple[str, ...] = ()) -> int:
        assert message not in above
        inner = [field.type for field in messages()[message] if field.type in messages()]
        return 1 + max((depth(one, (*above, message)) for one in inner), default=0)

    assert max(depth(message) for message in messages()) < 16


NAMED = wire.span(1, wire.span(1, b"v1") + wire.span(2, b"Pod"))
HOSTILE = {
    "empty": b"",
    "JSON": b'{"kind":"Pod"}',
    "a length past the end": b"k8s\x00" + NAMED + b"\x12\x05ab",
    "a huge length": b"k8s\x00" + NAMED + b"\x12" + wire.varint(2**63 + 5),
    "a number without end": b"k8s\x00" + b"\xff" * 100,
    "a number over 64 bits": b"k8s\x00" + NAMED + b"\x18" + b"\xff" * 9 + b"\x7f",
    "a number that is cut": b"k8s\x00" + NAMED + b"\x18\x80",
    "a group": wire.framed("v1", "Pod", b"\x0b\x0c"),
    "the field 0": wire.framed("v1", "Pod", b"\x00\x01"),
    "eight bytes that are four": wire.framed("v1", "Pod", wire.varint(99 << 3 | 1) + b"1234"),
    "text as a number": wire.framed("v1", "Pod", wire.span(1, wire.number(1, 5))),
    "a number as text": wire.framed("v1", "Pod", wire.span(1, wire.span(7, b"5"))),
    "text that is not UTF-8": wire.framed("v1", "Pod", wire.span(1, wire.span(1, b"\xff"))),
    "a time without end": wire.framed(
        "v1", "Pod", wire.span(1, wire.span(8, wire.number(1, 2**62)))
    ),
    "a length past its message": wire.framed("v1", "Pod", wire.span(1, b"\x0a\x05a") + b"12345"),
    "fields that are not JSON": wire.framed(
        "v1", "Pod", wire.span(1, wire.span(17, wire.span(7, wire.span(1, b"{"))))
    ),
    "fields that nest": wire.framed(
        "v1", "Pod", wire.span(1, wire.span(17, wire.span(7, wire.span(1, b'{"a":' * 100_000))))
    ),
    "another kind": wire.framed("v1", "Secret", b""),
    "a kind that is not served": wire.framed("v1", "Service", b""),
    "a kind of endless name": wire.framed("v1", "x" * 100_000, b""),
    "another version": wire.framed("apps/v1", "Pod", b""),
    "a compressed object": b"k8s\x00" + NAMED + wire.span(3, b"gzip"),
    "an object in JSON": b"k8s\x00" + NAMED + wire.span(4, b"application/json"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_body_that_is_not_what_it_should_be_is_a_bad_request(what: str) -> None:
    with pytest.raises(Malformed) as refused:
        decoded(HOSTILE[what], "v1", "Pod")
    status = failure(refused.value)
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert status["message"].startswith("the object provided is unrecognized (must be of type Pod)")
    assert len(status["message"]) < 400


WHOLE = wire.body_of(
    {"kind": "Pod", "apiVersion": "v1", "metadata": METADATA, **DOCUMENTS["Pod v1"]}
)


def survives(body: bytes) -> None:
    with suppress(Malformed):
        msgspec.json.encode(decoded(body, "v1", "Pod"))


def test_a_body_cut_anywhere_is_refused_or_read() -> None:
    for end in range(len(WHOLE)):
        survives(WHOLE[:end])


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    survives(wire.framed("v1", "Pod", raw))
    survives(b"k8s\x00" + raw)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=12), st.integers(0, 12))
def test_a_body_with_some_bytes_changed_is_refused_or_read(
    at: int, instead: bytes, dropped: int
) -> None:
    survives(WHOLE[:at] + instead + WHOLE[at + dropped :])
