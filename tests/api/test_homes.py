"""Volumes that may move, at the door of agents: who becomes the home of one, and who does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
import pytest

from mooring.model import door
from mooring.model.attachment import Attachment
from mooring.model.home import Copy, CopyState, copies_text
from mooring.model.names import COPIES, DIRECTORY_DRIVER, ELSEWHERE, HOME
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.node.attachments import attachment_name
from tests.api.test_nodes import World

KEY: Final = f"{Volume.resource}/v"
LOCK: Final = f"{Attachment.resource}/{attachment_name('v')}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        await made.tokens.start()
        yield made
        await made.tokens.stop()


async def make(world: World, resource: str, doc: dict[str, Any]) -> None:
    await world.objects.create(world.objects.kinds[resource], "", doc)


async def a_volume(world: World, claimed: str = "") -> None:
    """On a, in a pool of which b has one as well."""
    for name in ("a", "b"):
        await make(world, Node.resource, {"metadata": {"name": name}})
        spec = {"driver": DIRECTORY_DRIVER, "node": name, "root": "/p"}
        await make(world, Pool.resource, {"metadata": {"name": f"local-{name}"}, "spec": spec})
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "csi": {
            "driver": DIRECTORY_DRIVER,
            "volumeHandle": "v",
            "volumeAttributes": {"mooring.dev/pool": "local-a"},
        },
    }
    if claimed:
        spec["claimRef"] = {"namespace": claimed, "name": "db"}
    annotations = {HOME: "a/local-a", ELSEWHERE: "move"}
    doc = {"metadata": {"name": "v", "annotations": annotations}, "spec": spec}
    await make(world, Volume.resource, doc)


def found(world: World, key: str) -> tuple[dict[str, Any], int]:
    """As an agent has read it."""
    resource, _, name = key.partition("/")
    entry = world.objects.entry(resource, name)
    assert entry is not None
    doc = msgspec.json.decode(entry.body)
    doc["metadata"].pop("resourceVersion", None)
    return doc, entry.revision


def attachment(node: str) -> dict[str, Any]:
    source = {"persistentVolumeName": "v"}
    return {
        "metadata": {"name": attachment_name("v"), "uid": str(uuid4())},
        "spec": {"attacher": DIRECTORY_DRIVER, "nodeName": node, "source": source},
    }


def wanted(key: str, doc: dict[str, Any], expected: int) -> door.Wanted:
    return door.Wanted(key, msgspec.json.encode(doc), expected)


async def test_who_loses_the_right_to_use_it_while_its_commit_waits_becomes_no_home(
    world: World,
) -> None:
    tokens = {name: await world.joined(name) for name in ("a", "b")}
    await a_volume(world)
    volume, revision = found(world, KEY)
    copy = Copy(node="b", pool="local-b", size="1Gi")
    volume["metadata"]["annotations"][COPIES] = copies_text((copy,))
    assert (await world.commit(tokens["b"], KEY, volume, revision)).status == 200
    assert (await world.commit(tokens["b"], LOCK, attachment("b"))).status == 200
    await world.objects.fresh()
    (volume, at), (node, node_at) = found(world, KEY), found(world, "nodes/b")
    left = Copy(node="a", pool="local-a", state=CopyState.LEAVING, size="1Gi")
    volume["metadata"]["annotations"] |= {HOME: "b/local-b", COPIES: copies_text((left,))}
    # Of its Node it knows what this server has yet to hear of: so it waits for that.
    later = world.objects.cache.revision + 3
    commit = door.Commit([wanted(KEY, volume, at), wanted("nodes/b", node, later)])
    coming = asyncio.create_task(world.ask(tokens["b"], "POST", "commit", commit))
    await asyncio.wait({coming}, timeout=0.2)
    assert not coming.done()
    _, lock_at = found(world, LOCK)
    assert (await world.commit(tokens["b"], LOCK, None, lock_at)).status == 200
    assert (await world.commit(tokens["a"], LOCK, attachment("a"))).status == 200
    node["metadata"]["labels"] = {"x": "y"}
    assert (await world.commit(tokens["b"], "nodes/b", node, node_at)).status == 200
    assert (await coming).status == 409
    now = world.objects.view(Volume, "v")
    assert now is not None
    assert now.hosts == ("a",)
