"""What follows an engine in a test, and remembers what it was told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mooring.engine.engine import Engine

DEADLINE_S = 30.0


class Heard:
    """A listener. `until` waits for what it is to have heard."""

    def __init__(self) -> None:
        self.connections = self.losses = 0
        self.told: list[tuple[str, str]] = []  # ids of containers, and what happened to them
        self._news = asyncio.Event()

    def connected(self) -> None:
        self.connections += 1
        self._news.set()

    def changed(self, container_id: str, action: str) -> None:
        self.told.append((container_id, action))
        self._news.set()

    def lost(self) -> None:
        self.losses += 1
        self._news.set()

    def of(self, container_id: str) -> list[str]:
        """What happened to one container."""
        return [action for id_, action in self.told if id_ == container_id]

    async def until(self, look: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not look():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"still not so: {what}") from None


@asynccontextmanager
async def followed(engine: Engine) -> AsyncIterator[Heard]:
    heard = Heard()
    following = asyncio.create_task(engine.follow(heard))
    try:
        yield heard
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
