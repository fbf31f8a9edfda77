"""v1 ResourceQuota and LimitRange. Storage semantics §16.

Claims are held to them. What they say of things that Mooring has not (cpu, Services) is kept.
"""

from typing import Any, Final

from mooring.model.quantity import ONE
from mooring.objects import printing
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing, Subresource
from mooring.objects.kinds.common import (
    amount,
    canonical_amounts,
    forbidden,
    invalid,
    is_qualified,
    keep_spec,
    keep_status,
    metadata_causes,
    metadata_update_causes,
    not_supported,
    required,
)
from mooring.rules.quota import ATTRIBUTES_SCOPE, CLAIM_LIMIT

# What a quota may limit without a prefix. Source: Kubernetes' helpers.IsStandardQuotaResourceName.
STANDARD: Final = frozenset(
    {
        *("cpu", "memory", "ephemeral-storage", "pods", "services", "replicationcontrollers"),
        *("resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"),
        *("services.nodeports", "services.loadbalancers"),
        *("requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage"),
        *("limits.cpu", "limits.memory", "limits.ephemeral-storage"),
    }
)
WHOLE: Final = frozenset(
    {
        *("pods", "services", "replicationcontrollers", "resourcequotas", "secrets"),
        *("configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
    }
)
SCOPES: Final = (
    *("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass"),
    *("CrossNamespacePodAffinity", ATTRIBUTES_SCOPE),
)
OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")
LIMIT_TYPES: Final = ("Pod", "Container", CLAIM_LIMIT)
BOUNDS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _default_quota(doc: Doc) -> None:
    canonical_amounts(doc.setdefault("spec", {}).get("hard"))
    for amounts in ("hard", "used"):
        canonical_amounts((doc.get("status") or {}).get(amounts))


def _no_status(doc: Doc) -> None:
    doc["status"] = {}


def _amount_causes(path: str, key: str, value: Any) -> list[Cause]:
    found = amount(value)
    if found is None:
        return [invalid(path, value, "must be a quantity, such as 10Gi")]
    if found.nanos < 0:
        return [invalid(path, value, "must be greater than or equal to 0")]
    if (key in WHOLE or key.startswith("count/")) and found.nanos % ONE:
        return [invalid(path, value, "must be an integer")]
    return []


def _hard_causes(path: str, hard: Doc) -> list[Cause]:
    causes = []
    for key, value in hard.items():
        field = f"{path}[{key}]"
        if not is_qualified(key):
            causes.append(invalid(field, key, "must be a qualified name"))
        elif "/" not in key and key not in STANDARD:
            causes.append(invalid(field, key, "must be a standard resource for quotas"))
        causes += _amount_causes(field, key, value)
    return causes


def _scope_causes(spec: Doc) -> list[Cause]:
    causes = [
        invalid("spec.scopes", spec["scopes"], "unsupported scope")
        for scope in spec.get("scopes") or ()
        if scope not in SCOPES
    ]
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    for number, one in enumerate(expressions):
        path = f"spec.scopeSelector.matchExpressions[{number}]"
        if one.get("scopeName") not in SCOPES:
            scope = one.get("scopeName", "")
            causes.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        operator, values = one.get("operator"), one.get("values") or []
        if operator not in OPERATORS:
            causes.append(invalid(f"{path}.operator", operator or "", "not a valid operator"))
        elif operator in ("In", "NotIn") and not values:
            message = "must be at least one value when `operator` is 'In' or 'NotIn'"
            causes.append(required(f"{path}.values", message))
        elif operator in ("Exists", "DoesNotExist") and values:
            message = "must be no value when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(invalid(f"{path}.values", values, message))
    return causes


def _quota_causes(doc: Doc) -> list[Cause]:
    spec = doc["spec"]
    return (
        metadata_causes(doc)
        + _hard_causes("spec.hard", spec.get("hard") or {})
        + (_scope_causes(spec))
    )


def _quota_update_causes(doc: Doc, old: Doc) -> list[Cause]:
    causes = metadata_update_causes(doc, old) + _quota_causes(doc)
    if set(doc["spec"].get("scopes") or ()) != set(old["spec"].get("scopes") or ()):
        causes.append(invalid("spec.scopes", doc["spec"].get("scopes"), "field is immutable"))
    return causes


def _quota_status_causes(doc: Doc, old: Doc) -> list[Cause]:
    status = doc.get("status") or {}
    causes = metadata_update_causes(doc, old)
    for field in ("hard", "used"):
        causes += _hard_causes(f"status.{field}", status.get(field) or {})
    return causes


def _account(*, limits: bool) -> Any:
    def cell(doc: Doc, _: Printing) -> str:
        status = doc.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        keys = sorted(key for key in hard if key.startswith("limits.") == limits)
        return ", ".join(f"{key}: {used.get(key, 0)}/{hard[key]}" for key in keys)

    return cell


QUOTA: Final = Kind(
    "", "v1", "ResourceQuota", "resourcequotas", "resourcequota", True,
    short_names=("quota",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Request", _account(limits=False)),
        Column("Limit", _account(limits=True)),
        Column("Age", printing.age),
    ),
    returns_deleted=True,
    default=_default_quota,
    prepare_create=_no_status,
    prepare_update=keep_status,
    validate_create=_quota_causes,
    validate_update=_quota_update_causes,
    subresources={"status": Subresource(keep_spec, _quota_status_causes)},
)  # fmt: skip


def _default_range(doc: Doc) -> None:
    for limit in doc.setdefault("spec", {}).get("limits") or ():
        for bound in BOUNDS:
            canonical_amounts(limit.get(bound))


def _limit_causes(path: str, limit: Doc) -> list[Cause]:
    kind, causes = limit.get("type") or "", []
    if kind not in LIMIT_TYPES and not ("/" in kind and is_qualified(kind)):
        causes.append(not_supported(f"{path}.type", kind, LIMIT_TYPES))
    most, least = limit.get("max") or {}, limit.get("min") or {}
    for bound in ("default", "defaultRequest"):
        if limit.get(bound) and kind in ("Pod", CLAIM_LIMIT):
            message = f"may not be specified when `type` is '{kind}'"
            causes.append(forbidden(f"{path}.{bound}", message))
    if kind == CLAIM_LIMIT and "storage" not in most and "storage" not in least:
        message = "either minimum or maximum storage value is required, but neither was provided"
        causes.append(required(path, message))
    for bound, amounts in (("max", most), ("min", least)):
        for key, value in amounts.items():
            causes += _amount_causes(f"{path}.{bound}[{key}]", key, value)
    for key in least.keys() & most.keys():
        low, high = amount(least[key]), amount(most[key])
        if low is not None and high is not None and low > high:
            message = f"min value {least[key]} is greater than max value {most[key]}"
            causes.append(invalid(f"{path}.min[{key}]", least[key], message))
    return causes


def _range_causes(doc: Doc) -> list[Cause]:
    causes, seen = metadata_causes(doc), set()
    for number, limit in enumerate(doc["spec"].get("limits") or ()):
        path, kind = f"spec.limits[{number}]", limit.get("type")
        if kind in seen:
            message = f'Duplicate value: "{kind}"'
            causes.append(Cause(f"{path}.type", "FieldValueDuplicate", message))
        seen.add(kind)
        causes += _limit_causes(path, limit)
    return causes


RANGE: Final = Kind(
    "", "v1", "LimitRange", "limitranges", "limitrange", True,
    short_names=("limits",),
    columns=(
        Column("Name", printing.name, format="name"),
        Column("Created At", lambda doc, _: doc["metadata"].get("creationTimestamp", "")),
    ),
    default=_default_range,
    put_creates=True,
    validate_create=_range_causes,
    validate_update=lambda doc, old: metadata_update_causes(doc, old) + _range_causes(doc),
)  # fmt: skip
