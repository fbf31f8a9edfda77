"""A pool that several hosts have: one makes a volume, and none deletes what another uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from mooring.model.claim import Claim
from mooring.model.names import MAKER
from mooring.node.attachments import Attachments
from mooring.node.provisioning import MAKER_LOOK_S
from mooring.objects.kind import Doc
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS
from tests.node.host_plant import HERE, HostPlant

THERE = "there"


class SharedPlant(HostPlant):
    pool_spec: ClassVar[Doc] = {"node": "", "directory": {"shared": True}}

    def ask(self, maker: str = "") -> None:
        """For a volume, which a host may have been first to make."""
        doc = a_claim_doc(class_="local")
        if maker:
            doc["metadata"]["annotations"] = {MAKER: maker}
        self.put(CLAIMS, doc)
        self.settle()

    def another(self, ready: str) -> None:
        """Another host."""
        self.create("nodes", {"metadata": {"name": THERE}})
        condition = {"type": "Ready", "status": ready}
        self.edit(
            "nodes", THERE, lambda doc: doc.update(status={"conditions": [condition]}), "status"
        )

    def maker(self) -> str:
        found = self.view(Claim, "default/db")
        assert found is not None
        return found.annotations.get(MAKER, "")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[SharedPlant]:
    made = SharedPlant(tmp_path)
    yield made
    made.close()


def test_a_host_that_is_alone_makes_it_without_a_word(plant: SharedPlant) -> None:
    plant.ask()
    assert (len(plant.assets()), plant.maker()) == (1, "")


def test_of_several_the_one_makes_it_that_has_said_so_first(plant: SharedPlant) -> None:
    plant.another("True")
    plant.ask()
    assert (len(plant.assets()), plant.maker()) == (1, HERE)


def test_what_another_makes_is_left_to_it_while_it_lives(plant: SharedPlant) -> None:
    plant.another("True")
    plant.ask(THERE)
    plant.pass_time(MAKER_LOOK_S)
    assert (plant.assets(), plant.maker()) == ([], THERE)
    plant.another("Unknown")
    plant.pass_time(MAKER_LOOK_S)
    assert (len(plant.assets()), plant.maker()) == (1, HERE)


def test_what_another_has_is_not_deleted_before_it_has_let_go(plant: SharedPlant) -> None:
    plant.ask()
    there = Attachments(plant.objects, THERE, print)
    volume = plant.made()
    plant._run(there.intend(volume))
    plant.drop()
    assert len(plant.assets()) == 1
    assert "is still used on there" in str(plant.events())
    plant._run(there.detach(volume.name))
    plant.pass_time(60)
    assert plant.assets() == []
    there.stop()
