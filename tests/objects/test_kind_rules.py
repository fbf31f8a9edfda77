"""What volumes and classes default and refuse. Storage semantics §1, by field path and reason."""

from typing import Any

import pytest

from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc, Kind
from tests.objects.storage_making import (
    CLAIM,
    CLASS,
    CSI,
    ISCSI,
    NAMESPACE,
    VOLUME,
    changed,
    claim,
    class_,
    made,
    refusals,
    volume,
)
from tests.spec.plugin import case

MAX_WASTE = "mooring.dev/max-waste"
WASTE_INVALID = {f"metadata.annotations.{MAX_WASTE}": "Invalid"}
TERM = "spec.nodeAffinity.required.nodeSelectorTerms"


def affinity(**expression: Any) -> Doc:
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        case("1.1.4", {"capacity": None}, {"spec.capacity": "NotSupported"}),
        case(
            "1.1.4",
            {"capacity": {"storage": "1Gi", "x": "1"}},
            {"spec.capacity": "NotSupported"},
        ),
        case("1.1.5", {"capacity": {"storage": "0"}}, {"spec.capacity[storage]": "Invalid"}),
        case("1.1.7", {"accessModes": []}, {"spec.accessModes": "Required"}),
        case("1.1.8", {"accessModes": ["RWO"]}, {"spec.accessModes": "NotSupported"}),
        case(
            "1.1.9",
            {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
            {"spec.accessModes": "Forbidden"},
        ),
        case("1.1.16", {"volumeMode": "Raw"}, {"spec.volumeMode": "NotSupported"}),
        case(
            "1.1.12",
            {"persistentVolumeReclaimPolicy": "Keep"},
            {"spec.persistentVolumeReclaimPolicy": "NotSupported"},
        ),
        case(
            "1.1.13",
            {"persistentVolumeReclaimPolicy": "Recycle", "hostPath": {"path": "/./"}},
            {"spec.persistentVolumeReclaimPolicy": "Forbidden"},
        ),
        case("1.1.19", {"storageClassName": "A_b"}, {"spec.storageClassName": "Invalid"}),
        case("1.1.21", {"hostPath": None}, {"spec": "Required"}),
        case("1.1.22", {"csi": CSI, "nfs": {"server": "s", "path": "/"}}, {"spec.nfs": "Forbidden",
                                                              "spec.csi": "Forbidden"}),
        case("1.1.25", {"hostPath": {"path": ""}}, {"spec.hostPath.path": "Required"}),
        case("1.1.26", {"hostPath": {"path": "/a/../b"}}, {"spec.hostPath.path": "Invalid"}),
        ({"hostPath": {"path": "/a", "type": "Dir"}}, {"spec.hostPath.type": "NotSupported"}),
        (
            {"hostPath": None, "iscsi": {"iqn": "iqn.26.x", "lun": 256}},
            {
                "spec.iscsi.targetPortal": "Required",
                "spec.iscsi.iqn": "Invalid",
                "spec.iscsi.lun": "Invalid",
            },
        ),
        (
            {"hostPath": None, "iscsi": ISCSI | {"chapAuthSession": True, "initiatorName": "x"}},
            {"spec.iscsi.secretRef": "Required", "spec.iscsi.initiatorname": "Invalid"},
        ),
        (
            {"hostPath": None, "iscsi": ISCSI | {"secretRef": {}}},
            {"spec.iscsi.secretRef.name": "Required"},
        ),
        ({"hostPath": None, "iscsi": ISCSI}, {}),
        case("1.1.30", {"claimRef": {"kind": "Moon", "name": "A_b", "uid": "?"}}, {}),
        case("1.1.32", {"mountOptions": ["", "any thing"]}, {}),
        case(
            "1.1.25 1.1.28",
            {"hostPath": None, "local": {"path": ""}},
            {"spec.local.path": "Required", "spec.nodeAffinity": "Required"},
        ),
        (
            {"hostPath": None, "nfs": {"path": "a"}},
            {"spec.nfs.server": "Required", "spec.nfs.path": "Invalid"},
        ),
        (
            {"hostPath": None, "csi": {"driver": "a_b"}},
            {"spec.csi.driver": "Invalid", "spec.csi.volumeHandle": "Required"},
        ),
        (
            {"hostPath": None, "csi": {**CSI, "nodePublishSecretRef": {"name": "s"}}},
            {"spec.csi.nodePublishSecretRef.namespace": "Required"},
        ),
        case(
            "1.1.28",
            {"hostPath": None, "local": {"path": "/a"}},
            {"spec.nodeAffinity": "Required"},
        ),
        case("1.1.27", {"nodeAffinity": {}}, {"spec.nodeAffinity.required": "Required"}),
        ({"nodeAffinity": {"required": {}}}, {TERM: "Required"}),
        (
            {"nodeAffinity": affinity(key="a", operator="Is")},
            {f"{TERM}[0].matchExpressions[0].operator": "Invalid"},
        ),
        (
            {"nodeAffinity": affinity(key="a", operator="Gt", values=["1", "2"])},
            {f"{TERM}[0].matchExpressions[0].values": "Required"},
        ),
        case("1.1.35", {"volumeAttributesClassName": "gold"}, {"spec.csi": "Required"}),
        case(
            "1.1.34",
            {"hostPath": None, "csi": CSI, "volumeAttributesClassName": ""},
            {"spec.volumeAttributesClassName": "Required"},
        ),
        (
            {"hostPath": None, "csi": CSI, "volumeAttributesClassName": "A_b"},
            {"spec.volumeAttributesClassName": "Invalid"},
        ),
    ],
)  # fmt: skip
def test_1_1_a_volume_is_refused_by_the_path_of_what_is_wrong(
    spec: Doc, expected: dict[str, str]
) -> None:
    assert refusals(VOLUME, volume(**spec)) == expected


