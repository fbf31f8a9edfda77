"""Why a volume is as it is, and what would help: `mooring explain pv`."""

from collections.abc import Iterable, Sequence

from mooring.model.claim import Claim
from mooring.model.names import DELETE, DRIVERS, PV_PROTECTION, RETAIN, Phase
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.rules.claims import misfit
from mooring.rules.explanation import Explanation, Reasons, about, listed
from mooring.rules.matching import quoted, short
from mooring.rules.volumes import reclaim_decision, volume_decision
from mooring.rules.waste import waste


def explained_volume(
    volume: Volume, claim: Claim | None, pools: Sequence[Pool], told: str = ""
) -> Explanation:
    """Why a volume is Available, Bound, Released or Failed, and what would bind or free it.

    claim  the one at claimRef's namespace and name, if there is one
    told   the last failure that whoever deletes its data told of, "" if none
    """
    state = volume.phase or str(Phase.PENDING)
    if volume.being_deleted:
        state, reasons = "Terminating", _terminating(volume)
    else:
        reasons = _reasons(volume, claim, pools, told)
    why, details, help_ = reasons
    return Explanation(f"pv {volume.name}", state, why, (about(volume), *details), help_)


def _terminating(volume: Volume) -> Reasons:
    ref = volume.claim_ref
    if volume.phase == Phase.BOUND and ref is not None:
        return f"it stays until claim {ref.key} is deleted", (), ""
    if others := [one for one in volume.metadata.finalizers if one != PV_PROTECTION]:
        return f"it stays until its finalizers are removed: {listed(others)}", (), ""
    return "nothing holds it, so it goes in a moment", (), ""


def _reasons(volume: Volume, claim: Claim | None, pools: Sequence[Pool], told: str) -> Reasons:
    ref = volume.claim_ref
    if ref is None:
        class_ = f"class {quoted(volume.class_name)}"
        asks = f"a claim of {class_}, {short(volume.modes)} or fewer, at most {volume.capacity}"
        if volume.attributes_class or volume.volume_mode == "Block":
            asks += f", volumeMode {volume.volume_mode}"
        return "it is free", (), asks
    if not ref.uid and (claim is None or claim.volume_name != volume.name):
        return _reserved(volume, ref.key, claim)
    decision = volume_decision(volume, claim, "")
    if decision.reclaim:
        return _ended(volume, decision.why, pools, told)
    if claim is None or claim.volume_name != volume.name:
        return decision.why, (), ""
    more = waste(claim, volume)
    details = (f"{more} of it are more than the claim asked for",) if more.nanos else ()
    return f"claim {claim.key} has it", details, ""


def _reserved(volume: Volume, key: str, claim: Claim | None) -> Reasons:
    namespace, _, name = key.partition("/")
    why = f"it is reserved for claim {key}"
    if claim is None:
        return f"{why}, which does not exist", (), f"create claim {name} in namespace {namespace}"
    if claim.volume_name:
        freed = f"take claimRef away: {freeing(volume)}"
        return f"{why}, which names volume {claim.volume_name}", (), freed
    lacking = misfit(claim, volume)
    if lacking and lacking != "storageClassName does not match":  # of no matter here: §6, rule 6
        return f"{why}, but {lacking}", (), f"a claim that it fits, or {freeing(volume)}"
    return f"{why}, and is about to be bound to it", (), ""


def _ended(volume: Volume, why: str, pools: Sequence[Pool], told: str) -> Reasons:
    """Released or Failed."""
    policy = volume.reclaim_policy
    if policy == RETAIN:
        kept = "its policy Retain keeps its data, and no other claim gets it by itself"
        return why, (kept,), f"to give it away with its data: {freeing(volume)}"
    if volume.phase == Phase.FAILED:
        failure = volume.status.message or "reclaiming it failed"
        keep = f"put that right, or keep it: {retaining(volume)}"
        return f"{why}, and its policy {policy} failed", (failure,), keep
    homeless = volume.pool and all(pool.name != volume.pool for pool in pools)
    if policy == DELETE and volume.driver in DRIVERS and homeless:
        missing = f"pool {volume.pool} does not exist, so nobody deletes its data"
        return why, (missing,), f"create that pool again, or keep it: {retaining(volume)}"
    next_ = reclaim_decision(volume, used=False, roots=roots_of(pools), now="").why
    details = (f"its policy is {policy}: {next_}",)
    if not told:
        return why, details, ""
    help_ = f"put that right, and it is deleted by itself; or keep it: {retaining(volume)}"
    return why, (*details, f"it failed last with: {told}"), help_


def roots_of(pools: Iterable[Pool]) -> list[str]:
    return [pool.root for pool in pools]


def freeing(volume: Volume) -> str:
    """The command that lets any claim have it."""
    patch = '{"spec":{"claimRef":null}}'
    return f"kubectl patch pv {volume.name} --type merge -p '{patch}'"


def retaining(volume: Volume) -> str:
    """The command that keeps its data when its claim goes."""
    patch = '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'
    return f"kubectl patch pv {volume.name} -p '{patch}'"
