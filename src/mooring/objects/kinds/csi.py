"""What storage.k8s.io/v1 says of drivers: CSIDriver, CSINode, CSIStorageCapacity.

Paths and texts of refusals as Kubernetes has them. Storage semantics §19.
"""

from typing import Final

from mooring.model.quantity import parse_quantity
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing
from mooring.objects.kinds.common import (
    SUBDOMAIN_TEXT,
    amount,
    duplicate,
    invalid,
    is_qualified,
    is_subdomain,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
    too_long,
)
from mooring.objects.kinds.selecting import KEY_TEXT, label_selector_causes

NAME: Final = Column("Name", printing.name, format="name")
AGE: Final = Column("Age", printing.age)
FSGROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLE_MODES: Final = ("Ephemeral", "Persistent")
DRIVER_NAME_MAX: Final = 63  # letters
NODE_ID_MAX: Final = 256  # letters
SIZES: Final = ("capacity", "maximumVolumeSize")
IMMUTABLE: Final = "field is immutable"


def _driver_default(doc: Doc) -> None:
    spec = doc.setdefault("spec", {})
    spec.setdefault("attachRequired", True)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    spec.setdefault("volumeLifecycleModes", ["Persistent"])
    for flag in ("podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"):
        spec.setdefault(flag, False)


