"""Of which schema a store is, and that no server is there which does not know it."""

import asyncio

import pytest

from mooring.store.interface import Conflict, Write
from mooring.store.memory import MemoryStore
from mooring.store.refusals import StoreNewer
from mooring.store.schema import (
    FIRST,
    LATEST,
    SCHEMA,
    Known,
    OlderServers,
    announce,
    finalize,
    require_known,
    schema_of,
    servers_of,
    withdraw,
)

URL = "etcd://h:1/mooring"
OLDER, NEWER = Known("0.1.0", FIRST), Known("0.2.0", LATEST)


async def of_the_version_before() -> MemoryStore:
    """A store with documents and without a word on its schema."""
    store = MemoryStore()
    await store.commit([Write("configmaps/default/x", b"1")])
    await require_known(store, URL)
    return store


async def test_a_new_store_is_of_the_latest_schema() -> None:
    store = MemoryStore()
    await require_known(store, URL)
    assert (await schema_of(store)).version == LATEST
    revision = await store.revision()
    await require_known(store, URL)
    assert await store.revision() == revision


async def test_a_store_of_the_version_before_stays_of_its_schema() -> None:
    store = await of_the_version_before()
    assert (await schema_of(store)).version == FIRST


async def test_a_store_that_a_later_mooring_wrote_is_left_alone() -> None:
    store = MemoryStore()
    await store.commit([Write(SCHEMA, b"%d" % (LATEST + 1))])
    with pytest.raises(StoreNewer, match=f"{URL} has schema version {LATEST + 1}, "):
        await require_known(store, URL)


async def test_finalize_raises_it_once() -> None:
    store = await of_the_version_before()
    assert await finalize(store) == FIRST
    revision = await store.revision()
    assert await finalize(store) == LATEST
    assert await store.revision() == revision


async def test_finalize_waits_for_servers_that_know_less() -> None:
    store = await of_the_version_before()
    await announce(store, "old", OLDER, URL)
    await announce(store, "new", NEWER, URL)
    with pytest.raises(OlderServers, match="earlier schema alone: old;"):
        await finalize(store)
    assert (await schema_of(store)).version == FIRST
    await withdraw(store, "old", "never-there")
    assert await finalize(store) == FIRST
    assert list((await servers_of(store))[0]) == ["new"]


async def test_a_server_that_knows_less_is_not_let_in_any_more() -> None:
    store = await of_the_version_before()
    await finalize(store)
    with pytest.raises(StoreNewer):
        await announce(store, "old", OLDER, URL)
    assert (await servers_of(store))[0] == {}


class Interrupted(MemoryStore):
    """Somebody else commits just before one that was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.between: list[Write] = []

    async def commit(self, writes, checks=()):  # type: ignore[no-untyped-def]
        if self.between:
            first, self.between = self.between, []
            await super().commit(first)
        return await super().commit(writes, checks)


async def test_a_server_that_comes_while_it_is_finalized_is_not_missed() -> None:
    store = Interrupted()
    await store.commit([Write(SCHEMA, b"1")])
    other = MemoryStore()
    await other.commit([Write(SCHEMA, b"1")])
    await announce(other, "old", OLDER, URL)
    (document,) = (await other.list("format/servers")).documents
    store.between = [Write(document.key, document.value)]
    with pytest.raises(Conflict):
        await finalize(store)
    with pytest.raises(OlderServers):
        await finalize(store)


async def test_it_is_finalized_while_a_server_comes_which_is_refused() -> None:
    store = Interrupted()
    await store.commit([Write(SCHEMA, b"1")])
    store.between = [Write(SCHEMA, b"2")]
    with pytest.raises(StoreNewer):
        await announce(store, "old", OLDER, URL)
    assert (await servers_of(store))[0] == {}


async def test_servers_that_come_at_once_are_all_there() -> None:
    store = await of_the_version_before()
    names = [f"s{number}" for number in range(5)]
    await asyncio.gather(*(announce(store, name, NEWER, URL) for name in names))
    assert sorted((await servers_of(store))[0]) == names
