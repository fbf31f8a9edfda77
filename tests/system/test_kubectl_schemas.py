"""kubectl reads the schemas: it explains, validates, tries out and compares."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from mooring.api import gnostic
from mooring.api.openapi3 import document
from mooring.api.operations import paths
from mooring.objects.kind import Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.schema import definitions
from tests.system.server import OLD_KUBECTL, Server, claim

CURRENT = shutil.which("kubectl") or ""
OTHERS = sorted(Path(CURRENT).resolve().parent.glob("kubectl.*")) if CURRENT else []
KUBECTLS = [
    pytest.param(
        CURRENT, id="current", marks=[] if CURRENT else pytest.mark.skip(reason="no kubectl")
    ),
    pytest.param(
        str(OLD_KUBECTL),
        id="debian-1.20",
        marks=[] if OLD_KUBECTL.exists() else pytest.mark.skip(reason="no kubectl 1.20"),
    ),
    # Some packages bring several versions.
    *(pytest.param(str(path), id=path.name, marks=pytest.mark.slow) for path in OTHERS),
]

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("schemas")).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


@pytest.fixture(params=KUBECTLS)
def server(request: pytest.FixtureRequest, one_server: Server) -> Server:
    one_server.kubectl_path = request.param
    return one_server


@pytest.fixture
def modern(server: Server) -> Server:
    """With a kubectl that has the server validate."""
    if server.kubectl_path == str(OLD_KUBECTL):
        pytest.skip("kubectl 1.20 validates by itself alone")
    return server


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of an object: another one for each test and kubectl."""
    letters = (letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    return "".join(letters)[-50:].strip("-")


def unwrapped(text: str) -> str:
    """Without line breaks and indents, which differ by version."""
    return " ".join(text.split())


def test_apply_with_validation_makes_and_changes(server: Server, name: str) -> None:
    assert "created" in server.kubectl("apply", "-f", "-", stdin=claim(name))
    assert "unchanged" in server.kubectl("apply", "-f", "-", stdin=claim(name))
    labelled = claim(name).replace("metadata: {", "metadata: {labels: {tier: db}, ")
    assert "configured" in server.kubectl("apply", "-f", "-", stdin=labelled)
    assert server.get("pvc", name)["metadata"]["labels"] == {"tier": "db"}
    assert "configured" in server.kubectl("apply", "-f", "-", stdin=claim(name))
    assert "labels" not in server.get("pvc", name)["metadata"]


@pytest.mark.parametrize("verb", ["apply", "create"])
def test_a_field_that_is_not_there_is_refused(server: Server, name: str, verb: str) -> None:
    wrong = claim(name).replace("accessModes", "accesModes")
    done = server.run(verb, "-f", "-", stdin=wrong)
    assert done.returncode != 0
    assert "unknown field" in done.stderr
    assert "accesModes" in done.stderr
    assert server.run("get", "pvc", name).returncode != 0


def test_a_value_of_another_type_is_refused(server: Server, name: str) -> None:
    done = server.run("apply", "-f", "-", stdin=claim(name).replace("[ReadWriteOnce]", "yes"))
    assert done.returncode != 0
    assert "accessModes" in done.stderr


def test_strict_creates_what_is_right_and_refuses_what_is_not(modern: Server, name: str) -> None:
    create = ("create", "--validate=strict", "-f", "-")
    wrong = claim(name).replace("storage:", "sizes: {a: b}, storage:")
    assert modern.run(*create, stdin=wrong.replace("requests:", "reqs:")).returncode != 0
    assert "created" in modern.kubectl(*create, stdin=claim(name))


def test_warn_creates_and_says_what_was_dropped(modern: Server, name: str) -> None:
    wrong = claim(name).replace("spec:\n", "spec:\n  acessModes: [x]\n")
    done = modern.run("create", "--validate=warn", "-f", "-", stdin=wrong)
    assert done.returncode == 0, done.stderr
    assert 'Warning: unknown field "spec.acessModes"' in done.stderr


def test_a_dry_run_on_the_server_changes_nothing(server: Server, name: str) -> None:
    said = server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=claim(name))
    assert "created (server dry run)" in said
    assert server.run("get", "pvc", name).returncode != 0
    pool = "apiVersion: mooring.dev/v1\nkind: Pool\nmetadata: {name: tried}\n"
    pool += "spec: {driver: directory.mooring.dev, root: /tried}\n"
    assert "dry run" in server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=pool)


def test_diff_shows_what_an_apply_would_change(server: Server, name: str) -> None:
    server.kubectl("apply", "-f", "-", stdin=claim(name))
    labelled = claim(name).replace("metadata: {", "metadata: {labels: {tier: db}, ")
    done = server.run("diff", "-f", "-", stdin=labelled)
    assert done.returncode == 1, done.stderr
    assert "+    tier: db" in done.stdout
    assert server.run("diff", "-f", "-", stdin=claim(name)).returncode == 0


def test_explain_tells_of_fields(server: Server) -> None:
    told = unwrapped(server.kubectl("explain", "pvc.spec.resources"))
    assert "VolumeResourceRequirements" in told
    assert "Limits describes the maximum amount" in told
    told = unwrapped(server.kubectl("explain", "pool.spec"))
    assert "root is the absolute path below which the backend keeps its volumes" in told
    assert "-required-" in told


