"""Threads for calls that a dead disk or server can hold forever, apart from everybody else's."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from mooring.host.errors import HostStuck

T = TypeVar("T")

IDLE_AT_MOST: Final = 8  # threads that wait for the next call; more of them end


class _Call(Generic[T]):
    """One call, in a thread; its answer is handed to the loop if anybody waits still."""

    def __init__(self, name: str, work: Callable[[], T], ended: Callable[[], None]) -> None:
        self.name = name
        self._work, self._ended = work, ended
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> Callable[[], None]:
        """Do it. Returns what hands the answer over."""
        try:
            value = self._work()
        except BaseException as error:  # handed on: the waiter raises it
            return partial(self._hand, partial(self.answer.set_exception, error))
        return partial(self._hand, partial(self.answer.set_result, value))

    def _hand(self, answer: Callable[[], object]) -> None:
        def deliver() -> None:
            self._ended()
            if not self.answer.done():
                answer()

        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(deliver)


class _Thread:
    """Does one call after another. Starting one holds up the loop until it runs, which takes
    milliseconds where processors are scarce; so those that are done wait for the next call."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call[Any]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, call: _Call[Any]) -> None:
        self._calls.put(call)

    def _run(self) -> None:
        is_wanted = True
        while is_wanted:
            call = self._calls.get()
            self._thread.name = call.name
            hand_over = call.run()
            if is_wanted := len(_idle) < IDLE_AT_MOST:
                _idle.append(self)  # before anybody is told, who may call again at once
            hand_over()
            del call, hand_over  # what they hold is not kept until the next call


_idle: Final[list[_Thread]] = []  # of all backends; a thread that hangs is not among them


class Blocking:
    """At most `width` calls at once; one that hangs keeps its place, but never the loop.

    asyncio.to_thread is shared by the whole process and waited for at exit: a few calls into a
    hung backend would stop every other and keep the process from ending. Here each backend has its
    own places, and the threads are daemons.

    Where a backend has many things, of which one may hang and the others not, each call says what
    it is `about`. There is one at a time about each, and one that is late keeps that thing alone:
    its place goes to the others. So what hangs has one thread, however often it is tried again.
    """

    def __init__(self, name: str, width: int = 4, deadline_s: float = 30) -> None:
        self.name = name
        self._deadline_s = deadline_s
        self._room = asyncio.Semaphore(width)
        self._things: WeakValueDictionary[str, _Thing] = WeakValueDictionary()

    async def run(
        self, work: Callable[[], T], deadline_s: float | None = None, about: str = ""
    ) -> T:
        """The answer of work(), which waits for an earlier one about the same.

        raises  HostStuck after the deadline; work() then goes on alone. At once if an earlier call
                about the same is past its own: it would not be answered either.
        """
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        late_at_s = asyncio.get_running_loop().time() + limit_s
        thing = self._things.setdefault(about, _Thing()) if about else None
        what = f"a call into {self.name}{about and f' about {about}'}"
        if thing is not None and thing.late_after_s is not None:
            raise HostStuck(what, thing.late_after_s)
        try:
            async with asyncio.timeout(limit_s):
                ended = await self._begun(thing, limit_s, late_at_s)
                call = _Call(self.name, work, ended)
                _free_thread().do(call)
                return await call.answer
        except TimeoutError as error:
            raise HostStuck(what, limit_s) from error

    async def _begun(
        self, thing: "_Thing | None", limit_s: float, late_at_s: float
    ) -> Callable[[], None]:
        """Take a place, when there is one. Returns what gives it back."""
        if thing is None:
            await self._room.acquire()
            return self._room.release
        await thing.turn.acquire()
        try:
            await self._room.acquire()
        except BaseException:
            thing.turn.release()
            raise

        def is_late() -> None:
            thing.late_after_s = limit_s
            self._room.release()

        def ended() -> None:
            if thing.late_after_s is None:
                late.cancel()
                self._room.release()
            thing.late_after_s = None
            thing.turn.release()

        late = asyncio.get_running_loop().call_at(late_at_s, is_late)
        return ended


class _Thing:
    """What calls are about; forgotten when there are none."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.late_after_s: float | None = None  # the deadline of the call that is past it


def _free_thread() -> _Thread:
    try:
        return _idle.pop()
    except IndexError:
        return _Thread()
