"""Writes events, the same one again as a higher count. Storage semantics §11."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeVar

from mooring.background import Background
from mooring.clock import Clock, timestamp
from mooring.errors import MooringError
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote

log = logging.getLogger(__name__)

WAITING_AT_MOST: Final = 10_000  # notes; more are counted with the next of their kind, if one comes
LATER_S: Final = 0.05
# As client-go's recorder. Of one component about one object so many at once, then one in five
# minutes: an object that is looked at all the time must not fill the store with its events.
BURST: Final = 25
REFILL_S: Final = 300.0
# Events that differ by their message alone, from the tenth message on, are told as one, until there
# was none for ten minutes.
APART_AT_MOST: Final = 9
ALIKE_FOR_S: Final = 600.0
COMBINED: Final = "(combined from similar events): "
REMEMBERED: Final = 4096  # of each: objects, sorts of events, events; the last that came up
# Of an event's name: as much of the name of the object as leaves room for the digest.
NAME_LETTERS, DIGEST_LETTERS = 200, 16

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values by key; those that were not set for the longest time are forgotten."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, V] = OrderedDict()

    def take(self, key: str, otherwise: V) -> V:
        return self._values.pop(key, otherwise)

    def put(self, key: str, value: V) -> None:
        """Of a key that was taken."""
        self._values[key] = value
        if len(self._values) > REMEMBERED:
            self._values.popitem(last=False)


class Allowance:
    """How much may be told about each object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = Remembered[tuple[float, float]]()

    def allows(self, note: EventNote) -> bool:
        """Whether it may be told; if so, it is counted."""
        key, now = f"{note.about.uid}/{note.component}", self._clock.monotonic_s()
        left, since = self._left.take(key, (float(BURST), now))
        left = min(left + (now - since) / REFILL_S, float(BURST))
        allowed = left >= 1
        self._left.put(key, ((left - 1 if allowed else left), now))
        return allowed


class Sorted(NamedTuple):
    """A note as it is told. Those of one key, a digest, are one event."""

    note: EventNote
    key: str
    times: int = 1


def _digest(text: str) -> str:
    # Of whatever a message quotes: names of files need not be UTF-8.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGEST_LETTERS]


class Sorts:
    """Which notes are told as one event."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Of each sort: the keys of those told apart (messages may be long), and when it last came.
        self._apart = Remembered[tuple[tuple[str, ...], float]]()

    def sorted(self, note: EventNote) -> Sorted:
        sort = f"{note.about.uid}/{note.type}/{note.reason}/{note.component}"
        now = self._clock.monotonic_s()
        apart, last = self._apart.take(sort, ((), now))
        if now - last > ALIKE_FOR_S:
            apart = ()
        key = _digest(f"{sort}/{note.message}")
        if key not in apart:
            if len(apart) == APART_AT_MOST:
                note, key = note._replace(message=COMBINED + note.message), _digest(sort)
            else:
                apart = (*apart, key)
        self._apart.put(sort, (apart, now))
        return Sorted(note, key)


class Recorder:
    """Takes notes without delay; they are written a moment later, one after the other.

    Most tell of something that somebody waits for, and would be in its way.
    """

    def __init__(self, objects: Objects, waiting_at_most: int = WAITING_AT_MOST) -> None:
        self._objects = objects
        self._waiting: asyncio.Queue[Sorted] = asyncio.Queue(waiting_at_most)
        self._hurry = asyncio.Event()
        self._work = Background("recorder")
        self._allowance, self._sorts = Allowance(objects.clock), Sorts(objects.clock)
        self._untold = Remembered[int]()  # how often, by key of the event

    def note(self, note: EventNote) -> None:
        """Have it written soon. What is too much is counted with the next that may be told."""
        told = self._sorts.sorted(note)
        times = self._untold.take(told.key, 0) + 1
        if self._waiting.full():
            log.warning("event put off reason=%s about=%s", note.reason, note.about.key)
        elif self._allowance.allows(note):
            self._waiting.put_nowait(Sorted(told.note, told.key, times))
            return
        self._untold.put(told.key, times)

    async def start(self) -> None:
        self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()

    async def written(self) -> None:
        """Have all that was noted written now."""
        self._hurry.set()
        await self._waiting.join()
        self._hurry.clear()

    async def _run(self) -> None:
        while True:
            if self._waiting.empty():
                told = await self._waiting.get()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LATER_S):
                        await self._hurry.wait()
            else:
                told = self._waiting.get_nowait()
            try:
                await self._write(told)
            except MooringError as error:
                log.warning("event not written reason=%s error=%s", told.note.reason, error)
            except Exception:  # a bug of ours; the events after this one are to be written
                log.exception("event not written reason=%s", told.note.reason)
            finally:
                self._waiting.task_done()

    async def _write(self, told: Sorted) -> None:
        note, kind = told.note, self._objects.kinds["events"]
        namespace = note.about.namespace or "default"
        # The name says it all, so the same event is found again, after a restart too.
        name = f"{note.about.name[:NAME_LETTERS].rstrip('.-')}.{told.key}"
        now = timestamp(self._objects.clock.now())
        if self._objects.entry("events", f"{namespace}/{name}") is None:
            doc = {**_event(note, name, now), "count": told.times}
            await self._objects.create(kind, namespace, doc)
            return

        def again(doc: Doc) -> Doc:
            doc["count"] = doc.get("count", 1) + told.times
            doc["lastTimestamp"], doc["message"] = now, note.message
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
        "type": note.type,
        "eventTime": None,
        "reportingComponent": note.component,
        "reportingInstance": "",
    }
