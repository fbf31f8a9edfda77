"""Labels of Nodes go where homes of volumes go, and copies go with their hosts."""

from collections.abc import Iterator

import pytest

from mooring.model.home import Copy, CopyState, copies_text
from mooring.model.names import BTRFS_DRIVER, COPIES, ELSEWHERE, HOME, HOME_LABEL, POOL_ATTRIBUTE
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.objects.kind import Doc
from tests.controllers.plant import VOLUMES, Plant

LABEL = HOME_LABEL + "v"
THERE = Copy(node="b", pool="pb", state=CopyState.LEAVING, size="1Gi")


@pytest.fixture
def plant() -> Iterator[Plant]:
    made = Plant()
    for name in ("a", "b", "c"):
        made.create("nodes", {"metadata": {"name": name}})
        spec = {"driver": BTRFS_DRIVER, "node": name, "root": f"/srv/{name}"}
        made.create(Pool.resource, {"metadata": {"name": f"p{name}"}, "spec": spec})
    made.settle()
    yield made
    made.close()


def put(plant: Plant, home: str = "a/pa", *copies: Copy) -> None:
    csi = {"driver": BTRFS_DRIVER, "volumeHandle": "v", "volumeAttributes": {POOL_ATTRIBUTE: "pa"}}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": csi}
    told = {HOME: home, ELSEWHERE: "move"}
    assert plant.create(VOLUMES, {"metadata": {"name": "v", "annotations": told}, "spec": spec})
    for count in range(len(copies)):
        change(plant, **{COPIES: copies_text(copies[: count + 1])})
    plant.settle()


def change(plant: Plant, **annotations: str) -> None:
    def changed(doc: Doc) -> None:
        doc["metadata"]["annotations"] |= annotations

    assert plant.edit(VOLUMES, "v", changed)
    plant.settle()


def labelled(plant: Plant) -> list[str]:
    nodes = (plant.view(Node, name) for name in ("a", "b", "c"))
    return [node.name for node in nodes if node is not None and LABEL in node.labels]


def charged(plant: Plant) -> list[int]:
    pools = (plant.view(Pool, name) for name in ("pa", "pb", "pc"))
    return [pool.status.volumes for pool in pools if pool is not None]


def test_the_label_is_where_the_home_is(plant: Plant) -> None:
    put(plant, "a/pa", Copy(node="b", pool="pb", size="1Gi"))
    assert labelled(plant) == ["a"]
    left = Copy(node="a", pool="pa", state=CopyState.LEAVING, size="1Gi")
    change(plant, **{HOME: "b/pb", COPIES: copies_text((left,))})
    assert labelled(plant) == ["b"]


def test_it_goes_with_the_volume_also_if_nobody_looked(plant: Plant) -> None:
    put(plant)
    plant.delete(VOLUMES, "v")
    plant.settle()
    assert labelled(plant) == []
    plant.edit("nodes", "c", lambda doc: doc["metadata"].update(labels={LABEL: "true"}))
    plant.restart()
    plant.settle()
    assert labelled(plant) == []


def test_a_node_that_is_made_anew_has_it_again(plant: Plant) -> None:
    put(plant)
    plant.delete("nodes", "a")
    plant.settle()
    assert labelled(plant) == []
    plant.create("nodes", {"metadata": {"name": "a"}})
    plant.settle()
    assert labelled(plant) == ["a"]


def test_what_a_host_had_goes_with_it_and_its_charge(plant: Plant) -> None:
    put(plant, "a/pa", THERE, Copy(node="c", pool="pc", size="1Gi"))
    assert charged(plant) == [1, 1, 1]
    plant.delete("nodes", "b")
    plant.delete("nodes", "c")
    plant.settle()
    assert charged(plant) == [1, 0, 0]
