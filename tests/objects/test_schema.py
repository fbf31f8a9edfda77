"""What a schema makes of a decoded document, as kube-apiserver decodes it."""

from typing import Any

import msgspec
import pytest

from mooring.objects.errors import BadObject
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.node import child
from mooring.objects.schema import SCHEMAS, definition_names, definitions

KINDS = {kind.kind: kind for kind in ALL_KINDS}
CLAIM, VOLUME, POD = (KINDS[k] for k in ("PersistentVolumeClaim", "PersistentVolume", "Pod"))


def conformed(kind: Kind, **parts: Any) -> tuple[Doc, list[str]]:
    """The parts as they are kept, and what was found."""
    doc: Doc = msgspec.json.decode(msgspec.json.encode(parts))
    found = SCHEMAS.conform(kind, doc)
    return doc, list(found)


def refusal(kind: Kind, **parts: Any) -> str:
    """Why the parts are refused, without the sentence that each refusal begins with."""
    with pytest.raises(BadObject) as caught:
        SCHEMAS.conform(kind, parts)
    start = f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: '
    assert caught.value.code == "BadRequest"
    assert caught.value.what.startswith(start)
    return caught.value.what.removeprefix(start)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.kind)
def test_every_served_kind_has_a_schema_and_so_has_its_list(kind: Kind) -> None:
    assert {"metadata", "kind", "apiVersion"} <= set(SCHEMAS.node(kind).fields)
    assert (kind.group, kind.version, f"{kind.kind}List") in definition_names()


def test_every_reference_leads_to_a_definition() -> None:
    waiting: list[Any] = [definitions()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            assert value["$ref"].removeprefix("#/definitions/") in definitions()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value


def test_a_flawless_document_stays_as_it_is() -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "selector": {"matchLabels": {"disk": "fast"}},
    }
    metadata = {"name": "db", "creationTimestamp": "2024-02-29T01:02:03Z", "labels": {"a": "b"}}
    assert conformed(CLAIM, metadata=metadata, spec=spec) == (
        {"metadata": metadata, "spec": spec},
        [],
    )


def test_unknown_fields_are_cut_off_and_named_with_their_path() -> None:
    containers = [
        {"name": "a"},
        {"name": "b", "imgae": "x", "livenessProbe": {"httpGet": {"x": 1}}},
    ]
    doc, found = conformed(POD, spec={"containers": containers, "colour": {"deep": []}}, more=None)
    assert doc == {
        "spec": {"containers": [{"name": "a"}, {"name": "b", "livenessProbe": {"httpGet": {}}}]}
    }
    assert found == [
        'unknown field "spec.containers[1].imgae"',
        'unknown field "spec.containers[1].livenessProbe.httpGet.x"',
        'unknown field "spec.colour"',
        'unknown field "more"',
    ]


def test_a_pool_is_cut_to_its_schema_as_well() -> None:
    doc, found = conformed(
        KINDS["Pool"], spec={"root": "/srv", "size": "1Gi", "capacity": "1024Mi"}
    )
    assert doc == {"spec": {"root": "/srv", "capacity": "1Gi"}}
    assert found == ['unknown field "spec.size"']


def test_at_most_a_hundred_unknown_fields_are_named_and_all_are_cut_off() -> None:
    doc, found = conformed(CLAIM, **{f"field{number}": 1 for number in range(1000)})
    assert doc == {}
    assert len(found) == 100


def test_a_null_is_an_absent_field_and_a_zero_in_lists_and_maps() -> None:
    doc, found = conformed(
        CLAIM,
        metadata={"creationTimestamp": None, "labels": {"a": None}, "annotations": None},
        spec={"accessModes": [None], "resources": {"requests": {"storage": None}}},
        status=None,
    )
    assert doc == {
        "metadata": {"labels": {"a": ""}},
        "spec": {"accessModes": [""], "resources": {"requests": {"storage": "0"}}},
    }
    assert found == []


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            {"spec": {"volumeName": 5}},
            "number into Go struct field PersistentVolumeClaimSpec.spec.volumeName of type string",
        ),
        (
            {"spec": {"volumeName": True}},
            "bool into Go struct field PersistentVolumeClaimSpec.spec.volumeName of type string",
        ),
        (
            {"spec": ["x"]},
            "array into Go struct field PersistentVolumeClaim.spec of type "
            "v1.PersistentVolumeClaimSpec",
        ),
        (
            {"spec": {"accessModes": "ReadWriteOnce"}},
            "string into Go struct field PersistentVolumeClaimSpec.spec.accessModes "
            "of type []string",
        ),
        (
            {"spec": {"accessModes": [{}]}},
            "object into Go struct field PersistentVolumeClaimSpec.spec.accessModes of type string",
        ),
        (
            {"metadata": {"labels": {"a": 1}}},
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            {"metadata": {"labels": []}},
            "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            {"metadata": {"generation": "1"}},
            "string into Go struct field ObjectMeta.metadata.generation of type int64",
        ),
        (
            {"metadata": {"generation": 1.0}},
            "number 1.0 into Go struct field ObjectMeta.metadata.generation of type int64",
        ),
        (
            {"metadata": {"generation": 2**63}},
            "number 9223372036854775808 into Go struct field ObjectMeta.metadata.generation "
            "of type int64",
        ),
        (
            {"metadata": {"generation": 10**5000}},
            "number beyond all types into Go struct field ObjectMeta.metadata.generation "
            "of type int64",
        ),
        (
            {"metadata": {"creationTimestamp": 5}},
            "number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
    ],
)
def test_a_value_of_another_type_is_refused_in_the_words_of_kubernetes(
    parts: Doc, text: str
) -> None:
    assert refusal(CLAIM, **parts) == f"json: cannot unmarshal {text}"


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadObject, match="array into Go value of type"):
        SCHEMAS.conform(CLAIM, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("port", "fits"), [(2**31 - 1, True), (-(2**31), True), (2**31, False), (True, False)]
)
def test_a_number_has_the_range_of_its_type(port: Any, fits: bool) -> None:
    spec = {"containers": [{"ports": [{"containerPort": port}]}]}
    if fits:
        assert conformed(POD, spec=spec) == ({"spec": spec}, [])
    else:
        assert "ContainerPort.spec.containers.ports.containerPort" in refusal(POD, spec=spec)


