"""What claims default and refuse. Storage semantics §1.2, §14, §18, by field path and reason."""

import pytest

from mooring.objects.admission import admitted_update
from mooring.objects.errors import Forbidden
from mooring.objects.kind import Doc
from tests.objects.storage_making import (
    CLAIM,
    NOW,
    World,
    asking,
    bound,
    changed,
    claim,
    made,
    refusals,
)
from tests.spec.plugin import case


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        case("1.2.2", {"accessModes": []}, {"spec.accessModes": "Required"}),
        case("1.2.3", {"accessModes": ["RWO"]}, {"spec.accessModes": "NotSupported"}),
        case(
            "1.2.4",
            {"accessModes": ["ReadWriteMany", "ReadWriteOncePod"]},
            {"spec.accessModes": "Forbidden"},
        ),
        case("1.2.8", {"resources": None}, {"spec.resources[storage]": "Required"}),
        case("1.2.8", {"resources": {"requests": {}}}, {"spec.resources[storage]": "Required"}),
        case("1.2.9", asking("0"), {"spec.resources[storage]": "Invalid"}),
        case("1.2.9", asking("-1Gi"), {"spec.resources[storage]": "Invalid"}),
        case("1.2.10", asking("1500m"), {}),
        case("1.2.15", {"storageClassName": "A_b"}, {"spec.storageClassName": "Invalid"}),
        case("1.2.15", {"storageClassName": ""}, {}),
        case("1.2.19", {"volumeName": "A b"}, {}),
        case("1.2.23", {"volumeMode": "Raw"}, {"spec.volumeMode": "NotSupported"}),
        case(
            "1.2.27",
            {"volumeAttributesClassName": "A_b"},
            {"spec.volumeAttributesClassName": "Invalid"},
        ),
        case("1.2.27", {"volumeAttributesClassName": ""}, {}),
    ],
)
def test_1_2_a_claim_is_refused_by_the_path_of_what_is_wrong(
    spec: Doc, expected: dict[str, str]
) -> None:
    assert refusals(CLAIM, claim(**spec)) == expected


@pytest.mark.rule("1.2.22")
def test_1_2_a_claim_that_says_no_volume_mode_is_of_file_systems() -> None:
    assert made(CLAIM, claim())["spec"]["volumeMode"] == "Filesystem"


@pytest.mark.rule("1.2.14")
@pytest.mark.parametrize("said", [{}, {"storageClassName": ""}])
def test_1_2_no_class_and_an_empty_one_are_kept_as_they_were_said(said: Doc) -> None:
    spec = made(CLAIM, claim(**said))["spec"]
    assert {key: spec[key] for key in spec if key == "storageClassName"} == said


EXPRESSION = "spec.selector.matchExpressions[0]"


@pytest.mark.rule("1.2.6")
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"a b": "c"}}, {"spec.selector.matchLabels": "Invalid"}),
        ({"matchLabels": {"a": "b c"}}, {"spec.selector.matchLabels": "Invalid"}),
        (
            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
            {f"{EXPRESSION}.operator": "Invalid"},
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            {f"{EXPRESSION}.values": "Required"},
        ),
        (
            {"matchExpressions": [{"key": "", "operator": "Exists", "values": ["1"]}]},
            {f"{EXPRESSION}.key": "Invalid", f"{EXPRESSION}.values": "Forbidden"},
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]},
            {f"{EXPRESSION}.values[0]": "Invalid"},
        ),
    ],
)
def test_1_2_a_selector_of_a_claim_must_be_one(selector: Doc, expected: dict[str, str]) -> None:
    assert refusals(CLAIM, claim(selector=selector)) == expected


