"""A claim whose source is of a kind that nobody fills volumes from. Storage semantics §18."""

from typing import Any

import pytest

from mooring.model.populator import VolumePopulator
from tests.controllers.clocked import ClockedPlant, a_claim_doc
from tests.controllers.plant import CLAIMS

POPULATORS = VolumePopulator.resource
WARNED = ("Warning", "UnrecognizedDataSourceKind")


def from_(group: str, kind: str) -> dict[str, Any]:
    named = {"apiGroup": group} if group else {}
    return {"dataSourceRef": {**named, "kind": kind, "name": "it"}}


HELLO = from_("hello.example.com", "Hello")


def registered(kind: str = "Hello") -> dict[str, Any]:
    source = {"group": "hello.example.com", "kind": kind}
    return {"metadata": {"name": kind.lower()}, "sourceKind": source}


@pytest.mark.rule("18.24")
def test_a_kind_that_nobody_registered_is_warned_of(plant: ClockedPlant) -> None:
    plant.put(POPULATORS, registered("Other"))
    plant.put(CLAIMS, a_claim_doc(class_="none", **HELLO))
    (event,) = [one for one in plant.events("db") if one["reason"] == WARNED[1]]
    assert (event["type"], event["source"]) == (
        "Warning",
        {"component": "volume-data-source-validator"},
    )
    assert event["message"] == (
        "The datasource for this PVC does not match any registered VolumePopulator"
    )


@pytest.mark.rule("18.24")
def test_a_kind_that_is_registered_is_not(plant: ClockedPlant) -> None:
    plant.put(POPULATORS, registered())
    plant.put(CLAIMS, a_claim_doc(class_="none", **HELLO))
    assert WARNED not in plant.told("db")


def test_once_it_is_registered_no_more_warnings_come(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="none", **HELLO))
    (before,) = [one["count"] for one in plant.events("db") if one["reason"] == WARNED[1]]
    plant.put(POPULATORS, registered())
    plant.edit(CLAIMS, "default/db", lambda doc: doc["metadata"].update(labels={"a": "b"}))
    plant.settle()
    (after,) = [one["count"] for one in plant.events("db") if one["reason"] == WARNED[1]]
    assert after == before
    plant.delete(POPULATORS, "hello")
    plant.restart()
    plant.settle()
    (again,) = [one["count"] for one in plant.events("db") if one["reason"] == WARNED[1]]
    assert again > before


@pytest.mark.parametrize(
    "source",
    [
        {},
        from_("", "PersistentVolumeClaim"),
        from_("snapshot.storage.k8s.io", "VolumeSnapshot"),
        from_("mooring.dev", "VolumeArchive"),
        from_("mooring.dev", "VolumeBackup"),
    ],
)
def test_of_what_mooring_makes_volumes_from_itself_nobody_has_to_be_registered(
    plant: ClockedPlant, source: dict[str, Any]
) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="none", **source))
    assert WARNED not in plant.told("db")


@pytest.mark.parametrize("group", ["mooring.dev", "snapshot.storage.k8s.io"])
def test_other_kinds_of_the_same_groups_are_warned_of(plant: ClockedPlant, group: str) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="none", **from_(group, "Hello")))
    assert WARNED in plant.told("db")
