"""What a host deletes, or overwrites, of volumes that move; and what it leaves alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mooring.model.home import Copy
from mooring.model.names import DIRECTORY_DRIVER, ELSEWHERE, HOME, MOVE_TO, POOL_ATTRIBUTE
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.moving import Mover
from mooring.node.moving_errors import Moving
from mooring.node.pools import Pools
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.moving import moved
from mooring.store.interface import Check, Conflict, Write
from tests.node.fencing_world import CableStore
from tests.node.test_moving import DEADLINE_S, World, a_world, pytestmark

__all__ = ["pytestmark"]


class DeafStore(CableStore):
    """Writes arrive, and nothing is told while it is unplugged, until one is refused."""

    def _reached(self) -> None:
        pass

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        try:
            return await super().commit(writes, checks)
        except Conflict:
            self.plugged.set()
            raise


@asynccontextmanager
async def a_mover(world: World, place: Path) -> AsyncIterator[tuple[Mover, DeafStore]]:
    """Of b, whose agent has ended; it hears of changes while its store is plugged."""
    await world.agents.pop("b").stop()
    store = DeafStore(world.objects.store)  # type: ignore[arg-type]
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    tell = world.controllers.recorder.note
    state = place / "b"
    pools, attachments = Pools(objects, "b", state, tell), Attachments(objects, "b", tell)
    try:
        yield Mover(objects, pools, attachments, world.peers["b"], "b", state, tell), store
    finally:
        attachments.stop()
        await objects.close()


async def begun(world: World) -> Volume:
    """With a copy on b, which has something in it."""
    volume = world.volume
    copy = Copy(node="b", pool="local-b", size="1Mi")
    data = world.pool("b") / volume.handle / "data"
    data.mkdir(parents=True)
    (data / "f").write_text("all there is")
    (data.parent / "size").write_text("1048576\n")
    await world.objects.commit([(volume, volume.with_copy(copy))])
    return world.volume


async def test_what_has_become_the_home_is_not_given_up_by_a_host_that_has_not_heard_it(
    tmp_path: Path,
) -> None:
    """Its own commit was stored, and the answer lost: by then the former home has deleted it."""
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.agents.pop("a").stop()
        async with a_mover(world, tmp_path) as (mover, store):
            volume = await begun(world)
            await mover._objects.cache.caught_up(await store.revision())
            store.plugged.clear()
            await world.objects.commit([(volume, moved(volume, "b"))])
            with pytest.raises(Conflict):
                await mover.forget(volume.name, gives_up=True)
            assert world.assets("b")
            assert world.volume.hosts == ("b",)


async def test_what_arrived_and_is_given_up_becomes_no_home(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.agents.pop("a").stop()
        async with a_mover(world, tmp_path) as (mover, store):
            volume = await begun(world)
            await mover._objects.cache.caught_up(await store.revision())
            await mover.forget(volume.name, gives_up=True)
            assert not world.assets("b")
            assert not world.volume.copies
            assert world.volume.hosts == ("a",)


@pytest.mark.parametrize("is_named", [True, False])
async def test_data_that_is_not_its_own_is_not_written_over(tmp_path: Path, is_named: bool) -> None:
    """Another volume's, or nobody's: a database may be older than what lies in a pool."""
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "precious")
        victim, namesake = world.volume, "pvc-evil"
        handle = victim.handle if is_named else namesake
        if not is_named:
            (world.pool("a") / victim.handle).rename(world.pool("a") / handle)
        data = world.pool("b") / handle / "data"
        data.mkdir(parents=True)
        (data.parent / "size").write_text("1048576\n")
        doc = {
            "metadata": {
                "name": namesake,
                "annotations": {HOME: "b/local-b", ELSEWHERE: "move", MOVE_TO: "a"},
            },
            "spec": {
                "capacity": {"storage": "1Mi"},
                "accessModes": ["ReadWriteOnce"],
                "csi": {
                    "driver": DIRECTORY_DRIVER,
                    "volumeHandle": handle,
                    "volumeAttributes": {POOL_ATTRIBUTE: "local-b"},
                },
            },
        }
        await world.make(Volume.resource, doc)

        async with asyncio.timeout(DEADLINE_S):
            while "MoveFailed" not in await world.reasons():
                now = world.objects.view(Volume, namesake)
                assert now is not None
                assert now.hosts == ("b",)
                await asyncio.sleep(0.05)
        assert (world.pool("a") / handle / "data" / "f").read_text() == "precious"


async def test_a_move_that_the_hosts_own_disk_keeps_from_beginning_goes_on_later(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        await world.claim("a")
        await world.wrote("a", "one")
        place = tmp_path / "b" / "moving"
        place.write_text("in the way")
        with pytest.raises(Moving, match="cannot be had"):
            await world.use("b", 0.5)
        place.unlink()
        assert (await world.use("b") / "f").read_text() == "one"
