"""The store of an agent, at several servers of which some are in trouble."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.store.interface import (
    ABSENT,
    Change,
    Changes,
    Check,
    Document,
    Page,
    Unavailable,
    Write,
)
from mooring.store.memory import MemoryStore
from mooring.store.remote import AWAY_S, RemoteStore
from tests.api.lines import Line, served
from tests.api.test_nodes import World
from tests.conformance.stores import WAIT_S, until

KEY, CSI = "nodes/a", "csinodes.storage.k8s.io/a"


class Sight(MemoryStore):
    """What one of several servers sees of a store. It may be cut off."""

    is_shared = True

    def __init__(self, store: MemoryStore) -> None:
        self._all, self.is_cut_off, self.commits = store, False, 0

    def _look(self) -> None:
        if self.is_cut_off:
            raise Unavailable("most members are away", "wait for them")

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        self._look()
        return await self._all.list(prefix, limit=limit, after=after, revision=revision)

    async def get(self, key: str) -> Document | None:
        self._look()
        return await self._all.get(key)

    async def revision(self) -> int:
        self._look()
        return await self._all.revision()

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        self._look()
        try:
            return await self._all.commit(writes, checks)
        finally:
            self.commits += 1

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:  # type: ignore[override]
        async for batch in self._all.watch(prefix, from_revision):
            if not self.is_cut_off:
                yield batch


class Place:
    all: MemoryStore

    """Two servers of a store, a line to each, and an agent that asks the first one first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __aenter__(self) -> "Place":
        self._all = AsyncExitStack()
        shared = MemoryStore()
        self.sights = [Sight(shared), Sight(shared)]
        self.worlds = []
        self.lines = []
        for one in self.sights:
            world = World(self._directory, one)
            await self._all.enter_async_context(world)
            await world.tokens.start()
            self._all.push_async_callback(world.tokens.stop)
            port = await self._all.enter_async_context(served(world.app))
            self.worlds.append(world)
            self.lines.append(await self._all.enter_async_context(Line(port)))
        own = await self.worlds[0].joined("a")
        await until(lambda: self._knows(own))
        self._own, self.all = own, shared
        self.store = self.another()
        return self

    def another(
        self, servers: int = 2, hurried_s: float = 0.5, away_s: float = AWAY_S
    ) -> RemoteStore:
        """Of an agent with the same token."""
        return RemoteStore(
            [one.url for one in self.lines[:servers]],
            lambda: None,  # type: ignore[arg-type,return-value]  # without TLS
            lambda: self._own,
            {KEY: hurried_s},
            away_s=away_s,
        )

    async def has_asked(self, commits: int) -> bool:
        """Whether the first server has asked the store for more than these."""
        return self.sights[0].commits > commits

    async def _knows(self, token: str) -> bool:
        return (await self.worlds[1].ask(token, "GET", "documents")).status == 200

    async def __aexit__(self, *_: object) -> None:
        for one in self.lines:
            one.go_on()
        await self.store.close()
        for world in self.worlds:
            world.app.stop()
        await self._all.aclose()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with Place(tmp_path) as made:
        yield made


def node(**labels: str) -> bytes:
    metadata: dict[str, Any] = {"name": "a", "uid": "1e0b2f0c-6f0a-4a3e-9d55-6e2f5b1c7a10"}
    metadata["labels"] = labels
    return msgspec.json.encode({"kind": "Node", "apiVersion": "v1", "metadata": metadata})


def csi_node() -> bytes:
    metadata = {"name": "a", "uid": "5a3c2b1d-0e8f-4d27-8c61-2f7d90b4e6a3"}
    doc = {"kind": "CSINode", "apiVersion": "storage.k8s.io/v1", "metadata": metadata}
    return msgspec.json.encode({**doc, "spec": {"drivers": []}})


async def test_a_server_that_hangs_is_left_for_the_next(place: Place) -> None:
    revision = await place.store.commit([Write(KEY, node(), ABSENT)])
    place.lines[0].stand_still()
    assert await place.store.commit([Write(KEY, node(zone="z"), revision)]) > revision
    assert place.store.server == place.lines[1].url


