"""What VolumeAttachment and Lease refuse, by path and reason, as Kubernetes does."""

from typing import Any

import pytest

from mooring.objects.admission import admitted_create, admitted_subresource, admitted_update
from mooring.objects.errors import Invalid
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds import volumeattachment
from mooring.objects.kinds.core import LEASE
from tests.objects.admitting import Nothing

ATTACHMENT = volumeattachment.KIND
NOW = "2026-01-01T00:00:00Z"
INLINE = {"hostPath": {"path": "/srv"}}


def an_attachment(**spec: Any) -> Doc:
    whole = {
        "attacher": "d.example.com",
        "nodeName": "n1",
        "source": {"persistentVolumeName": "v1"},
        **spec,
    }
    return {"metadata": {"name": "a"}, "spec": whole, "status": {"attached": True}}


def a_lease(**spec: Any) -> Doc:
    return {"metadata": {"name": "l", "namespace": "default"}, "spec": spec}


def made(kind: Kind, doc: Doc) -> Doc:
    return admitted_create(kind, doc, Nothing(), NOW)


@pytest.mark.parametrize(
    ("kind", "doc", "expected"),
    [
        (ATTACHMENT, an_attachment(attacher=""), {"spec.attacher": "Required"}),
        (ATTACHMENT, an_attachment(attacher="a b"), {"spec.attacher": "Invalid"}),
        (ATTACHMENT, an_attachment(attacher="a" * 64), {"spec.attacher": "TooLong"}),
        (ATTACHMENT, an_attachment(nodeName=""), {"spec.nodeName": "Invalid"}),
        (ATTACHMENT, an_attachment(nodeName="N_1"), {"spec.nodeName": "Invalid"}),
        (ATTACHMENT, an_attachment(source={}), {"spec.source": "Required"}),
        (
            ATTACHMENT,
            an_attachment(source={"persistentVolumeName": "v1", "inlineVolumeSpec": INLINE}),
            {"spec.source": "Forbidden"},
        ),
        (
            ATTACHMENT,
            an_attachment(source={"persistentVolumeName": ""}),
            {"spec.source.persistentVolumeName": "Required"},
        ),
        (
            ATTACHMENT,
            an_attachment(source={"persistentVolumeName": "V 1"}),
            {"spec.source.persistentVolumeName": "Invalid"},
        ),
        (LEASE, a_lease(leaseDurationSeconds=0), {"spec.leaseDurationSeconds": "Invalid"}),
        (LEASE, a_lease(leaseTransitions=-1), {"spec.leaseTransitions": "Invalid"}),
    ],
)
def test_what_is_refused(kind: Kind, doc: Doc, expected: dict[str, str]) -> None:
    with pytest.raises(Invalid) as error:
        made(kind, doc)
    found = {one.field: one.reason.removeprefix("FieldValue") for one in error.value.causes}
    assert found == expected


@pytest.mark.parametrize(
    "spec", [{}, {"leaseDurationSeconds": 15, "leaseTransitions": 0, "holderIdentity": "me"}]
)
def test_a_lease_may_say_nothing_or_all(spec: Doc) -> None:
    assert made(LEASE, a_lease(**spec))["spec"] == spec


def test_a_new_attachment_is_not_attached_and_what_it_is_of_stays() -> None:
    old = made(ATTACHMENT, an_attachment())
    assert old["status"] == {"attached": False}
    with pytest.raises(Invalid) as error:
        admitted_update(ATTACHMENT, an_attachment(nodeName="n2"), old, Nothing(), NOW)
    assert [one.field for one in error.value.causes] == ["spec"]
    attached = {**old, "status": {"attached": True}}
    told = admitted_subresource(ATTACHMENT, "status", dict(attached), old, NOW)
    assert told["status"] == {"attached": True}
    written = admitted_update(ATTACHMENT, {**told, "status": {}}, told, Nothing(), NOW)
    assert written["status"] == {"attached": True}