def _driver_causes(doc: Doc) -> list[Cause]:
    spec, causes = doc.get("spec") or {}, []
    if (policy := spec.get("fsGroupPolicy")) not in FSGROUP_POLICIES:
        causes.append(not_supported("spec.fsGroupPolicy", policy, FSGROUP_POLICIES))
    causes += [
        not_supported("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)
        for mode in spec.get("volumeLifecycleModes") or ()
        if mode not in LIFECYCLE_MODES
    ]
    seen = set()
    for number, request in enumerate(spec.get("tokenRequests") or ()):
        audience = request.get("audience") or ""
        if audience in seen:
            causes.append(duplicate(f"spec.tokenRequests[{number}].audience", audience))
        seen.add(audience)
    return causes


def _driver_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _driver_causes(doc)
    # Kubernetes calls the first one so, though the field is attachRequired.
    for field, path in (
        ("attachRequired", "spec.attachedRequired"),
        ("volumeLifecycleModes", "spec.volumeLifecycleModes"),
    ):
        value = doc["spec"].get(field)
        if value != (old.get("spec") or {}).get(field):
            causes.append(invalid(path, value, IMMUTABLE))
    return causes


def _tokens(doc: Doc, _: Printing) -> str:
    requests = doc["spec"].get("tokenRequests")
    return "<unset>" if requests is None else ",".join(one.get("audience", "") for one in requests)


def _modes(doc: Doc, _: Printing) -> str:
    return ",".join(doc["spec"].get("volumeLifecycleModes") or ()) or "<none>"


def _flag(name: str, field: str, *, default: bool = False) -> Column:
    return Column(name, lambda doc, _: doc["spec"].get(field, default), type="boolean")


DRIVER: Final = Kind(
    "storage.k8s.io", "v1", "CSIDriver", "csidrivers", "csidriver", False,
    returns_deleted=True,
    columns=(
        NAME,
        _flag("AttachRequired", "attachRequired", default=True),
        _flag("PodInfoOnMount", "podInfoOnMount"),
        _flag("StorageCapacity", "storageCapacity"),
        Column("TokenRequests", _tokens),
        _flag("RequiresRepublish", "requiresRepublish"),
        Column("Modes", _modes),
        AGE,
    ),
    default=_driver_default,
    overwrites=False,
    validate_create=lambda doc: metadata_causes(doc) + _driver_causes(doc),
    validate_update=_driver_update_causes,
)  # fmt: skip


def _node_causes(doc: Doc) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for number, driver in enumerate((doc.get("spec") or {}).get("drivers") or ()):
        path = f"spec.drivers[{number}]"
        causes += _on_node_causes(path, driver)
        name = driver.get("name") or ""
        if name in seen:
            causes.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return causes


def driver_name_causes(path: str, name: str) -> list[Cause]:
    """Of the name of a CSI driver."""
    if not name:
        return [required(path)]
    causes = [too_long(path, DRIVER_NAME_MAX)] if len(name) > DRIVER_NAME_MAX else []
    if not is_subdomain(name.lower()):
        causes.append(invalid(path, name, SUBDOMAIN_TEXT))
    return causes


def _on_node_causes(path: str, driver: Doc) -> list[Cause]:
    id_ = driver.get("nodeID") or ""
    causes = driver_name_causes(f"{path}.name", driver.get("name") or "")
    if not id_:
        causes.append(required(f"{path}.nodeID"))
    elif len(id_) > NODE_ID_MAX:
        message = f"must be {NODE_ID_MAX} characters or less"
        causes.append(invalid(f"{path}.nodeID", id_, message))
    count = (driver.get("allocatable") or {}).get("count")
    if count is not None and count < 0:
        causes.append(invalid(f"{path}.allocatable.count", count, _NOT_NEGATIVE))
    seen = set()
    for key in driver.get("topologyKeys") or ():
        if not key:
            causes.append(required(path))
        if key in seen:
            causes.append(duplicate(path, key))
        seen.add(key)
        if not is_qualified(key):
            causes.append(invalid(path, key, KEY_TEXT))
    return causes


_NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def _node_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    """A driver may come and go; of one that stays only its limit of volumes may change."""
    causes = metadata_update_causes(doc, old) + _node_causes(doc)
    before = {one.get("name"): one for one in (old.get("spec") or {}).get("drivers") or ()}
    for driver in (doc.get("spec") or {}).get("drivers") or ():
        had = before.get(driver.get("name"))
        if had is not None and _but_for_limit(had) != _but_for_limit(driver):
            causes.append(invalid("spec.drivers", driver.get("name"), IMMUTABLE))
    return causes


def _but_for_limit(driver: Doc) -> Doc:
    return {key: value for key, value in driver.items() if key != "allocatable" and value}


NODE: Final = Kind(
    "storage.k8s.io", "v1", "CSINode", "csinodes", "csinode", False,
    returns_deleted=True,
    columns=(
        NAME,
        Column(
            "Drivers",
            lambda doc, _: len((doc.get("spec") or {}).get("drivers") or ()),
            type="integer",
            description="Drivers indicates the number of CSI drivers registered on the node",
        ),
        AGE,
    ),
    overwrites=False,
    validate_create=lambda doc: metadata_causes(doc) + _node_causes(doc),
    validate_update=_node_update_causes,
)  # fmt: skip


def _capacity_default(doc: Doc) -> None:
    for field in SIZES:
        if doc.get(field) is not None:
            doc[field] = parse_quantity(doc[field]).canonical()


def _capacity_causes(doc: Doc) -> list[Cause]:
    causes = metadata_causes(doc)
    if doc.get("nodeTopology") is not None:
        causes += label_selector_causes("nodeTopology", doc["nodeTopology"])
    name = doc.get("storageClassName") or ""
    if not is_subdomain(name):
        causes.append(invalid("storageClassName", name, SUBDOMAIN_TEXT))
    size = amount(doc["capacity"]) if doc.get("capacity") is not None else None
    if size is not None and size.nanos < 0:
        causes.append(invalid("capacity", doc["capacity"], _NOT_NEGATIVE))
    return causes


def _capacity_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old)
    return causes + [
        invalid(field, doc.get(field) or "", IMMUTABLE)
        for field in ("nodeTopology", "storageClassName")
        if doc.get(field) != old.get(field)
    ]


STORAGE_CAPACITY: Final = Kind(
    "storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity",
    True,
    columns=(
        NAME,
        Column("StorageClassName", lambda doc, _: doc.get("storageClassName") or ""),
        Column("Capacity", lambda doc, _: doc.get("capacity") or ""),
    ),
    default=_capacity_default,
    overwrites=False,
    validate_create=_capacity_causes,
    validate_update=_capacity_update_causes,
)  # fmt: skip
