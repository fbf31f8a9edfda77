"""Storage semantics §14: what the leader says of claims that ask for more, and what it ends."""

from collections.abc import Iterator

import pytest

from mooring.model.names import PRE_RESIZE_CAPACITY
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_class_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

CSI = {"csi": {"driver": "example.com", "volumeHandle": "h"}, "hostPath": None}


@pytest.fixture
def plant() -> Iterator[ClockedPlant]:
    made = ClockedPlant()
    made.put(CLASSES, {**a_class_doc(), "allowVolumeExpansion": True})
    yield made
    made.close()


def bound(plant: ClockedPlant, **spec: object) -> None:
    doc = a_volume_doc(storageClassName="fast", **spec)
    doc["spec"] = {key: value for key, value in doc["spec"].items() if value is not None}
    plant.put(VOLUMES, doc)
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    assert plant.claim().phase == "Bound"


def ask(plant: ClockedPlant, size: str) -> None:
    def change(doc: Doc) -> None:
        doc["spec"]["resources"]["requests"]["storage"] = size

    assert plant.edit(CLAIMS, "default/db", change)
    plant.settle()


def told(plant: ClockedPlant) -> list[tuple[str, str, int]]:
    found = [one for one in plant.events("db") if one["reason"] == "ExternalExpanding"]
    assert {one["source"]["component"] for one in found} <= {"volume_expand"}
    return [(one["type"], one["message"], one["count"]) for one in found]


@pytest.mark.rule("11.20")
def test_a_volume_of_a_driver_is_waited_for(plant: ClockedPlant) -> None:
    bound(plant, **CSI)
    ask(plant, "2Gi")
    why = "waiting for an external controller to expand this PVC"
    assert told(plant) == [("Normal", why, 1)]
    plant.edit(CLAIMS, "default/db", lambda doc: doc["metadata"].update(labels={"a": "b"}))
    plant.settle()
    assert told(plant) == [("Normal", why, 1)]  # it did not ask for more
    ask(plant, "3Gi")
    assert told(plant) == [("Normal", why, 2)]


@pytest.mark.rule("11.20", "14.3")
def test_nobody_grows_a_path_of_a_host(plant: ClockedPlant) -> None:
    bound(plant)
    ask(plant, "2Gi")
    ((type_, message, _),) = told(plant)
    assert type_ == "Warning"
    assert "didn't find a plugin capable of expanding the volume" in message
    assert str(plant.claim().capacity) == "1Gi"


def test_what_waited_before_a_restart_is_told_of_again(plant: ClockedPlant) -> None:
    bound(plant, **CSI)
    ask(plant, "2Gi")
    plant.away()
    plant.back()
    assert [count for _, _, count in told(plant)] == [2]


@pytest.mark.rule("14.14")
def test_the_size_before_is_forgotten_when_the_file_system_has_grown(plant: ClockedPlant) -> None:
    bound(plant, **CSI)
    ask(plant, "2Gi")

    def grown(doc: Doc) -> None:
        doc["spec"]["capacity"]["storage"] = "2Gi"
        doc["metadata"].setdefault("annotations", {})[PRE_RESIZE_CAPACITY] = "1Gi"

    pending = {"type": "FileSystemResizePending", "status": "True"}
    plant.edit(VOLUMES, "v1", grown)
    plant.edit(
        CLAIMS,
        "default/db",
        lambda doc: doc["status"].update(conditions=[pending]),
        status="status",
    )
    plant.settle()
    assert PRE_RESIZE_CAPACITY in plant.volume().annotations

    def has(doc: Doc) -> None:
        doc["status"]["capacity"]["storage"] = "2Gi"
        del doc["status"]["conditions"]

    plant.edit(CLAIMS, "default/db", has, status="status")
    plant.settle()
    assert PRE_RESIZE_CAPACITY not in plant.volume().annotations


@pytest.mark.rule("14.20", "22.8")
def test_the_capacity_of_a_claim_does_not_follow_its_volume(plant: ClockedPlant) -> None:
    bound(plant, **CSI)
    plant.edit(VOLUMES, "v1", lambda doc: doc["spec"]["capacity"].update(storage="9Gi"))
    plant.settle()
    assert str(plant.claim().capacity) == "1Gi"
