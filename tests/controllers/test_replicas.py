"""The leader says which hosts are to have replicas."""

from collections.abc import Iterator
from typing import ClassVar

import pytest

from mooring.controllers.replicas import LOOK_AGAIN_S
from mooring.model.home import CopyState
from mooring.model.names import BTRFS_DRIVER, ELSEWHERE, HOME, POOL_ATTRIBUTE
from tests.controllers.clocked import a_volume_doc
from tests.controllers.plant import CLASSES, VOLUMES
from tests.controllers.test_placer import NODES, POOLS, PlacedPlant


class ReplicatedPlant(PlacedPlant):
    driver: ClassVar[str] = BTRFS_DRIVER
    hosts: ClassVar[dict[str, str]] = {"a": "10Gi", "b": "8Gi", "c": "9Gi"}

    def volume_at(self, home: str, count: int = 1, size: str = "1Gi") -> None:
        parameters = {"elsewhere": "replica", "replicas": str(count)}
        class_ = {"metadata": {"name": "kept"}, "provisioner": BTRFS_DRIVER}
        self.put(CLASSES, class_ | {"parameters": parameters})
        attributes = {POOL_ATTRIBUTE: f"local-{home}"}
        csi = {"driver": BTRFS_DRIVER, "volumeHandle": "v1", "volumeAttributes": attributes}
        doc = a_volume_doc(storageClassName="kept", csi=csi, capacity={"storage": size})
        del doc["spec"]["hostPath"]
        doc["metadata"]["annotations"] = {ELSEWHERE: "replica", HOME: f"{home}/local-{home}"}
        self.put(VOLUMES, doc)

    def replicas(self) -> dict[str, CopyState]:
        return {one.node: one.state for one in self.volume().copies}

    def charged(self, name: str) -> str:
        found = self.objects.get(self.objects.kinds[POOLS], f"local-{name}")
        return str(found["status"].get("allocated", "0"))


@pytest.fixture
def plant() -> Iterator[ReplicatedPlant]:
    made = ReplicatedPlant()
    yield made
    made.close()


def test_the_other_host_with_most_room_is_to_have_one(plant: ReplicatedPlant) -> None:
    plant.volume_at("a")
    assert plant.replicas() == {"c": CopyState.ARRIVING}


def test_as_many_as_the_class_says(plant: ReplicatedPlant) -> None:
    plant.volume_at("a", count=2)
    assert plant.replicas() == {"b": CopyState.ARRIVING, "c": CopyState.ARRIVING}


def test_one_that_has_no_place_is_told_of_once_and_begun_when_there_is_one(
    plant: ReplicatedPlant,
) -> None:
    plant.volume_at("a", size="9500Mi")
    assert plant.replicas() == {}
    plant.pass_time(LOOK_AGAIN_S)
    told = [one for one in plant.events("v1") if one["reason"] == "TooFewReplicas"]
    assert [one["count"] for one in told] == [1]
    plant.edit(POOLS, "local-b", lambda doc: doc["spec"].update(capacity="90Gi"))
    plant.pass_time(LOOK_AGAIN_S)
    assert plant.replicas() == {"b": CopyState.ARRIVING}


def test_a_host_that_is_gone_is_made_up_for(plant: ReplicatedPlant) -> None:
    plant.volume_at("a")
    plant.delete(NODES, "c")
    plant.settle()
    assert plant.replicas().get("b") is CopyState.ARRIVING
