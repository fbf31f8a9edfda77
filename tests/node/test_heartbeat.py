"""A node is Ready while its agent lives, and unknown when its Lease has run out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.names import HOSTNAME
from mooring.model.node import NODE_LEASES, Node
from mooring.objects.kind import Doc
from tests.node.host_plant import HERE, HostPlant

LEASES = "leases.coordination.k8s.io"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[HostPlant]:
    made = HostPlant(tmp_path)
    yield made
    made.close()


def node(plant: HostPlant, name: str = HERE) -> Node:
    found = plant.view(Node, name)
    assert found is not None
    return found


def lease(plant: HostPlant, name: str = HERE) -> Doc:
    found = plant.objects.one(LEASES, f"{NODE_LEASES}/{name}")
    assert found is not None
    return found


def ready(plant: HostPlant, name: str = HERE) -> Doc:
    doc = plant.objects.one("nodes", name)
    assert doc is not None
    found: Doc = next(one for one in doc["status"]["conditions"] if one["type"] == "Ready")
    return found


def test_a_node_is_ready_and_has_its_lease_once_the_agent_runs(plant: HostPlant) -> None:
    assert node(plant).is_ready
    assert node(plant).labels[HOSTNAME] == HERE
    assert ready(plant)["reason"] == "AgentReady"
    spec = lease(plant)["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == (HERE, 15)


def test_each_beat_renews_the_lease_and_leaves_the_node_alone(plant: HostPlant) -> None:
    renewed, revision = lease(plant)["spec"]["renewTime"], node(plant).metadata.resource_version
    plant.clock.move(10)
    plant.beat()
    assert lease(plant)["spec"]["renewTime"] > renewed
    assert node(plant).metadata.resource_version == revision


def test_the_condition_is_dated_now_and_then_and_keeps_since_when_it_holds(
    plant: HostPlant,
) -> None:
    before = ready(plant)
    plant.clock.move(300)
    plant.beat()
    after = ready(plant)
    assert after["lastHeartbeatTime"] == plant.clock.text
    assert after["lastTransitionTime"] == before["lastTransitionTime"]


def test_what_an_admin_wrote_to_the_node_stays(plant: HostPlant) -> None:
    other = {"type": "DiskPressure", "status": "False"}
    plant.edit("nodes", HERE, lambda doc: doc["metadata"]["labels"].update(rack="a"))
    plant.edit("nodes", HERE, lambda doc: doc["status"]["conditions"].append(other), "status")
    plant.restart()
    assert node(plant).labels["rack"] == "a"
    doc = plant.objects.one("nodes", HERE)
    assert doc is not None
    assert other in doc["status"]["conditions"]


def test_a_node_and_a_lease_that_were_deleted_come_back(plant: HostPlant) -> None:
    plant.delete("nodes", HERE)
    plant.delete(LEASES, f"{NODE_LEASES}/{HERE}")
    plant.beat()
    assert node(plant).is_ready
    assert lease(plant)["spec"]["holderIdentity"] == HERE


# Another host, whose agent this test plays


def another(plant: HostPlant, renewed: str = "2026-01-02T03:04:05.000000Z") -> None:
    spec = {"holderIdentity": "far", "leaseDurationSeconds": 40, "renewTime": renewed}
    kind = plant.objects.kinds[LEASES]
    doc = {"metadata": {"name": "far"}, "spec": spec}
    plant.together(plant.objects.create(kind, NODE_LEASES, doc))
    plant.put("nodes", {"metadata": {"name": "far"}})
    condition = {"type": "Ready", "status": "True"}
    plant.edit("nodes", "far", lambda doc: doc.update(status={"conditions": [condition]}), "status")
    plant.settle()


def renew(plant: HostPlant) -> None:
    when = f"{plant.clock.text[:-1]}.000000Z"
    key = f"{NODE_LEASES}/far"
    assert plant.edit(LEASES, key, lambda doc: doc["spec"].update(renewTime=when))


def test_a_node_whose_lease_was_not_renewed_in_time_is_unknown(plant: HostPlant) -> None:
    another(plant)
    plant.pass_time(39)
    assert node(plant, "far").is_ready
    plant.pass_time(1)
    assert ready(plant, "far")["status"] == "Unknown"
    assert ready(plant, "far")["reason"] == "NodeStatusUnknown"
    assert ready(plant, "far")["lastTransitionTime"] == plant.clock.text


def test_a_node_whose_lease_is_renewed_stays_ready(plant: HostPlant) -> None:
    another(plant)
    for _ in range(5):
        plant.clock.move(20)
        renew(plant)
        plant.pass_time(19)
        assert node(plant, "far").is_ready


def test_the_clocks_of_the_hosts_need_not_agree(plant: HostPlant) -> None:
    another(plant, renewed="1999-01-01T00:00:00.000000Z")
    plant.pass_time(39)
    assert node(plant, "far").is_ready


def test_after_a_start_each_node_has_a_full_term(plant: HostPlant) -> None:
    another(plant)
    plant.pass_time(39)
    plant.restart()
    plant.settle()
    plant.pass_time(39)
    assert node(plant, "far").is_ready
    plant.pass_time(1)
    assert not node(plant, "far").is_ready


def test_a_node_that_no_agent_looks_after_is_left_alone(plant: HostPlant) -> None:
    plant.put("nodes", {"metadata": {"name": "plain"}})
    before = node(plant, "plain")
    plant.pass_time(1000)
    assert node(plant, "plain") == before
