"""v1 PersistentVolume. Storage semantics §1.1, §17."""

from typing import Final

from mooring.model.home import NOWHERE, copies_of, home_of
from mooring.model.names import (
    COPIES,
    DRIVERS,
    ELSEWHERE,
    HOME,
    POOL_ATTRIBUTE,
    PV_PROTECTION,
)
from mooring.model.quantity import QuantityError, parse_quantity
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, World
from mooring.objects.kinds.common import (
    STATUS,
    SUBDOMAIN_TEXT,
    VOLUME_MODES,
    access_mode_causes,
    amount,
    canonical_amounts,
    effective_class,
    forbidden,
    invalid,
    is_subdomain,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
    storage_of,
    with_finalizer,
)
from mooring.objects.kinds.selecting import node_selector_causes
from mooring.objects.kinds.volume_sources import (
    cleans_the_root,
    source_causes,
    source_change_causes,
)

POLICIES: Final = ("Delete", "Recycle", "Retain")


def _default(doc: Doc) -> None:
    spec = doc.setdefault("spec", {})
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    if isinstance(spec.get("hostPath"), dict):
        spec["hostPath"].setdefault("type", "")
    canonical_amounts(spec.get("capacity"))
    doc.setdefault("status", {}).setdefault("phase", "Pending")


def _protect(doc: Doc, _: World) -> None:
    with_finalizer(doc, PV_PROTECTION)


def _prepare_create(doc: Doc) -> None:
    doc["status"] = {"phase": "Pending"}


def _stamp(doc: Doc, old: Doc | None, now: str) -> None:
    """status.lastPhaseTransitionTime, unless the writer gave another one."""
    status = doc.setdefault("status", {})
    had = (old or {}).get("status", {})
    if old is None:
        status["lastPhaseTransitionTime"] = now
    elif status.get("phase") == had.get("phase"):
        if "lastPhaseTransitionTime" in had:
            status.setdefault("lastPhaseTransitionTime", had["lastPhaseTransitionTime"])
    elif status.get("lastPhaseTransitionTime") in (None, had.get("lastPhaseTransitionTime")):
        status["lastPhaseTransitionTime"] = now


def _spec_causes(doc: Doc) -> list[Cause]:
    spec = doc["spec"]
    causes = access_mode_causes(spec.get("accessModes"))
    capacity = spec.get("capacity")
    if not capacity:
        causes.append(required("spec.capacity"))
        causes.append(not_supported("spec.capacity", "", ("storage",)))
    elif storage_of(capacity) is None or len(capacity) > 1:
        causes.append(not_supported("spec.capacity", ", ".join(capacity), ("storage",)))
    else:
        size = amount(storage_of(capacity))
        if size is None or size.nanos <= 0:
            message = "must be greater than zero"
            causes.append(invalid("spec.capacity[storage]", storage_of(capacity), message))
    policy = spec["persistentVolumeReclaimPolicy"]
    if policy not in POLICIES:
        causes.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, POLICIES))
    if spec["volumeMode"] not in VOLUME_MODES:
        causes.append(not_supported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES))
    class_name = spec.get("storageClassName")
    if class_name and not is_subdomain(class_name):
        causes.append(invalid("spec.storageClassName", class_name, SUBDOMAIN_TEXT))
    causes += source_causes(doc)
    causes += _attributes_class_causes(spec)
    if policy == "Recycle" and cleans_the_root(spec):
        message = "may not be 'recycle' for a hostPath mount of '/'"
        causes.append(forbidden("spec.persistentVolumeReclaimPolicy", message))
    affinity = spec.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        message = "must specify required node constraints"
        causes.append(required("spec.nodeAffinity.required", message))
    elif affinity is not None:
        causes += node_selector_causes("spec.nodeAffinity.required", affinity["required"])
    elif spec.get("local") is not None:
        causes.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    return causes


def _attributes_class_causes(spec: Doc) -> list[Cause]:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return []
    field, causes = "spec.volumeAttributesClassName", []
    if not name:
        causes.append(required(field, "an empty string is disallowed"))
    elif not is_subdomain(name):
        causes.append(invalid(field, name, SUBDOMAIN_TEXT))
    if spec.get("csi") is None:
        message = "has to be specified when using volumeAttributesClassName"
        causes.append(required("spec.csi", message))
    return causes


