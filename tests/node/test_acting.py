"""Which claims our provisioner acts on, and what it leaves alone. Storage semantics §2, §10."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.names import (
    DIRECTORY_DRIVER,
    EXTERNAL_PROVISIONER_FINALIZER,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
)
from mooring.objects.kind import Doc
from mooring.reconcile.queue import Queue
from tests.controllers.clocked import a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.node.host_plant import HERE, HostPlant, a_pool_class
from tests.spec.plugin import case

OURS = {STORAGE_PROVISIONER: DIRECTORY_DRIVER}
OURS_BETA = {STORAGE_PROVISIONER_BETA: DIRECTORY_DRIVER}
THEIRS = {STORAGE_PROVISIONER: "example.com"}


class Alone(HostPlant):
    """Without anybody who looks at claims and volumes but the agent."""

    def leave_alone(self) -> None:
        self._left = [self.controllers.claims, self.controllers.volumes]
        for queue in self._left:
            self._run(queue.stop())

    def _queues(self) -> list[Queue]:
        left = getattr(self, "_left", [])
        return [queue for queue in super()._queues() if queue not in left]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    made = Alone(tmp_path)
    foreign = {"metadata": {"name": "foreign"}, "provisioner": "example.com"}
    made.put(CLASSES, foreign)
    waits = {"parameters": {"pool": "local"}, "volumeBindingMode": "WaitForFirstConsumer"}
    made.put(CLASSES, a_pool_class("late", **waits))
    made.leave_alone()
    yield made
    made.close()


def asking(class_: str, annotations: Doc, **spec: object) -> Doc:
    doc = a_claim_doc(class_=class_, **spec)
    doc["metadata"]["annotations"] = annotations
    return doc


@pytest.mark.parametrize(
    ("doc", "acts"),
    [
        case("10.6 2.6", asking("local", OURS), True),
        case("2.6", asking("local", OURS_BETA), True),
        case("2.6", asking("local", OURS | {STORAGE_PROVISIONER_BETA: "example.com"}), True),
        case("2.6", asking("local", THEIRS | OURS_BETA), False),
        case("10.6", asking("local", {}), False),
        case("10.6", asking("local", OURS, volumeName="v1"), False),
        case("10.6", asking("gone", OURS), False),
        case("10.6", asking("foreign", OURS), False),
        case("10.7", asking("late", OURS | {SELECTED_NODE: HERE}), True),
        case("10.7 10.27", asking("late", OURS), False),
        case("10.7", asking("late", OURS | {SELECTED_NODE: "elsewhere"}), False),
    ],
)
def test_it_acts_on_a_claim_that_names_it_whose_class_is_of_it(
    plant: HostPlant, doc: Doc, acts: bool
) -> None:
    plant.put(CLAIMS, doc)
    assert (len(plant.assets()), len(plant.volumes())) == (acts, acts)
    assert ("Normal", "Provisioning") in plant.told("db") or not acts


@pytest.mark.rule("10.13", "10.14", "10.15", "10.17")
def test_a_volume_is_as_claim_and_class_say(plant: HostPlant) -> None:
    fields = {"parameters": {"pool": "local"}, "mountOptions": ["noatime"]}
    plant.put(CLASSES, a_pool_class("kept", "Retain", **fields))
    modes = ["ReadWriteMany", "ReadOnlyMany"]
    plant.put(CLAIMS, asking("kept", OURS, accessModes=modes, volumeMode="Filesystem"))
    (volume,) = plant.volumes()
    spec = volume.spec
    assert (list(spec.access_modes), spec.volume_mode) == (modes, "Filesystem")
    assert (volume.reclaim_policy, spec.mount_options) == ("Retain", ("noatime",))
    assert spec.storage_class_name == "kept"
    assert volume.claim_ref == plant.claim().reference()


@pytest.mark.rule("10.21", "10.20")
def test_it_touches_neither_the_spec_of_the_claim_nor_the_status_of_the_volume(
    plant: HostPlant,
) -> None:
    plant.create(CLAIMS, asking("local", OURS))
    before = plant.claim()
    plant.settle()
    (volume,) = plant.volumes()
    assert plant.claim() == before
    assert (volume.phase, volume.status.message) == ("Pending", "")


@pytest.mark.rule("10.8", "10.23")
def test_a_volume_of_that_name_is_all_that_it_wants(plant: HostPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="local"))
    plant.put(VOLUMES, a_volume_doc(f"pvc-{plant.claim().uid}"))
    plant.edit(CLAIMS, "default/db", lambda doc: doc["metadata"].update(annotations=OURS))
    plant.settle()
    assert (plant.assets(), plant.intents(), plant.told("db")) == ([], [], [])


@pytest.mark.rule("2.14", "13.11")
def test_its_finalizer_follows_the_policy(plant: HostPlant) -> None:
    plant.put(CLAIMS, asking("local", OURS))
    (volume,) = plant.volumes()

    def held(policy: str) -> bool:
        change = {"persistentVolumeReclaimPolicy": policy}
        plant.edit(VOLUMES, volume.name, lambda doc: doc["spec"].update(change))
        plant.settle()
        return plant.volume(volume.name).has_finalizer(EXTERNAL_PROVISIONER_FINALIZER)

    assert volume.has_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
    assert [held(policy) for policy in ("Retain", "Delete")] == [False, True]
