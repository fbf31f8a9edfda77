"""Writes events, the same one again as a higher count. Storage semantics §11."""

import asyncio
import hashlib
import logging
from typing import Final

from mooring.clock import timestamp
from mooring.errors import MooringError
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote

log = logging.getLogger(__name__)

WAITING_AT_MOST: Final = 10_000  # notes; more are dropped: events are a courtesy, not a record


class Recorder:
    """Takes notes without delay; they are written one after the other."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._waiting: asyncio.Queue[EventNote] = asyncio.Queue(WAITING_AT_MOST)
        self._task: asyncio.Task[None] | None = None

    def note(self, note: EventNote) -> None:
        """Have it written soon."""
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

    async def _run(self) -> None:
        while True:
            note = await self._waiting.get()
            try:
                await self._write(note)
            except MooringError as error:
                log.warning("event not written reason=%s error=%s", note.reason, error)

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
