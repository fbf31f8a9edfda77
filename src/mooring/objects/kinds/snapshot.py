"""snapshot.storage.k8s.io/v1: VolumeSnapshot, its content and its classes. Storage semantics §18.

Kubernetes serves them as custom resources, so their rules are told in the words of those.
"""

from collections.abc import Sequence
from typing import Any, Final

from mooring.model.snapshot import GROUP
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, Subresource
from mooring.objects.kinds.common import (
    amount,
    invalid,
    keep_spec,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
)

POLICIES: Final = ("Delete", "Retain")
MODES: Final = ("volumeHandle", "snapshotHandle")
ORIGINS: Final = ("persistentVolumeClaimName", "volumeSnapshotContentName")
SOURCE: Final = "spec.source"


def _one_of(source: Doc, fields: Sequence[str]) -> list[Cause]:
    if sum(bool(source.get(field)) for field in fields) == 1:
        return []
    # In the order that the custom resources have it.
    named = " and ".join(sorted(fields, reverse=True))
    return [invalid(SOURCE, "object", f"exactly one of {named} must be set")]


def _source_change_causes(doc: Doc, old: Doc, fields: Sequence[str]) -> list[Cause]:
    causes, source, had = [], doc["spec"].get("source") or {}, old["spec"].get("source") or {}
    for field in fields:
        if had.get(field) and not source.get(field):
            causes.append(invalid(SOURCE, "object", f"{field} is required once set"))
        elif had.get(field) and source[field] != had[field]:
            causes.append(invalid(f"{SOURCE}.{field}", source[field], f"{field} is immutable"))
    return causes


def _prepare_create(doc: Doc) -> None:
    doc.setdefault("spec", {})
    doc.pop("status", None)


def _prepare_update(doc: Doc, old: Doc) -> None:
    doc.setdefault("spec", {})
    keep_status(doc, old)


def _policy_causes(holder: Doc, prefix: str = "") -> list[Cause]:
    path, policy = f"{prefix}deletionPolicy", holder.get("deletionPolicy")
    if not policy:
        return [required(path)]
    return [] if policy in POLICIES else [not_supported(path, policy, POLICIES)]


def _class_causes(doc: Doc) -> list[Cause]:
    causes = metadata_causes(doc) + _policy_causes(doc)
    return causes if doc.get("driver") else [*causes, required("driver")]


def _snapshot_spec_causes(spec: Doc) -> list[Cause]:
    causes = _one_of(spec.get("source") or {}, ORIGINS)
    if spec.get("volumeSnapshotClassName") == "":
        message = "volumeSnapshotClassName must not be the empty string when set"
        causes.append(invalid("spec.volumeSnapshotClassName", "", message))
    return causes


def _snapshot_causes(doc: Doc) -> list[Cause]:
    return metadata_causes(doc) + _snapshot_spec_causes(doc["spec"])


def _snapshot_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _source_change_causes(doc, old, ORIGINS)
    return causes + _snapshot_spec_causes(doc["spec"])


def _content_spec_causes(spec: Doc) -> list[Cause]:
    causes = _policy_causes(spec, "spec.") + _one_of(spec.get("source") or {}, MODES)
    if not spec.get("driver"):
        causes.append(required("spec.driver"))
    ref = spec.get("volumeSnapshotRef") or {}
    if not (ref.get("name") and ref.get("namespace")):
        message = (
            "both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set"
        )
        causes.append(invalid("spec.volumeSnapshotRef", "object", message))
    return causes


def _content_causes(doc: Doc) -> list[Cause]:
    return metadata_causes(doc) + _content_spec_causes(doc["spec"])


def _content_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _source_change_causes(doc, old, MODES)
    mode, had = doc["spec"].get("sourceVolumeMode"), old["spec"].get("sourceVolumeMode")
    if had and not mode:
        causes.append(invalid("spec", "object", "sourceVolumeMode is required once set"))
    elif had and mode != had:
        message = "sourceVolumeMode is immutable"
        causes.append(invalid("spec.sourceVolumeMode", mode, message))
    return causes + _content_spec_causes(doc["spec"])


def _status_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old)
    size = (doc.get("status") or {}).get("restoreSize")
    if isinstance(size, str) and amount(size) is None:
        causes.append(invalid("status.restoreSize", size, "must be a quantity, such as 10Gi"))
    return causes


def _of(part: str, *path: str) -> Any:
    """A cell with a value of spec or status, empty if it is absent."""

    def cell(doc: Doc, _: Printing) -> Any:
        value: Any = doc.get(part) or {}
        for key in path:
            value = (value or {}).get(key)
        return "" if value is None else value

    return cell


def _ready(doc: Doc, _: Printing) -> str:
    """As kubectl shows a boolean of a custom resource."""
    ready = (doc.get("status") or {}).get("readyToUse")
    return "" if ready is None else str(ready).lower()


def _created(doc: Doc, printed: Printing) -> str:
    created = (doc.get("status") or {}).get("creationTime")
    return printing.duration(printed.now_s - printing.seconds(created)) if created else ""


def _top(field: str) -> Any:
    return lambda doc, _: doc.get(field, "")


CLASS: Final = Kind(
    GROUP, "v1", "VolumeSnapshotClass", "volumesnapshotclasses", "volumesnapshotclass", False,
    short_names=("vsclass", "vsclasses"),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Driver", _top("driver")),
        Column("DeletionPolicy", _top("deletionPolicy")),
        Column("Age", printing.age),
    ),
    overwrites=False,
    generation=True,
    validate_create=_class_causes,
    validate_update=lambda doc, old: metadata_update_causes(doc, old) + _class_causes(doc),
)  # fmt: skip

SNAPSHOT: Final = Kind(
    GROUP, "v1", "VolumeSnapshot", "volumesnapshots", "volumesnapshot", True,
    short_names=("vs",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("ReadyToUse", _ready),
        Column("SourcePVC", _of("spec", "source", "persistentVolumeClaimName")),
        Column("SourceSnapshotContent", _of("spec", "source", "volumeSnapshotContentName")),
        Column("RestoreSize", _of("status", "restoreSize")),
        Column("SnapshotClass", _of("spec", "volumeSnapshotClassName")),
        Column("SnapshotContent", _of("status", "boundVolumeSnapshotContentName")),
        Column("CreationTime", _created),
        Column("Age", printing.age),
    ),
    overwrites=False,
    generation=True,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate_create=_snapshot_causes,
    validate_update=_snapshot_update_causes,
    subresources={"status": Subresource(keep_spec, _status_causes)},
)  # fmt: skip

CONTENT: Final = Kind(
    GROUP, "v1", "VolumeSnapshotContent", "volumesnapshotcontents", "volumesnapshotcontent", False,
    short_names=("vsc", "vscs"),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("ReadyToUse", _ready),
        Column("RestoreSize", _of("status", "restoreSize")),
        Column("DeletionPolicy", _of("spec", "deletionPolicy")),
        Column("Driver", _of("spec", "driver")),
        Column("VolumeSnapshotClass", _of("spec", "volumeSnapshotClassName")),
        Column("VolumeSnapshot", _of("spec", "volumeSnapshotRef", "name")),
        Column("VolumeSnapshotNamespace", _of("spec", "volumeSnapshotRef", "namespace")),
        Column("Age", printing.age),
    ),
    overwrites=False,
    generation=True,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate_create=_content_causes,
    validate_update=_content_update_causes,
    subresources={"status": Subresource(keep_spec, _status_causes)},
)  # fmt: skip
