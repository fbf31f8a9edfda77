"""Why a volume is as it is, and what would help: `mooring explain pv`."""

from collections.abc import Iterable, Sequence

from mooring.model.claim import Claim
from mooring.model.names import DELETE, DRIVERS, PV_PROTECTION, RETAIN, Phase
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.rules.candidates import lacking
from mooring.rules.explanation import Explanation, Reasons, about, held
from mooring.rules.matching import quoted, short
from mooring.rules.moving import way_of
from mooring.rules.remedies import asking, deleting, freeing, retaining
from mooring.rules.replicas import is_replicated
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
    details = (about(volume), *_places(volume), *details)
    return Explanation(f"pv {volume.name}", state, why, details, help_)


def _places(volume: Volume) -> Iterable[str]:
    """Where its data is, if that may change, and what other hosts have of it."""
    if volume.home is not None:
        yield f"its data is at home on {volume.home.node}, in pool {volume.home.pool}"
    if (way := way_of(volume)) is not None:
        yield f"it moves to {way.target}: {way.told}"
    if is_replicated(volume):
        yield from (one.shown for one in volume.copies)


def _terminating(volume: Volume) -> Reasons:
    ref = volume.claim_ref
    if volume.phase == Phase.BOUND and ref is not None:
        fate = f"{asking('pvc', ref)} --delete says what becomes of its data then"
        help_ = f"{deleting('pvc', ref)}; {fate}"
        return f"it stays until claim {ref.key} is deleted", (), help_
    if others := [one for one in volume.metadata.finalizers if one != PV_PROTECTION]:
        return held("pv", volume, others)
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
        made = f"create claim {name} in namespace {namespace}"
        freed = f"to let any claim have it: {freeing(volume)}"
        return f"{why}, which does not exist", (), f"{made}; or {freed}"
    if claim.volume_name:
        freed = f"to let any claim have it: {freeing(volume)}"
        return f"{why}, which names volume {claim.volume_name}", (), freed
    if lacks := lacking(claim, volume, by_class=False):  # that is of no matter here: §6, rule 6
        freed = f"to let any claim have it: {freeing(volume)}"
        return f"{why}, for which it is {lacks}", (), f"a claim that it fits; or {freed}"
    return f"{why}, and is about to be bound to it", (), ""


def _ended(volume: Volume, why: str, pools: Sequence[Pool], told: str) -> Reasons:
    """Released or Failed."""
    policy = volume.reclaim_policy
    if policy == RETAIN:
        kept = "its policy Retain keeps its data, and no other claim gets it by itself"
        return why, (kept,), f"to give it away with its data: {freeing(volume)}"
    if volume.phase == Phase.FAILED:
        failure = volume.status.message or "reclaiming it failed"
        by_hand = f"deal with its data by hand, then {deleting('pv', volume)}"
        keep = f"to keep it: {retaining(volume)}"
        return f"{why}, and its policy {policy} failed", (failure,), f"{by_hand}; or {keep}"
    homeless = volume.pool and all(pool.name != volume.pool for pool in pools)
    if policy == DELETE and volume.driver in DRIVERS and homeless:
        missing = f"pool {volume.pool} does not exist, so nobody deletes its data"
        return why, (missing,), f"create pool {volume.pool} again; or keep it: {retaining(volume)}"
    next_ = reclaim_decision(volume, used=False, roots=roots_of(pools), now="").why
    details = (f"its policy is {policy}: {next_}",)
    if not told:
        driver = volume.provisioned_by or volume.driver
        foreign = policy == DELETE and driver not in ("", *DRIVERS)
        keep = f"that provisioner at work; or keep it: {retaining(volume)}"
        return why, details, keep if foreign else ""
    help_ = f"put that right, and it is deleted by itself; or keep it: {retaining(volume)}"
    return why, (*details, f"it failed last with: {told}"), help_


def roots_of(pools: Iterable[Pool]) -> list[str]:
    return [pool.root for pool in pools]
