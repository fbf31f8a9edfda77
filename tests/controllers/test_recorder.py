"""What the recorder keeps, puts off and writes, beside what tests of events see of it."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from mooring.controllers.recorder import Recorder, Sorts
from mooring.model.metadata import ObjectReference
from mooring.objects.documents import decoded
from mooring.objects.kinds.common import is_subdomain
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote
from mooring.store.memory import MemoryStore
from tests.controllers.clocked import HandClock


def a_note(message: str = "what happened", name: str = "db") -> EventNote:
    about = ObjectReference(kind="PersistentVolumeClaim", namespace="default", name=name, uid=name)
    return EventNote(about, "Warning", "Tried", message)


@pytest.fixture
async def objects() -> AsyncIterator[Objects]:
    store = MemoryStore()
    made = Objects(store, ALL_KINDS, HandClock())
    await made.start()
    await made.create(made.kinds["namespaces"], "", {"metadata": {"name": "default"}})
    yield made
    await made.close()
    await store.close()


async def written(objects: Objects, recorder: Recorder) -> dict[str, int]:
    """{message: count} of all events, once what was noted is written."""
    async with asyncio.timeout(60):  # in case it is no longer at work
        await recorder.written()
    docs = [decoded(entry.body) for entry in objects.cache.shelves["events"].entries()]
    return {doc["message"]: doc["count"] for doc in docs}


async def test_what_a_full_queue_has_no_room_for_is_counted_with_the_next(objects: Objects) -> None:
    recorder = Recorder(objects, waiting_at_most=1)
    for message in ("first", "second", "second"):
        recorder.note(a_note(message))
    await recorder.start()
    assert await written(objects, recorder) == {"first": 1}
    recorder.note(a_note("second"))
    assert await written(objects, recorder) == {"first": 1, "second": 3}
    await recorder.stop()


async def test_what_a_full_queue_has_no_room_for_takes_nothing_of_the_allowance(
    objects: Objects,
) -> None:
    recorder = Recorder(objects, waiting_at_most=1)
    for _ in range(100):
        recorder.note(a_note())
    await recorder.start()
    await recorder.written()
    recorder.note(a_note())
    assert await written(objects, recorder) == {"what happened": 101}
    await recorder.stop()


async def test_an_event_that_cannot_be_written_keeps_none_after_it_back(objects: Objects) -> None:
    recorder = Recorder(objects)
    await recorder.start()
    recorder.note(a_note("not UTF-8: \udcff"))
    recorder.note(a_note())
    assert await written(objects, recorder) == {"what happened": 1}
    await recorder.stop()


@pytest.mark.parametrize("end", [".", "-", ".-."])
async def test_an_event_has_a_name_that_kubernetes_knows_as_one(objects: Objects, end: str) -> None:
    recorder = Recorder(objects)
    await recorder.start()
    recorder.note(a_note(name=f"{'a' * (200 - len(end))}{end}b"))
    await recorder.written()
    (entry,) = objects.cache.shelves["events"].entries()
    assert is_subdomain(entry.key.removeprefix("default/"))
    await recorder.stop()


def test_a_message_is_not_kept_to_be_known_again() -> None:
    sorts, letters = Sorts(HandClock()), 1_000_000
    tracemalloc.start()
    for number in range(9):
        sorts.sorted(a_note(f"{number}" * letters))
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < letters
