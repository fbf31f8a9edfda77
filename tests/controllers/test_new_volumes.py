"""New volumes become Available, many at a time and each for itself."""

from collections.abc import Iterator

import pytest

from mooring.model.names import PV_PROTECTION
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.documents import decoded
from mooring.objects.kind import Doc
from tests.controllers.plant import VOLUMES, Plant

NAMES = [f"v{number}" for number in range(40)]


@pytest.fixture
def plant() -> Iterator[Plant]:
    made = Plant()
    yield made
    made.close()


def a_volume_doc(name: str) -> Doc:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/x"},
    }
    return {"metadata": {"name": name}, "spec": spec}


def phases(plant: Plant) -> dict[str, str]:
    return {volume.name: volume.phase for volume in plant.volumes()}


@pytest.mark.rule("8.1")
def test_a_watch_sees_each_new_volume_pending_and_then_available_and_can_resume_between(
    plant: Plant,
) -> None:
    seen: list[tuple[str, str, int]] = []

    def note(event: Event) -> None:
        assert event.after is not None
        phase = decoded(event.after.body)["status"]["phase"]
        seen.append((event.key, phase, event.revision))

    plant.objects.cache.shelves[VOLUMES].follow(note)
    plant.together(*(plant.creation(VOLUMES, a_volume_doc(name)) for name in NAMES))
    plant.settle()
    for name in NAMES:
        assert [phase for key, phase, _ in seen if key == name] == ["Pending", "Available"]
    revisions = [revision for *_, revision in seen]
    assert len(set(revisions)) == len(revisions) == 2 * len(NAMES)


def test_volumes_whose_opening_was_cut_off_are_opened_after_the_restart(plant: Plant) -> None:
    plant.together(*(plant.creation(VOLUMES, a_volume_doc(name)) for name in NAMES))
    plant.restart()
    plant.settle()
    assert phases(plant) == dict.fromkeys(NAMES, "Available")


@pytest.mark.rule("3.7")
def test_one_that_somebody_changes_meanwhile_is_opened_all_the_same(plant: Plant) -> None:
    def labelled(doc: Doc) -> None:
        doc["metadata"]["labels"] = {"a": "b"}

    for name in NAMES:
        plant.create(VOLUMES, a_volume_doc(name))
        plant.edit(VOLUMES, name, labelled)
    plant.settle()
    assert phases(plant) == dict.fromkeys(NAMES, "Available")
    found = plant.view(Volume, "v0")
    assert found is not None
    assert (found.metadata.labels, found.has_finalizer(PV_PROTECTION)) == ({"a": "b"}, True)


def test_a_phase_that_a_client_forged_is_put_right(plant: Plant) -> None:
    plant.create(VOLUMES, a_volume_doc("v"))
    plant.settle()
    plant.edit(VOLUMES, "v", lambda doc: doc["status"].update(phase="Bound"), "status")
    plant.settle()
    assert phases(plant) == {"v": "Available"}
