"""mooring.dev/v1 Pool: a backend's place, and who may take how much of it."""

import re
from typing import Any, Final

from mooring.model import nfs
from mooring.model.names import NFS_DRIVER, POOL_PROTECTION
from mooring.model.pool import (
    FULL_QUOTAS,
    IMAGE_TYPES,
    OPTIONS,
    READY,
    SIMPLE_QUOTAS,
    PoolThresholds,
)
from mooring.model.quantity import ONE
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, World
from mooring.objects.kinds.common import (
    STATUS,
    amount,
    forbidden,
    invalid,
    is_subdomain,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    refuse_unfinished,
    required,
    with_finalizer,
)
from mooring.rules.pool_health import percent

_QUOTAS: Final = (FULL_QUOTAS, SIMPLE_QUOTAS)
_MODE = re.compile(r"[0-7]{3,5}")


def _default(doc: Doc) -> None:
    doc.setdefault("spec", {})
    doc.setdefault("status", {})


def _protect(doc: Doc, _: World) -> None:
    with_finalizer(doc, POOL_PROTECTION)


def _prepare_create(doc: Doc) -> None:
    doc["status"] = {"allocated": "0", "volumes": 0}


def _size_causes(field: str, value: Any) -> list[Cause]:
    if value is None:
        return []
    size = amount(value)
    if size is None or size.nanos <= 0:
        return [invalid(field, value, "must be a quantity greater than zero, such as 10Gi")]
    return []


def _spec_causes(spec: Doc) -> list[Cause]:
    causes = []
    if not spec.get("driver"):
        causes.append(required("spec.driver", "such as directory.mooring.dev"))
    elif not is_subdomain(spec["driver"]):
        causes.append(invalid("spec.driver", spec["driver"], "must be a DNS-1123 subdomain"))
    root = spec.get("root") or ""
    if not root:
        causes.append(required("spec.root", "an absolute path on the host"))
    elif not root.startswith("/") or ".." in root.split("/") or root.strip("/") == "":
        causes.append(invalid("spec.root", root, "must be absolute, not '/', and without '..'"))
    causes += _size_causes("spec.capacity", spec.get("capacity"))
    causes += _overcommit_causes(spec.get("overcommit"))
    causes += _threshold_causes(spec.get("thresholds") or {})
    seen = set()
    for number, grant in enumerate(spec.get("namespaces") or ()):
        path, name = f"spec.namespaces[{number}]", grant.get("name") or ""
        if not name:
            causes.append(required(f"{path}.name", "a namespace, or * for each"))
        if name in seen:
            message = f'Duplicate value: "{name}"'
            causes.append(Cause(f"{path}.name", "FieldValueDuplicate", message))
        seen.add(name)
        causes += _size_causes(f"{path}.quota", grant.get("quota"))
    return causes + _option_causes(spec)


def _overcommit_causes(value: Any) -> list[Cause]:
    if value is None:
        return []
    ratio = amount(value)
    if ratio is None or ratio.nanos < ONE:
        message = "must be a number of 1 or more, such as 1.5: how often the place may be promised"
        return [invalid("spec.overcommit", value, message)]
    return []


def _threshold_causes(thresholds: Doc) -> list[Cause]:
    fixed = PoolThresholds()
    warn = thresholds.get("warn", fixed.warn)
    critical = thresholds.get("critical", fixed.critical)
    causes = []
    for field, value in (("warn", warn), ("critical", critical)):
        if not isinstance(value, int) or not 1 <= value <= 100:
            message = "must be a percentage from 1 to 100"
            causes.append(invalid(f"spec.thresholds.{field}", value, message))
    if not causes and warn > critical:
        message = f"must not be above spec.thresholds.critical, which is {critical}"
        causes.append(invalid("spec.thresholds.warn", warn, message))
    return causes


def _ready(doc: Doc, _: Printing) -> str:
    conditions = doc.get("status", {}).get("conditions") or ()
    return next((one["status"] for one in conditions if one["type"] == READY), "Unknown")


def _used(doc: Doc, _: Printing) -> str:
    found = doc.get("status", {}).get("capacity")
    if not found:
        return "<unknown>"
    used, available = amount(found.get("used", 0)), amount(found.get("available", 0))
    return f"{percent(used, available)}%" if used is not None and available is not None else ""


