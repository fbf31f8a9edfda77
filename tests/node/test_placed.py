"""A volume that several hosts could make, and that waits for no consumer, is made where it is
placed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.names import DIRECTORY_DRIVER, MAKER, POOL_ATTRIBUTE
from mooring.objects.kind import Doc
from tests.controllers.clocked import a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.node.host_plant import HERE, HostPlant, a_pool

POOLS = "pools.mooring.dev"
THERE = "there"


class PlacedPlant(HostPlant):
    """Another host, Ready and never heard of again, has a pool too."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.put(CLASSES, {"metadata": {"name": "any"}, "provisioner": DIRECTORY_DRIVER})
        self.put("nodes", {"metadata": {"name": THERE}})
        condition = {"type": "Ready", "status": "True"}
        ready = {"conditions": [condition]}
        self.edit("nodes", THERE, lambda doc: doc.update(status=ready), "status")
        self.put(POOLS, a_pool("local-there", place / "elsewhere", node=THERE, capacity="50Gi"))

    def capacity(self, pool: str, size: str) -> None:
        self.edit(POOLS, pool, lambda doc: doc["spec"].update(capacity=size))
        self.settle()

    def ask(self, name: str = "db", **spec: object) -> None:
        self.put(CLAIMS, a_claim_doc(name, class_="any", **spec))
        self.settle()

    def maker(self, name: str = "db") -> str:
        return self.claim(name).annotations.get(MAKER, "")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[PlacedPlant]:
    made = PlacedPlant(tmp_path)
    yield made
    made.close()


def test_the_host_that_was_chosen_makes_it(plant: PlacedPlant) -> None:
    plant.capacity("local", "100Gi")
    plant.capacity("local-there", "2Gi")
    plant.ask()
    assert (plant.maker(), len(plant.assets()), plant.claim().phase) == (HERE, 1, "Bound")


def test_no_other_does_and_none_says_that_it_failed(plant: PlacedPlant) -> None:
    plant.capacity("local", "2Gi")
    plant.ask()
    assert (plant.maker(), plant.assets(), plant.claim().phase) == (THERE, [], "Pending")
    assert "ProvisioningFailed" not in str(plant.events())


def test_a_host_that_cannot_make_it_has_another_chosen(plant: PlacedPlant) -> None:
    plant.capacity("local", "100Gi")
    plant.capacity("local-there", "90Gi")

    def asked(doc: Doc) -> None:
        doc["metadata"]["annotations"] = {MAKER: HERE}

    claim = a_claim_doc(class_="any", resources={"requests": {"storage": "95Gi"}})
    asked(claim)
    plant.capacity("local", "10Gi")
    plant.capacity("local-there", "100Gi")
    plant.put(CLAIMS, claim)
    plant.settle()
    assert (plant.maker(), plant.assets(), plant.intents()) == (THERE, [], [])


def test_what_was_begun_here_is_undone_once_another_makes_it(plant: PlacedPlant) -> None:
    plant.capacity("local", "100Gi")
    plant.capacity("local-there", "2Gi")
    plant.root.rename(plant.root.with_name("away"))  # it is begun, and fails
    plant.ask()
    assert (plant.maker(), plant.assets()) == (HERE, [])

    def chosen(doc: Doc) -> None:
        doc["metadata"]["annotations"][MAKER] = THERE

    plant.root.with_name("away").rename(plant.root)
    plant.edit(CLAIMS, "default/db", chosen)
    plant.settle()
    plant.pass_time(600)
    assert (plant.assets(), plant.intents()) == ([], [])


def test_what_is_filled_from_something_is_tried_where_that_is(plant: PlacedPlant) -> None:
    plant.capacity("local", "100Gi")
    plant.capacity("local-there", "90Gi")
    plant.ask("here")
    plant.capacity("local-there", "900Gi")
    plant.ask("of-here", dataSource={"kind": "PersistentVolumeClaim", "name": "here"})
    offers = "pool local offers no volume with content"
    assert offers in str(plant.events("of-here"))
    plant.drop("of-here")
    source = {"driver": DIRECTORY_DRIVER, "volumeHandle": "x"}
    csi = {**source, "volumeAttributes": {POOL_ATTRIBUTE: "local-there"}}
    volume = a_volume_doc("x", storageClassName="any", csi=csi)
    del volume["spec"]["hostPath"]
    plant.put(VOLUMES, volume)
    plant.put(CLAIMS, a_claim_doc("there", class_="any", volumeName="x"))
    plant.ask("of-there", dataSource={"kind": "PersistentVolumeClaim", "name": "there"})
    assert plant.claim("there").phase == "Bound"
    assert "ProvisioningFailed" not in str(plant.events("of-there"))


def test_what_is_filled_from_a_backup_is_begun_by_the_chosen_host_alone(plant: PlacedPlant) -> None:
    plant.capacity("local", "10Gi")
    plant.capacity("local-there", "900Gi")
    source = {"apiGroup": "mooring.dev", "kind": "VolumeBackup", "name": "nightly"}
    plant.ask(dataSourceRef=source)
    assert (plant.maker(), plant.intents()) == (THERE, [])
