"""How far long work is, told on an object: not more often than is good for the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from mooring.errors import MooringError
from mooring.rules.filling import Amount

log = logging.getLogger(__name__)

EACH_S: Final = 1.0


class Telling:
    """Writes the last amount that it was told, about once a second, beside the work itself.

    write  stores an amount and the seconds since the beginning; that it fails disturbs nothing
    """

    def __init__(self, write: Callable[[Amount, float], Awaitable[None]]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._last: Amount | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="telling")

    def __call__(self, amount: Amount) -> None:
        if amount != self._last:
            self._last = amount
            self._changed.set()

    @property
    def elapsed_s(self) -> float:
        return self._loop.time() - self._begun_s

    async def stop(self) -> None:
        """Nothing is written after this returns."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            assert self._last is not None
            try:
                await self._write(self._last, self.elapsed_s)
            except MooringError as error:
                log.info("progress is not told: %s", error)
            await asyncio.sleep(EACH_S)
