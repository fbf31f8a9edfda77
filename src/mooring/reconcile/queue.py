"""Keys that wait to be looked at: each once, one look at a time, back-off after failure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakSet

from mooring.model.metadata import View
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_DELAY_S: Final = 0.05
LONGEST_DELAY_S: Final = 120.0  # as Kubernetes' volume controller
AT_ONCE: Final = 64  # keys in work at the same time, so that their commits share an fsync

Writes = Sequence[tuple[View, View]]  # as read, as wanted
Error = Exception | None


class Done(NamedTuple):
    """Looked at; nothing more to do until something changes."""

    why: str


class Again(NamedTuple):
    """To be looked at again after this time, without it being a failure."""

    after_s: float
    why: str


def nothing(_: Error) -> None:
    """What follows from most steps."""


class Step(NamedTuple):
    """Done when this is stored, in one commit.

    then  told what kept it from being stored, None when it is; not told if the queue is stopped
    """

    why: str
    writes: Writes
    then: Callable[[Error], None] = nothing


Outcome = Done | Again
# Most looks are over at once. What takes longer, or more than one commit, is a coroutine.
Reconcile = Callable[[str], Outcome | Step | Coroutine[Any, Any, Outcome]]
CommitEach = Callable[[Sequence[Writes]], Awaitable[list[Error]]]


_all: "Final[WeakSet[Queue]]" = WeakSet()


def queues() -> "list[Queue]":
    """All of this process that somebody has."""
    return list(_all)


class Queue:
    """Runs one reconcile function over keys. A key added while it is in work is run once more.

    commit_each  stores the steps that the function returns: all of one turn of the loop together,
                 since a task for each would cost more than the look
    """

    def __init__(
        self, name: str, reconcile: Reconcile, commit_each: CommitEach | None = None
    ) -> None:
        self.name = name
        self.adds = self.retries = 0  # since the start, for /metrics
        _all.add(self)
        self._reconcile = reconcile
        self._commit_each = commit_each
        self._waiting: dict[str, None] = {}  # in order, each once
        self._working: set[str] = set()
        self._anew: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running = False
        self._filling = False  # will be in this turn of the loop

    def start(self) -> None:
        """Keys added before are looked at now."""
        self._running = True
        self._fill()

    def add(self, key: str) -> None:
        """Have it looked at soon."""
        self.adds += 1
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._anew.add(key)
        else:
            self._waiting[key] = None
            self._fill_soon()

    def add_after(self, key: str, delay_s: float) -> None:
        """Have it looked at later, or sooner if something adds it or asked for less."""
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        if timer := self._timers.get(key):
            if timer.when() <= loop.time() + delay_s:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay_s, self.add, key)

    def hurry(self) -> None:
        """Look now at what would wait for its time."""
        for key in list(self._timers):
            self.add(key)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in work; delays do not count."""
        return not self._waiting and not self._working

    @property
    def depth(self) -> int:
        """How many keys wait for their turn."""
        return len(self._waiting)

    @property
    def delayed(self) -> frozenset[str]:
        """Keys that wait for their time: after a failure, or because the outcome said so."""
        return frozenset(self._timers)

    async def until_idle(self) -> None:
        """Wait until nothing waits and nothing is in work."""
        while not self.idle:
            await (asyncio.wait(set(self._tasks)) if self._tasks else asyncio.sleep(0))

    def _fill_soon(self) -> None:
        """Once a turn of the loop, when all that comes in it is there."""
        if self._running and self._waiting and not self._filling:
            self._filling = True
            asyncio.get_running_loop().call_soon(self._fill)

    def _fill(self) -> None:
        self._filling = False
        if not self._running:
            return
        steps: list[tuple[str, Step]] = []
        for key in list(islice(self._waiting, AT_ONCE - len(self._working))):
            del self._waiting[key]
            self._working.add(key)
            try:
                found = self._reconcile(key)
            except Exception as error:
                self._end(key, error)
                continue
            if isinstance(found, Step):
                steps.append((key, found))
            elif isinstance(found, Done | Again):
                self._end(key, found)
            else:
                self._begin(found).add_done_callback(partial(self._worked, key))
        if steps:
            self._begin(self._store(steps))

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _worked(self, key: str, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            self._working.discard(key)
            self._fill_soon()
            return
        error = task.exception()
        self._end(key, error if isinstance(error, Exception) else task.result())

    async def _store(self, steps: Sequence[tuple[str, Step]]) -> None:
        assert self._commit_each is not None
        errors = await self._commit_each([step.writes for _, step in steps])
        for (key, step), error in zip(steps, errors, strict=True):
            try:
                step.then(error)
            except Exception as another:
                error = another
            self._end(key, error or Done(step.why))

    def _end(self, key: str, outcome: Outcome | Exception) -> None:
        self._working.discard(key)
        if isinstance(outcome, Conflict):
            self._anew.add(key)  # somebody was faster: what they wrote is in the cache by now
        elif isinstance(outcome, Exception):
            self._failed(key, outcome)
        else:
            self._failures.pop(key, None)
            if isinstance(outcome, Again):
                self.add_after(key, outcome.after_s)
        if key in self._anew:
            self._anew.discard(key)
            self.add(key)
        self._fill_soon()

    def _failed(self, key: str, error: Exception) -> None:
        self.retries += 1
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay_s = min(FIRST_DELAY_S * 2 ** min(count, 20), LONGEST_DELAY_S)
        log.warning("queue=%s key=%s retry_s=%.2f error=%r", self.name, key, delay_s, error)
        self.add_after(key, delay_s)

    async def stop(self) -> None:
        """End what is in work; nothing is run after this returns."""
        self._running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()  # /metrics tells of it until nobody has it
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
