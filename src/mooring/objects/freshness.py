"""Reads that see all that was written before they were asked for, at whichever server."""

import asyncio

from mooring.objects.cache import Cache
from mooring.store.interface import Store


class Freshness:
    """Of one server, whose cache may be behind what others have written.

    Who asks while a question is on its way waits for the next one: that one's answer may be older
    than the request. All that wait have one question between them, however many they are.
    """

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store, self._cache = store, cache
        self._asking: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def reached(self) -> None:
        """Wait until the cache has all that was committed by now. Raises Unavailable."""
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._asking), name="freshness")
            self._next.add_done_callback(_looked_at)
        await asyncio.shield(self._next)

    async def _ask(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._asking, self._next = self._next, None
        await self._cache.caught_up(await self._store.revision())


def _looked_at(asking: asyncio.Task[None]) -> None:
    """How it ended is no matter to anybody if all that waited are gone."""
    if not asking.cancelled():
        asking.exception()
