"""Objects by what they have in common."""

from mooring.objects.cache import Entry
from mooring.objects.index import Index
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore


def by_labels(entry: Entry) -> list[str]:
    return list(entry.labels)


def labelled(name: str, *labels: str) -> Doc:
    return {"metadata": {"name": name, "labels": dict.fromkeys(labels, "")}}


async def test_objects_are_found_by_each_of_their_marks_as_they_are_now() -> None:
    objects = Objects(MemoryStore(), ALL_KINDS)
    await objects.start()
    kind = objects.kinds["namespaces"]
    index = Index(objects.shelf(kind), by_labels)
    await objects.create(kind, "", labelled("there", "red", "blue"))
    assert (index.keys("red"), index.keys("blue"), index.keys("green")) == (
        ["there"],
        ["there"],
        [],
    )
    await objects.create(kind, "", labelled("later", "red"))
    assert index.keys("red") == ["later", "there"]
    await objects.update(kind, "there", lambda old: old | labelled("there", "green"))
    assert (index.keys("red"), index.keys("blue"), index.keys("green")) == (
        ["later"],
        [],
        ["there"],
    )
    index.stop()
    await objects.create(kind, "", labelled("last", "red"))
    assert index.keys("red") == ["last", "later"]
    index.stop()
    await objects.close()
