"""What the token of a host that was taken over is tried for, and does not come to."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from mooring.model import door
from mooring.store.interface import ABSENT, Write
from tests.api.client import Answer
from tests.api.test_nodes import UID, World, node, world
from tests.conformance.stores import WAIT_S

__all__ = ["world"]
HIDDEN = "secrets/bank/s"
LEASES = "leases.coordination.k8s.io/kube-node-lease"
ATTACHMENTS = "volumeattachments.storage.k8s.io"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def an_object(kind: str, version: str, name: str, namespace: str = "", **fields: Any) -> Any:
    metadata = {"name": name, "uid": UID, "creationTimestamp": "2026-01-01T00:00:00Z"}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "apiVersion": version, "metadata": metadata, **fields}


def a_pod(namespace: str, node_name: str = "a", *, is_mirror: bool = True) -> Any:
    spec = {"nodeName": node_name, "containers": [{"name": "c", "image": "i"}]}
    doc = an_object("Pod", "v1", "p", namespace, spec=spec)
    doc["metadata"]["labels"] = {"mooring.dev/mirror": "docker"} if is_mirror else {}
    return doc


def attached(node_name: str, volume: str) -> Any:
    source = {"persistentVolumeName": volume}
    spec = {"attacher": "directory.mooring.dev", "nodeName": node_name, "source": source}
    return an_object("VolumeAttachment", "storage.k8s.io/v1", "csi-1", spec=spec)


LEASE = an_object("Lease", "coordination.k8s.io/v1", "b", "kube-node-lease", spec={})


async def begun(world: World) -> str:
    """A Secret in a namespace that host `a` does not serve; its token."""
    for name in ("bank", "kube-node-lease"):
        await world.send("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    secret = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    made = await world.send("POST", "/api/v1/namespaces/bank/secrets", secret)
    assert made.status == 201
    return await world.joined(namespaces=["default"])


@pytest.mark.parametrize(
    ("key", "doc"),
    [
        (f"{LEASES}/b", LEASE),
        (f"{ATTACHMENTS}/csi-1", attached("b", "v")),
        (f"{ATTACHMENTS}/csi-1", attached("a", "nowhere")),
        ("pods/bank/p", a_pod("bank")),
        ("pods/default/p", a_pod("default", "b")),
        ("pods/default/p", a_pod("default", is_mirror=False)),
        (
            "persistentvolumeclaims/bank/c",
            an_object("PersistentVolumeClaim", "v1", "c", "bank", spec=CLAIM),
        ),
        ("nodes/b", node("b")),
        ("tasks/b", {}),
        ("hosts/a", {}),
        ("hosts/b", {}),
        ("tokens/x", {"what": "user", "user": "admin"}),
        ("pki/ca.key", {}),
        ("leader/controllers", {}),
        ("format/schema", {}),
    ],
)
async def test_what_is_not_its_own_is_not_written(world: World, key: str, doc: Any) -> None:
    own = await begun(world)
    revision = await world.objects.store.revision()
    for again in (False, True):
        assert (await world.commit(own, key, doc, again=again)).status == 403
    assert (await world.commit(own, key, None)).status in (400, 403)
    assert await world.objects.store.revision() == revision


async def test_a_commit_does_not_tell_what_is_hidden(world: World) -> None:
    """Neither that it is there, nor since when, nor what it is: all answers are the same."""
    own = await begun(world)
    [document] = (await world.objects.store.list(HIDDEN)).documents
    answers: list[Answer] = []
    for again in (False, True):
        for value in (None, document.value, b"{}"):
            for revision in (0, 1, document.revision):
                commit = door.Commit([door.Wanted(HIDDEN, value, revision)], [], again)
                answers.append(await world.ask(own, "POST", "commit", commit))
    assert {(one.status, one.body) for one in answers} == {(403, answers[0].body)}
    checks = []
    for key in (HIDDEN, "secrets/bank/none", "tokens/x", "hosts/b"):
        for revision in (0, document.revision):
            commit = door.Commit([door.Wanted("nodes/a", msgspec.json.encode(node()), 0)])
            commit.checks = [door.Held(key, revision)]
            checks.append((await world.ask(own, "POST", "commit", commit)).status)
    assert set(checks) == {403}


@pytest.mark.parametrize("prefix", ["", "secrets/", "secrets/bank/", "tokens/", "hosts/", "pki/"])
async def test_a_stream_does_not_tell_what_is_hidden(world: World, prefix: str) -> None:
    own = await begun(world)
    await world.objects.store.commit([Write("pki/ca.key", b"private", ABSENT)])
    said = await told(world, own, prefix, ["bank", "default"])
    changes = [one.key for batch in said for one in batch.changes]
    assert changes == (["secrets/default/late"] if prefix in ("", "secrets/") else [])


async def told(
    world: World, token: str, prefix: str, namespaces: Sequence[str]
) -> list[door.Batch]:
    """By the stream of a token, until a Secret was made in each of the namespaces."""
    revision, said = await world.objects.store.revision(), asyncio.Queue[bytes]()
    leaves = asyncio.Event()
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{door.PATH}/watch",
        "query_string": f"from={revision}&prefix={prefix}".encode(),
        "headers": [(b"authorization", b"Bearer " + token.encode()), (b"mooring-door", b"1")],
    }

    async def receive() -> dict[str, Any]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        said.put_nowait(message.get("body", b""))

    watching = asyncio.create_task(world.app(scope, receive, send))
    for namespace in namespaces:
        late = {"metadata": {"name": "late"}}
        path = f"/api/v1/namespaces/{namespace}/secrets"
        assert (await world.send("POST", path, late)).status == 201
    batches: list[door.Batch] = []
    async with asyncio.timeout(WAIT_S):
        while len(batches) < 2:  # the second says that there was nothing else
            if frame := await said.get():
                body = frame[door.LENGTH_BYTES :]
                batches.append(msgspec.msgpack.decode(body, type=door.Batch))
    leaves.set()
    await watching
    return batches


async def test_the_token_of_a_removed_host_is_good_for_nothing(world: World) -> None:
    own = await begun(world)
    assert (await world.send("POST", "/mooring/v1/leave", {"node": "a"})).status == 200
    for method, what in (
        *(("GET", "documents"), ("GET", "watch"), ("POST", "commit"), ("POST", "cut")),
        *(("POST", "events"), ("POST", "renew"), ("POST", "certificate")),
    ):
        assert (await world.ask(own, method, what, {})).status == 401, what
    assert not (await world.objects.store.list("hosts/")).documents


async def test_a_cut_is_of_its_own_host_alone(world: World) -> None:
    own = await begun(world)
    await world.joined("b")
    before = {one.key: one.revision for one in (await world.objects.store.list("hosts/")).documents}
    assert (await world.ask(own, "POST", "cut", door.Cut(before["hosts/a"]))).status == 200
    assert (await world.ask(own, "POST", "cut", door.Cut(before["hosts/a"]))).status == 409
    after = {one.key: one.revision for one in (await world.objects.store.list("hosts/")).documents}
    assert after["hosts/b"] == before["hosts/b"]
    assert after["hosts/a"] > before["hosts/a"]


@pytest.mark.parametrize("uid", ["", "u1", "../../etc", UID.upper(), f"{UID}\n", f"{UID}0"])
async def test_a_uid_is_no_path(world: World, uid: str) -> None:
    own = await world.joined()
    doc = node()
    doc["metadata"]["uid"] = uid
    assert (await world.commit(own, "nodes/a", doc)).status == 400


async def test_a_uid_is_not_that_of_anothers_data(world: World) -> None:
    own = await begun(world)
    path = "/api/v1/namespaces/bank/persistentvolumeclaims"
    made = await world.send("POST", path, {"metadata": {"name": "c"}, "spec": CLAIM})
    doc = an_object("PersistentVolumeClaim", "v1", "mine", "default", spec=CLAIM)
    doc["metadata"]["uid"] = made.body["metadata"]["uid"]
    refused = await world.commit(own, "persistentvolumeclaims/default/mine", doc)
    assert refused.status == 400
    assert b"another object's" in refused.body
    doc["metadata"]["uid"] = UID
    half = await world.commit(own, "persistentvolumeclaims/default/mine", doc)
    assert half.status == 400
    doc["spec"] = {**CLAIM, "volumeMode": "Filesystem"}
    assert (await world.commit(own, "persistentvolumeclaims/default/mine", doc)).status == 200