BETA = "volume.beta.kubernetes.io/storage-class"
REQUEST = "spec.resources.requests.storage"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        case("1.2.5", {}, {"accessModes": ["ReadOnlyMany"]}, {"spec": "Forbidden"}),
        case("1.2.7", {}, {"selector": {}}, {"spec": "Forbidden"}),
        case("1.2.11 1.4.8 14.1 22.11", {}, asking("2Gi"), {"spec": "Forbidden"}),
        ({}, asking("1073741824"), {}),
        case("1.2.24", {}, {"volumeMode": "Block"}, {"spec": "Forbidden", "volumeMode": "Invalid"}),
        case("1.2.20", {}, {"volumeName": "v"}, {}),
        case("1.2.21", {"volumeName": "v"}, {"volumeName": "w"}, {"spec": "Forbidden"}),
        case("1.2.21", {"volumeName": "v"}, {"volumeName": None}, {"spec": "Forbidden"}),
        case("1.2.16", {}, {"storageClassName": "x"}, {}),
        case("1.2.16", {}, {"storageClassName": ""}, {}),
        case("1.2.17", {"storageClassName": ""}, {"storageClassName": "x"}, {"spec": "Forbidden"}),
        case(
            "1.2.17", {"storageClassName": "x"}, {"storageClassName": None}, {"spec": "Forbidden"}
        ),
        case("1.2.29", {}, {"volumeAttributesClassName": "x"}, {"spec": "Forbidden"}),
    ],
)
def test_1_2_what_may_change_of_a_pending_claim(before: Doc, after: Doc, expected: Doc) -> None:
    old = made(CLAIM, claim(**before))
    assert refusals(CLAIM, changed(old, **after), old) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        case("1.2.13 14.5", asking("2Gi"), asking("1Gi"), {REQUEST: "Forbidden"}),
        case("14.6", asking("3Gi"), asking("2Gi"), {}),
        case("1.2.28", {}, {"volumeAttributesClassName": "x"}, {}),
        case(
            "1.2.30",
            {"volumeAttributesClassName": "x"},
            {"volumeAttributesClassName": None},
            {"spec.volumeAttributesClassName": "Forbidden"},
        ),
        case(
            "1.2.30",
            {"volumeAttributesClassName": "x"},
            {"volumeAttributesClassName": ""},
            {"spec.volumeAttributesClassName": "Forbidden"},
        ),
    ],
)
def test_1_2_what_may_change_of_a_bound_claim(before: Doc, after: Doc, expected: Doc) -> None:
    old = bound(made(CLAIM, claim(**before)))
    assert refusals(CLAIM, changed(old, **after), old) == expected


@pytest.mark.rule("1.2.18", "1.2.34")
def test_1_2_a_class_known_by_annotation_may_be_said_in_the_spec_too() -> None:
    old = made(CLAIM, claim({"annotations": {BETA: "gold"}}))
    assert refusals(CLAIM, changed(old, storageClassName="gold"), old) == {}
    assert refusals(CLAIM, changed(old, storageClassName="lead"), old) == {"spec": "Forbidden"}
    lost = changed(old, {"annotations": {}})
    assert refusals(CLAIM, lost, old) == {f"metadata.annotations.{BETA}": "Invalid"}


GROWS: Doc = {"metadata": {"name": "grows"}, "allowVolumeExpansion": True}
FIXED: Doc = {"metadata": {"name": "fixed"}}


@pytest.mark.rule("1.2.12", "14.2", "14.3", "22.11")
@pytest.mark.parametrize(
    ("class_name", "grows"), [("grows", True), ("fixed", False), ("gone", False), ("", False)]
)
def test_14_a_bound_claim_grows_if_its_class_allows_it_now(class_name: str, grows: bool) -> None:
    old = bound(made(CLAIM, claim(storageClassName=class_name)))
    new, world = changed(old, **asking("2Gi")), World(GROWS, FIXED)
    if grows:
        admitted_update(CLAIM, new, old, world, NOW)
        return
    with pytest.raises(Forbidden):
        admitted_update(CLAIM, new, old, world, NOW)


@pytest.mark.rule("14.2")
def test_14_a_class_that_a_claim_gets_in_the_same_write_does_not_count() -> None:
    old = bound(made(CLAIM, claim()))
    new = changed(old, storageClassName="grows", **asking("2Gi"))
    with pytest.raises(Forbidden):
        admitted_update(CLAIM, new, old, World(GROWS), NOW)


CLONED = {"kind": "PersistentVolumeClaim", "name": "other"}
OTHER = {"apiGroup": "example.com", "kind": "Image", "name": "other"}
BOTH = ("dataSource", "dataSourceRef")
FOREIGN = {"apiGroup": "example.com", "kind": "Image", "name": "i"}


@pytest.mark.rule("18.1", "18.3", "22.12")
def test_18_a_source_is_copied_into_its_mirror_and_an_unknown_one_dropped() -> None:
    spec = made(CLAIM, claim(dataSource=CLONED))["spec"]
    assert spec["dataSourceRef"] == CLONED
    assert "dataSource" not in made(CLAIM, claim(dataSource=dict(FOREIGN)))["spec"]
    spec = made(CLAIM, claim(dataSourceRef=dict(FOREIGN)))["spec"]
    assert spec["dataSource"] == spec["dataSourceRef"] == FOREIGN
    assert "dataSource" not in made(CLAIM, claim(dataSource={}))["spec"]


