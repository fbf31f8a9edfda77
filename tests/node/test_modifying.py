"""Storage semantics §15 with the agent of a host. What is changed for real: tests/system."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.names import VAC_PROTECTION
from mooring.objects.kind import Doc
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, VOLUMES
from tests.node.host_plant import HostPlant

VACS = AttributesClass.resource
RESIZER = "external-resizer directory.mooring.dev"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    made = HostPlant(tmp_path)
    made.put(CLAIMS, a_claim_doc(class_="local"))
    yield made
    made.close()


def a_vac(name: str, driver: str = "directory.mooring.dev", **parameters: str) -> Doc:
    said = parameters or {"speed": "9"}
    return {"metadata": {"name": name}, "driverName": driver, "parameters": said}


def name_class(plant: HostPlant, vac: str) -> bool:
    def change(doc: Doc) -> None:
        doc["spec"]["volumeAttributesClassName"] = vac

    allowed = plant.edit(CLAIMS, "default/db", change)
    plant.settle()
    return allowed


def change_of(claim: Claim) -> tuple[str, str, list[str]]:
    """Target, how far it is, and the conditions."""
    modify = claim.status.modify_volume_status
    assert modify is not None
    conditions = [one.type for one in claim.status.conditions]
    return modify.target_volume_attributes_class_name, modify.status, conditions


def failures(plant: HostPlant) -> list[str]:
    found = [one for one in plant.events("db") if one["reason"] == "VolumeModifyFailed"]
    assert {one["source"]["component"] for one in found} <= {RESIZER}
    assert {one["type"] for one in found} <= {"Warning"}
    return sorted(one["message"] for one in found)


@pytest.mark.rule("15.6")
def test_a_class_that_does_not_exist_is_waited_for(plant: HostPlant) -> None:
    assert name_class(plant, "fast")
    assert change_of(plant.claim()) == ("fast", "Pending", [])
    assert failures(plant) == [
        "VolumeAttributesClass fast does not exist; create it, or name another one in "
        "spec.volumeAttributesClassName"
    ]
    plant.put(VACS, a_vac("fast"))
    assert change_of(plant.claim())[1] == "Infeasible"  # it was looked at anew at once


@pytest.mark.rule("15.8")
def test_what_the_driver_does_not_know_is_infeasible_and_says_what_it_knows(
    plant: HostPlant,
) -> None:
    plant.put(VACS, a_vac("fast"))
    name_class(plant, "fast")
    assert change_of(plant.claim()) == ("fast", "Infeasible", ["ModifyVolumeError"])
    why = "VolumeAttributesClass fast says speed=9; directory.mooring.dev can change nothing"
    assert failures(plant) == [why]
    assert plant.claim().status.conditions[0].message == (
        f"ModifyVolume failed with error: {why}. Waiting for retry."
    )
    assert plant.made().attributes_class == ""


@pytest.mark.rule("15.8")
def test_a_class_of_another_driver_is_infeasible(plant: HostPlant) -> None:
    plant.put(VACS, a_vac("other", "btrfs.mooring.dev", compression="zstd"))
    name_class(plant, "other")
    assert failures(plant) == [
        "VolumeAttributesClass other is of btrfs.mooring.dev, not of directory.mooring.dev; name "
        "one whose driverName is directory.mooring.dev"
    ]


@pytest.mark.rule("15.4")
def test_a_volume_is_not_made_until_its_class_exists_and_fits(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc("new", class_="local", volumeAttributesClassName="fast"))
    told = {one["reason"]: one["message"] for one in plant.events("new")}
    assert told["ProvisioningFailed"].startswith("VolumeAttributesClass fast does not exist")
    plant.put(VACS, a_vac("fast"))
    messages = {one["message"] for one in plant.events("new")}
    assert "VolumeAttributesClass fast says speed=9; directory.mooring.dev can change nothing" in (
        messages
    )
    assert plant.claim("new").phase == "Pending"
    assert plant.intents() == []


# Protection


def vac(plant: HostPlant, name: str = "fast") -> AttributesClass | None:
    return plant.view(AttributesClass, name)


def removed(plant: HostPlant, name: str = "fast") -> None:
    plant.delete(VACS, name)
    plant.settle()


@pytest.mark.rule("2.17")
def test_a_class_that_nothing_names_goes_at_once(plant: HostPlant) -> None:
    plant.put(VACS, a_vac("fast"))
    found = vac(plant)
    assert found is not None
    assert found.metadata.finalizers == (VAC_PROTECTION,)
    removed(plant)
    assert vac(plant) is None


@pytest.mark.rule("15.10")
def test_a_class_stays_while_a_claim_names_it(plant: HostPlant) -> None:
    plant.put(VACS, a_vac("fast"))
    name_class(plant, "fast")
    removed(plant)
    found = vac(plant)
    assert found is not None
    assert found.being_deleted
    plant.put(VACS, a_vac("slow"))
    name_class(plant, "slow")  # Infeasible too, so its target is the new one, and nothing else
    assert vac(plant) is None
    assert vac(plant, "slow") is not None


@pytest.mark.rule("15.10")
def test_a_class_stays_while_a_volume_names_it(plant: HostPlant) -> None:
    plant.put(VACS, a_vac("fast"))
    volume = {
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "volumeAttributesClassName": "fast",
            "csi": {"driver": "example.com", "volumeHandle": "h"},
        },
    }
    plant.put(VOLUMES, volume)
    removed(plant)
    plant.restart()
    plant.settle()
    assert vac(plant) is not None
    plant.delete(VOLUMES, "v")
    plant.settle()
    assert vac(plant) is None


@pytest.mark.rule("15.10")
def test_a_class_goes_with_the_last_claim_that_names_it(plant: HostPlant) -> None:
    plant.put(VACS, a_vac("fast"))
    for name in ("one", "two"):
        plant.put(CLAIMS, a_claim_doc(name, class_="local", volumeAttributesClassName="fast"))
    removed(plant)
    plant.drop("one")
    assert vac(plant) is not None
    plant.drop("two")
    assert vac(plant) is None
