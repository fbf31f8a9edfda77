"""What CSIDriver, CSINode and CSIStorageCapacity refuse, and what they print. Semantics §19."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_create, admitted_update
from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc, Kind, Printing
from mooring.objects.kinds import csi
from mooring.store.schema import LATEST

NOW = "2026-01-01T00:00:00Z"


class Nothing:
    """A world without objects."""

    schema = LATEST

    def one(self, resource: str, key: str) -> Doc | None:
        return None

    def all(self, resource: str) -> list[Doc]:
        return []


def made(kind: Kind, doc: Doc) -> Doc:
    return admitted_create(kind, doc, Nothing(), NOW)


def changed(kind: Kind, doc: Doc, old: Doc) -> Doc:
    return admitted_update(kind, doc, old, Nothing(), NOW)


def refused(kind: Kind, doc: Doc, old: Doc | None = None) -> dict[str, str]:
    """{path: message}"""

    def write() -> Doc:
        return made(kind, doc) if old is None else changed(kind, doc, old)

    with pytest.raises(Invalid) as error:
        write()
    return {cause.field: cause.message for cause in error.value.causes}


def printed(kind: Kind, doc: Doc) -> dict[str, Any]:
    return {one.name: one.cell(doc, Printing(0.0)) for one in kind.columns if one.name != "Age"}


def a_driver(**spec: Any) -> Doc:
    return {"metadata": {"name": "d.example.com"}, "spec": spec}


def a_node(*drivers: Doc) -> Doc:
    return {"metadata": {"name": "n1"}, "spec": {"drivers": list(drivers)}}


def on_node(name: str = "d.example.com", **fields: Any) -> Doc:
    return {"name": name, "nodeID": "n1", "topologyKeys": ["kubernetes.io/hostname"], **fields}


def a_capacity(**fields: Any) -> Doc:
    metadata = {"name": "c", "namespace": "kube-system"}
    return {"metadata": metadata, "storageClassName": "fast", **fields}


def test_a_driver_attaches_volumes_and_counts_no_capacity_unless_it_says_otherwise() -> None:
    spec = made(csi.DRIVER, a_driver())["spec"]
    assert (spec["attachRequired"], spec["storageCapacity"]) == (True, False)
    assert spec["volumeLifecycleModes"] == ["Persistent"]


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("fsGroupPolicy", "Maybe", "spec.fsGroupPolicy"),
        ("volumeLifecycleModes", ["Sometimes"], "spec.volumeLifecycleModes"),
        ("tokenRequests", [{"audience": "a"}, {"audience": "a"}], "spec.tokenRequests[1].audience"),
    ],
)
def test_a_driver_has_no_values_that_there_are_not(field: str, value: Any, path: str) -> None:
    assert list(refused(csi.DRIVER, a_driver(**{field: value}))) == [path]


def test_of_a_driver_two_fields_stay() -> None:
    old = made(csi.DRIVER, a_driver())
    new = a_driver(attachRequired=False, volumeLifecycleModes=["Ephemeral"], storageCapacity=True)
    assert refused(csi.DRIVER, new, old) == {
        "spec.attachedRequired": "Invalid value: False: field is immutable",
        "spec.volumeLifecycleModes": "Invalid value: ['Ephemeral']: field is immutable",
    }
    assert changed(csi.DRIVER, a_driver(storageCapacity=True), old)


@pytest.mark.parametrize(
    ("driver", "paths"),
    [
        ({}, ["spec.drivers[0].name", "spec.drivers[0].nodeID"]),
        (on_node("a_b"), ["spec.drivers[0].name"]),
        (on_node("a" * 64), ["spec.drivers[0].name"]),
        (on_node(nodeID="n" * 257), ["spec.drivers[0].nodeID"]),
        (on_node(allocatable={"count": -1}), ["spec.drivers[0].allocatable.count"]),
        (on_node(topologyKeys=["zone", "zone"]), ["spec.drivers[0]"]),
        (on_node(topologyKeys=["a b"]), ["spec.drivers[0]"]),
    ],
)
def test_a_driver_on_a_node_is_named_and_says_who_the_node_is(
    driver: Doc, paths: list[str]
) -> None:
    assert list(refused(csi.NODE, a_node(driver))) == paths


def test_a_driver_is_once_on_a_node() -> None:
    told = refused(csi.NODE, a_node(on_node(), on_node()))
    assert told == {"spec.drivers[1].name": 'Duplicate value: "d.example.com"'}


def test_of_a_driver_on_a_node_only_the_limit_may_change() -> None:
    old = made(csi.NODE, a_node(on_node()))
    assert list(refused(csi.NODE, a_node(on_node(nodeID="other")), old)) == ["spec.drivers"]
    limited = on_node(allocatable={"count": 3})
    assert changed(csi.NODE, a_node(limited, on_node("e.com")), old)
    assert changed(csi.NODE, a_node(), old)


def test_sizes_of_a_capacity_become_canonical() -> None:
    found = made(csi.STORAGE_CAPACITY, a_capacity(capacity="1.5Gi", maximumVolumeSize="1024Mi"))
    assert (found["capacity"], found["maximumVolumeSize"]) == ("1536Mi", "1Gi")


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"capacity": "-1"}, ["capacity"]),
        ({"storageClassName": ""}, ["storageClassName"]),
        ({"storageClassName": "A_B"}, ["storageClassName"]),
        (
            {"nodeTopology": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            ["nodeTopology.matchExpressions[0].operator"],
        ),
    ],
)
def test_a_capacity_is_of_a_class_and_not_negative(fields: Doc, paths: list[str]) -> None:
    assert list(refused(csi.STORAGE_CAPACITY, a_capacity(**fields))) == paths


@pytest.mark.rule("19.8")
def test_of_a_capacity_topology_and_class_stay() -> None:
    here = {"matchLabels": {"kubernetes.io/hostname": "n1"}}
    old = made(csi.STORAGE_CAPACITY, a_capacity(nodeTopology=here, capacity="1Gi"))
    moved = a_capacity(nodeTopology={"matchLabels": {"a": "b"}}) | {"storageClassName": "slow"}
    told = refused(csi.STORAGE_CAPACITY, moved, old)
    assert list(told) == ["nodeTopology", "storageClassName"]
    assert all(message.endswith("field is immutable") for message in told.values())
    larger = a_capacity(nodeTopology=here, capacity="2Gi")
    assert changed(csi.STORAGE_CAPACITY, larger, old)


def test_what_is_printed() -> None:
    node = made(csi.NODE, a_node(on_node(), on_node("e.com")))
    assert printed(csi.NODE, node) == {"Name": "n1", "Drivers": 2}
    capacity = made(csi.STORAGE_CAPACITY, a_capacity(capacity="1024Mi"))
    assert printed(csi.STORAGE_CAPACITY, capacity) == {
        "Name": "c",
        "StorageClassName": "fast",
        "Capacity": "1Gi",
    }
