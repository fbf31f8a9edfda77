"""Server-side apply and owners of fields, as kubectl uses them."""

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.server import Server

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no current kubectl"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("apply")).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def config(name: str, data: dict[str, str], **labels: str) -> str:
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = labels
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def apply(server: Server, text: str, manager: str = "kubectl", *more: str) -> str:
    command = ("apply", "--server-side", "--validate=false", "--field-manager", manager)
    return server.kubectl(*command, *more, "-f", "-", stdin=text)


def refused(server: Server, text: str, manager: str) -> str:
    command = ("apply", "--server-side", "--validate=false", "--field-manager", manager, "-f", "-")
    done = server.run(*command, stdin=text)
    assert done.returncode != 0
    return done.stderr


def owners(server: Server, *which: str) -> dict[str, Any]:
    """{manager/operation: its fields} of an object."""
    shown = json.loads(server.kubectl("get", *which, "-o", "json", "--show-managed-fields"))
    return {
        f"{entry['manager']}/{entry['operation']}": entry["fieldsV1"]
        for entry in shown["metadata"].get("managedFields", ())
    }


def test_an_apply_makes_changes_and_prunes(server: Server) -> None:
    assert apply(server, config("pruned", {"a": "1"}, x="1", y="1")) == (
        "configmap/pruned serverside-applied\n"
    )
    apply(server, config("pruned", {"a": "2"}, x="1"))
    found = server.get("cm", "pruned")
    assert found["metadata"]["labels"] == {"x": "1"}
    assert found["data"] == {"a": "2"}
    assert owners(server, "cm", "pruned") == {
        "kubectl/Apply": {"f:metadata": {"f:labels": {"f:x": {}}}, "f:data": {"f:a": {}}}
    }


def test_two_managers_conflict_until_one_forces(server: Server) -> None:
    apply(server, config("contested", {"a": "1", "b": "1"}), "left")
    said = refused(server, config("contested", {"a": "2"}), "right")
    assert 'Apply failed with 1 conflict: conflict with "left": .data.a' in said
    assert server.get("cm", "contested")["data"] == {"a": "1", "b": "1"}
    apply(server, config("contested", {"a": "2"}), "right", "--force-conflicts")
    assert server.get("cm", "contested")["data"] == {"a": "2", "b": "1"}
    assert owners(server, "cm", "contested")["left/Apply"] == {"f:data": {"f:b": {}}}


def test_what_kubectl_applied_on_its_side_becomes_server_side(server: Server) -> None:
    before = config("moved", {"a": "1", "b": "1"}, x="1")
    server.kubectl("apply", "--validate=false", "-f", "-", stdin=before)
    assert "kubectl-client-side-apply/Update" in owners(server, "cm", "moved")
    apply(server, config("moved", {"a": "2"}, x="1"))
    found = server.get("cm", "moved")
    assert found["data"] == {"a": "2"}, "b was pruned, since the ownership had been moved"
    # The second one owns kubectl's annotation and nothing else.
    noted = owners(server, "cm", "moved")
    assert list(noted) == ["kubectl/Apply", "kubectl-last-applied/Apply"]
    assert noted["kubectl/Apply"]["f:data"] == {"f:a": {}}
    last = json.loads(server.kubectl("apply", "view-last-applied", "cm/moved", "-o", "json"))
    assert last["data"] == {"a": "2"}


def test_each_way_of_changing_an_object_is_noted(server: Server, tmp_path: Path) -> None:
    server.kubectl("create", "configmap", "changed", "--from-literal=a=1")
    server.kubectl("label", "cm", "changed", "x=1")
    server.kubectl("annotate", "cm", "changed", "y=1")
    for form, patch in (
        ("json", '[{"op":"add","path":"/data/json","value":"1"}]'),
        ("merge", '{"data":{"merge":"1"}}'),
        ("strategic", '{"data":{"strategic":"1"}}'),
    ):
        server.kubectl("patch", "cm", "changed", "--type", form, "-p", patch)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/a: .1./a: edited/" "$1"\n')
    editor.chmod(stat.S_IRWXU)
    edit = server.run("edit", "--validate=false", "cm", "changed", editor=str(editor))
    assert edit.returncode == 0, edit.stderr
    data = server.get("cm", "changed")["data"]
    assert data == {"a": "edited", "json": "1", "merge": "1", "strategic": "1"}
    noted = owners(server, "cm", "changed")
    assert noted["kubectl-edit/Update"] == {"f:data": {"f:a": {}}}
    assert noted["kubectl-patch/Update"] == {
        "f:data": {"f:json": {}, "f:merge": {}, "f:strategic": {}}
    }
    assert noted["kubectl-label/Update"] == {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}}
    assert "f:y" in noted["kubectl-annotate/Update"]["f:metadata"]["f:annotations"]


def test_a_diff_shows_what_an_apply_would_change(server: Server) -> None:
    apply(server, config("compared", {"a": "1"}))
    command = ("diff", "--server-side", "-f", "-")
    same = server.run(*command, stdin=config("compared", {"a": "1"}))
    assert (same.returncode, same.stdout) == (0, ""), same.stdout + same.stderr
    other = server.run(*command, stdin=config("compared", {"a": "2"}))
    assert other.returncode == 1, other.stderr
    assert '-  a: "1"\n+  a: "2"\n' in other.stdout
    assert server.get("cm", "compared")["data"] == {"a": "1"}


def test_claims_and_pods_are_applied_by_their_schema(server: Server) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                 "resources": {"requests": {"storage": "1024Mi"}}},
    }  # fmt: skip
    apply(server, json.dumps(claim))
    claim["spec"]["resources"]["requests"]["storage"] = "1Gi"  # type: ignore[index]
    apply(server, json.dumps(claim), "other")
    found = server.get("pvc", "data")
    assert found["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert list(owners(server, "pvc", "data")) == ["kubectl/Apply", "other/Apply"]


def test_protocol_errors_are_those_of_kubernetes(server: Server) -> None:
    where = "/api/v1/namespaces/default/configmaps/none"
    done = server.run(
        *("patch", "cm", "changed", "--type", "merge", "-p", "{}", "--field-manager", "x" * 129)
    )
    assert "fieldManager: Too long: may not be more than 128" in done.stderr
    assert server.run("get", "--raw", where).returncode != 0
