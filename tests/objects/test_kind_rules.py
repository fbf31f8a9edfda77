"""What the storage kinds default and refuse. Storage semantics §1, by field path and reason."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_create, admitted_update
from mooring.objects.errors import Forbidden, Invalid
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds import core, persistentvolume, persistentvolumeclaim, storageclass

VOLUME, CLAIM, CLASS = persistentvolume.KIND, persistentvolumeclaim.KIND, storageclass.KIND
NAMESPACE = core.NAMESPACE
MAX_WASTE = "mooring.dev/max-waste"
WASTE_INVALID = {f"metadata.annotations.{MAX_WASTE}": "Invalid"}
NOW = "2026-01-01T00:00:00Z"
CSI = {"driver": "d.example.com", "volumeHandle": "h"}
ISCSI = {"targetPortal": "10.0.0.1", "iqn": "iqn.2026-01.org.example:a", "lun": 1}


class World:
    """A world of these classes alone."""

    def __init__(self, *classes: Doc) -> None:
        self._classes = list(classes)

    def one(self, resource: str, key: str) -> Doc | None:
        return next((one for one in self._classes if one["metadata"]["name"] == key), None)

    def all(self, resource: str) -> list[Doc]:
        return self._classes

    def inside(self, resource: str, namespace: str) -> list[Doc]:
        return []


def volume(metadata: Doc | None = None, **spec: Any) -> Doc:
    """spec: what differs; None leaves a field out."""
    whole = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/srv/v"},
        **spec,
    }
    return {
        "metadata": {"name": "v", **(metadata or {})},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def claim(metadata: Doc | None = None, **spec: Any) -> Doc:
    whole = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        **spec,
    }
    return {
        "metadata": {"name": "c", "namespace": "default", **(metadata or {})},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def class_(**fields: Any) -> Doc:
    return {"metadata": {"name": "s"}, "provisioner": "d.example.com", **fields}


def made(kind: Kind, doc: Doc, *classes: Doc) -> Doc:
    return admitted_create(kind, doc, World(*classes), NOW)


def refusals(kind: Kind, doc: Doc, old: Doc | None = None) -> dict[str, str]:
    """{field: reason} of a create, or of an update of `old`; empty if it is let in."""
    try:
        if old is None:
            admitted_create(kind, doc, World(), NOW)
        else:
            admitted_update(kind, doc, old, World(), NOW)
    except Invalid as refused:
        return {cause.field: cause.reason.removeprefix("FieldValue") for cause in refused.causes}
    except Forbidden as refused:
        return {"": str(refused)}
    return {}


def changed(old: Doc, metadata: Doc | None = None, **spec: Any) -> Doc:
    """A copy with other fields in its spec; None takes one away."""
    whole = {**old["spec"], **spec}
    return {
        **old,
        "metadata": {**old["metadata"], **(metadata or {})},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


TERM = "spec.nodeAffinity.required.nodeSelectorTerms"


def affinity(**expression: Any) -> Doc:
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"capacity": None}, {"spec.capacity": "NotSupported"}),
        ({"capacity": {"storage": "1Gi", "x": "1"}}, {"spec.capacity": "NotSupported"}),
        ({"capacity": {"storage": "0"}}, {"spec.capacity[storage]": "Invalid"}),
        ({"accessModes": []}, {"spec.accessModes": "Required"}),
        ({"accessModes": ["RWO"]}, {"spec.accessModes": "NotSupported"}),
        (
            {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
            {"spec.accessModes": "Forbidden"},
        ),
        ({"volumeMode": "Raw"}, {"spec.volumeMode": "NotSupported"}),
        (
            {"persistentVolumeReclaimPolicy": "Keep"},
            {"spec.persistentVolumeReclaimPolicy": "NotSupported"},
        ),
        (
            {"persistentVolumeReclaimPolicy": "Recycle", "hostPath": {"path": "/./"}},
            {"spec.persistentVolumeReclaimPolicy": "Forbidden"},
        ),
        ({"storageClassName": "A_b"}, {"spec.storageClassName": "Invalid"}),
        ({"hostPath": None}, {"spec": "Required"}),
        ({"csi": CSI, "nfs": {"server": "s", "path": "/"}}, {"spec.nfs": "Forbidden",
                                                              "spec.csi": "Forbidden"}),
        ({"hostPath": {"path": ""}}, {"spec.hostPath.path": "Required"}),
        ({"hostPath": {"path": "/a/../b"}}, {"spec.hostPath.path": "Invalid"}),
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
        ({"hostPath": None, "local": {"path": "/a"}}, {"spec.nodeAffinity": "Required"}),
        ({"nodeAffinity": {}}, {"spec.nodeAffinity.required": "Required"}),
        ({"nodeAffinity": {"required": {}}}, {TERM: "Required"}),
        (
            {"nodeAffinity": affinity(key="a", operator="Is")},
            {f"{TERM}[0].matchExpressions[0].operator": "Invalid"},
        ),
        (
            {"nodeAffinity": affinity(key="a", operator="Gt", values=["1", "2"])},
            {f"{TERM}[0].matchExpressions[0].values": "Required"},
        ),
        ({"volumeAttributesClassName": "gold"}, {"spec.csi": "Required"}),
        (
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


def test_1_1_a_missing_capacity_is_both_required_and_not_supported() -> None:
    with pytest.raises(Invalid) as refused:
        made(VOLUME, volume(capacity=None))
    assert [cause.reason for cause in refused.value.causes] == [
        "FieldValueRequired",
        "FieldValueNotSupported",
    ]


def test_1_1_a_volume_has_kubernetes_defaults() -> None:
    spec = made(VOLUME, volume(persistentVolumeReclaimPolicy=""))["spec"]
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["volumeMode"] == "Filesystem"
    assert spec["hostPath"] == {"path": "/srv/v", "type": ""}


def test_1_1_mount_options_by_annotation_are_for_sources_that_know_them() -> None:
    key = "volume.beta.kubernetes.io/mount-options"
    noted = {"annotations": {key: "ro"}}
    nfs = {"server": "s", "path": "/"}
    assert refusals(VOLUME, volume(noted)) == {f"metadata.annotations.{key}": "Forbidden"}
    assert refusals(VOLUME, volume(noted, hostPath=None, nfs=nfs)) == {}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"hostPath": {"path": "/b"}}, {"spec.persistentvolumesource": "Forbidden"}),
        ({}, {"volumeMode": "Block"}, {"volumeMode": "Invalid"}),
        ({}, {"nodeAffinity": affinity(key="a", operator="Exists")}, {}),
        (
            {"nodeAffinity": affinity(key="a", operator="Exists")},
            {"nodeAffinity": affinity(key="b", operator="Exists")},
            {"nodeAffinity": "Invalid"},
        ),
        ({}, {"capacity": {"storage": "5Gi"}, "storageClassName": "x"}, {}),
    ],
)
def test_1_1_what_may_change_of_a_volume(before: Doc, after: Doc, expected: Doc) -> None:
    old = made(VOLUME, volume(**before))
    assert refusals(VOLUME, changed(old, **after), old) == expected


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


EXPRESSION = "spec.selector.matchExpressions[0]"


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", {}), ("", WASTE_INVALID), ("0.99", WASTE_INVALID), ("4x", WASTE_INVALID)],
)
def test_the_limit_of_waste_of_a_namespace_is_a_number_of_at_least_1(
    text: str, expected: dict[str, str]
) -> None:
    doc = {"metadata": {"name": "n", "annotations": {MAX_WASTE: text}}}
    assert refusals(NAMESPACE, doc) == expected
    old = admitted_create(NAMESPACE, {"metadata": {"name": "n"}}, World(), NOW)
    assert refusals(NAMESPACE, doc, old) == expected


TOPOLOGY = "allowedTopologies[0].matchLabelExpressions[0]"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"provisioner": ""}, {"provisioner": "Required"}),
        ({"reclaimPolicy": "Recycle"}, {"reclaimPolicy": "NotSupported"}),
        ({"volumeBindingMode": "Later"}, {"volumeBindingMode": "NotSupported"}),
        ({"parameters": {"": "x"}}, {"parameters": "Invalid"}),
        ({"parameters": {MAX_WASTE: "1.5"}}, {}),
        ({"parameters": {MAX_WASTE: "0.5"}}, {f"parameters[{MAX_WASTE}]": "Invalid"}),
        (
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone"}]}]},
            {f"{TOPOLOGY}.values": "Required"},
        ),
        (
            {"allowedTopologies": [
                {"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}]}
            ]},
            {f"{TOPOLOGY}.values[1]": "Duplicate"},
        ),
        (
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


def bound(doc: Doc, has: str = "1Gi") -> Doc:
    """A stored claim as it is once bound."""
    return {**doc, "status": {"phase": "Bound", "capacity": {"storage": has}}}


BETA = "volume.beta.kubernetes.io/storage-class"
REQUEST = "spec.resources.requests.storage"


def asking(size: str) -> Doc:
    return {"resources": {"requests": {"storage": size}}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"accessModes": ["ReadOnlyMany"]}, {"spec": "Forbidden"}),
        ({}, {"selector": {}}, {"spec": "Forbidden"}),
        ({}, asking("2Gi"), {"spec": "Forbidden"}),
        ({}, asking("1073741824"), {}),
        ({}, {"volumeMode": "Block"}, {"spec": "Forbidden", "volumeMode": "Invalid"}),
        ({}, {"volumeName": "v"}, {}),
        ({"volumeName": "v"}, {"volumeName": "w"}, {"spec": "Forbidden"}),
        ({"volumeName": "v"}, {"volumeName": None}, {"spec": "Forbidden"}),
        ({}, {"storageClassName": "x"}, {}),
        ({}, {"storageClassName": ""}, {}),
        ({"storageClassName": ""}, {"storageClassName": "x"}, {"spec": "Forbidden"}),
        ({"storageClassName": "x"}, {"storageClassName": None}, {"spec": "Forbidden"}),
        ({}, {"volumeAttributesClassName": "x"}, {"spec": "Forbidden"}),
    ],
)
def test_1_2_what_may_change_of_a_pending_claim(before: Doc, after: Doc, expected: Doc) -> None:
    old = made(CLAIM, claim(**before))
    assert refusals(CLAIM, changed(old, **after), old) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (asking("2Gi"), asking("1Gi"), {REQUEST: "Forbidden"}),
        (asking("3Gi"), asking("2Gi"), {}),
        ({}, {"volumeAttributesClassName": "x"}, {}),
        (
            {"volumeAttributesClassName": "x"},
            {"volumeAttributesClassName": None},
            {"spec.volumeAttributesClassName": "Forbidden"},
        ),
        (
            {"volumeAttributesClassName": "x"},
            {"volumeAttributesClassName": ""},
            {"spec.volumeAttributesClassName": "Forbidden"},
        ),
    ],
)
def test_1_2_what_may_change_of_a_bound_claim(before: Doc, after: Doc, expected: Doc) -> None:
    old = bound(made(CLAIM, claim(**before)))
    assert refusals(CLAIM, changed(old, **after), old) == expected


def test_1_2_a_class_known_by_annotation_may_be_said_in_the_spec_too() -> None:
    old = made(CLAIM, claim({"annotations": {BETA: "gold"}}))
    assert refusals(CLAIM, changed(old, storageClassName="gold"), old) == {}
    assert refusals(CLAIM, changed(old, storageClassName="lead"), old) == {"spec": "Forbidden"}
    lost = changed(old, {"annotations": {}})
    assert refusals(CLAIM, lost, old) == {f"metadata.annotations.{BETA}": "Invalid"}


GROWS: Doc = {"metadata": {"name": "grows"}, "allowVolumeExpansion": True}
FIXED: Doc = {"metadata": {"name": "fixed"}}


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


CLONED = {"kind": "PersistentVolumeClaim", "name": "other"}
OTHER = {"apiGroup": "example.com", "kind": "Image", "name": "other"}
BOTH = ("dataSource", "dataSourceRef")
FOREIGN = {"apiGroup": "example.com", "kind": "Image", "name": "i"}


def test_18_a_source_is_copied_into_its_mirror_and_an_unknown_one_dropped() -> None:
    spec = made(CLAIM, claim(dataSource=CLONED))["spec"]
    assert spec["dataSourceRef"] == CLONED
    assert "dataSource" not in made(CLAIM, claim(dataSource=dict(FOREIGN)))["spec"]
    spec = made(CLAIM, claim(dataSourceRef=dict(FOREIGN)))["spec"]
    assert spec["dataSource"] == spec["dataSourceRef"] == FOREIGN
    assert "dataSource" not in made(CLAIM, claim(dataSource={}))["spec"]


def test_18_a_source_in_another_namespace_is_dropped_and_none_of_its_name_taken_instead() -> None:
    far = {**CLONED, "namespace": "far"}
    spec = made(CLAIM, claim(dataSourceRef=far))["spec"]
    assert not {"dataSource", "dataSourceRef"} & set(spec)
    spec = made(CLAIM, claim(dataSourceRef=far, dataSource=dict(CLONED)))["spec"]
    assert spec["dataSource"] == spec["dataSourceRef"] == CLONED
    near = {**CLONED, "namespace": ""}
    assert made(CLAIM, claim(dataSourceRef=near))["spec"]["dataSource"] == CLONED


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"dataSourceRef": {}},
            {
                **{f"spec.{one}.{key}": "Required" for one in BOTH for key in ("name", "kind")},
                **dict.fromkeys([f"spec.{one}" for one in BOTH], "Invalid"),
            },
        ),
        (
            {"dataSourceRef": {"kind": "Image", "name": "i"}},
            dict.fromkeys([f"spec.{one}" for one in BOTH], "Invalid"),
        ),
        (
            {"dataSourceRef": {**FOREIGN, "apiGroup": "Not.A_Group"}},
            dict.fromkeys([f"spec.{one}.apiGroup" for one in BOTH], "Invalid"),
        ),
        ({"dataSource": CLONED, "dataSourceRef": FOREIGN}, {"spec": "Invalid"}),
        ({"dataSource": FOREIGN, "dataSourceRef": FOREIGN}, {}),
        ({"dataSource": CLONED, "dataSourceRef": {**CLONED, "apiGroup": ""}}, {"spec": "Invalid"}),
    ],
)
def test_18_a_source_is_refused_by_the_path_of_what_is_wrong(spec: Doc, expected: Doc) -> None:
    copies = {key: dict(value) for key, value in spec.items()}
    assert refusals(CLAIM, claim(**copies)) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"dataSource": None}, {}),
        ({"dataSourceRef": None}, {}),
        ({"dataSource": None, "dataSourceRef": None}, {"spec": "Forbidden"}),
        ({"dataSource": None, "dataSourceRef": OTHER}, {"spec": "Forbidden"}),
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
        ({"dataSource": FOREIGN}, {}),
        ({"dataSourceRef": {**FOREIGN, "namespace": "far"}}, {}),
        ({"dataSource": CLONED}, {"spec": "Forbidden"}),
        ({"dataSourceRef": FOREIGN}, {"spec": "Forbidden"}),
    ],
)
def test_18_a_claim_gets_no_source_later(after: Doc, expected: Doc) -> None:
    old = made(CLAIM, claim())
    copies = {key: dict(value) for key, value in after.items()}
    assert refusals(CLAIM, changed(old, **copies), old) == expected


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("provisioner", "other.example.com", "Forbidden"),
        ("parameters", {"a": "b"}, "Forbidden"),
        ("reclaimPolicy", "Retain", "Forbidden"),
        ("volumeBindingMode", "WaitForFirstConsumer", "Invalid"),
        ("allowVolumeExpansion", True, ""),
        ("mountOptions", ["ro"], ""),
    ],
)
def test_1_3_what_may_change_of_a_class(field: str, value: Any, reason: str) -> None:
    old = made(CLASS, class_())
    assert refusals(CLASS, {**old, field: value}, old) == ({field: reason} if reason else {})
