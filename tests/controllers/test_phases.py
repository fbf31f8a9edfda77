"""Volumes and claims through their phases, and binds half done by others. Semantics §7 to §10."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mooring.model.names import BOUND_BY_CONTROLLER, STORAGE_PROVISIONER
from mooring.objects.cache import Event
from mooring.objects.documents import decoded
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_class_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

BY = "pv.kubernetes.io/provisioned-by"


@pytest.fixture
def phases(plant: ClockedPlant) -> Iterator[list[str]]:
    """Those that are seen of anything, one after the other, as "name phase"."""
    seen: list[str] = []

    def note(event: Event) -> None:
        if event.after is not None:
            name = event.key.rpartition("/")[2]
            phase = f"{name} {decoded(event.after.body)['status']['phase']}"
            if phase not in seen[-1:]:
                seen.append(phase)

    shelf = plant.objects.cache.shelves[VOLUMES]
    unfollow = shelf.follow(note)
    yield seen
    unfollow()


@pytest.mark.rule("8.1", "8.2", "9.1a")
def test_a_volume_goes_through_its_phases(plant: ClockedPlant, phases: list[str]) -> None:
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc())
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    plant.edit(VOLUMES, "v1", lambda doc: doc["spec"].pop("claimRef"))
    plant.settle()
    assert phases == ["v1 Pending", "v1 Available", "v1 Bound", "v1 Released", "v1 Available"]


@pytest.mark.rule("8.4", "4.C1", "4.C6", "3.3")
def test_a_claim_is_lost_with_its_volume_and_bound_when_that_is_back(plant: ClockedPlant) -> None:
    plant.create(CLAIMS, a_claim_doc())
    assert plant.claim().phase == "Pending"
    plant.put(VOLUMES, a_volume_doc())
    assert plant.claim().phase == "Bound"
    plant.delete(VOLUMES, "v1")
    plant.edit(VOLUMES, "v1", lambda doc: doc["metadata"].update(finalizers=[]))
    plant.settle()
    assert (plant.claim().phase, plant.volumes()) == ("Lost", [])
    plant.put(VOLUMES, a_volume_doc())
    assert (plant.claim().phase, plant.volume().phase) == ("Bound", "Bound")


# Binds that others left half done


def pointing(plant: ClockedPlant, name: str, *, chosen: bool = False, **spec: object) -> Doc:
    """A volume that points at the claim db, as whoever began to bind it left it."""
    ref = {"namespace": "default", "name": "db", "uid": plant.claim().uid}
    doc = a_volume_doc(name, claimRef=ref, **spec)  # type: ignore[arg-type]
    doc["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"} if chosen else {}
    return doc


@pytest.mark.rule("7.14", "10.29")
def test_a_volume_made_for_a_claim_is_bound_to_it_and_not_marked(plant: ClockedPlant) -> None:
    plant.put(CLASSES, a_class_doc())
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    plant.away()
    plant.create(VOLUMES, pointing(plant, "made", storageClassName="fast"))
    plant.back()
    assert (plant.claim().volume_name, plant.claim().phase) == ("made", "Bound")
    assert BOUND_BY_CONTROLLER not in plant.volume("made").annotations


@pytest.mark.rule("7.7", "10.30")
def test_a_claim_that_went_before_it_was_bound_leaves_its_volume_released(
    plant: ClockedPlant,
) -> None:
    plant.away()
    plant.create(CLAIMS, a_claim_doc())
    plant.create(VOLUMES, pointing(plant, "v1"))
    plant.edit(CLAIMS, "default/db", lambda doc: doc["metadata"].update(finalizers=[]))
    plant.delete(CLAIMS, "default/db")
    plant.back()
    assert (plant.claims(), plant.volume().phase) == ([], "Released")


@pytest.mark.rule("7.8", "7.9")
@pytest.mark.parametrize("chosen", [True, False])
def test_of_two_volumes_that_point_at_a_claim_one_is_given_back(
    plant: ClockedPlant, chosen: bool
) -> None:
    plant.away()
    plant.create(CLAIMS, a_claim_doc())
    for name in ("a", "b"):
        plant.create(VOLUMES, pointing(plant, name, chosen=chosen))
    plant.back()
    kept = plant.claim().volume_name
    (left,) = [one for one in plant.volumes() if one.name != kept]
    assert (plant.claim().phase, plant.volume(kept).phase) == ("Bound", "Bound")
    assert left.phase == "Available"
    assert (left.claim_ref and left.claim_ref.uid) == (None if chosen else "")


@pytest.mark.rule("3.6", "10.5")
def test_a_volume_that_fits_wins_over_the_one_that_is_waited_for(plant: ClockedPlant) -> None:
    plant.put(CLASSES, a_class_doc())
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    assert plant.claim().annotations[STORAGE_PROVISIONER] == "example.com"
    plant.put(VOLUMES, a_volume_doc(storageClassName="fast"))
    assert (plant.claim().phase, plant.claim().volume_name) == ("Bound", "v1")


# Failed


@pytest.mark.rule("1.1.40", "8.3", "9.2a", "9.2c", "11.14")
def test_data_that_cannot_be_deleted_fails_and_is_tried_again(
    plant: ClockedPlant, phases: list[str]
) -> None:
    with TemporaryDirectory(dir="/tmp") as place:
        way = Path(place) / "way"
        way.touch()  # no directory can be below it
        doc = a_volume_doc(policy="Delete", hostPath={"path": str(way / "data")})
        doc["metadata"]["annotations"] = {BY: "kubernetes.io/host-path"}
        plant.put(VOLUMES, doc)
        plant.put(CLAIMS, a_claim_doc())
        plant.delete(CLAIMS, "default/db")
        plant.settle()
        assert plant.volume().phase == "Failed"
        assert "Not a directory" in plant.volume().status.message
        plant.pass_time(1)
        assert plant.told("v1") == [("Warning", "VolumeFailedDelete")]
        way.unlink()
        (way / "data").mkdir(parents=True)
        plant.pass_time(2)
        assert (plant.volumes(), way.exists(), (way / "data").exists()) == ([], True, False)
    assert phases[-2:] == ["v1 Released", "v1 Failed"]
