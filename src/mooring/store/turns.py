"""Whose turn it is: commits that share a key go one after the other, all others side by side."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager


class Turns:
    """Of the commits of one process, in the order in which they were begun."""

    def __init__(self) -> None:
        self._writers: dict[str, asyncio.Future[None]] = {}  # the last of each key
        self._readers: dict[str, list[asyncio.Future[None]]] = {}  # since then
        self._going: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def having(self, writes: Iterable[str], reads: Iterable[str]) -> AsyncIterator[None]:
        """Wait for those before that write what it reads or writes, or read what it writes."""
        ours: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before: set[asyncio.Future[None]] = set()
        writes = tuple(writes)
        reads = tuple(key for key in reads if key not in writes)
        for key in reads:
            if (writer := self._writers.get(key)) is not None:
                before.add(writer)
            self._readers.setdefault(key, []).append(ours)
        for key in writes:
            before.update(self._readers.pop(key, ()))
            if (writer := self._writers.get(key)) is not None:
                before.add(writer)
            self._writers[key] = ours
        self._going.add(ours)
        try:
            if before:
                await asyncio.wait(before)
            yield
        finally:
            ours.set_result(None)
            self._going.discard(ours)
            for key in writes:
                if self._writers.get(key) is ours:
                    del self._writers[key]
            for key in reads:
                readers = self._readers.get(key)
                if readers is not None and ours in readers:
                    readers.remove(ours)
                    if not readers:
                        del self._readers[key]

    async def over(self) -> None:
        """Wait until none is under way."""
        while self._going:
            await asyncio.wait(set(self._going))
