"""storage.k8s.io/v1 StorageClass. Storage semantics §1.3, §17."""

from typing import Final

from mooring.model.factor import FACTOR_TEXT, factor
from mooring.model.home import (
    EVERY_TEXT,
    REPLICAS_AT_MOST,
    Elsewhere,
    replica_count,
    replica_every_s,
)
from mooring.model.names import (
    BTRFS_DRIVER,
    DEFAULT_CLASS,
    DEFAULT_CLASS_BETA,
    ELSEWHERE_PARAMETER,
    EVERY_PARAMETER,
    HOST_LOCAL,
    MAX_WASTE,
    NFS_DRIVER,
    REPLICAS_PARAMETER,
)
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, World
from mooring.objects.kinds.common import (
    forbidden,
    invalid,
    is_qualified,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    refuse_unfinished,
    required,
    too_long,
)
from mooring.objects.kinds.selecting import topology_causes
from mooring.rules.fencing import BY_LEASE

POLICIES: Final = ("Delete", "Retain")
BINDING_MODES: Final = ("Immediate", "WaitForFirstConsumer")
PARAMETERS_MAX, PARAMETERS_MAX_BYTES = 512, 256 * 1024


def _default(doc: Doc) -> None:
    doc.setdefault("reclaimPolicy", "Delete")
    doc.setdefault("volumeBindingMode", "Immediate")


def parameter_causes(parameters: Doc) -> list[Cause]:
    """Of the parameters of a class of storage or of attributes."""
    causes = []
    if len(parameters) > PARAMETERS_MAX:
        message = f"Too long: must have at most {PARAMETERS_MAX} items"
        causes.append(Cause("parameters", "FieldValueTooLong", message))
    if "" in parameters:
        causes.append(invalid("parameters", "", "field can not be empty"))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items())
    if size > PARAMETERS_MAX_BYTES:
        causes.append(too_long("parameters", PARAMETERS_MAX_BYTES))
    return causes


def _causes(doc: Doc) -> list[Cause]:
    causes = []
    provisioner = doc.get("provisioner") or ""
    if not provisioner:
        causes.append(required("provisioner"))
    elif not is_qualified(provisioner.lower()):
        causes.append(invalid("provisioner", provisioner, "must be a qualified name"))
    parameters = doc.get("parameters") or {}
    causes += parameter_causes(parameters)
    if MAX_WASTE in parameters and factor(parameters[MAX_WASTE]) is None:
        causes.append(invalid(f"parameters[{MAX_WASTE}]", parameters[MAX_WASTE], FACTOR_TEXT))
    if (fencing := parameters.get("fencing")) is not None:
        if fencing != BY_LEASE:
            causes.append(not_supported("parameters[fencing]", fencing, (BY_LEASE,)))
        elif provisioner == NFS_DRIVER:
            message = "not with NFS: a host that is silent may write later what it has in memory"
            causes.append(invalid("parameters[fencing]", fencing, message))
    causes += _elsewhere_causes(parameters, provisioner)
    if doc["reclaimPolicy"] not in POLICIES:
        causes.append(not_supported("reclaimPolicy", doc["reclaimPolicy"], POLICIES))
    mode = doc["volumeBindingMode"]
    if mode not in BINDING_MODES:
        causes.append(not_supported("volumeBindingMode", mode, BINDING_MODES))
    return causes + topology_causes("allowedTopologies", doc.get("allowedTopologies"))


def _elsewhere_causes(parameters: Doc, provisioner: str) -> list[Cause]:
    """What becomes of a use on a host that has not the data. Decision 0033."""
    causes, field = [], f"parameters[{ELSEWHERE_PARAMETER}]"
    wanted = parameters.get(ELSEWHERE_PARAMETER, Elsewhere.REFUSE)
    known = tuple(one.value for one in Elsewhere)
    if wanted not in known:
        causes.append(not_supported(field, wanted, known))
    elif wanted == Elsewhere.MOVE and provisioner not in HOST_LOCAL:
        message = f"only with volumes of one host: {', '.join(sorted(HOST_LOCAL))}"
        causes.append(invalid(field, wanted, message))
    elif wanted == Elsewhere.REPLICA and provisioner != BTRFS_DRIVER:
        causes.append(invalid(field, wanted, f"only with {BTRFS_DRIVER}"))
    elif wanted == Elsewhere.REPLICA and parameters.get("fencing") is not None:
        message = "not with elsewhere: replica, whose hosts fence themselves always"
        causes.append(invalid("parameters[fencing]", parameters["fencing"], message))
    for name in (REPLICAS_PARAMETER, EVERY_PARAMETER):
        if name in parameters and wanted != Elsewhere.REPLICA:
            message = "only with elsewhere: replica"
            causes.append(invalid(f"parameters[{name}]", parameters[name], message))
    if replica_count(count := parameters.get(REPLICAS_PARAMETER)) is None:
        message = f"must be a number from 1 to {REPLICAS_AT_MOST}"
        causes.append(invalid(f"parameters[{REPLICAS_PARAMETER}]", count, message))
    if replica_every_s(every := parameters.get(EVERY_PARAMETER)) is None:
        causes.append(invalid(f"parameters[{EVERY_PARAMETER}]", every, EVERY_TEXT))
    return causes


def _validate_create(doc: Doc) -> list[Cause]:
    return metadata_causes(doc) + _causes(doc)


def _validate_update(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old)
    if (doc.get("parameters") or {}) != (old.get("parameters") or {}):
        causes.append(forbidden("parameters", "updates to parameters are forbidden."))
    if doc.get("provisioner") != old.get("provisioner"):
        causes.append(forbidden("provisioner", "updates to provisioner are forbidden."))
    if doc["reclaimPolicy"] != old["reclaimPolicy"]:
        causes.append(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    if doc["volumeBindingMode"] != old["volumeBindingMode"]:
        causes.append(invalid("volumeBindingMode", doc["volumeBindingMode"], "field is immutable"))
    return causes


def _review(doc: Doc, old: Doc | None, world: World) -> None:
    parameters = doc.get("parameters") or {}
    for name in ("fencing", ELSEWHERE_PARAMETER):
        if old is None and parameters.get(name, Elsewhere.REFUSE) != Elsewhere.REFUSE:
            refuse_unfinished(world, f"parameter {name}")


def _name(doc: Doc, _: Printing) -> str:
    annotations = doc["metadata"].get("annotations") or {}
    default = "true" in (annotations.get(DEFAULT_CLASS), annotations.get(DEFAULT_CLASS_BETA))
    return f"{doc['metadata']['name']}{' (default)' if default else ''}"


KIND: Final = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    singular="storageclass",
    namespaced=False,
    short_names=("sc",),
    columns=(
        Column("Name", _name, format="name"),
        Column("Provisioner", lambda doc, _: doc.get("provisioner", "")),
        Column("ReclaimPolicy", lambda doc, _: doc.get("reclaimPolicy") or "Delete"),
        Column("VolumeBindingMode", lambda doc, _: doc.get("volumeBindingMode") or "Immediate"),
        Column(
            "AllowVolumeExpansion",
            lambda doc, _: "true" if doc.get("allowVolumeExpansion") else "false",
        ),
        Column("Age", printing.age),
    ),
    returns_deleted=True,
    default=_default,
    validate_create=_validate_create,
    validate_update=_validate_update,
    review=_review,
)
