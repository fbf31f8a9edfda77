"""Cells of printed tables, one by one. Storage semantics §17; whole tables: tests/system."""

from typing import Any

import pytest

from mooring.objects.kind import Doc, Kind, Printing
from mooring.objects.printing import duration
from tests.objects.storage_making import CLAIM, CLASS, VOLUME, claim, class_, made, volume
from tests.spec.plugin import case

MADE_S = 1_767_225_600.0  # 2026-01-01
BETA = "volume.beta.kubernetes.io/storage-class"
GA = "storageclass.kubernetes.io/is-default-class"
DEFAULT_BETA = "storageclass.beta.kubernetes.io/is-default-class"


def cells(kind: Kind, doc: Doc, age_s: float = 0.0) -> dict[str, Any]:
    return {one.name: one.cell(doc, Printing(MADE_S + age_s)) for one in kind.columns}


def stored(kind: Kind, doc: Doc, **status: Any) -> Doc:
    """As it is once controllers have written its status."""
    new = made(kind, doc)
    return {**new, "status": {**new["status"], **status}}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        case(
            "17.1",
            VOLUME,
            "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, "
            "VolumeAttributesClass, Reason, Age, VolumeMode",
        ),
        case(
            "17.8",
            CLAIM,
            "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, "
            "Age, VolumeMode",
        ),
        case(
            "17.11",
            CLASS,
            "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
        ),
    ],
)
def test_17_columns_are_in_kubernetes_order(kind: Kind, names: str) -> None:
    assert ", ".join(one.name for one in kind.columns) == names


@pytest.mark.rule("17.16")
@pytest.mark.parametrize(("kind", "wide"), [(VOLUME, ["VolumeMode"]), (CLAIM, ["VolumeMode"]),
                                            (CLASS, [])])  # fmt: skip
def test_17_wide_columns_have_priority_1(kind: Kind, wide: list[str]) -> None:
    assert [one.name for one in kind.columns if one.priority == 1] == wide
    assert {one.priority for one in kind.columns} <= {0, 1}


@pytest.mark.parametrize(
    ("doc", "column", "cell"),
    [
        case("17.2", volume(capacity={"storage": "2048Mi"}), "Capacity", "2Gi"),
        case(
            "17.3",
            volume(accessModes=["ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce", "ReadWriteMany"]),
            "Access Modes",
            "RWO,ROX,RWX",
        ),
        case("17.3", volume(accessModes=["ReadWriteOncePod"]), "Access Modes", "RWOP"),
        case("17.5", volume(claimRef={"namespace": "n", "name": "c"}), "Claim", "n/c"),
        case("17.5", volume(), "Claim", ""),
        case("17.6", volume(storageClassName="c"), "StorageClass", "c"),
        case(
            "17.6",
            volume({"annotations": {BETA: "old"}}, storageClassName="c"),
            "StorageClass",
            "old",
        ),
        case("17.7", volume(), "VolumeAttributesClass", "<unset>"),
    ],
)
def test_17_a_volume_shows(doc: Doc, column: str, cell: str) -> None:
    assert cells(VOLUME, stored(VOLUME, doc))[column] == cell


@pytest.mark.rule("17.7")
@pytest.mark.parametrize(("kind", "doc"), [(VOLUME, volume()), (CLAIM, claim())])
def test_17_a_volume_mode_from_before_there_were_any_is_unset(kind: Kind, doc: Doc) -> None:
    old = made(kind, doc)
    assert cells(kind, old)["VolumeMode"] == "Filesystem"
    del old["spec"]["volumeMode"]
    assert cells(kind, old)["VolumeMode"] == "<unset>"


HAS = {"phase": "Bound", "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]}


@pytest.mark.parametrize(
    ("spec", "status", "printed"),
    [
        case("17.9", {"volumeName": "v"}, HAS, ("5Gi", "RWO")),
        case("17.9", {}, HAS, ("", "")),
        case("17.10", {"volumeName": "v"}, {}, ("0", "")),
    ],
)
def test_17_a_claim_shows_what_its_status_has_once_it_names_a_volume(
    spec: Doc, status: Doc, printed: tuple[str, str]
) -> None:
    found = cells(CLAIM, stored(CLAIM, claim(**spec), **status))
    assert (found["Capacity"], found["Access Modes"]) == printed


@pytest.mark.rule("17.6")
def test_17_a_claim_shows_the_class_that_counts() -> None:
    doc = made(CLAIM, claim({"annotations": {BETA: "old"}}, storageClassName="c"))
    assert cells(CLAIM, doc)["StorageClass"] == "old"


@pytest.mark.rule("17.4")
@pytest.mark.parametrize(("kind", "doc"), [(VOLUME, volume()), (CLAIM, claim())])
def test_17_what_is_being_deleted_is_terminating(kind: Kind, doc: Doc) -> None:
    old = stored(kind, doc, phase="Bound")
    assert cells(kind, old)["Status"] == "Bound"
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert cells(kind, old)["Status"] == "Terminating"


@pytest.mark.parametrize(
    ("fields", "column", "cell"),
    [
        case("17.13", {}, "ReclaimPolicy", "Delete"),
        case("17.13", {}, "VolumeBindingMode", "Immediate"),
        case("17.13", {}, "AllowVolumeExpansion", "false"),
        case("17.11", {"allowVolumeExpansion": True}, "AllowVolumeExpansion", "true"),
        case("17.12", {"metadata": {"name": "s", "annotations": {GA: "true"}}}, "Name",
             "s (default)"),
        case("17.12", {"metadata": {"name": "s", "annotations": {DEFAULT_BETA: "true"}}}, "Name",
             "s (default)"),
        case("17.12", {"metadata": {"name": "s", "annotations": {GA: "True"}}}, "Name", "s"),
    ],
)  # fmt: skip
def test_17_a_class_shows(fields: Doc, column: str, cell: str) -> None:
    """Also one that was stored before there were defaults."""
    assert cells(CLASS, {**class_(), **fields})[column] == cell


@pytest.mark.rule("17.14")
@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 120, "5h2m"),
        (8 * 3600 + 120, "8h"),
        (47 * 3600, "47h"),
        (51 * 3600, "2d3h"),
        (8 * 86400 + 3600, "8d"),
        (40 * 86400, "40d"),
        (729 * 86400, "729d"),
        (740 * 86400, "2y10d"),
        (8 * 365 * 86400 + 86400, "8y"),
    ],
)
def test_17_ages_are_short(length_s: float, text: str) -> None:
    assert duration(length_s) == text
    doc = {**made(VOLUME, volume({"creationTimestamp": "2026-01-01T00:00:00Z"}))}
    assert cells(VOLUME, doc, length_s)["Age"] == text


@pytest.mark.rule("17.15")
@pytest.mark.parametrize(("kind", "doc"), [(VOLUME, volume()), (CLAIM, claim()), (CLASS, class_())])
def test_17_an_object_without_a_time_is_of_unknown_age(kind: Kind, doc: Doc) -> None:
    assert cells(kind, made(kind, doc))["Age"] == "<unknown>"
