"""A plant whose time passes only when a test says so."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mooring.clock import timestamp
from mooring.controllers.controllers import Controllers
from mooring.model.claim import Claim
from mooring.model.volume import Volume
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from tests.controllers.plant import CLASSES, Plant


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now, self._monotonic_s = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    @property
    def text(self) -> str:
        return timestamp(self._now)


class ClockedPlant(Plant):
    """Tells what its events and objects are in the words of a test."""

    def __init__(self) -> None:
        self.clock = HandClock()
        super().__init__()

    def _start(self) -> None:
        async def started() -> None:
            self.objects = Objects(self.store, ALL_KINDS, self.clock)
            await self.objects.start()
            self.controllers = Controllers(self.objects)
            await self.controllers.start()

        self._run(started())

    def away(self) -> None:
        """The controllers stop; what clients do meanwhile nobody sees until `back`."""
        self._run(self.controllers.stop())

    def back(self) -> None:
        """New controllers start, and do what there is to do."""
        self.controllers = Controllers(self.objects)
        self._run(self.controllers.start())
        self.settle()

    def look_at(self, claim_key: str) -> None:
        """Though nothing changed."""

        async def looked() -> None:
            self.controllers.claims.add(claim_key)
            await self.controllers.idle()

        self._run(looked())

    def put(self, resource: str, doc: Doc) -> None:
        """Create it and let everything happen."""
        assert self.create(resource, doc)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """What waited for its time is looked at, and all else that it causes."""
        self.clock.move(seconds)

        async def hurried() -> None:
            for queue in self.controllers.queues:
                queue.hurry()
            await self.controllers.idle()

        self._run(hurried())

    def sweep(self) -> None:
        self._run(self.controllers.expiry.sweep())

    def claim(self, name: str = "db") -> Claim:
        found = self.view(Claim, f"default/{name}")
        assert found is not None
        return found

    def volume(self, name: str = "v1") -> Volume:
        found = self.view(Volume, name)
        assert found is not None
        return found

    def events(self, about: str = "") -> list[Doc]:
        """Those about an object of this name, or all, in the order of their keys."""
        found = self.objects.all("events")
        return [one for one in found if about in ("", one["involvedObject"]["name"])]

    def told(self, about: str = "") -> list[tuple[str, str]]:
        """Types and reasons, sorted."""
        return sorted((one["type"], one["reason"]) for one in self.events(about))


def a_claim_doc(name: str = "db", class_: str | None = None, **spec: Any) -> Doc:
    requests = {"requests": {"storage": "1Gi"}}
    doc: Doc = {"accessModes": ["ReadWriteOnce"], "resources": requests, **spec}
    if class_ is not None:
        doc["storageClassName"] = class_
    return {"metadata": {"name": name}, "spec": doc}


def a_volume_doc(name: str = "v1", policy: str = "Retain", **spec: Any) -> Doc:
    """A static hostPath volume of no class."""
    doc: Doc = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": policy,
        "hostPath": {"path": f"/srv/{name}"},
        **spec,
    }
    return {"metadata": {"name": name}, "spec": doc}


def a_class_doc(name: str = "fast", *, mode: str = "Immediate", **annotations: str) -> Doc:
    """Of an external provisioner that never does anything."""
    return {
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": "example.com",
        "volumeBindingMode": mode,
    }


def make_default(plant: Plant, name: str, value: str = "true") -> None:
    key = "storageclass.kubernetes.io/is-default-class"
    plant.edit(
        CLASSES,
        name,
        lambda doc: doc["metadata"].setdefault("annotations", {}).update({key: value}),
    )