@pytest.mark.rule("18.4", "18.9")
def test_18_a_source_in_another_namespace_is_dropped_and_none_of_its_name_taken_instead() -> None:
    far = {**CLONED, "namespace": "far"}
    spec = made(CLAIM, claim(dataSourceRef=far))["spec"]
    assert not {"dataSource", "dataSourceRef"} & set(spec)
    spec = made(CLAIM, claim(dataSourceRef=far, dataSource=dict(CLONED)))["spec"]
    assert spec["dataSource"] == spec["dataSourceRef"] == CLONED
    near = {**CLONED, "namespace": ""}
    assert made(CLAIM, claim(dataSourceRef=near))["spec"]["dataSource"] == CLONED


@pytest.mark.rule("18.4")
def test_18_a_source_in_another_namespace_that_is_stored_gets_no_mirror() -> None:
    old = made(CLAIM, claim())
    old["spec"]["dataSourceRef"] = {**CLONED, "namespace": "far"}
    new = changed(old)
    admitted_update(CLAIM, new, old, World(), NOW)
    assert new["spec"] == old["spec"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        case(
            "18.5",
            {"dataSourceRef": {}},
            {
                **{f"spec.{one}.{key}": "Required" for one in BOTH for key in ("name", "kind")},
                **dict.fromkeys([f"spec.{one}" for one in BOTH], "Invalid"),
            },
        ),
        case(
            "18.6",
            {"dataSourceRef": {"kind": "Image", "name": "i"}},
            dict.fromkeys([f"spec.{one}" for one in BOTH], "Invalid"),
        ),
        (
            {"dataSourceRef": {**FOREIGN, "apiGroup": "Not.A_Group"}},
            dict.fromkeys([f"spec.{one}.apiGroup" for one in BOTH], "Invalid"),
        ),
        case("18.7", {"dataSource": CLONED, "dataSourceRef": FOREIGN}, {"spec": "Invalid"}),
        case("18.2 22.12", {"dataSource": FOREIGN, "dataSourceRef": FOREIGN}, {}),
        ({"dataSource": CLONED, "dataSourceRef": {**CLONED, "apiGroup": ""}}, {"spec": "Invalid"}),
    ],
)
def test_18_a_source_is_refused_by_the_path_of_what_is_wrong(spec: Doc, expected: Doc) -> None:
    copies = {key: dict(value) for key, value in spec.items()}
    assert refusals(CLAIM, claim(**copies)) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        case("1.2.26", {"dataSource": None}, {}),
        case("1.2.26 18.2", {"dataSourceRef": None}, {}),
        case("1.2.25", {"dataSource": None, "dataSourceRef": None}, {"spec": "Forbidden"}),
        case("1.2.25", {"dataSource": None, "dataSourceRef": OTHER}, {"spec": "Forbidden"}),
        ({"dataSourceRef": {**CLONED, "namespace": "far"}}, {"spec": "Forbidden"}),
    ],
)
@pytest.mark.parametrize("source", [CLONED, FOREIGN])
def test_18_a_client_may_leave_out_one_of_the_mirrored_sources(
    after: Doc, expected: Doc, source: Doc
) -> None:
    old = made(CLAIM, claim(dataSourceRef=dict(source)))
    assert refusals(CLAIM, changed(old, **after), old) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        case("18.1", {"dataSource": FOREIGN}, {}),
        ({"dataSourceRef": {**FOREIGN, "namespace": "far"}}, {}),
        case("1.2.25", {"dataSource": CLONED}, {"spec": "Forbidden"}),
        ({"dataSourceRef": FOREIGN}, {"spec": "Forbidden"}),
    ],
)
def test_18_a_claim_gets_no_source_later(after: Doc, expected: Doc) -> None:
    old = made(CLAIM, claim())
    copies = {key: dict(value) for key, value in after.items()}
    assert refusals(CLAIM, changed(old, **copies), old) == expected


@pytest.mark.rule("1.4.7")
def test_1_4_what_is_dropped_before_validation_is_not_validated() -> None:
    nameless = {"apiGroup": "example.com", "kind": "Image"}
    assert refusals(CLAIM, claim(dataSource=nameless)) == {}
