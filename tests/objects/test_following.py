"""Whoever follows a store goes on after it was away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mooring.api.tokens import PREFIX, Token, Tokens
from mooring.clock import SystemClock
from mooring.objects.cache import Cache
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.store.interface import ABSENT, Changes, Expired, Page, Unavailable, Write
from mooring.store.memory import MemoryStore
from tests.conformance.stores import until


class Leaving(MemoryStore):
    """Once history is forgotten it is away for two questions, as a network may be."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 0
        self.forgets = asyncio.Event()

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        if self.forgets.is_set() and self.fails < 2:
            self.fails += 1
            raise Unavailable("it is away for a moment", "wait")
        return await super().list(prefix, limit=limit, after=after, revision=revision)

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:  # type: ignore[override]
        await self.forgets.wait()
        if not self.fails:
            raise Expired(from_revision, from_revision + 1)
        async for batch in super().watch(prefix, from_revision):
            yield batch


@pytest.fixture
async def store() -> AsyncIterator[Leaving]:
    made = Leaving()
    yield made
    await made.close()


async def test_a_cache_goes_on(store: Leaving) -> None:
    cache = Cache(store, ALL_KINDS)
    await cache.start()
    store.forgets.set()
    revision = await store.commit([Write("namespaces/a", b'{"metadata":{"name":"a"}}', ABSENT)])
    await cache.caught_up(revision)
    assert store.fails == 2
    assert not cache.feed_task().done()
    await cache.close()


async def test_tokens_go_on(store: Leaving) -> None:
    tokens = Tokens(store, SystemClock())
    await tokens.start()
    store.forgets.set()
    await store.commit([Write(f"{PREFIX}hash", b'{"what":"node","user":"a"}', ABSENT)])

    async def is_known() -> bool:
        return tokens.found("hash") == Token("node", "a")

    await until(is_known)
    assert store.fails == 2
    assert not tokens.feed_task().done()
    await tokens.stop()
