"""metadata.generation: counted where Kubernetes counts it, by what is wanted alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mooring.model.populator import VolumePopulator
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.memory import MemoryStore

HELD = {"finalizers": ["example.com/hold"]}
DOCS: dict[str, Doc] = {
    "pods": {"spec": {"containers": [{"name": "a", "image": "i"}]}},
    VolumePopulator.resource: {"sourceKind": {"group": "g.example.com", "kind": "A"}},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
}
WANTS: dict[str, Any] = {
    "pods": lambda doc: doc["spec"].update(activeDeadlineSeconds=5),
    VolumePopulator.resource: lambda doc: doc["sourceKind"].update(kind="B"),
    "persistentvolumeclaims": lambda doc: doc["spec"].update(volumeName="v1"),
}


@pytest.fixture
async def objects() -> AsyncIterator[Objects]:
    made = Objects(MemoryStore(), ALL_KINDS)
    await made.start()
    await made.create(made.kinds["namespaces"], "", {"metadata": {"name": "default"}})
    yield made
    await made.close()


@pytest.mark.parametrize("resource", DOCS)
async def test_it_counts_what_is_wanted(objects: Objects, resource: str) -> None:
    kind = objects.kinds[resource]
    key = "default/it" if kind.namespaced else "it"

    def generation() -> int | None:
        doc = objects.one(resource, key)
        assert doc is not None
        found: int | None = doc["metadata"].get("generation")
        return found

    async def changed(change: Any, subresource: str = "") -> int | None:
        def update(doc: Doc) -> Doc:
            change(doc)
            return doc

        await objects.update(kind, key, update, subresource=subresource)
        return generation()

    doc = {"metadata": {"name": "it", **HELD}, **DOCS[resource]}
    await objects.create(kind, "default" if kind.namespaced else "", doc)
    counts = [generation()]
    counts.append(await changed(lambda doc: doc["metadata"].update(labels={"a": "b"})))
    if "status" in kind.subresources:
        await changed(lambda doc: doc["status"].update(phase="Bound"), "status")
    counts.append(await changed(lambda doc: doc["metadata"].update(generation=7)))
    counts.append(await changed(WANTS[resource]))
    for _ in range(2):
        await objects.delete(kind, key)
        counts.append(generation())
    expected = [1, 1, 1, 2, 3, 3] if kind.generation else [None] * 6
    assert counts == expected
