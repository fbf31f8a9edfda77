"""v1 PersistentVolumeClaim. Storage semantics §1.2, §12, §13, §14, §17, §18."""

from typing import Any, Final

import msgspec

from mooring.model.claim import Claim
from mooring.model.names import (
    DEFAULT_CLASS,
    DEFAULT_CLASS_BETA,
    PVC_PROTECTION,
    STORAGE_CLASS_BETA,
)
from mooring.model.quota import LimitRange
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Denied, Doc, Kind, Printing, World
from mooring.objects.kinds.common import (
    LABEL_TEXT,
    STATUS,
    SUBDOMAIN_TEXT,
    VOLUME_MODES,
    access_mode_causes,
    amount,
    canonical_amounts,
    effective_class,
    forbidden,
    invalid,
    is_label,
    is_subdomain,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
    storage_of,
    with_finalizer,
)
from mooring.objects.kinds.selecting import label_selector_causes
from mooring.rules.quota import out_of_range

REQUEST: Final = "spec.resources.requests.storage"
CLASSES: Final = "storageclasses.storage.k8s.io"
# All that dataSource could be, before there was dataSourceRef: (group, kind).
OLD_SOURCES: Final = (
    ("", "PersistentVolumeClaim"),
    ("snapshot.storage.k8s.io", "VolumeSnapshot"),
)


def _default(doc: Doc) -> None:
    spec = doc.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    resources = spec.get("resources") or {}
    for amounts in ("requests", "limits"):
        canonical_amounts(resources.get(amounts))
    status = doc.setdefault("status", {})
    status.setdefault("phase", "Pending")
    for amounts in ("capacity", "allocatedResources"):
        canonical_amounts(status.get(amounts))


def _mutate(doc: Doc, world: World) -> None:
    """The default class for a claim that says none, and protection."""
    with_finalizer(doc, PVC_PROTECTION)
    annotations = doc["metadata"].get("annotations") or {}
    if doc["spec"].get("storageClassName") is not None or STORAGE_CLASS_BETA in annotations:
        return
    defaults = [class_["metadata"] for class_ in world.all(CLASSES) if _is_default(class_)]
    if defaults:
        # Newest first; of the same second, the first by name.
        defaults.sort(key=lambda metadata: metadata["name"])
        defaults.sort(key=lambda metadata: metadata["creationTimestamp"], reverse=True)
        doc["spec"]["storageClassName"] = defaults[0]["name"]


def _is_default(class_: Doc) -> bool:
    annotations = class_["metadata"].get("annotations") or {}
    return "true" in (annotations.get(DEFAULT_CLASS), annotations.get(DEFAULT_CLASS_BETA))


def _prepare_create(doc: Doc) -> None:
    doc["status"] = {"phase": "Pending"}
    _normalise_source(doc["spec"], {})


def _prepare_update(doc: Doc, old: Doc) -> None:
    keep_status(doc, old)
    _normalise_source(doc["spec"], old["spec"])


def _normalise_source(spec: Doc, old: Doc) -> None:
    """§18: what old clients got dropped is dropped, one of the two is copied into the other.

    old  the spec as it was, empty at creation
    """
    ref = spec.get("dataSourceRef")
    if ref is not None and ref.get("namespace") and old.get("dataSourceRef") is None:
        # Kubernetes' gate for sources in other namespaces is off. What is left without its
        # namespace would be another object, of the same name in this one.
        del spec["dataSourceRef"]
        ref = None
    source = spec.get("dataSource")
    if ref is None and source is not None:
        had = old.get("dataSource") is not None or old.get("dataSourceRef") is not None
        if had or (source.get("apiGroup") or "", source.get("kind")) in OLD_SOURCES:
            spec["dataSourceRef"] = dict(source)
        else:
            del spec["dataSource"]
    elif ref is not None and source is None and not ref.get("namespace"):
        spec["dataSource"] = {key: ref[key] for key in ref if key != "namespace"}


def _spec_causes(spec: Doc, old: Doc) -> list[Cause]:
    """old  the spec as it was, empty at creation."""
    causes = access_mode_causes(spec.get("accessModes"))
    asked = storage_of((spec.get("resources") or {}).get("requests"))
    if asked is None:
        causes.append(required("spec.resources[storage]"))
    else:
        size = amount(asked)
        if size is None or size.nanos <= 0:
            causes.append(invalid("spec.resources[storage]", asked, "must be greater than zero"))
    if spec["volumeMode"] not in VOLUME_MODES:
        causes.append(not_supported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES))
    for field in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(field) and not is_subdomain(spec[field]):
            causes.append(invalid(f"spec.{field}", spec[field], SUBDOMAIN_TEXT))
    causes += label_selector_causes("spec.selector", spec.get("selector") or {})
    for field in ("dataSource", "dataSourceRef"):
        if (source := spec.get(field)) is not None:
            causes += _source_causes(f"spec.{field}", source, old.get(field) or {})
    return causes + _both_sources_causes(spec)


def _source_causes(field: str, source: Doc, old: Doc) -> list[Cause]:
    causes = [required(f"{field}.{key}") for key in ("name", "kind") if not source.get(key)]
    group, space = source.get("apiGroup") or "", source.get("namespace") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        message = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        causes.append(invalid(field, source.get("kind", ""), message))
    if group and group != old.get("apiGroup") and not is_subdomain(group):
        causes.append(invalid(f"{field}.apiGroup", group, SUBDOMAIN_TEXT))
    if space and not is_label(space):
        causes.append(invalid(f"{field}.namespace", space, LABEL_TEXT))
    return causes


