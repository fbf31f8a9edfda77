"""What snapshots, their contents and classes, and attributes classes refuse. Semantics §15, §18."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_create, admitted_subresource, admitted_update
from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds import snapshot, volumeattributesclass
from tests.objects.admitting import Nothing

NOW = "2026-01-01T00:00:00Z"


def made(kind: Kind, doc: Doc) -> Doc:
    return admitted_create(kind, doc, Nothing(), NOW)


def changed(kind: Kind, doc: Doc, old: Doc) -> Doc:
    return admitted_update(kind, doc, old, Nothing(), NOW)


def causes(error: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    return {cause.field: cause.message for cause in error.value.causes}


def a_snapshot(source: Doc, **spec: Any) -> Doc:
    return {"metadata": {"name": "s", "namespace": "default"}, "spec": {"source": source, **spec}}


def a_content(source_: Doc, **spec: Any) -> Doc:
    whole: Doc = {
        "driver": "d.example.com",
        "deletionPolicy": "Delete",
        "volumeSnapshotRef": {"namespace": "default", "name": "s"},
        "source": source_,
        **spec,
    }
    return {"metadata": {"name": "c"}, "spec": whole}


OF_CLAIM = {"persistentVolumeClaimName": "db"}
OF_CONTENT = {"volumeSnapshotContentName": "c"}


@pytest.mark.rule("18.29")
@pytest.mark.parametrize("source", [{}, OF_CLAIM | OF_CONTENT])
def test_a_snapshot_has_exactly_one_source(source: Doc) -> None:
    with pytest.raises(Invalid) as error:
        made(snapshot.SNAPSHOT, a_snapshot(source))
    assert "exactly one of volumeSnapshotContentName" in causes(error)["spec.source"]


@pytest.mark.rule("18.28")
def test_the_class_of_a_snapshot_may_be_absent_and_not_empty() -> None:
    assert made(snapshot.SNAPSHOT, a_snapshot(OF_CLAIM))
    with pytest.raises(Invalid) as error:
        made(snapshot.SNAPSHOT, a_snapshot(OF_CLAIM, volumeSnapshotClassName=""))
    assert list(causes(error)) == ["spec.volumeSnapshotClassName"]


@pytest.mark.rule("18.29")
def test_the_source_of_a_snapshot_stays() -> None:
    old = made(snapshot.SNAPSHOT, a_snapshot(OF_CLAIM))
    with pytest.raises(Invalid) as error:
        changed(snapshot.SNAPSHOT, a_snapshot({"persistentVolumeClaimName": "other"}), old)
    field = "spec.source.persistentVolumeClaimName"
    assert causes(error)[field].endswith("persistentVolumeClaimName is immutable")
    with pytest.raises(Invalid) as error:
        changed(snapshot.SNAPSHOT, a_snapshot(OF_CONTENT), old)
    assert causes(error)["spec.source"].endswith("is required once set")


def test_the_status_of_a_snapshot_is_written_by_its_subresource_alone() -> None:
    status = {"readyToUse": True}
    new = made(snapshot.SNAPSHOT, {**a_snapshot(OF_CLAIM), "status": status})
    assert "status" not in new
    whole = {**a_snapshot(OF_CONTENT), "status": status}
    stored = admitted_subresource(snapshot.SNAPSHOT, "status", whole, new, NOW)
    assert stored["status"] == status
    assert stored["spec"] == new["spec"]
    assert changed(snapshot.SNAPSHOT, a_snapshot(OF_CLAIM), stored)["status"] == status


@pytest.mark.rule("18.30")
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"driver": ""}, "spec.driver"),
        ({"deletionPolicy": ""}, "spec.deletionPolicy"),
        ({"deletionPolicy": "Recycle"}, "spec.deletionPolicy"),
        ({"volumeSnapshotRef": {"name": "s"}}, "spec.volumeSnapshotRef"),
        ({"source": {}}, "spec.source"),
        ({"source": {"snapshotHandle": "x", "volumeHandle": "y"}}, "spec.source"),
    ],
)
def test_a_content_names_what_it_is_for(spec: Doc, field: str) -> None:
    with pytest.raises(Invalid) as error:
        made(snapshot.CONTENT, a_content({"snapshotHandle": "x"}, **spec))
    assert list(causes(error)) == [field]


def test_the_mode_of_a_contents_source_stays() -> None:
    source = {"volumeHandle": "x"}
    old = made(snapshot.CONTENT, a_content(source, sourceVolumeMode="Filesystem"))
    with pytest.raises(Invalid) as error:
        changed(snapshot.CONTENT, a_content(source, sourceVolumeMode="Block"), old)
    assert list(causes(error)) == ["spec.sourceVolumeMode"]


@pytest.mark.rule("18.25")
def test_a_snapshot_class_names_driver_and_policy() -> None:
    with pytest.raises(Invalid) as error:
        made(snapshot.CLASS, {"metadata": {"name": "k"}})
    assert list(causes(error)) == ["deletionPolicy", "driver"]


def attributes(**fields: Any) -> Doc:
    whole = {"driverName": "d.example.com", "parameters": {"iops": "100"}, **fields}
    return {"metadata": {"name": "fast"}, **whole}


@pytest.mark.rule("15.1")
def test_an_attributes_class_names_a_driver_and_at_least_one_parameter() -> None:
    with pytest.raises(Invalid) as error:
        made(volumeattributesclass.KIND, attributes(driverName="", parameters={}))
    assert causes(error) == {
        "driverName": "Required value",
        "parameters": "Required value: must contain at least one key/value pair",
    }


@pytest.mark.rule("15.2")
@pytest.mark.parametrize("field", ["driverName", "parameters"])
def test_an_attributes_class_stays_as_it_is(field: str) -> None:
    old = made(volumeattributesclass.KIND, attributes())
    other = {"driverName": "e.example.com", "parameters": {"iops": "200"}}
    with pytest.raises(Invalid) as error:
        changed(volumeattributesclass.KIND, attributes(**{field: other[field]}), old)
    assert causes(error) == {field: f"Forbidden: updates to {field} are forbidden."}
