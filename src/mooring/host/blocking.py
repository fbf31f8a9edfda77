"""Threads for calls that a dead disk or server can hold forever, apart from everybody else's."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from mooring.host.errors import HostStuck

T = TypeVar("T")


class _Call(Generic[T]):
    """One call, in a thread of its own; its answer is handed to the loop if anybody waits still."""

    def __init__(self, work: Callable[[], T], ended: Callable[[], None]) -> None:
        self._work, self._ended = work, ended
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> None:
        try:
            value = self._work()
        except BaseException as error:  # handed on: the waiter raises it
            self._hand(partial(self.answer.set_exception, error))
        else:
            self._hand(partial(self.answer.set_result, value))

    def _hand(self, answer: Callable[[], object]) -> None:
        def deliver() -> None:
            self._ended()
            if not self.answer.done():
                answer()

        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(deliver)


class Blocking:
    """At most `width` calls at once; one that hangs keeps its place, but never the loop.

    asyncio.to_thread is shared by the whole process and waited for at exit: a few calls into a
    hung backend would stop every other and keep the process from ending. These threads belong to
    one backend and are daemons.
    """

    def __init__(self, name: str, width: int = 4, deadline_s: float = 30) -> None:
        self.name = name
        self._deadline_s = deadline_s
        self._room = asyncio.Semaphore(width)

    async def run(self, work: Callable[[], T], deadline_s: float | None = None) -> T:
        """The answer of work(). Raises HostStuck after the deadline; work() then goes on alone."""
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        try:
            async with asyncio.timeout(limit_s):
                await self._room.acquire()
                call = _Call(work, self._room.release)
                threading.Thread(target=call.run, name=self.name, daemon=True).start()
                return await call.answer
        except TimeoutError as error:
            raise HostStuck(f"a call into {self.name}", limit_s) from error
