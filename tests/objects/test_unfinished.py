"""What an earlier Mooring would not heed is refused until the store is finalized."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mooring.objects.errors import Forbidden
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.store.interface import ABSENT, Changes, Expired, Write
from mooring.store.memory import MemoryStore
from mooring.store.schema import LATEST, SCHEMA, finalize

BTRFS = "btrfs.mooring.dev"
CLASSES = [
    {"provisioner": "directory.mooring.dev", "parameters": {"fencing": "lease"}},
    {"provisioner": "directory.mooring.dev", "parameters": {"elsewhere": "move"}},
    {"provisioner": BTRFS, "parameters": {"elsewhere": "replica", "replicas": "1"}},
]
SHARED = {"driver": "directory.mooring.dev", "root": "/srv/x", "directory": {"shared": True}}


class Forgetful(MemoryStore):
    """The history is gone when somebody begins to follow."""

    has_forgotten = False

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        if not self.has_forgotten:
            self.has_forgotten = True
            return self._expired(from_revision)
        return super().watch(prefix, from_revision)

    async def _expired(self, revision: int) -> AsyncIterator[Changes]:
        await self.commit([Write(SCHEMA, b"%d" % LATEST)])
        raise Expired(revision, revision + 1)
        yield


async def objects_of(store: MemoryStore) -> Objects:
    await store.commit([Write(SCHEMA, b"1", ABSENT)])
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    return objects


async def made(objects: Objects, resource: str, **doc: Any) -> None:
    await objects.create(objects.kinds[resource], "", {"metadata": {"name": "x"}, **doc})


@pytest.mark.parametrize("class_", CLASSES)
async def test_a_class_that_needs_several_hosts_waits_for_that(class_: Any) -> None:
    objects = await objects_of(MemoryStore())
    with pytest.raises(Forbidden, match="mooring store finalize"):
        await made(objects, "storageclasses.storage.k8s.io", **class_)
    await finalize(objects.store)
    await objects.cache.caught_up(await objects.store.revision())
    await made(objects, "storageclasses.storage.k8s.io", **class_)
    await objects.close()


async def test_a_pool_is_not_shared_before_and_may_say_so() -> None:
    objects = await objects_of(MemoryStore())
    with pytest.raises(Forbidden, match="a directory that several hosts share"):
        await made(objects, "pools.mooring.dev", spec=SHARED)
    await made(objects, "pools.mooring.dev", spec={**SHARED, "directory": {"shared": False}})
    refused = {"provisioner": "directory.mooring.dev", "parameters": {"elsewhere": "refuse"}}
    await made(objects, "storageclasses.storage.k8s.io", **refused)
    await objects.close()


async def test_it_is_known_after_the_history_was_lost() -> None:
    store = Forgetful()
    objects = await objects_of(store)
    assert objects.schema == 1
    await objects.cache.caught_up(2)
    assert objects.schema == LATEST
    await objects.close()
