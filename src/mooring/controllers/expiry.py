"""Lets events go an hour after they were last written. Storage semantics §11."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from itertools import takewhile
from typing import Final

from mooring.background import Background
from mooring.errors import MooringError
from mooring.objects.cache import Entry, Event
from mooring.objects.documents import decoded
from mooring.objects.errors import NotFound
from mooring.objects.objects import Objects
from mooring.objects.printing import seconds

log = logging.getLogger(__name__)

KEPT_S: Final = 3600.0  # as kube-apiserver's --event-ttl
SWEEP_S: Final = 60.0
AT_ONCE: Final = 64  # deletions under way, so that they share an fsync


class Expiry:
    """Knows the events in the order they were last written, so a sweep sees the old ones alone."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._written: OrderedDict[str, float] = OrderedDict()  # key → monotonic, oldest first
        self._unfollow: Callable[[], None] = lambda: None
        self._work = Background("expiry")

    async def start(self) -> None:
        shelf = self._objects.cache.shelves["events"]
        now, monotonic_s = self._objects.clock.now().timestamp(), self._objects.clock.monotonic_s()
        ages = {entry.key: now - _last_written_s(entry) for entry in shelf.entries()}
        # Nothing is younger than now, whatever its writer says.
        ages = {key: max(age_s, 0.0) for key, age_s in ages.items()}
        for key in sorted(ages, key=lambda key: ages[key], reverse=True):
            self._written[key] = monotonic_s - ages[key]
        self._unfollow = shelf.follow(self._changed)
        self._work.begin(self._run())

    async def stop(self) -> None:
        self._unfollow()
        await self._work.end()

    def _changed(self, event: Event) -> None:
        self._written.pop(event.key, None)
        if event.after is not None:
            self._written[event.key] = self._objects.clock.monotonic_s()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Delete what is older than it is kept."""
        before = self._objects.clock.monotonic_s() - KEPT_S
        old = [key for key, _ in takewhile(lambda one: one[1] < before, self._written.items())]
        for start in range(0, len(old), AT_ONCE):
            await asyncio.gather(*map(self._delete, old[start : start + AT_ONCE]))

    async def _delete(self, key: str) -> None:
        try:
            await self._objects.delete(self._objects.kinds["events"], key)
        except NotFound:
            pass
        except MooringError as error:
            log.warning("event not deleted key=%s error=%s", key, error)
            return  # the next sweep tries again
        self._written.pop(key, None)  # if a finalizer holds it, that is its owner's matter


def _last_written_s(entry: Entry) -> float:
    """Unix time, as the event itself says."""
    doc = decoded(entry.body)
    series = doc.get("series") or {}
    said = series.get("lastObservedTime") or doc.get("lastTimestamp") or doc.get("eventTime")
    try:
        return seconds(said or doc["metadata"]["creationTimestamp"])
    except (TypeError, ValueError):  # written by a client that is not careful
        return seconds(doc["metadata"]["creationTimestamp"])