def _home_causes(doc: Doc) -> list[Cause]:
    """Of annotations that say where a volume's data is, if that may change. Decision 0033."""
    annotations = doc["metadata"].get("annotations") or {}
    home, copies = annotations.get(HOME), annotations.get(COPIES)
    if home is None:
        if copies is None:
            return []
        return [required(f"metadata.annotations[{HOME}]", f"as it has {COPIES}")]
    field = f"metadata.annotations[{HOME}]"
    if (where := home_of(home)) == NOWHERE:
        return [invalid(field, home, "must be NODE/POOL")]
    csi = doc["spec"].get("csi") or {}
    if csi.get("driver") not in DRIVERS or not (csi.get("volumeAttributes") or {}).get(
        POOL_ATTRIBUTE
    ):
        return [forbidden(field, "only of volumes of pools")]
    return _copies_causes(copies, where.node) if copies is not None else []


def _copies_causes(copies: str, home: str) -> list[Cause]:
    field = f"metadata.annotations[{COPIES}]"
    try:
        found = copies_of(copies)
        sizes = [parse_quantity(one.size) for one in found]
    except (ValueError, QuantityError) as error:
        return [invalid(field, copies[:1024], f"must be a list of copies: {error}")]
    if any(size.nanos <= 0 for size in sizes):
        return [invalid(field, copies[:1024], "must have sizes greater than zero")]
    nodes = [one.node for one in found]
    if any(not one.node or not one.pool for one in found) or len({*nodes, home}) <= len(nodes):
        return [invalid(field, copies[:1024], "must name a node other than the home once, a pool")]
    return []


def _home_change_causes(doc: Doc, old: Doc) -> list[Cause]:
    """Once it may move it always may: without its home it would be where it was long ago."""
    had, has = (one["metadata"].get("annotations") or {} for one in (old, doc))
    if had.get(HOME) is None:
        return _new_home_causes(doc) if has.get(HOME) is not None else []
    return [
        forbidden(f"metadata.annotations[{name}]", "may not be removed or changed")
        for name in (ELSEWHERE, HOME)
        if had.get(name) is not None
        and (has.get(name) is None or (name == ELSEWHERE and has[name] != had[name]))
    ]


def _new_home_causes(doc: Doc) -> list[Cause]:
    """One says where it is, the other what that means: neither goes without the other."""
    has = doc["metadata"].get("annotations") or {}
    return [
        required(f"metadata.annotations[{name}]", f"as it has {other}")
        for name, other in ((ELSEWHERE, HOME), (HOME, ELSEWHERE))
        if has.get(name) is None and has.get(other) is not None
    ]


def _validate_create(doc: Doc) -> list[Cause]:
    causes = metadata_causes(doc) + _spec_causes(doc) + _home_causes(doc)
    return causes or _new_home_causes(doc)


def _validate_update(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _spec_causes(doc) + _home_causes(doc)
    causes += _home_change_causes(doc, old)
    spec, had = doc["spec"], old["spec"]
    causes += source_change_causes(spec, had)
    if spec["volumeMode"] != had.get("volumeMode", "Filesystem"):
        causes.append(invalid("volumeMode", spec["volumeMode"], "field is immutable"))
    if had.get("nodeAffinity") is not None and spec.get("nodeAffinity") != had["nodeAffinity"]:
        causes.append(invalid("nodeAffinity", "", "field is immutable"))
    if had.get("volumeAttributesClassName") and not spec.get("volumeAttributesClassName"):
        message = "update from non-nil value to nil is forbidden"
        causes.append(forbidden("spec.volumeAttributesClassName", message))
    return causes


def _claim(doc: Doc, _: Printing) -> str:
    ref = doc["spec"].get("claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref is not None else ""


KIND: Final = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    singular="persistentvolume",
    namespaced=False,
    short_names=("pv",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Capacity", lambda doc, _: str(storage_of(doc["spec"].get("capacity")) or "")),
        Column("Access Modes", lambda doc, _: printing.modes(doc["spec"].get("accessModes"))),
        Column("Reclaim Policy", lambda doc, _: doc["spec"]["persistentVolumeReclaimPolicy"]),
        Column("Status", printing.phase),
        Column("Claim", _claim),
        Column("StorageClass", lambda doc, _: effective_class(doc)),
        Column(
            "VolumeAttributesClass",
            lambda doc, _: doc["spec"].get("volumeAttributesClassName", "<unset>"),
        ),
        Column("Reason", lambda doc, _: doc.get("status", {}).get("reason", "")),
        Column("Age", printing.age),
        Column("VolumeMode", lambda doc, _: doc["spec"].get("volumeMode") or "<unset>", priority=1),
    ),
    returns_deleted=True,
    default=_default,
    mutate=_protect,
    prepare_create=_prepare_create,
    prepare_update=keep_status,
    stamp=_stamp,
    validate_create=_validate_create,
    validate_update=_validate_update,
    subresources=STATUS,
)