def _option_causes(spec: Doc) -> list[Cause]:
    causes = []
    for field in OPTIONS.values():
        mode = (spec.get(field) or {}).get("mode")
        if mode is not None and not _MODE.fullmatch(str(mode)):
            causes.append(invalid(f"spec.{field}.mode", mode, "must be octal, such as '0755'"))
    if (spec.get("directory") or {}).get("shared") and spec.get("node"):
        message = "must not be true with spec.node, which says that one host alone has it"
        causes.append(invalid("spec.directory.shared", True, message))
    quotas = (spec.get("btrfs") or {}).get("quotas")
    if quotas is not None and quotas not in _QUOTAS:
        causes.append(not_supported("spec.btrfs.quotas", quotas, _QUOTAS))
    fs_type = (spec.get("loopfile") or {}).get("fsType")
    if fs_type and fs_type not in IMAGE_TYPES:
        causes.append(not_supported("spec.loopfile.fsType", fs_type, IMAGE_TYPES))
    if spec.get("driver") == NFS_DRIVER or spec.get("nfs"):
        causes += _nfs_causes(spec.get("nfs") or {})
    return causes


def _nfs_causes(options: Doc) -> list[Cause]:
    causes, server, path = [], options.get("server") or "", options.get("path") or ""
    if not server:
        causes.append(required("spec.nfs.server", "a host name or an address"))
    elif not nfs.is_server(server):
        causes.append(invalid("spec.nfs.server", server, "must be a host name or an address"))
    if not path:
        causes.append(required("spec.nfs.path", "of the export"))
    elif fault := nfs.path_fault(path):
        causes.append(invalid("spec.nfs.path", path, fault))
    version = options.get("version")
    if version and version not in nfs.VERSIONS:
        causes.append(not_supported("spec.nfs.version", version, nfs.VERSIONS))
    for number, option in enumerate(options.get("mountOptions") or ()):
        if fault := "; ".join(filter(None, map(nfs.option_fault, nfs.split_options([option])))):
            causes.append(invalid(f"spec.nfs.mountOptions[{number}]", option, fault))
    return causes


def _validate_create(doc: Doc) -> list[Cause]:
    return metadata_causes(doc) + _spec_causes(doc["spec"])


def _validate_update(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _spec_causes(doc["spec"])
    message = "is immutable: volumes lie there; make another pool"
    for field in ("driver", "root", "node"):
        if doc["spec"].get(field) != old["spec"].get(field):
            causes.append(forbidden(f"spec.{field}", message))
    for field in ("server", "path"):
        now, then = ((one["spec"].get("nfs") or {}).get(field) for one in (doc, old))
        if now != then:
            causes.append(forbidden(f"spec.nfs.{field}", message))
    return causes


def _review(doc: Doc, old: Doc | None, world: World) -> None:
    is_shared, was_shared = (
        bool(one and (one["spec"].get("directory") or {}).get("shared")) for one in (doc, old)
    )
    if is_shared and not was_shared:
        refuse_unfinished(world, "a directory that several hosts share")


KIND: Final = Kind(
    group="mooring.dev",
    version="v1",
    kind="Pool",
    plural="pools",
    singular="pool",
    namespaced=False,
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Driver", lambda doc, _: doc["spec"].get("driver", "")),
        Column("Node", lambda doc, _: doc["spec"].get("node") or "<shared>"),
        Column("Capacity", lambda doc, _: str(doc["spec"].get("capacity") or "<disk>")),
        Column("Allocated", lambda doc, _: str(doc.get("status", {}).get("allocated", "0"))),
        Column("Volumes", lambda doc, _: doc.get("status", {}).get("volumes", 0), type="integer"),
        Column("Ready", _ready),
        Column("Used %", _used),
        Column("Age", printing.age),
        Column("Root", lambda doc, _: doc["spec"].get("root", ""), priority=1),
    ),
    default=_default,
    mutate=_protect,
    prepare_create=_prepare_create,
    prepare_update=keep_status,
    validate_create=_validate_create,
    validate_update=_validate_update,
    review=_review,
    subresources=STATUS,
)
