"""Storage objects as clients send them, and what becomes of them when they are written."""

from typing import Any

from mooring.objects.admission import admitted_create, admitted_subresource, admitted_update
from mooring.objects.errors import Forbidden, Invalid
from mooring.objects.kind import Doc, Kind
from mooring.objects.kinds import core, persistentvolume, persistentvolumeclaim, storageclass
from mooring.store.schema import LATEST

VOLUME, CLAIM, CLASS = persistentvolume.KIND, persistentvolumeclaim.KIND, storageclass.KIND
NAMESPACE = core.NAMESPACE
NOW = "2026-01-01T00:00:00Z"
CSI = {"driver": "d.example.com", "volumeHandle": "h"}
ISCSI = {"targetPortal": "10.0.0.1", "iqn": "iqn.2026-01.org.example:a", "lun": 1}


class World:
    """A world of these classes alone."""

    schema = LATEST

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


def with_status(kind: Kind, doc: Doc, old: Doc, now: str = NOW) -> Doc:
    """What a write of /status stores."""
    return admitted_subresource(kind, "status", doc, old, now)


def bound(doc: Doc, has: str = "1Gi") -> Doc:
    """A stored claim as it is once bound."""
    return {**doc, "status": {"phase": "Bound", "capacity": {"storage": has}}}


def asking(size: str) -> Doc:
    return {"resources": {"requests": {"storage": size}}}
