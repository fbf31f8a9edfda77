"""Kinds of Kubernetes' core and coordination groups that storage needs around it."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

from mooring.model.factor import FACTOR_TEXT, factor
from mooring.model.names import MAX_WASTE
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, Subresource
from mooring.objects.kinds.common import (
    STATUS,
    as_label,
    forbidden,
    invalid,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    required,
)
from mooring.objects.kinds.pod_volumes import default_templates, template_causes
from mooring.rules.draining import DRAIN

NAME: Final = Column("Name", printing.name, format="name")
AGE: Final = Column("Age", printing.age)


def _namespace_default(doc: Doc) -> None:
    doc.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    doc.setdefault("status", {}).setdefault("phase", "Active")
    labels = doc["metadata"].get("labels") or {}
    name = doc["metadata"].get("name", "")
    doc["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": name}


def _namespace_create(doc: Doc) -> None:
    doc["status"] = {"phase": "Active"}


def _namespace_update(doc: Doc, old: Doc) -> None:
    """What it must not lose while it lives: by its finalizer, what is in it goes before it does."""
    if "deletionTimestamp" not in old["metadata"]:
        doc["spec"], doc["status"] = old["spec"], old["status"]


def _finalize(doc: Doc, old: Doc) -> None:
    finalizers = doc["spec"].get("finalizers") or []
    doc.clear()
    doc.update({**old, "spec": {**old["spec"], "finalizers": finalizers}})


def _waste_causes(doc: Doc) -> list[Cause]:
    annotations = doc["metadata"].get("annotations") or {}
    if MAX_WASTE not in annotations or factor(annotations[MAX_WASTE]) is not None:
        return []
    return [invalid(f"metadata.annotations.{MAX_WASTE}", annotations[MAX_WASTE], FACTOR_TEXT)]


def _namespace_create_causes(doc: Doc) -> list[Cause]:
    return metadata_causes(doc, named=as_label) + _waste_causes(doc)


def _namespace_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    return metadata_update_causes(doc, old, named=as_label) + _waste_causes(doc)


NAMESPACE: Final = Kind(
    "", "v1", "Namespace", "namespaces", "namespace", False,
    short_names=("ns",),
    deletes_collection=False,
    kept=frozenset({"default", "kube-system", "kube-public"}),
    columns=(NAME, Column("Status", printing.phase), AGE),
    default=_namespace_default,
    prepare_create=_namespace_create,
    prepare_update=_namespace_update,
    validate_create=_namespace_create_causes,
    validate_update=_namespace_update_causes,
    subresources={**STATUS, "finalize": Subresource(_finalize, metadata_update_causes)},
    selectable={"status.phase": lambda doc: str(doc.get("status", {}).get("phase", ""))},
)  # fmt: skip


def _pod_default(doc: Doc) -> None:
    spec = doc.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    default_templates(spec)
    doc.setdefault("status", {}).setdefault("phase", "Pending")


GATED: Final = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _pod_create(doc: Doc) -> None:
    doc["status"] = {"phase": "Pending"}
    if doc["spec"].get("schedulingGates"):
        doc["status"]["conditions"] = [dict(GATED)]


def _pod_causes(doc: Doc) -> list[Cause]:
    spec, causes = doc["spec"], metadata_causes(doc)
    containers = spec.get("containers")
    if not containers:
        causes.append(required("spec.containers"))
    for number, container in enumerate(containers or ()):
        path = f"spec.containers[{number}]"
        causes += [required(f"{path}.{key}") for key in ("name", "image") if not container.get(key)]
    names = set()
    for number, volume in enumerate(spec.get("volumes") or ()):
        at, name = f"spec.volumes[{number}]", volume.get("name")
        path = f"{at}.name"
        if not name:
            causes.append(required(path))
        elif name in names:
            causes.append(Cause(path, "FieldValueDuplicate", f'Duplicate value: "{name}"'))
        names.add(name)
        causes += template_causes(at, volume, doc["metadata"].get("name") or "")
    return causes


def _pod_ready(doc: Doc, _: Printing) -> str:
    states = doc.get("status", {}).get("containerStatuses") or ()
    ready = sum(1 for one in states if one.get("ready"))
    return f"{ready}/{len(doc['spec'].get('containers') or ())}"


def _pod_status(doc: Doc, _: Printing) -> str:
    status = doc.get("status") or {}
    if "deletionTimestamp" in doc["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(status.get("reason") or status.get("phase") or "")


def _pod_restarts(doc: Doc, _: Printing) -> str:
    states = doc.get("status", {}).get("containerStatuses") or ()
    return str(sum(one.get("restartCount") or 0 for one in states))


def _pod_gates(doc: Doc, _: Printing) -> str:
    gates = [one.get("conditionType") for one in doc["spec"].get("readinessGates") or ()]
    conditions = doc.get("status", {}).get("conditions") or ()
    true = {one.get("type") for one in conditions if one.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate in true)}/{len(gates)}" if gates else "<none>"


def _of_spec(field: str) -> Callable[[Doc], str]:
    return lambda doc: str(doc["spec"].get(field, ""))


POD: Final = Kind(
    "", "v1", "Pod", "pods", "pod", True,
    short_names=("po",),
    returns_deleted=True,
    categories=("all",),
    columns=(
        NAME,
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
        AGE,
        Column("IP", lambda doc, _: doc.get("status", {}).get("podIP") or "<none>", priority=1),
        Column("Node", lambda doc, _: doc["spec"].get("nodeName") or "<none>", priority=1),
        Column(
            "Nominated Node",
            lambda doc, _: doc.get("status", {}).get("nominatedNodeName") or "<none>",
            priority=1,
        ),
        Column("Readiness Gates", _pod_gates, priority=1),
    ),
    default=_pod_default,
    prepare_create=_pod_create,
    prepare_update=keep_status,
    validate_create=_pod_causes,
    validate_update=metadata_update_causes,
    subresources=STATUS,
    generation=True,
    selectable={
        **{
            f"spec.{field}": _of_spec(field)
            for field in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName")
        },
        "status.phase": lambda doc: str(doc.get("status", {}).get("phase", "")),
    },
)  # fmt: skip


_ROLE: Final = "node-role.kubernetes.io/"


def _node_status(doc: Doc, _: Printing) -> str:
    conditions = doc.get("status", {}).get("conditions") or ()
    ready = next((one.get("status") for one in conditions if one.get("type") == "Ready"), None)
    status = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    return f"{status},SchedulingDisabled" if doc.get("spec", {}).get("unschedulable") else status


def _node_roles(doc: Doc, _: Printing) -> str:
    labels = doc["metadata"].get("labels") or {}
    roles = {label.removeprefix(_ROLE) for label in labels if label.startswith(_ROLE)}
    roles |= {labels.get("kubernetes.io/role", "")}
    return ",".join(sorted(roles - {""})) or "<none>"


def _node_address(type_: str) -> Callable[[Doc, Printing], str]:
    def cell(doc: Doc, _: Printing) -> str:
        addresses = doc.get("status", {}).get("addresses") or ()
        found = (one.get("address") for one in addresses if one.get("type") == type_)
        return next(found, None) or "<none>"

    return cell


def _node_info(field: str, unknown: str) -> Callable[[Doc, Printing], str]:
    return lambda doc, _: (doc.get("status", {}).get("nodeInfo") or {}).get(field) or unknown


def _update_node(doc: Doc, old: Doc) -> None:
    """Who uncordons a node ends that it is drained, too: kubectl knows nothing of that."""
    keep_status(doc, old)
    spec = doc.get("spec") or {}
    was_cordoned = (old.get("spec") or {}).get("unschedulable")
    if was_cordoned and not spec.get("unschedulable") and spec.get("taints"):
        spec["taints"] = [one for one in spec["taints"] if one.get("key") != DRAIN.key]


NODE: Final = Kind(
    "", "v1", "Node", "nodes", "node", False,
    short_names=("no",),
    columns=(
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        Column("Version", _node_info("kubeletVersion", "")),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        Column("OS-Image", _node_info("osImage", "<unknown>"), priority=1),
        Column("Kernel-Version", _node_info("kernelVersion", "<unknown>"), priority=1),
        Column("Container-Runtime", _node_info("containerRuntimeVersion", "<unknown>"), priority=1),
    ),
    prepare_update=_update_node,
    validate_create=metadata_causes,
    validate_update=metadata_update_causes,
    subresources=STATUS,
    selectable={
        "spec.unschedulable":
            lambda doc: "true" if doc.get("spec", {}).get("unschedulable") else "false",
    },
)  # fmt: skip


def _merge_string_data(doc: Doc) -> None:
    data = dict(doc.get("data") or {})
    for key, text in (doc.pop("stringData", None) or {}).items():
        data[key] = b64encode(str(text).encode()).decode()
    for key, value in data.items():
        try:
            b64decode(value, validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"illegal base64 data in data[{key}]") from error
    if data:
        doc["data"] = data
    doc.setdefault("type", "Opaque")


def _immutable_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old)
    if old.get("immutable"):
        fields = ("immutable", "data", "binaryData")
        causes += [
            forbidden(field, "field is immutable when `immutable` is set")
            for field in fields
            if doc.get(field) != old.get(field)
        ]
    if "type" in old and doc.get("type") != old["type"]:
        causes.append(invalid("type", doc.get("type", ""), "field is immutable"))
    return causes


SECRET: Final = Kind(
    "", "v1", "Secret", "secrets", "secret", True,
    columns=(
        NAME,
        Column("Type", lambda doc, _: doc.get("type", "")),
        Column("Data", lambda doc, _: len(doc.get("data") or ()), type="integer"),
        AGE,
    ),
    default=_merge_string_data,
    validate_create=metadata_causes,
    validate_update=_immutable_causes,
    selectable={"type": lambda doc: str(doc.get("type", ""))},
)  # fmt: skip

CONFIG_MAP: Final = Kind(
    "", "v1", "ConfigMap", "configmaps", "configmap", True,
    short_names=("cm",),
    columns=(NAME, Column("Data", lambda doc, _: len(doc.get("data") or ()), type="integer"), AGE),
    validate_create=metadata_causes,
    validate_update=_immutable_causes,
)  # fmt: skip


def _lease_causes(doc: Doc) -> list[Cause]:
    spec, causes = doc.get("spec") or {}, []
    length_s, changes = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if length_s is not None and length_s <= 0:
        message = "must be greater than 0"
        causes.append(invalid("spec.leaseDurationSeconds", length_s, message))
    if changes is not None and changes < 0:
        message = "must be greater than or equal to 0"
        causes.append(invalid("spec.leaseTransitions", changes, message))
    return causes


LEASE: Final = Kind(
    "coordination.k8s.io", "v1", "Lease", "leases", "lease", True,
    columns=(
        NAME,
        Column("Holder", lambda doc, _: (doc.get("spec") or {}).get("holderIdentity", "")),
        AGE,
    ),
    overwrites=False,
    put_creates=True,
    validate_create=lambda doc: metadata_causes(doc) + _lease_causes(doc),
    validate_update=lambda doc, old: metadata_update_causes(doc, old) + _lease_causes(doc),
)  # fmt: skip
