"""What a claim takes of its namespace's quotas, and whether it may. Storage semantics §16."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from mooring.model.claim import Claim
from mooring.model.names import STORAGE
from mooring.model.quantity import Family, Quantity, parse_quantity
from mooring.model.quota import LimitRange, ResourceQuota, ScopeRequirement

CLAIMS: Final = "persistentvolumeclaims"
COUNTED_CLAIMS: Final = "count/persistentvolumeclaims"
REQUESTS: Final = "requests.storage"
OF_CLASS: Final = ".storageclass.storage.k8s.io/"
ATTRIBUTES_SCOPE: Final = "VolumeAttributesClass"
CLAIM_LIMIT: Final = "PersistentVolumeClaim"

_EXCEEDED: Final = re.compile(r"\bexceeded quota: ([a-z0-9.-]+), requested: ")  # see `exceeded`

Use = Mapping[str, Quantity]


def is_counted(key: str) -> bool:
    """Whether claims are counted under this key of a quota."""
    if key in (CLAIMS, COUNTED_CLAIMS, REQUESTS):
        return True
    class_, found, what = key.partition(OF_CLASS)
    return bool(found and class_) and what in (CLAIMS, REQUESTS)


def use_of(claim: Claim) -> Use:
    """What a claim takes, by the key of a quota; whole bytes, rounded up."""
    allocated = parse_quantity(claim.status.allocated_resources.get(STORAGE, "0"))
    size = max(claim.request, allocated)
    whole = Quantity.of_bytes(size.bytes(), size.family)
    one = Quantity.of_bytes(1, Family.DECIMAL)
    use = {CLAIMS: one, COUNTED_CLAIMS: one, REQUESTS: whole}
    if class_ := claim.class_name:
        use |= {f"{class_}{OF_CLASS}{CLAIMS}": one, f"{class_}{OF_CLASS}{REQUESTS}": whole}
    return use


def is_in_scope(quota: ResourceQuota, claim: Claim) -> bool:
    """Whether the quota is about such claims; scopes of other kinds are about none."""
    if any(scope != ATTRIBUTES_SCOPE for scope in quota.spec.scopes):
        return False
    names = attributes_classes(claim)
    if quota.spec.scopes and not names:
        return False
    selector = quota.spec.scope_selector
    needed = selector.match_expressions if selector is not None else ()
    return all(_holds(one, names) for one in needed)


def attributes_classes(claim: Claim) -> set[str]:
    """Those that it asks for, has, or is on the way to."""
    modify = claim.status.modify_volume_status
    target = modify.target_volume_attributes_class_name if modify is not None else ""
    current = claim.status.current_volume_attributes_class_name or ""
    return {claim.attributes_class, current, target} - {""}


def _holds(needed: ScopeRequirement, names: set[str]) -> bool:
    if needed.scope_name != ATTRIBUTES_SCOPE:
        return False
    match needed.operator:
        case "Exists":
            return bool(names)
        case "DoesNotExist":
            return not names
        case "In":
            return bool(names & set(needed.values))
        case "NotIn":
            return bool(names) and not names & set(needed.values)
    return False


def recounted(quota: ResourceQuota, claims: Iterable[Claim]) -> ResourceQuota:
    """The quota with an account of these claims, all of its namespace."""
    used = {key: Quantity(0, Family.DECIMAL) for key in quota.spec.hard if is_counted(key)}
    for claim in claims:
        if not is_in_scope(quota, claim):
            continue
        for key, amount in use_of(claim).items():
            if key in used:
                used[key] = used[key].plus(amount)
    return quota.with_used({key: amount.canonical() for key, amount in used.items()})


def charged(
    quota: ResourceQuota, old: Claim | None, new: Claim
) -> tuple[ResourceQuota, dict[str, Quantity]]:
    """The account after a claim came (old None) or became another, and what it takes more.

    Less is not given back here: that is counted anew, once the claim is stored.
    """
    before = use_of(old) if old is not None and is_in_scope(quota, old) else {}
    after = use_of(new) if is_in_scope(quota, new) else {}
    more: dict[str, Quantity] = {}
    for key, amount in after.items():
        rise = amount.minus(before.get(key, Quantity(0)))
        if key in quota.spec.hard and rise.nanos > 0:
            more[key] = rise
    if not more:
        return quota, {}
    used = dict(quota.status.used)
    for key, rise in more.items():
        used[key] = parse_quantity(used.get(key, "0")).plus(rise).canonical()
    return quota.with_used(used), more


def given_back(quota: ResourceQuota, before: Claim, after: Claim | None) -> dict[str, Quantity]:
    """What a claim leaves that goes (after None) or takes less, by the key of the quota."""
    had = use_of(before) if is_in_scope(quota, before) else {}
    has = use_of(after) if after is not None and is_in_scope(quota, after) else {}
    less = {key: amount.minus(has.get(key, Quantity(0))) for key, amount in had.items()}
    return {
        key: amount for key, amount in less.items() if key in quota.spec.hard and amount.nanos > 0
    }


def reduced(quota: ResourceQuota, less: Mapping[str, Quantity]) -> ResourceQuota:
    """The account after this was given back; never below nothing."""
    used = dict(quota.status.used)
    for key, amount in less.items():
        if key in used:
            left = parse_quantity(used[key]).minus(amount)
            used[key] = max(left, Quantity(0, left.family)).canonical()
    return quota.with_used(used)


def exceeded(quota: ResourceQuota, after: ResourceQuota, more: Mapping[str, Quantity]) -> str:
    """Why a claim is refused, in the words of Kubernetes; "" if it is within all limits.

    Limits that it takes nothing of do not count, be they exceeded or not.
    """
    over = sorted(
        key
        for key in more
        if parse_quantity(after.status.used[key]) > parse_quantity(quota.spec.hard[key])
    )
    if not over:
        return ""

    def listed(amounts: Mapping[str, object]) -> str:
        return ",".join(f"{key}={amounts.get(key, 0)}" for key in over)

    return (
        f"exceeded quota: {quota.name}, requested: {listed(more)}, used: "
        f"{listed(quota.status.used)}, limited: {listed(quota.spec.hard)}"
    )


def exceeded_quota(message: str) -> str:
    """The name of the quota that a message says was exceeded, "" if it says so of none."""
    found = _EXCEEDED.search(message)
    return found[1] if found else ""


def out_of_range(limits: Iterable[LimitRange], claim: Claim) -> str:
    """Why a claim is too small or too large for its namespace, "" if it is neither."""
    for range_ in limits:
        for limit in range_.spec.limits:
            if limit.type != CLAIM_LIMIT:
                continue
            least, most = limit.min.get(STORAGE), limit.max.get(STORAGE)
            if least is not None and claim.request < parse_quantity(least):
                return _outside("minimum", least, claim)
            if most is not None and claim.request > parse_quantity(most):
                return _outside("maximum", most, claim)
    return ""


def _outside(bound: str, limit: object, claim: Claim) -> str:
    return f"{bound} storage usage per {CLAIM_LIMIT} is {limit}, but request is {claim.request}"
