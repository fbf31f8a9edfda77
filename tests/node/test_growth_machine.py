"""Whatever is asked for in whatever order, while pools fill, go away and come back: nothing is
charged that is not there, nothing is there that is not charged, and in the end all have their size.
"""

import random
from pathlib import Path

import pytest

from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity, added
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.kind import Doc
from mooring.objects.views import view
from mooring.rules.resizing import is_unfinished, lacks_room, progress
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.node.host_plant import HostPlant, a_pool_class

NAMES = [f"c{number}" for number in range(5)]
MIB = 1 << 20
STEPS = 60


class World:
    """A host with claims that grow, and hands that get in the way."""

    def __init__(self, place: Path, seed: int) -> None:
        self.plant, self.random = HostPlant(place), random.Random(seed)
        self.away = place / "away"
        self.faults: list[str] = []
        class_ = a_pool_class("grows", parameters={"pool": "local"}, allowVolumeExpansion=True)
        self.plant.put(CLASSES, class_)
        self._watch()
        for name in NAMES:
            self.plant.put(CLAIMS, a_claim_doc(name, class_="grows"))

    def _watch(self) -> None:
        shelves = self.plant.objects.cache.shelves
        shelves[CLAIMS].follow(self._claim_changed)
        shelves[VOLUMES].follow(self._volume_changed)

    def _claim_changed(self, event: Event) -> None:
        if event.before is None or event.after is None:
            return
        had, has = view(Claim, event.before), view(Claim, event.after)
        if had.capacity > has.capacity and has.phase == "Bound":
            self.faults.append(f"{has.key} shrank from {had.capacity} to {has.capacity}")
        if has.capacity > had.capacity and had.phase == has.phase == "Bound":
            self._must_be_there(has)

    def _must_be_there(self, claim: Claim) -> None:
        """The volume is written before the claim, and the backend before the volume."""
        volume = self.plant.view(Volume, claim.volume_name)
        if volume is None or volume.capacity < claim.capacity:
            self.faults.append(f"{claim.key} has {claim.capacity}, which its volume has not")

    def _volume_changed(self, event: Event) -> None:
        if event.after is not None:
            volume = view(Volume, event.after)
            if self.size(volume.name) > volume.takes.bytes():
                self.faults.append(f"{volume.name} is larger than what it is charged with")

    def size(self, asset: str) -> int:
        """Of what the backend has of it, 0 for nothing."""
        for root in (self.plant.root, self.away):
            if (root / asset / "size").exists():
                return int((root / asset / "size").read_text())
        return 0

    def step(self) -> None:
        getattr(self, self.random.choice(["ask", "ask", "ask", "limit", "move", "drop", "restart",
                                          "wait", "forge"]))()  # fmt: skip
        self.check()

    def ask(self) -> None:
        size = f"{self.random.randrange(900, 4000)}Mi"

        def change(doc: Doc) -> None:
            doc["spec"]["resources"]["requests"]["storage"] = size

        for name in self.random.sample(NAMES, self.random.randrange(1, 4)):
            self.plant.edit(CLAIMS, f"default/{name}", change)
        if self.random.random() < 0.7:
            self.plant.settle()

    def limit(self) -> None:
        size = f"{self.random.randrange(4, 16)}Gi"
        self.plant.edit("pools.mooring.dev", "local", lambda doc: doc["spec"].update(capacity=size))
        self.plant.settle()

    def move(self) -> None:
        """The disk of the pool goes away, or is back."""
        here = self.plant.root.exists()
        (self.plant.root if here else self.away).rename(self.away if here else self.plant.root)

    def drop(self) -> None:
        name = self.random.choice(NAMES)
        self.plant.delete(CLAIMS, f"default/{name}")
        self.plant.settle()
        self.plant.create(CLAIMS, a_claim_doc(name, class_="grows"))
        self.plant.settle()

    def forge(self) -> None:
        """Somebody takes what says how far it is from a claim."""

        def change(doc: Doc) -> None:
            doc["status"].pop("allocatedResourceStatuses", None)
            doc["status"].pop("conditions", None)

        self.plant.edit(CLAIMS, f"default/{self.random.choice(NAMES)}", change, status="status")
        self.plant.settle()

    def restart(self) -> None:
        self.plant.restart()
        self._watch()
        self.plant.settle()

    def wait(self) -> None:
        self.plant.pass_time(self.random.choice([1, 30, 300]))

    def check(self) -> None:
        assert self.faults == []
        pool = self.plant.view(Pool, "local")
        assert pool is not None
        volumes = self.plant.objects.views(Volume)
        assert pool.allocated == added([one.takes for one in volumes])
        for volume in volumes:
            assert self.size(volume.name) <= volume.takes.bytes()

    def end(self) -> None:
        """All that can be asked for is had, and nothing is left of what was begun."""
        if not self.plant.root.exists():
            self.move()
        self.plant.edit("pools.mooring.dev", "local", lambda doc: doc["spec"].pop("capacity", 0))
        self.plant.settle()
        for _ in range(12):
            self.plant.pass_time(300)
        self.check()
        for name in NAMES:
            claim, volume = self.plant.claim(name), self.plant.made(name)
            assert not lacks_room(claim)
            assert progress(claim) == ""
            assert not is_unfinished(volume)
            assert self.size(volume.name) == volume.capacity.bytes()
            assert volume.capacity >= claim.capacity >= Quantity.of_bytes(900 * MIB)


def _ran(place: Path, seed: int) -> None:
    world = World(place, seed)
    try:
        for _ in range(STEPS):
            world.step()
        world.end()
    finally:
        world.plant.close()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_charged_for_nothing(tmp_path: Path, seed: int) -> None:
    _ran(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_nothing_is_lost_in_many_runs(tmp_path: Path, seed: int) -> None:
    _ran(tmp_path, seed)