@pytest.mark.parametrize(
    ("port", "fits"), [(80, True), ("http", True), (2**31, False), (1.5, False)]
)
def test_a_port_of_a_probe_is_a_number_or_a_name(port: Any, fits: bool) -> None:
    spec = {"containers": [{"livenessProbe": {"httpGet": {"port": port}}}]}
    if fits:
        assert conformed(POD, spec=spec) == ({"spec": spec}, [])
    else:
        assert "of type intstr.IntOrString" in refusal(POD, spec=spec)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1Gi", "1Gi"), ("1024Mi", "1Gi"), (1024, "1024"), (1.5, "1500m"), ("0.5", "500m")],
)
def test_quantities_are_texts_or_numbers_and_kept_in_canonical_form(given: Any, kept: str) -> None:
    doc, _ = conformed(VOLUME, spec={"capacity": {"storage": given}})
    assert doc == {"spec": {"capacity": {"storage": kept}}}


@pytest.mark.parametrize("given", ["", "a lot", "1GiB", True, [], {}])
def test_what_is_no_quantity_is_refused(given: Any) -> None:
    assert refusal(VOLUME, spec={"capacity": {"storage": given}}).startswith(
        "spec.capacity.storage: "
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2024-02-29T01:02:03Z", "2024-02-29T01:02:03Z"),
        ("2024-02-29T01:02:03.999Z", "2024-02-29T01:02:03Z"),
        ("2024-02-29T01:02:03+02:00", "2024-02-28T23:02:03Z"),
    ],
)
def test_times_are_kept_in_utc_and_whole_seconds(given: str, kept: str) -> None:
    doc, _ = conformed(CLAIM, metadata={"creationTimestamp": given})
    assert doc == {"metadata": {"creationTimestamp": kept}}


@pytest.mark.parametrize(
    "given",
    [
        "",
        "yesterday",
        "2024-02-30T01:02:03Z",
        "2024-02-29",
        "2024-02-29T01:02:03",
        "20240229T010203Z",
    ],
)
def test_what_is_no_time_is_refused(given: str) -> None:
    text = refusal(CLAIM, metadata={"creationTimestamp": given})
    assert text.startswith(f'metadata.creationTimestamp: parsing time "{given}"')


def test_a_lease_is_dated_to_the_microsecond() -> None:
    given = {"renewTime": "2024-02-29T01:02:03Z", "acquireTime": "2024-02-29T01:02:03.000004Z"}
    doc, _ = conformed(KINDS["Lease"], spec=given)
    assert doc["spec"] == {**given, "renewTime": "2024-02-29T01:02:03.000000Z"}


def test_base64_is_checked_and_loses_its_line_breaks() -> None:
    secret = KINDS["Secret"]
    assert conformed(secret, data={"a": "YW\nJj\r\n"})[0] == {"data": {"a": "YWJj"}}
    assert refusal(secret, data={"a": "YWJ"}) == "data.a: illegal base64 data"
    assert refusal(secret, data={"a": "é"}) == "data.a: illegal base64 data"
    assert "data of type []uint8" in refusal(secret, data={"a": 1})


def nested(levels: int) -> Doc:
    doc: Doc = {}
    for _ in range(levels):
        doc = {"f:x": doc}
    return doc


def test_a_value_that_no_schema_describes_is_at_most_a_hundred_levels_deep() -> None:
    metadata = {"managedFields": [{"fieldsV1": nested(99)}]}
    assert conformed(CLAIM, metadata=metadata) == ({"metadata": metadata}, [])
    metadata = {"managedFields": [{"fieldsV1": nested(800)}]}
    assert "exceeded max depth" in refusal(CLAIM, metadata=metadata)


def test_a_deep_unknown_field_is_cut_off_like_any_other() -> None:
    assert conformed(CLAIM, spec={"deep": nested(800)})[0] == {"spec": {}}


def test_patches_learn_how_lists_are_merged() -> None:
    spec = child(SCHEMAS.node(POD), "spec")
    containers, volumes = child(spec, "containers"), child(spec, "volumes")
    assert containers is not None
    assert volumes is not None
    assert (containers.patch_strategy, containers.patch_key) == ("merge", "name")
    assert (containers.list_type, containers.list_keys) == ("map", ("name",))
    assert volumes.patch_strategy == "merge,retainKeys"
    ports = child(containers.items, "ports")
    assert ports is not None
    assert (ports.patch_key, ports.list_keys) == ("containerPort", ("containerPort", "protocol"))


def test_field_management_learns_what_is_atomic() -> None:
    claim, volume = SCHEMAS.node(CLAIM), SCHEMAS.node(VOLUME)
    selector = child(child(claim, "spec"), "selector")
    reference = child(child(volume, "spec"), "claimRef")
    modes = child(child(claim, "spec"), "accessModes")
    finalizers = child(child(claim, "metadata"), "finalizers")
    assert [one and one.map_type for one in (selector, reference)] == ["atomic", "granular"]
    assert [one and one.list_type for one in (modes, finalizers)] == ["atomic", "set"]