@pytest.mark.rule("1.1.3", "1.1.46")
def test_1_1_a_missing_capacity_is_both_required_and_not_supported() -> None:
    with pytest.raises(Invalid) as refused:
        made(VOLUME, volume(capacity=None))
    assert [cause.reason for cause in refused.value.causes] == [
        "FieldValueRequired",
        "FieldValueNotSupported",
    ]


@pytest.mark.rule("1.1.22")
def test_1_1_of_several_sources_the_first_in_kubernetes_order_counts() -> None:
    nfs, local = {"server": "s", "path": "/"}, {"path": "/srv"}
    with pytest.raises(Invalid) as refused:
        made(VOLUME, volume(csi=CSI, local=local, iscsi=ISCSI, nfs=nfs, nodeAffinity=None))
    forbidden = [one.field for one in refused.value.causes if "Forbidden" in one.reason]
    assert forbidden == ["spec.nfs", "spec.iscsi", "spec.local", "spec.csi"]


@pytest.mark.rule("1.1.11", "1.1.15")
def test_1_1_a_volume_has_kubernetes_defaults() -> None:
    spec = made(VOLUME, volume(persistentVolumeReclaimPolicy=""))["spec"]
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["volumeMode"] == "Filesystem"
    assert spec["hostPath"] == {"path": "/srv/v", "type": ""}


@pytest.mark.rule("1.1.33")
def test_1_1_mount_options_by_annotation_are_for_sources_that_know_them() -> None:
    key = "volume.beta.kubernetes.io/mount-options"
    noted = {"annotations": {key: "ro"}}
    nfs = {"server": "s", "path": "/"}
    assert refusals(VOLUME, volume(noted)) == {f"metadata.annotations.{key}": "Forbidden"}
    assert refusals(VOLUME, volume(noted, hostPath=None, nfs=nfs)) == {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        case(
            "1.1.23", {}, {"hostPath": {"path": "/b"}}, {"spec.persistentvolumesource": "Forbidden"}
        ),
        case("1.1.17", {}, {"volumeMode": "Block"}, {"volumeMode": "Invalid"}),
        case("1.1.29", {}, {"nodeAffinity": affinity(key="a", operator="Exists")}, {}),
        case(
            "1.1.29",
            {"nodeAffinity": affinity(key="a", operator="Exists")},
            {"nodeAffinity": affinity(key="b", operator="Exists")},
            {"nodeAffinity": "Invalid"},
        ),
        case("1.1.6 1.1.20", {}, {"capacity": {"storage": "5Gi"}, "storageClassName": "x"}, {}),
        case("1.1.10", {}, {"accessModes": ["ReadWriteMany", "ReadOnlyMany"]}, {}),
        case("1.1.14", {}, {"persistentVolumeReclaimPolicy": "Delete"}, {}),
        case("1.1.31", {}, {"claimRef": {"namespace": "n", "name": "c"}}, {}),
        case("1.1.31", {"claimRef": {"namespace": "n", "name": "c"}}, {"claimRef": None}, {}),
        case("1.1.32", {"mountOptions": ["ro"]}, {"mountOptions": ["rw"]}, {}),
        case(
            "1.1.36",
            {"hostPath": None, "csi": CSI, "volumeAttributesClassName": "gold"},
            {"volumeAttributesClassName": None},
            {"spec.volumeAttributesClassName": "Forbidden"},
        ),
    ],
)
def test_1_1_what_may_change_of_a_volume(before: Doc, after: Doc, expected: Doc) -> None:
    old = made(VOLUME, volume(**before))
    assert refusals(VOLUME, changed(old, **after), old) == expected


@pytest.mark.rule("1.1.24")
def test_1_1_the_secret_for_growth_may_be_told_once() -> None:
    first, second = ({"name": name, "namespace": "n"} for name in ("a", "b"))
    bare = made(VOLUME, volume(hostPath=None, csi=CSI))
    told = changed(bare, csi={**CSI, "controllerExpandSecretRef": first})
    assert refusals(VOLUME, told, bare) == {}
    again = changed(bare, csi={**CSI, "controllerExpandSecretRef": second})
    for late in (again, bare):
        assert refusals(VOLUME, changed(late), told) == {"spec.persistentvolumesource": "Forbidden"}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"finalizers": ["mine"]}, {"metadata.finalizers[0]": "Invalid"}),
        ({"finalizers": ["foregroundDeletion", "example.com/mine"]}, {}),
        (
            {"ownerReferences": [{"name": "a"}]},
            {f"metadata.ownerReferences.{key}": "Invalid" for key in ("apiVersion", "kind", "uid")},
        ),
        ({"annotations": {"a": "é" * 140_000}}, {"metadata.annotations": "TooLong"}),
    ],
)
def test_1_4_metadata_is_refused_by_the_path_of_what_is_wrong(
    metadata: Doc, expected: dict[str, str]
) -> None:
    assert refusals(VOLUME, volume(metadata)) == expected


