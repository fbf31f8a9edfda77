"""The leader says which host makes a volume that waits for no consumer."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import pytest

from mooring.controllers.placer import TOGETHER_S
from mooring.model.names import DIRECTORY_DRIVER, MAKER, POOL_ATTRIBUTE
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

POOLS, NODES = "pools.mooring.dev", "nodes"


class PlacedPlant(ClockedPlant):
    """Hosts a and b, each with a pool of 10 and 8 GiB; nobody makes volumes but the test."""

    driver: ClassVar[str] = DIRECTORY_DRIVER
    hosts: ClassVar[dict[str, str]] = {"a": "10Gi", "b": "8Gi"}

    def __init__(self) -> None:
        super().__init__()
        self.put(CLASSES, {"metadata": {"name": "local"}, "provisioner": DIRECTORY_DRIVER})
        for name, capacity in self.hosts.items():
            self.host(name, capacity)

    def host(self, name: str, capacity: str) -> None:
        self.create(NODES, {"metadata": {"name": name}})
        self.readiness(name, "True")
        self.put(POOLS, a_pool(name, capacity, self.driver))

    def after_a_while(self) -> None:
        """Long enough for what is done together."""

        async def passed() -> None:
            await asyncio.sleep(2 * TOGETHER_S)
            await self.controllers.idle()

        self._run(passed())

    def readiness(self, name: str, status: str) -> None:
        def change(doc: Doc) -> None:
            doc["status"] = {"conditions": [{"type": "Ready", "status": status}]}

        self.edit(NODES, name, change, "status")
        self.settle()

    def ask(self, *names: str, size: str = "1Gi") -> None:
        asked = [self.creation(CLAIMS, a_claim(name, size)) for name in names]
        self.together(*asked)
        self.settle()

    def look_again(self, key: str) -> None:
        self._run(self._looked(key))

    async def _looked(self, key: str) -> None:
        self.controllers.placer.queue.add(key)
        await self.controllers.idle()

    def maker(self, name: str = "db") -> str:
        return self.claim(name).annotations.get(MAKER, "")

    def gives_back(self, name: str = "db") -> None:
        """The host cannot make it."""
        self.edit(CLAIMS, f"default/{name}", lambda doc: doc["metadata"]["annotations"].pop(MAKER))
        self.settle()


class OneHost(PlacedPlant):
    hosts: ClassVar[dict[str, str]] = {"a": "10Gi"}


def a_claim(name: str, size: str) -> Doc:
    return a_claim_doc(name, class_="local", resources={"requests": {"storage": size}})


def a_pool(node: str, capacity: str, driver: str = DIRECTORY_DRIVER) -> Doc:
    fixed = {"driver": driver, "root": "/pool", "node": node, "capacity": capacity}
    return {"metadata": {"name": f"local-{node}"}, "spec": fixed}


@pytest.fixture
def plant() -> Iterator[PlacedPlant]:
    made = PlacedPlant()
    yield made
    made.close()


def test_the_host_with_most_room_is_to_make_it(plant: PlacedPlant) -> None:
    plant.ask("db")
    assert plant.maker() == "a"


def test_of_many_at_once_no_host_is_promised_more_than_it_has(plant: PlacedPlant) -> None:
    plant.ask(*(f"c{number:02}" for number in range(20)))
    makers = Counter(plant.maker(f"c{number:02}") for number in range(20))
    assert makers == {"a": 10, "b": 8, "": 2}
    assert "no host can make the volume" in str(plant.events())


def test_one_that_no_host_can_make_is_placed_when_there_is_room(plant: PlacedPlant) -> None:
    plant.ask("db", size="20Gi")
    assert plant.maker() == ""

    def grown(doc: Doc) -> None:
        doc["spec"]["capacity"] = "30Gi"

    plant.edit(POOLS, "local-b", grown)
    plant.after_a_while()
    assert plant.maker() == "b"


def test_a_host_that_gives_it_back_is_not_the_next(plant: PlacedPlant) -> None:
    plant.ask("db")
    plant.gives_back()
    assert plant.maker() == "b"
    plant.gives_back()
    assert plant.maker() in ("a", "b")  # there is no third


def test_what_a_host_was_to_make_that_is_silent_another_makes(plant: PlacedPlant) -> None:
    plant.ask("db")
    plant.readiness("a", "Unknown")
    assert plant.maker() == "b"
    plant.readiness("a", "True")
    assert plant.maker() == "b"


def test_what_is_placed_stays_where_it_is_through_a_restart(plant: PlacedPlant) -> None:
    plant.ask("db", size="3Gi")
    plant.restart()
    plant.settle()
    assert plant.maker() == "a"
    plant.ask("next")  # 7 GiB are left of a, as what was promised before is known
    assert plant.maker("next") == "b"


def test_a_host_that_takes_nothing_new_is_not_chosen(plant: PlacedPlant) -> None:
    plant.edit(NODES, "a", lambda doc: doc.update(spec={"unschedulable": True}))
    plant.ask("db")
    assert plant.maker() == "b"


def test_one_that_is_made_is_charged_once(plant: PlacedPlant) -> None:
    plant.ask("db", size="3Gi")
    claim = plant.claim()
    volume = {
        "metadata": {"name": f"pvc-{claim.uid}"},
        "spec": {
            "capacity": {"storage": "3Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "claimRef": {"namespace": "default", "name": "db", "uid": claim.uid},
            "csi": {
                "driver": DIRECTORY_DRIVER,
                "volumeHandle": f"pvc-{claim.uid}",
                "volumeAttributes": {POOL_ATTRIBUTE: "local-a"},
            },
        },
    }
    plant.put(VOLUMES, volume)
    assert plant.claim().phase == "Bound"
    plant.ask("large", size="7Gi")  # just what is left of a, and less than b has: b has more
    assert plant.maker("large") == "b"
    plant.ask("last", size="7Gi")
    assert plant.maker("last") == "a"


def test_what_one_host_could_not_make_a_second_makes_once_it_joins() -> None:
    plant = OneHost()
    plant.ask("db", size="20Gi")
    assert plant.maker() == ""
    plant.host("b", "100Gi")
    plant.after_a_while()
    assert plant.maker() == "b"
    plant.close()


def test_a_class_that_is_made_anew_has_its_claims_placed(plant: PlacedPlant) -> None:
    plant.ask("db", size="20Gi")
    plant.delete(CLASSES, "local")
    plant.after_a_while()
    plant.edit(POOLS, "local-b", lambda doc: doc["spec"].update(capacity="90Gi"))
    plant.after_a_while()
    assert plant.maker() == ""
    plant.put(CLASSES, {"metadata": {"name": "local"}, "provisioner": DIRECTORY_DRIVER})
    plant.after_a_while()
    assert plant.maker() == "b"


def test_what_is_filled_from_an_archive_of_a_host_is_made_there(plant: PlacedPlant) -> None:
    archive = {"metadata": {"name": "old"}, "spec": {"tar": "/srv/old.tar", "node": "b"}}
    plant.put("volumearchives.mooring.dev", archive)
    claim = a_claim("db", "1Gi")
    source = {"apiGroup": "mooring.dev", "kind": "VolumeArchive", "name": "old"}
    claim["spec"]["dataSourceRef"] = source
    plant.put(CLAIMS, claim)
    assert plant.maker() == "b"


def test_why_no_host_can_make_it_is_told_once(plant: PlacedPlant) -> None:
    plant.ask("db", size="20Gi")
    for _ in range(3):
        plant.look_again("default/db")
    counts = [one["count"] for one in plant.events("db") if one["reason"] == "ProvisioningFailed"]
    assert counts == [1]