async def test_the_only_server_is_not_hurried(place: Place) -> None:
    """There is nobody else to go to, and a host whose renewals are slow is alive."""
    lone = place.another(1, hurried_s=1e-6)
    revision = await lone.commit([Write(KEY, node(), ABSENT)])
    assert await lone.commit([Write(KEY, node(zone="z"), revision)]) == revision + 1
    await lone.close()


async def test_each_server_is_asked_whatever_time_it_takes(place: Place) -> None:
    place.lines[0].stand_still()
    store = place.another(away_s=0.0)
    assert await store.commit([Write(KEY, node(), ABSENT)])
    assert store.server == place.lines[1].url
    await store.close()


async def test_changes_are_told_by_another_server_once_one_was_left(place: Place) -> None:
    watch = place.store.watch("nodes/", await place.store.revision())
    revision = await place.store.commit([Write(KEY, node(), ABSENT)])
    assert (await _told(watch, revision)).revision == revision
    place.lines[0].stand_still()
    revision = await place.store.commit([Write(KEY, node(zone="z"), revision)])
    assert (await _told(watch, revision)).revision == revision


async def test_a_server_that_is_cut_off_from_the_store_is_left(place: Place) -> None:
    place.sights[0].is_cut_off = True
    assert await place.store.commit([Write(KEY, node(), ABSENT)])
    assert place.store.server == place.lines[1].url


async def test_the_changes_of_a_server_that_is_cut_off_are_had_elsewhere(place: Place) -> None:
    revision = await place.store.revision()
    place.sights[0].is_cut_off = True
    watch = place.store.watch("nodes/", revision)
    revision = await place.store.commit([Write(KEY, node(), ABSENT)])
    assert (await _told(watch, revision)).revision == revision


async def test_what_was_given_up_is_not_done_later(place: Place) -> None:
    """It lies in the buffers of a server that stands still; meanwhile all is done, and undone."""
    await place.store.commit([Write(CSI, csi_node(), ABSENT)])
    commits = place.sights[0].commits
    place.lines[0].stand_still()
    made = await place.store.commit([Write(KEY, node(), ABSENT)])
    await place.all.commit([Write(KEY, None, made)])
    place.lines[0].go_on()
    await until(lambda: place.has_asked(commits))
    assert await place.all.get(KEY) is None


async def test_what_its_caller_gave_up_is_not_done_later(place: Place) -> None:
    revision = await place.store.commit([Write(KEY, node(), ABSENT)])
    commits = place.sights[0].commits
    place.lines[0].stand_still()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await place.store.commit([Write(KEY, node(zone="late"), revision)])
    await place.store.commit([Write(CSI, csi_node(), ABSENT)])
    place.lines[0].go_on()
    await until(lambda: place.has_asked(commits))
    document = await place.all.get(KEY)
    assert document is not None
    assert document.revision == revision


async def test_an_agent_goes_on_where_another_has_made_a_cut(place: Place) -> None:
    """As a straggler of its own does, and an agent of this host that was started since."""
    other = place.another()
    revision = await place.store.commit([Write(KEY, node(), ABSENT)])
    revision = await other.commit([Write(KEY, node(zone="a"), revision)])
    revision = await place.store.commit([Write(KEY, node(zone="b"), revision)])
    assert await other.commit([Write(KEY, node(zone="c"), revision)]) > revision
    await other.close()


async def test_ordinary_commits_make_one_revision_each(place: Place) -> None:
    revision = await place.store.commit([Write(KEY, node(), ABSENT)])
    for zone in ("a", "b", "c"):
        before, write = revision, Write(KEY, node(zone=zone), revision)
        revision = await place.store.commit([write])
        assert revision == before + 1


async def test_where_no_server_has_the_store_it_is_told(place: Place) -> None:
    for one in place.sights:
        one.is_cut_off = True
    store = place.another(away_s=0.0)
    with pytest.raises(Unavailable) as told:
        await store.commit([Write(KEY, node(), ABSENT)])
    await store.close()
    assert told.value.code == "ControlPlaneAway"
    assert "most members are away" in told.value.what


async def _told(watch: AsyncIterator[Changes], revision: int) -> Change:
    """What a watch tells of the key, up to a revision."""
    async with asyncio.timeout(WAIT_S):
        async for changes in watch:
            for one in changes:
                if one.key == KEY and one.revision >= revision:
                    return one
    raise AssertionError
