"""The shelves: who is told of a change, and what is remembered of changes."""

import asyncio

import pytest

from mooring.objects.cache import RECENT_BYTES, RECENT_EVENTS, Follower, Shelf
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.interface import ABSENT, Write
from mooring.store.memory import MemoryStore

MAPS = "configmaps"


class World:
    """A store that is written behind the back of admission, and the shelf of its config maps."""

    async def __aenter__(self) -> "World":
        self.objects = Objects(MemoryStore(), ALL_KINDS)
        await self.objects.start()
        self.shelf: Shelf = self.objects.cache.shelves[MAPS]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.objects.close()

    async def put(self, key: str, size: int = 1) -> int:
        namespace, name = key.split("/")
        metadata = f'"metadata":{{"name":"{name}","namespace":"{namespace}"}}'
        data = f'"data":{{"a":"{"x" * size}"}}'
        body = f'{{"kind":"ConfigMap","apiVersion":"v1",{metadata},{data}}}'
        revision = await self.objects.store.commit([Write(f"{MAPS}/{key}", body.encode(), ABSENT)])
        await self.objects.cache.caught_up(revision)
        return revision


async def test_who_follows_a_namespace_is_told_of_nothing_else() -> None:
    async with World() as world:
        told: list[tuple[str, str]] = []

        def telling(name: str) -> Follower:
            return lambda event: told.append((name, event.key))

        unfollow = [
            world.shelf.follow(telling("one"), "one"),
            world.shelf.follow(telling("all")),
            world.shelf.follow(telling("one, too"), "one"),
        ]
        await world.put("one/a")
        await world.put("two/a")
        assert sorted(told) == [
            *(("all", "one/a"), ("all", "two/a")),
            *(("one", "one/a"), ("one, too", "one/a")),
        ]
        told.clear()
        for end in unfollow[:2]:
            end()
        await world.put("one/b")
        assert told == [("one, too", "one/b")]
        unfollow[2]()
        await world.put("one/c")
        assert told == [("one, too", "one/b")]


async def test_what_is_remembered_has_a_limit_and_the_store_tells_the_rest() -> None:
    size = RECENT_BYTES // 8
    async with World() as world:
        begun = world.objects.cache.revision
        made = [await world.put(f"one/m{number}", size) for number in range(12)]
        assert sum(event.size_bytes for event in world.shelf.recent) <= RECENT_BYTES
        assert len(world.shelf.recent) == 7
        for since in (begun, made[3], made[9]):
            events = await world.objects.cache.history(world.shelf, since, made[-1])
            assert [event.revision for event in events] == [one for one in made if one > since]
        for number in range(RECENT_EVENTS + 2):
            await world.put(f"two/m{number}")
        assert len(world.shelf.recent) == RECENT_EVENTS
        assert world.shelf.recent_from == world.shelf.recent[0].revision - 1


async def test_who_waits_for_a_revision_can_give_up_at_the_moment_it_comes() -> None:
    """What Docker no longer waits for would go on otherwise."""
    async with World() as world:
        cache = world.objects.cache
        waiting = asyncio.create_task(cache.caught_up(cache.revision + 1))
        await asyncio.sleep(0)

        def gives_up(_: object) -> None:
            waiting.cancel()

        world.shelf.follow(gives_up)  # told before those who wait
        await world.put("one/a")
        with pytest.raises(asyncio.CancelledError):
            await waiting
