"""What a host tells of its drivers and of what they can still make. Semantics §19, §10."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.names import DIRECTORY_DRIVER, HOSTNAME, SELECTED_NODE
from mooring.objects.kind import Doc
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, CLASSES
from tests.controllers.test_scheduler import NODES, PODS, a_pod, add_node, pod_of, says
from tests.node.host_plant import HERE, HostPlant, a_pool, a_pool_class

POOLS, CSI_NODES = "pools.mooring.dev", "csinodes.storage.k8s.io"
CAPACITIES = StorageCapacity.resource
LATE = {"volumeBindingMode": "WaitForFirstConsumer"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostPlant]:
    plant = HostPlant(tmp_path)
    yield plant
    plant.close()


def add_pool(host: HostPlant, name: str = "small", capacity: str = "10Gi", **spec: Any) -> None:
    host.put(POOLS, a_pool(name, host.root.parent / name, capacity=capacity, **spec))


def told(host: HostPlant) -> dict[str, str]:
    """{class: how much is left}"""
    found = host.objects.all(CAPACITIES)
    return {one["storageClassName"]: one["capacity"] for one in found}


def delay(host: HostPlant, name: str = "db", size: str = "1Gi") -> None:
    resources = {"requests": {"storage": size}}
    host.put(CLAIMS, a_claim_doc(name, "small", resources=resources))


def test_a_host_tells_which_drivers_it_has(host: HostPlant) -> None:
    found = host.objects.one(CSI_NODES, HERE)
    assert found is not None
    drivers = {one["name"]: one for one in found["spec"]["drivers"]}
    assert drivers[DIRECTORY_DRIVER] == {
        "name": DIRECTORY_DRIVER,
        "nodeID": HERE,
        "topologyKeys": [HOSTNAME],
    }
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Node", HERE)
    driver = host.view(CsiDriver, DIRECTORY_DRIVER)
    assert driver is not None
    assert driver.tells_capacity


def test_drivers_of_others_on_the_node_stay(host: HostPlant) -> None:
    other = {"name": "example.com", "nodeID": "x", "topologyKeys": None}
    host.edit(CSI_NODES, HERE, lambda doc: doc["spec"]["drivers"].append(other))
    host.restart()
    found = host.objects.one(CSI_NODES, HERE)
    assert found is not None
    assert "example.com" in {one["name"] for one in found["spec"]["drivers"]}


def test_what_is_told_of_the_node_is_told_again_when_it_is_deleted(host: HostPlant) -> None:
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    host.delete(CSI_NODES, HERE)
    (entry,) = host.objects.cache.shelves[CAPACITIES].entries()
    host.delete(CAPACITIES, entry.key)
    host.pass_time(1)
    assert host.objects.one(CSI_NODES, HERE) is not None
    assert told(host) == {"small": "10Gi"}


def test_what_a_pool_has_left_is_told_for_each_class_that_waits(host: HostPlant) -> None:
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    assert told(host) == {"small": "10Gi"}
    (doc,) = host.objects.all(CAPACITIES)
    assert doc["metadata"]["namespace"] == "kube-system"
    assert doc["metadata"]["labels"] == {
        "csi.storage.k8s.io/drivername": DIRECTORY_DRIVER,
        "csi.storage.k8s.io/managed-by": f"external-provisioner-{HERE}",
    }
    assert doc["nodeTopology"] == {"matchLabels": {HOSTNAME: HERE}}
    assert [one["kind"] for one in doc["metadata"]["ownerReferences"]] == ["Node"]


def test_it_follows_the_volumes_of_the_pool_a_second_apart(host: HostPlant) -> None:
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    host.put(CLASSES, a_pool_class("at-once") | {"parameters": {"pool": "small"}})
    for number in range(5):
        host.put(CLAIMS, a_claim_doc(f"c{number}", "at-once"))
    (before,) = host.objects.cache.shelves[CAPACITIES].entries()
    assert told(host) == {"small": "10Gi"}
    host.pass_time(1)
    assert told(host) == {"small": "5Gi"}
    host.drop("c0")
    host.pass_time(1)
    assert told(host) == {"small": "6Gi"}
    (after,) = host.objects.cache.shelves[CAPACITIES].entries()
    assert after.revision > before.revision


def test_what_is_as_it_was_is_not_written(host: HostPlant) -> None:
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    (before,) = host.objects.cache.shelves[CAPACITIES].entries()
    host.edit(POOLS, "small", lambda doc: doc["metadata"].update(labels={"a": "b"}))
    host.pass_time(1)
    host.restart()
    host.pass_time(1)
    (after,) = host.objects.cache.shelves[CAPACITIES].entries()
    assert after.revision == before.revision


def test_a_pool_without_a_limit_has_what_its_disk_has(host: HostPlant) -> None:
    host.put(CLASSES, a_pool_class("disk", **LATE) | {"parameters": {"pool": "local"}})
    (capacity,) = host.objects.views(StorageCapacity)
    assert capacity.limit is not None
    assert capacity.limit.bytes() > 0


@pytest.mark.parametrize("how", ["class deleted", "class of another pool", "pool deleted"])
def test_what_is_there_no_longer_is_not_told(host: HostPlant, how: str) -> None:
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    if how == "pool deleted":
        host.delete(POOLS, "small")
        host.pass_time(1)
    else:
        host.restart(lambda: None)
        host.delete(CLASSES, "small")
        host.settle()
    if how == "class of another pool":
        host.put(CLASSES, a_pool_class("small", **LATE) | {"parameters": {"pool": "none"}})
    host.pass_time(1)
    assert told(host) == {}


# And what the scheduler makes of it


def test_a_pod_is_placed_where_its_volume_can_be_made(host: HostPlant) -> None:
    add_node(host, "n1")
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    delay(host)
    host.put(PODS, a_pod("db"))
    assert pod_of(host).node_name == HERE
    assert host.made().pool == "small"
    assert host.claim().annotations[SELECTED_NODE] == HERE


def test_a_pod_waits_until_there_is_room(host: HostPlant) -> None:
    add_pool(host, capacity="1Gi")
    host.put(CLASSES, a_pool_class("small", **LATE))
    delay(host, size="2Gi")
    host.put(PODS, a_pod("db"))
    no_space = "0/1 nodes are available: 1 node(s) did not have enough free storage."
    assert says(host) == ("False", "Unschedulable", no_space)
    host.edit(POOLS, "small", lambda doc: doc["spec"].update(capacity="2Gi"))
    host.pass_time(1)
    assert pod_of(host).node_name == HERE


@pytest.mark.rule("2.7", "10.26")
def test_a_node_that_cannot_make_the_volume_after_all_is_given_up(host: HostPlant) -> None:
    """The pool has room, and this namespace may not take it: no capacity tells that."""
    add_pool(host, namespaces=[{"name": "other"}])
    host.put(CLASSES, a_pool_class("small", **LATE))
    delay(host)
    host.put(PODS, a_pod("db"))
    assert SELECTED_NODE not in host.claim().annotations
    status, reason, message = says(host)
    assert (status, reason) == ("False", "SchedulerError")
    assert message.endswith('selectedNode annotation reset for PVC "db"')
    host.edit(POOLS, "small", lambda doc: doc["spec"].pop("namespaces"))
    host.pass_time(5)
    host.pass_time(5)
    assert pod_of(host).node_name == HERE


def test_a_container_on_its_host_does_not_give_it_up(host: HostPlant) -> None:
    add_pool(host, namespaces=[{"name": "other"}])
    host.put(CLASSES, a_pool_class("small", **LATE))
    doc: Doc = a_claim_doc("db", "small")
    doc["metadata"]["annotations"] = {SELECTED_NODE: HERE}
    host.put(CLAIMS, doc)
    assert host.claim().annotations[SELECTED_NODE] == HERE
    assert ("Warning", "ProvisioningFailed") in host.told("db")


def test_a_cordoned_host_gets_no_pod(host: HostPlant) -> None:
    add_pool(host)
    host.put(CLASSES, a_pool_class("small", **LATE))
    host.edit(NODES, HERE, lambda doc: doc.setdefault("spec", {}).update(unschedulable=True))
    delay(host)
    host.put(PODS, a_pod("db"))
    assert says(host)[2] == "0/1 nodes are available: 1 node(s) were unschedulable."
