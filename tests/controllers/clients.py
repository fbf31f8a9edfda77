"""What clients, a scheduler, an external provisioner and an external deleter do, at random."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from mooring.model.claim import Claim
from mooring.model.names import (
    BIND_COMPLETED,
    DEFAULT_CLASS,
    MAX_WASTE,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    Phase,
)
from mooring.objects.kind import Doc
from tests.controllers.plant import (
    CLAIMS,
    CLASSES,
    VOLUMES,
    Plant,
    a_claim_doc,
    a_class_doc,
    a_pod_doc,
    a_volume_doc,
)

T = TypeVar("T")

NAMES = ("a", "b", "c", "d")
SIZES = ("1Gi", "1Gi", "2Gi")
RWO, RWX = "ReadWriteOnce", "ReadWriteMany"
MODES = ([RWO], [RWO], [RWO, RWX])
CLASS_NAMES = ("", "", "", "fast", "late")
LABELS = ("db", "db", "web")
POINTERS = ("none", "none", "none", "name", "uid", "old uid")
PHASES = ("Pending", "Available", "Bound", "Released", "Failed", "Lost")
CROWD = 5


class Clients:
    """Each action depends on its seed and on what is there."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self._random = random.Random()
        self._rushes = 0
        self.actions: tuple[Callable[[], object], ...] = (
            *[self.create_claim] * 3,
            *[self.create_volume] * 3,
            *[self.delete] * 2,
            *[self.change_a_class] * 2,
            self.limit_waste,
            self.rush,
            self.point_a_volume,
            self.change_a_volume,
            self.forge_a_phase,
            self.meddle_with_a_claim,
            self.change_a_pod,
            self.select_a_node,
            self.provision,
            self.reap,
        )

    def act(self, seed: int) -> None:
        """Something, now."""
        self._random.seed(seed)
        self._one(self.actions)()

    def _one(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def _new(self, resource: str) -> str:
        """A name that is not taken, if one is left."""
        taken = {entry.name for entry in self.plant.objects.cache.shelves[resource].entries()}
        return self._one([name for name in NAMES if name not in taken] or NAMES)

    def _there(self, resource: str) -> str:
        """The key of something that is there, if anything is."""
        shelf = self.plant.objects.cache.shelves[resource]
        return self._one([entry.key for entry in shelf.entries()] or ["none"])

    def create_claim(self) -> None:
        class_ = self._one((*CLASS_NAMES, None))
        doc = self._claim(self._new(CLAIMS), class_)
        if self._one(LABELS) == "web":
            doc["spec"]["selector"] = {"matchLabels": {"app": "web"}}
        if self._one((True, False, False, False)):
            doc["spec"]["volumeName"] = self._one(NAMES)
        self.plant.create(CLAIMS, doc)

    def create_volume(self) -> None:
        doc = self._volume(self._new(VOLUMES), self._one(CLASS_NAMES))
        doc["metadata"]["labels"] = {"app": self._one(LABELS)}
        doc["spec"]["persistentVolumeReclaimPolicy"] = self._one(("Retain", "Retain", "Delete"))
        self._point(doc)
        self.plant.create(VOLUMES, doc)

    def rush(self) -> None:
        """Claims and volumes that are all after each other, and some claims given up at once."""
        self._rushes += 1
        names = [f"r{self._rushes}-{number}" for number in range(CROWD)]
        wanted = [self._claim(name, "") for name in names[: self._random.randint(0, CROWD)]]
        there = [self._volume(name, "") for name in names[: self._random.randint(0, CROWD)]]
        given_up = names[: self._random.randint(0, 3)]
        self.plant.together(*(self.plant.creation(CLAIMS, doc) for doc in wanted))
        if self._one((True, False)):
            self.plant.settle()
        self.plant.together(*(self.plant.creation(VOLUMES, doc) for doc in there))
        self.plant.together(*(self.plant.deletion(CLAIMS, f"default/{name}") for name in given_up))

    def point_a_volume(self) -> None:
        self.plant.edit(VOLUMES, self._there(VOLUMES), self._point)

    def _point(self, doc: Doc) -> None:
        doc["spec"].pop("claimRef", None)
        pointer = self._one(POINTERS)
        if pointer == "none":
            return
        key = self._one([f"default/{self._one(NAMES)}", self._there(CLAIMS)])
        claim = self.plant.view(Claim, key)
        uid = {"name": "", "uid": claim.uid if claim else "", "old uid": "old"}[pointer]
        doc["spec"]["claimRef"] = _reference(key.rpartition("/")[2], uid)

    def change_a_volume(self) -> None:
        def change(doc: Doc) -> None:
            doc["spec"]["capacity"]["storage"] = self._one(SIZES)
            doc["metadata"]["labels"] = {"app": self._one(LABELS)}

        self.plant.edit(VOLUMES, self._there(VOLUMES), change)

    def forge_a_phase(self) -> None:
        resource, phase = self._one((CLAIMS, VOLUMES)), self._one(PHASES)
        key = self._there(resource)
        self.plant.edit(resource, key, lambda doc: doc["status"].update(phase=phase), "status")

    def meddle_with_a_claim(self) -> None:
        """Name a volume for it, or forget that it was bound."""

        def change(doc: Doc) -> None:
            if self._one((True, False)):
                doc["spec"]["volumeName"] = self._there(VOLUMES)
            else:
                doc["metadata"].get("annotations", {}).pop(BIND_COMPLETED, None)

        self.plant.edit(CLAIMS, self._there(CLAIMS), change)

    def delete(self) -> None:
        resource = self._one((CLAIMS, VOLUMES))
        self.plant.delete(resource, self._there(resource))

    def change_a_class(self) -> None:
        name, default = self._one(("fast", "late")), self._one((True, False, False))
        annotations = {DEFAULT_CLASS: "true"} if default else {}
        doc = a_class_doc(name, waits=name == "late")
        doc["metadata"]["annotations"] = annotations
        if self.plant.create(CLASSES, doc):
            return
        if self._one((True, False)):
            self.plant.delete(CLASSES, name)
            return

        def change(doc: Doc) -> None:
            doc["metadata"]["annotations"] = annotations

        self.plant.edit(CLASSES, name, change)

    def limit_waste(self) -> None:
        annotations = self._one(({}, {MAX_WASTE: "1"}, {MAX_WASTE: "1.5"}))

        def change(doc: Doc) -> None:
            doc["metadata"]["annotations"] = annotations

        self.plant.edit("namespaces", "default", change)

    def change_a_pod(self) -> None:
        if self._one((True, False)):
            self.plant.delete("pods", self._there("pods"))
            return
        claim = self._there(CLAIMS).rpartition("/")[2]
        self.plant.create("pods", a_pod_doc(self._new("pods"), claim, self._one(("", "n1"))))

    def select_a_node(self) -> None:
        def change(doc: Doc) -> None:
            doc["metadata"].setdefault("annotations", {})[SELECTED_NODE] = "n1"

        self.plant.edit(CLAIMS, self._there(CLAIMS), change)

    def provision(self) -> None:
        """As an external provisioner does, for all claims that ask for it."""
        for claim in self.plant.claims():
            if claim.volume_name or STORAGE_PROVISIONER not in claim.annotations:
                continue
            doc = self._volume(f"pvc-{claim.uid}", claim.class_name)
            doc["metadata"]["annotations"] = {PROVISIONED_BY: "example.com"}
            doc["spec"]["accessModes"] = list(claim.spec.access_modes)
            doc["spec"]["capacity"] = {"storage": claim.request.canonical()}
            doc["spec"]["persistentVolumeReclaimPolicy"] = "Delete"
            doc["spec"]["claimRef"] = _reference(claim.name, claim.uid)
            self.plant.create(VOLUMES, doc)

    def reap(self) -> None:
        """As an external deleter does, for what it provisioned."""
        for volume in self.plant.volumes():
            if volume.phase == Phase.RELEASED and volume.provisioned_by:
                self.plant.delete(VOLUMES, volume.name)

    def _claim(self, name: str, class_: str | None) -> Doc:
        return a_claim_doc(name, size=self._one(SIZES), modes=self._one(MODES), class_=class_)

    def _volume(self, name: str, class_: str) -> Doc:
        size, modes = self._one(SIZES), self._one(MODES)
        return a_volume_doc(name, size=size, modes=modes, class_=class_, policy="Retain")


def _reference(name: str, uid: str) -> Doc:
    ref = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": name}
    return {**ref, "uid": uid} if uid else ref
