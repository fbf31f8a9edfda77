"""Work that goes on beside everything else, from the start of a part to its end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """One task. That it fails is logged at once, as nobody waits for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it, on the loop that runs now."""
        self._task = asyncio.create_task(work, name=self._name)
        self._task.add_done_callback(self._told)

    @property
    def task(self) -> asyncio.Task[None]:
        """Of what has begun."""
        assert self._task is not None
        return self._task

    async def end(self) -> None:
        """Cancel it and wait until it is over; repeatable, also if it never began."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _told(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s has ended by an error", self._name, exc_info=error)