def test_explain_goes_down_to_the_last_field(server: Server) -> None:
    told = unwrapped(server.kubectl("explain", "pvc.spec", "--recursive"))
    for field in ("dataSourceRef", "matchExpressions", "volumeMode <string>"):
        assert field in told
    told = unwrapped(server.kubectl("explain", "pod", "--recursive"))
    assert "volumeClaimTemplate" in told


def pool(name: str, *namespaces: str) -> str:
    return (
        f"apiVersion: mooring.dev/v1\nkind: Pool\nmetadata: {{name: {name}}}\n"
        f"spec:\n  driver: directory.mooring.dev\n  node: here\n  root: /pools/{name}\n"
        f"  namespaces: [{', '.join(f'{{name: {one}, quota: 1Gi}}' for one in namespaces)}]\n"
    )


def test_apply_changes_lists_of_our_own_kinds(server: Server, name: str) -> None:
    for namespaces in (("a", "b"), ("b", "c"), ("c",)):
        server.kubectl("apply", "-f", "-", stdin=pool(name, *namespaces))
        made = server.get("pool", name)["spec"]["namespaces"]
        assert sorted(one["name"] for one in made) == sorted(namespaces)
    done = server.run("apply", "-f", "-", stdin=pool(name).replace("node:", "nod:"))
    assert done.returncode != 0
    assert 'unknown field "' in done.stderr


def test_apply_merges_lists_by_their_keys(server: Server, name: str) -> None:
    pod = (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n"
        "spec:\n  containers: [{name: a, image: 'x:1'}, {name: b, image: 'y:1'}]\n"
        "  volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]\n"
    )
    server.kubectl("apply", "-f", "-", stdin=pod)
    server.kubectl("apply", "-f", "-", stdin=pod.replace("y:1", "y:2"))
    images = {one["name"]: one["image"] for one in server.get("pod", name)["spec"]["containers"]}
    assert images == {"a": "x:1", "b": "y:2"}


def test_a_review_is_created_from_a_file(server: Server) -> None:
    review = (
        "apiVersion: authorization.k8s.io/v1\nkind: SelfSubjectAccessReview\n"
        "spec: {resourceAttributes: {verb: get, resource: pods}}\n"
    )
    assert "created" in server.kubectl("create", "-f", "-", stdin=review)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
def test_every_kind_is_explained(server: Server, kind: Kind) -> None:
    told = server.kubectl("explain", kind.plural, "--recursive")
    assert re.search(rf"KIND: +{kind.kind}\n", told)
    assert "metadata" in told


@cache
def messages(version: int) -> Callable[[bytes], Message]:
    """Reads a Document by kubectl's own description of gnostic's messages."""
    program = Path(CURRENT).read_bytes()
    start = program.index(b"openapiv%d/OpenAPIv%d.proto" % (version, version)) - 2
    end = program.index(last := b"b\x06proto3", start) + len(last)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto.FromString(program[start:end])
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"openapi.v{version}.Document")
    return message_factory.GetMessageClass(found).FromString


def shown(value: Any) -> Any:
    """The JSON that a message stands for."""
    if not isinstance(value, Message):
        return value
    descriptor, fields = value.DESCRIPTOR, value.ListFields()
    if descriptor.name == "Any":
        return json.loads(value.yaml)
    if descriptor.oneofs:
        return shown(fields[0][1])
    if descriptor.name in ("ItemsItem", "TypeItem"):
        return shown(fields[0][1][0])
    if descriptor.name == "StringArray":
        return [one for _, several in fields for one in several]
    doc: dict[str, Any] = {}
    for field, content in fields:
        nested = field.message_type
        if nested is not None and nested.name.startswith("Named"):
            doc |= {entry.name: shown(entry.value) for entry in content}
            continue
        first, *words = field.name.strip("_").split("_")
        name = "$ref" if field.name == "_ref" else first + "".join(map(str.title, words))
        doc[name] = [shown(one) for one in content] if field.is_repeated else shown(content)
    return doc


def said(value: Any) -> Any:
    """Without what is as if it were not said: no, and empty lists."""
    if isinstance(value, dict):
        return {name: said(part) for name, part in value.items() if part not in (False, [])}
    return [said(part) for part in value] if isinstance(value, list) else value


needs_kubectl = pytest.mark.skipif(not CURRENT, reason="no current kubectl")


@needs_kubectl
def test_kubectl_reads_in_protobuf_what_is_in_json() -> None:
    v2 = {
        "swagger": "2.0",
        "info": {"title": "A", "version": "1"},
        "paths": paths(ALL_KINDS),
        "definitions": definitions(),
        "securityDefinitions": {"T": {"type": "apiKey", "name": "a", "in": "header"}},
        "security": [{"T": ["a"]}],
    }
    assert shown(messages(2)(gnostic.document2(v2))) == said(v2)


@needs_kubectl
def test_kubectl_reads_in_protobuf_what_is_in_json_of_v3_too() -> None:
    v3 = document({"title": "A", "version": "1"}, paths(ALL_KINDS), definitions())
    v3["security"] = [{"T": ["a"]}]
    assert shown(messages(3)(gnostic.document3(v3))) == said(v3)
