"""A pool stays while it has volumes, whoever deletes it and whenever."""

import pytest

from mooring.model.names import POOL_PROTECTION
from mooring.model.pool import Pool
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant
from tests.controllers.plant import VOLUMES

POOLS = Pool.resource
OTHER = "example.com/hold"


def a_pool_doc(name: str = "p") -> Doc:
    spec = {"driver": "directory.mooring.dev", "node": "elsewhere", "root": "/srv/pool"}
    return {"metadata": {"name": name}, "spec": spec}


def a_volume_doc(name: str = "v1", pool: str = "p") -> Doc:
    source = {
        "driver": "directory.mooring.dev",
        "volumeHandle": name,
        "volumeAttributes": {"mooring.dev/pool": pool},
    }
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": source}
    return {"metadata": {"name": name}, "spec": spec}


def finalizers(plant: ClockedPlant) -> tuple[str, ...]:
    pool = plant.view(Pool, "p")
    assert pool is not None
    return pool.metadata.finalizers


def drop(plant: ClockedPlant, resource: str, name: str) -> None:
    assert plant.delete(resource, name)
    plant.settle()


def strip(doc: Doc) -> None:
    """What a client does that writes a pool as its file has it."""
    doc["metadata"]["finalizers"] = []


def test_a_pool_without_volumes_goes_at_once(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    assert finalizers(plant) == (POOL_PROTECTION,)
    drop(plant, POOLS, "p")
    assert plant.view(Pool, "p") is None


def test_a_pool_goes_with_the_last_of_its_volumes(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    for name in ("v1", "v2"):
        plant.put(VOLUMES, a_volume_doc(name))
    drop(plant, POOLS, "p")
    drop(plant, VOLUMES, "v1")
    assert finalizers(plant) == (POOL_PROTECTION,)
    drop(plant, VOLUMES, "v2")
    assert plant.view(Pool, "p") is None


def test_a_pool_being_deleted_gives_no_more_volumes(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    plant.put(VOLUMES, a_volume_doc())
    drop(plant, POOLS, "p")
    assert not plant.create(VOLUMES, a_volume_doc("v2"))
    assert [one.name for one in plant.volumes()] == ["v1"]


def test_a_pool_stored_without_the_finalizer_gets_it_at_the_start(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    plant.away()
    plant.edit(POOLS, "p", strip)
    assert finalizers(plant) == ()
    plant.back()
    assert finalizers(plant) == (POOL_PROTECTION,)


def test_a_finalizer_that_a_client_removed_is_put_back(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    plant.edit(POOLS, "p", strip)
    plant.settle()
    assert finalizers(plant) == (POOL_PROTECTION,)


def test_finalizers_of_others_are_left_to_them(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    plant.edit(POOLS, "p", lambda doc: doc["metadata"]["finalizers"].append(OTHER))
    drop(plant, POOLS, "p")
    assert finalizers(plant) == (OTHER,)


def test_what_was_deleted_while_nobody_looked_goes_at_the_start(plant: ClockedPlant) -> None:
    plant.put(POOLS, a_pool_doc())
    plant.away()
    assert plant.delete(POOLS, "p")
    assert finalizers(plant) == (POOL_PROTECTION,)
    plant.back()
    assert plant.view(Pool, "p") is None


@pytest.mark.parametrize("seed", range(20))
def test_a_volume_and_the_end_of_its_pool_at_one_moment_leave_no_volume_without_a_pool(
    plant: ClockedPlant, seed: int
) -> None:
    plant.put(POOLS, a_pool_doc())
    plant.dawdle(seed)
    plant.together(plant.deletion(POOLS, "p"), plant.creation(VOLUMES, a_volume_doc()))
    plant.settle()
    assert (plant.view(Pool, "p") is None) == (plant.volumes() == [])