@pytest.mark.rule("1.1.2", "1.4.2")
@pytest.mark.parametrize(("kind", "doc"), [(VOLUME, volume), (CLAIM, claim)])
def test_1_a_name_is_a_subdomain_and_all_that_is_wrong_is_told(kind: Kind, doc: Any) -> None:
    wrong = doc({"name": "A_b"}, accessModes=[], volumeMode="Raw")
    assert refusals(kind, wrong) == {
        "metadata.name": "Invalid",
        "spec.accessModes": "Required",
        "spec.volumeMode": "NotSupported",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", {}), ("", WASTE_INVALID), ("0.99", WASTE_INVALID), ("4x", WASTE_INVALID)],
)
def test_the_limit_of_waste_of_a_namespace_is_a_number_of_at_least_1(
    text: str, expected: dict[str, str]
) -> None:
    doc = {"metadata": {"name": "n", "annotations": {MAX_WASTE: text}}}
    assert refusals(NAMESPACE, doc) == expected
    old = made(NAMESPACE, {"metadata": {"name": "n"}})
    assert refusals(NAMESPACE, doc, old) == expected


@pytest.mark.rule("1.3.9", "1.3.12")
def test_1_3_a_class_has_kubernetes_defaults() -> None:
    doc = made(CLASS, class_())
    assert (doc["reclaimPolicy"], doc["volumeBindingMode"]) == ("Delete", "Immediate")


TOPOLOGY = "allowedTopologies[0].matchLabelExpressions[0]"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        case("1.3.2", {"provisioner": ""}, {"provisioner": "Required"}),
        case("1.3.3", {"provisioner": "a b"}, {"provisioner": "Invalid"}),
        case("1.3.3", {"provisioner": "Example.com/NFS"}, {}),
        case("1.3.5", {"parameters": {f"k{n}": "" for n in range(513)}}, {"parameters": "TooLong"}),
        case("1.3.5", {"parameters": {f"k{n}": "" for n in range(512)}}, {}),
        case("1.3.6", {"parameters": {"k": "v" * (256 << 10)}}, {"parameters": "TooLong"}),
        case("1.3.6", {"parameters": {"k": "v" * ((256 << 10) - 1)}}, {}),
        case("1.3.10", {"reclaimPolicy": "Recycle"}, {"reclaimPolicy": "NotSupported"}),
        case("1.3.13", {"volumeBindingMode": "Later"}, {"volumeBindingMode": "NotSupported"}),
        case("1.3.7", {"parameters": {"": "x"}}, {"parameters": "Invalid"}),
        ({"parameters": {MAX_WASTE: "1.5"}}, {}),
        ({"parameters": {MAX_WASTE: "0.5"}}, {f"parameters[{MAX_WASTE}]": "Invalid"}),
        case(
            "1.3.15",
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone"}]}]},
            {f"{TOPOLOGY}.values": "Required"},
        ),
        case(
            "1.3.16",
            {"allowedTopologies": [
                {"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}]}
            ]},
            {f"{TOPOLOGY}.values[1]": "Duplicate"},
        ),
        case(
            "1.3.16",
            {"allowedTopologies": 2 * [
                {"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}
            ]},
            {"allowedTopologies[1].matchLabelExpressions": "Duplicate"},
        ),
    ],
)  # fmt: skip
def test_1_3_a_class_is_refused_by_the_path_of_what_is_wrong(
    fields: Doc, expected: dict[str, str]
) -> None:
    assert refusals(CLASS, class_(**fields)) == expected


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        case("1.3.4", "provisioner", "other.example.com", "Forbidden"),
        case("1.3.8", "parameters", {"a": "b"}, "Forbidden"),
        case("1.3.11", "reclaimPolicy", "Retain", "Forbidden"),
        case("1.3.14", "volumeBindingMode", "WaitForFirstConsumer", "Invalid"),
        case("1.3.17", "allowVolumeExpansion", True, ""),
        case("1.3.17", "mountOptions", ["ro"], ""),
        case(
            "1.3.17",
            "allowedTopologies",
            [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}],
            "",
        ),
        case("1.3.17", "metadata", {"name": "s", "labels": {"a": "b"}}, ""),
    ],
)
def test_1_3_what_may_change_of_a_class(field: str, value: Any, reason: str) -> None:
    old = made(CLASS, class_())
    assert refusals(CLASS, {**old, field: value}, old) == ({field: reason} if reason else {})
