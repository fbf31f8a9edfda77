"""Every store there is, made fresh or opened again, for the suites that all of them must pass."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mooring.store.interface import Changes, Store
from mooring.store.memory import MemoryStore
from mooring.store.sqlite import SqliteStore
from testbed.etcd import Member, lacking

WAIT_S = 20.0  # far beyond what anything here takes; only a hang reaches it

Maker = Callable[..., Awaitable[Store]]

needs_etcd = pytest.mark.skipif(bool(lacking()), reason=lacking())


class StepClock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s


async def memory(directory: Path, **options: Any) -> Store:
    return MemoryStore(**options)


async def sqlite(directory: Path, **options: Any) -> Store:
    return await SqliteStore.opened(directory / "store.db", **options)


async def etcd(directory: Path, **options: Any) -> Store:
    """Of a member of its own, which ends with the store."""
    from mooring.store.etcd import EtcdStore  # slow to load
    from mooring.store.etcd_calls import Access

    member = Member(directory / "etcd")
    await asyncio.to_thread(member.start)
    store = await EtcdStore.opened(Access((member.endpoint,)), **options)
    close = store.close

    async def closed() -> None:
        await close()
        await asyncio.to_thread(member.stop)

    store.close = closed  # type: ignore[method-assign]
    return store


MAKERS: dict[str, Maker] = {"memory": memory, "sqlite": sqlite, "etcd": etcd}
KINDS = ("memory", "sqlite", pytest.param("etcd", marks=(pytest.mark.system, needs_etcd)))


async def taken(watch: AsyncIterator[Changes], count: int) -> Changes:
    """The next changes of a watch, this many at least."""
    changes: Changes = []
    async with asyncio.timeout(WAIT_S):
        while len(changes) < count:
            changes += await anext(watch)
    return changes


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():  # noqa: ASYNC110  (there is nothing to be told by)
            await asyncio.sleep(0.002)
