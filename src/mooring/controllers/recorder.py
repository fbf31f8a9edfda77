"""Writes events, the same one again as a higher count. Storage semantics §11."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from mooring.clock import Clock, timestamp
from mooring.errors import MooringError
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote

log = logging.getLogger(__name__)

WAITING_AT_MOST: Final = 10_000  # notes; more are dropped: events are a courtesy, not a record
LATER_S: Final = 0.05
# Of one component about one object, as client-go's recorder: so many at once, then one in five
# minutes. An object that is looked at all the time must not fill the store with its events.
BURST: Final = 25
REFILL_S: Final = 300.0
REMEMBERED: Final = 4096  # objects, the last that were told about


class Allowance:
    """How much may be told about each object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def allows(self, note: EventNote) -> bool:
        """Whether it may be told; if so, it is counted."""
        key, now = (note.about.uid, note.component), self._clock.monotonic_s()
        left, since = self._left.pop(key, (float(BURST), now))
        left = min(left + (now - since) / REFILL_S, float(BURST))
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left), now
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return allowed


class Recorder:
    """Takes notes without delay; they are written a moment later, one after the other.

    Most tell of something that somebody waits for, and would be in its way.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._waiting: asyncio.Queue[EventNote] = asyncio.Queue(WAITING_AT_MOST)
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._allowance = Allowance(objects.clock)

    def note(self, note: EventNote) -> None:
        """Have it written soon."""
        if not self._allowance.allows(note):
            return
        try:
            self._waiting.put_nowait(note)
        except asyncio.QueueFull:
            log.warning("event dropped reason=%s about=%s", note.reason, note.about.key)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="recorder")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def written(self) -> None:
        """Have all that was noted written now."""
        self._hurry.set()
        await self._waiting.join()
        self._hurry.clear()

    async def _run(self) -> None:
        while True:
            if self._waiting.empty():
                note = await self._waiting.get()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LATER_S):
                        await self._hurry.wait()
            else:
                note = self._waiting.get_nowait()
            try:
                await self._write(note)
            except MooringError as error:
                log.warning("event not written reason=%s error=%s", note.reason, error)
            finally:
                self._waiting.task_done()

    async def _write(self, note: EventNote) -> None:
        kind = self._objects.kinds["events"]
        namespace = note.about.namespace or "default"
        # The name says it all, so the same event is found again, after a restart too.
        same = f"{note.about.uid}/{note.type}/{note.reason}/{note.message}/{note.component}"
        name = f"{note.about.name[:200]}.{hashlib.sha256(same.encode()).hexdigest()[:16]}"
        now = timestamp(self._objects.clock.now())
        if self._objects.entry("events", f"{namespace}/{name}") is None:
            await self._objects.create(kind, namespace, _event(note, name, now))
            return

        def again(doc: Doc) -> Doc:
            doc["count"] = doc.get("count", 1) + 1
            doc["lastTimestamp"] = now
            return doc

        await self._objects.update(kind, f"{namespace}/{name}", again)


def _event(note: EventNote, name: str, now: str) -> Doc:
    about = note.about
    reference = {
        "kind": about.kind,
        "namespace": about.namespace,
        "name": about.name,
        "uid": about.uid,
        "apiVersion": about.api_version,
        "resourceVersion": about.resource_version,
    }
    return {
        "metadata": {"name": name},
        "involvedObject": {key: value for key, value in reference.items() if value},
        "reason": note.reason,
        "message": note.message,
        "source": {"component": note.component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": note.type,
        "eventTime": None,
        "reportingComponent": note.component,
        "reportingInstance": "",
    }
