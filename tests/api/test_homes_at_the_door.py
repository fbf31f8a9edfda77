"""Who becomes the home of a volume, through the door: who has a copy, and the right to use it."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from mooring.model.attachment import Attachment
from mooring.model.home import Copy, CopyState, copies_text
from mooring.model.names import BTRFS_DRIVER, COPIES, ELSEWHERE, HOME, POOL_ATTRIBUTE
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.node.attachments import attachment_name
from mooring.store.interface import Check, Write
from mooring.store.memory import MemoryStore
from tests.api.client import Answer
from tests.api.test_nodes import World, code

KEY = f"{Volume.resource}/v"


class Racing(MemoryStore):
    """Something happens between what the door looks at and what the store does."""

    before: Callable[[], Awaitable[object]] | None = None

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        if (meanwhile := self.before) is not None and any(one.key == KEY for one in writes):
            self.before = None
            await meanwhile()
        return await super().commit(writes, checks)


async def a_volume(world: World) -> None:
    """Its home is b, and a has a copy that is being filled."""
    kinds = world.objects.kinds
    for name in ("a", "b"):
        spec = {"driver": BTRFS_DRIVER, "node": name, "root": "/srv"}
        doc: dict[str, Any] = {"metadata": {"name": f"local-{name}"}, "spec": spec}
        await world.objects.create(kinds[Pool.resource], "", doc)
    attributes = {POOL_ATTRIBUTE: "local-b"}
    csi = {"driver": BTRFS_DRIVER, "volumeHandle": "v", "volumeAttributes": attributes}
    doc = {
        "metadata": {"name": "v", "annotations": {HOME: "b/local-b", ELSEWHERE: "move"}},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": csi},
    }
    await world.objects.create(kinds[Volume.resource], "", doc)
    volume = world.objects.view(Volume, "v")
    assert volume is not None
    copy = Copy(node="a", pool="local-a", size="1Gi")
    await world.objects.commit([(volume, volume.with_copy(copy))])


async def attach(world: World, node: str) -> None:
    source = {"persistentVolumeName": "v"}
    spec = {"attacher": BTRFS_DRIVER, "nodeName": node, "source": source}
    doc: dict[str, Any] = {"metadata": {"name": attachment_name("v")}, "spec": spec}
    await world.objects.create(world.objects.kinds[Attachment.resource], "", doc)


async def detach(world: World) -> None:
    await world.objects.delete(world.objects.kinds[Attachment.resource], attachment_name("v"))


async def become_home(world: World, token: str) -> Answer:
    doc, entry = world.objects.one(Volume.resource, "v"), world.objects.entry(Volume.resource, "v")
    assert doc is not None
    assert entry is not None
    left = Copy(node="b", pool="local-b", state=CopyState.LEAVING, size="1Gi")
    doc["metadata"]["annotations"] |= {HOME: "a/local-a", COPIES: copies_text((left,))}
    doc["metadata"].pop("resourceVersion")
    return await world.commit(token, KEY, doc, entry.revision)


def home(world: World) -> str:
    volume = world.objects.view(Volume, "v")
    assert volume is not None
    return str(volume.home)


async def test_with_a_copy_and_the_right_to_use_it_a_host_becomes_the_home(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.tokens.start()
        token = await world.joined()
        await a_volume(world)
        await attach(world, "a")
        assert (await become_home(world, token)).status == 200
        assert home(world) == "a/local-a"
        await world.tokens.stop()


async def test_without_that_right_it_does_not(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.tokens.start()
        token = await world.joined()
        await a_volume(world)
        assert code(await become_home(world, token)) == "Forbidden"
        await attach(world, "b")
        assert code(await become_home(world, token)) == "Forbidden"
        assert home(world) == "b/local-b"
        await world.tokens.stop()


async def test_nor_if_it_is_taken_over_at_the_same_moment(tmp_path: Path) -> None:
    """Whatever the agent says: it is no matter of what it lets be checked."""
    async with World(tmp_path, store := Racing()) as world:
        await world.tokens.start()
        token = await world.joined()
        await a_volume(world)
        await attach(world, "a")

        async def taken_over() -> None:
            await detach(world)
            await attach(world, "b")

        store.before = taken_over
        assert code(await become_home(world, token)) == "Conflict"
        assert home(world) == "b/local-b"
        await world.tokens.stop()
