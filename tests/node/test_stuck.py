"""An agent and a pool that is away: everything else goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.names import USED
from mooring.rules.use import KEPT_S
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS
from tests.host.privileges import needs_mounts
from tests.node.host_plant import a_pool, a_pool_class
from tests.node.test_use import UsePlant

pytestmark = needs_mounts


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[UsePlant]:
    made = UsePlant(tmp_path)
    made.put(CLAIMS, a_claim_doc(class_="local"))
    yield made
    made.sweep(KEPT_S + 1)
    made.close()


def test_an_agent_starts_though_the_pool_of_a_volume_that_nobody_uses_is_away(
    plant: UsePlant, tmp_path: Path
) -> None:
    plant.give()
    plant.clock.move(KEPT_S + 1)
    plant.restart(meanwhile=lambda: plant.root.rename(tmp_path / "away"))
    assert (plant.users(), plant.is_at_hand(), plant.attachments()) == ([], False, [])
    (tmp_path / "away").rename(plant.root)


def test_a_pool_that_is_away_is_in_no_other_pools_way(plant: UsePlant, tmp_path: Path) -> None:
    plant.put("pools.mooring.dev", a_pool("other", tmp_path / "other"))
    plant.put("storageclasses.storage.k8s.io", a_pool_class("other"))
    plant.restart(meanwhile=lambda: plant.root.rename(tmp_path / "away"))
    plant.put(CLAIMS, a_claim_doc("beside", class_="other"))
    plant.give(key="default/beside")
    assert plant.made("beside").annotations[USED] == "true"
    (tmp_path / "away").rename(plant.root)
    plant.take(key="default/beside")
