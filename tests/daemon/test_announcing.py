"""Servers of one store know of each other, and of those that said nothing for long."""

import asyncio
import signal

import pytest

from mooring.daemon.announcing import Announcing
from mooring.store.interface import Write
from mooring.store.memory import MemoryStore
from mooring.store.refusals import StoreNewer
from mooring.store.schema import (
    FIRST,
    LATEST,
    SCHEMA,
    SERVERS,
    Known,
    OlderServers,
    announce,
    finalize,
    require_known,
)

URL, BEAT_S = "etcd://h:1/mooring", 0.01


class Shared(MemoryStore):
    """As if other servers had it, too."""

    is_shared = True


async def begun(store: MemoryStore, name: str, beat_s: float = 5.0) -> Announcing:
    made = Announcing(store, name, URL, beat_s)
    await made.begin()
    await made.start()
    return made


async def names(one: Announcing) -> list[str]:
    return [server.name for server in await one.servers()]


async def test_servers_come_and_go() -> None:
    store = Shared()
    await require_known(store, URL)
    a, b = await begun(store, "a"), await begun(store, "b")
    assert await names(a) == await names(b) == ["a", "b"]
    assert [one.is_this for one in await b.servers()] == [False, True]
    await b.stop()
    assert await names(a) == ["a"]
    await a.stop()


async def test_one_that_was_killed_is_forgotten_and_those_that_live_are_not() -> None:
    store = Shared()
    await store.commit([Write(SCHEMA, b"1")])
    await announce(store, "killed", Known("0.1.0", FIRST), URL)
    a, b = await begun(store, "a", BEAT_S), await begun(store, "b", BEAT_S)
    with pytest.raises(OlderServers):
        await finalize(store)
    async with asyncio.timeout(20):
        async for _ in store.watch(SERVERS, 0):
            if await names(a) == ["a", "b"]:
                break
    assert await finalize(store) == FIRST
    await a.stop()
    await b.stop()


async def test_a_server_alone_is_all_there_is() -> None:
    store = MemoryStore()
    await require_known(store, URL)
    a = await begun(store, "a")
    assert await names(a) == ["a"]
    await a.stop()
    assert [one.key for one in (await store.list("")).documents] == [SCHEMA]


async def test_a_server_that_does_not_know_the_schema_does_not_begin() -> None:
    store = Shared()
    await store.commit([Write(SCHEMA, b"%d" % (LATEST + 1))])
    with pytest.raises(StoreNewer):
        await begun(store, "a")


async def test_a_server_ends_that_stood_still_while_the_schema_was_raised() -> None:
    store, ended = Shared(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        await require_known(store, URL)
        a = await begun(store, "a", BEAT_S)
        await store.commit([Write(SCHEMA, b"%d" % (LATEST + 1))])
        async with asyncio.timeout(20):
            await ended.wait()
        await a.stop()
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