def _both_sources_causes(spec: Doc) -> list[Cause]:
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is None or ref is None:
        return []
    if ref.get("namespace"):
        message = "may not be specified when dataSourceRef.namespace is specified"
    elif any(source.get(key) != ref.get(key) for key in ("apiGroup", "kind", "name")):
        message = "must match dataSourceRef"
    else:
        return []
    return [invalid("spec", "dataSource", message)]


def _validate_create(doc: Doc) -> list[Cause]:
    return metadata_causes(doc) + _spec_causes(doc["spec"], {})


def _validate_update(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _spec_causes(doc["spec"], old["spec"])
    spec, had = doc["spec"], old["spec"]
    beta = _class_annotation(doc) or ""
    if beta != (_class_annotation(old) or ""):
        path = f"metadata.annotations.{STORAGE_CLASS_BETA}"
        causes.append(invalid(path, beta, "field is immutable"))
    if spec["volumeMode"] != had.get("volumeMode", "Filesystem"):
        causes.append(invalid("volumeMode", spec["volumeMode"], "field is immutable"))
    causes += _growth_causes(doc, old)
    attributes, attributes_had = "volumeAttributesClassName", had.get("volumeAttributesClassName")
    if attributes_had is not None and not spec.get(attributes):
        message = "update from non-nil value to nil or empty is forbidden"
        causes.append(forbidden(f"spec.{attributes}", message))
    if _fixed(doc, old) != _fixed(old, old):
        message = (
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims"
        )
        causes.append(forbidden("spec", message))
    return causes


def _requested(spec: Doc) -> Any:
    return storage_of((spec.get("resources") or {}).get("requests"))


def _is_bound(doc: Doc) -> bool:
    return bool((doc.get("status") or {}).get("phase") == "Bound")


def _growth_causes(doc: Doc, old: Doc) -> list[Cause]:
    """§14: a bound claim may grow; it may shrink again while that stays above what it has."""
    wanted, had = amount(_requested(doc["spec"]) or "0"), amount(_requested(old["spec"]) or "0")
    if not _is_bound(old) or wanted is None or had is None or wanted >= had:
        return []
    has = amount(storage_of((old.get("status") or {}).get("capacity")) or "0")
    if has is not None and has < wanted:
        return []
    return [forbidden(REQUEST, "field can not be less than status.capacity")]


def _class_annotation(doc: Doc) -> str | None:
    found: str | None = (doc["metadata"].get("annotations") or {}).get(STORAGE_CLASS_BETA)
    return found


def _may_get_class(doc: Doc, old: Doc) -> bool:
    """A claim without a class may be given one; one with the annotation only what that says."""
    if old["spec"].get("storageClassName") is not None:
        return False
    noted = _class_annotation(old)
    return not noted or doc["spec"].get("storageClassName") in (None, noted)


def _fixed(doc: Doc, old: Doc) -> Doc:
    """The spec without what may change, given what the object was. Amounts count, not texts."""
    spec = dict(doc["spec"])
    if not old["spec"].get("volumeName"):
        spec.pop("volumeName", None)
    if _may_get_class(doc, old):
        spec.pop("storageClassName", None)
    resources = dict(spec.get("resources") or {})
    for name in ("requests", "limits"):
        resources[name] = {key: amount(one) for key, one in (resources.get(name) or {}).items()}
    if _is_bound(old):
        resources["requests"].pop("storage", None)
        spec.pop("volumeAttributesClassName", None)
    return {**spec, "resources": resources}


def _review(doc: Doc, old: Doc | None, world: World) -> None:
    """It keeps within the limits of its namespace, and growth needs a class that allows it now."""
    if limits := world.inside(LimitRange.resource, doc["metadata"]["namespace"]):
        ranges = (msgspec.convert(one, LimitRange) for one in limits)
        if why := out_of_range(ranges, msgspec.convert(doc, Claim)):
            raise Denied(why)
    if old is None:
        return
    wanted, had = amount(_requested(doc["spec"]) or "0"), amount(_requested(old["spec"]) or "0")
    if wanted is None or had is None or wanted <= had:
        return
    class_ = world.one(CLASSES, effective_class(old)) if effective_class(old) else None
    if class_ is None or class_.get("allowVolumeExpansion") is not True:
        raise Denied(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions "
            "the pvc must support resize"
        )


def _of_status(doc: Doc) -> Doc:
    """Blank unless the claim names a volume."""
    return doc.get("status", {}) if doc["spec"].get("volumeName") else {}


def _capacity(doc: Doc, _: Printing) -> str:
    if not doc["spec"].get("volumeName"):
        return ""
    return str(storage_of(_of_status(doc).get("capacity")) or "0")


KIND: Final = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    singular="persistentvolumeclaim",
    namespaced=True,
    short_names=("pvc",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Status", printing.phase),
        Column("Volume", lambda doc, _: doc["spec"].get("volumeName", "")),
        Column("Capacity", _capacity),
        Column("Access Modes", lambda doc, _: printing.modes(_of_status(doc).get("accessModes"))),
        Column("StorageClass", lambda doc, _: effective_class(doc)),
        Column(
            "VolumeAttributesClass",
            lambda doc, _: doc["spec"].get("volumeAttributesClassName", "<unset>"),
        ),
        Column("Age", printing.age),
        Column("VolumeMode", lambda doc, _: doc["spec"].get("volumeMode") or "<unset>", priority=1),
    ),
    returns_deleted=True,
    default=_default,
    mutate=_mutate,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate_create=_validate_create,
    validate_update=_validate_update,
    review=_review,
    subresources=STATUS,
)
