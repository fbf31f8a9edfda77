"""Keys that wait to be looked at: each once, one worker per key, back-off after failure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 0.05
LONGEST_DELAY_S: Final = 120.0  # as Kubernetes' volume controller
AT_ONCE: Final = 64  # keys in work at the same time, so that their commits share an fsync


class Done(NamedTuple):
    """Looked at; nothing more to do until something changes."""

    why: str


class Again(NamedTuple):
    """To be looked at again after this time, without it being a failure."""

    after_s: float
    why: str


Outcome = Done | Again
Reconcile = Callable[[str], Awaitable[Outcome]]


class Queue:
    """Runs one reconcile function over keys. A key added while it is in work is run once more."""

    def __init__(self, name: str, reconcile: Reconcile) -> None:
        self.name = name
        self._reconcile = reconcile
        self._waiting: dict[str, None] = {}  # in order, each once
        self._working: set[str] = set()
        self._anew: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False

    def start(self) -> None:
        """Keys added before are looked at now."""
        self._running = True
        self._fill()

    def add(self, key: str) -> None:
        """Have it looked at soon."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._anew.add(key)
        else:
            self._waiting[key] = None
            self._fill()

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
    def delayed(self) -> frozenset[str]:
        """Keys that wait for their time: after a failure, or because the outcome said so."""
        return frozenset(self._timers)

    async def until_idle(self) -> None:
        """Wait until nothing waits and nothing is in work."""
        while not self.idle:
            await asyncio.wait(set(self._tasks))

    def _fill(self) -> None:
        while self._running and self._waiting and len(self._working) < AT_ONCE:
            key = next(iter(self._waiting))
            del self._waiting[key]
            self._working.add(key)
            task = asyncio.create_task(self._work(key), name=f"{self.name} {key}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, key: str) -> None:
        try:
            outcome = await self._reconcile(key)
        except Conflict:
            self._anew.add(key)  # somebody was faster: what they wrote is in the cache by now
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(key, error)
        else:
            self._failures.pop(key, None)
            if isinstance(outcome, Again):
                self.add_after(key, outcome.after_s)
        finally:
            self._working.discard(key)
        if key in self._anew:
            self._anew.discard(key)
            self.add(key)
        self._fill()

    def _failed(self, key: str, error: Exception) -> None:
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
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
