"""Why a claim or a volume is as it is, and what would help: `mooring explain`.

The candidates are judged one by one here, and by an index when a claim is bound; tests hold both
to the same answers.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mooring.model.claim import Claim
from mooring.model.names import DELETE, DRIVERS, RECYCLE, RETAIN, Phase
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.claims import misfit
from mooring.rules.pool_room import refusal

LINES_AT_MOST: Final = 8
SHORT_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


class Explanation(NamedTuple):
    """subject  "pvc default/data"   state  its phase   why  in a sentence
    details  more of it, a sentence each   help  what would change it, "" if nothing has to
    """

    subject: str
    state: str
    why: str
    details: tuple[str, ...] = ()
    help: str = ""

    def lines(self) -> list[str]:
        """At most LINES_AT_MOST."""
        room = LINES_AT_MOST - 1 - bool(self.help)
        details = list(self.details)
        if len(details) > room:
            details[room - 1 :] = [f"and {len(details) - room + 1} more like these"]
        shown = [f"{self.subject} is {self.state}: {self.why}", *(f"  {one}" for one in details)]
        return [*shown, f"  would help: {self.help}"] if self.help else shown


@dataclass(frozen=True)
class Sight:
    """What there is to judge by. class_ is the claim's, None if it names none or it is missing."""

    volumes: Sequence[Volume] = ()
    class_: StorageClass | None = None
    default: StorageClass | None = None
    pools: Sequence[Pool] = ()
    pods: Sequence[Pod] = ()  # that use the claim


class Refused(NamedTuple):
    """A rule of §6 that a volume does not pass. `rule` is what is counted, `why` is of the one."""

    rule: str
    why: str


def refused_by(claim: Claim, volume: Volume) -> list[Refused]:
    """Every rule by which a volume is no candidate for a claim; none: it is."""
    ref = volume.claim_ref
    found = []
    if ref is not None and not volume.points_at(claim):
        found.append(Refused("of another claim", f"{ref.key} has it"))
    elif ref is None and volume.phase != Phase.AVAILABLE:
        found.append(Refused("not Available", f"it is {volume.phase or Phase.PENDING}"))
    if volume.being_deleted:
        found.append(Refused("being deleted", "it is being deleted"))
    if ref is None and volume.class_name != claim.class_name:
        class_ = _quoted(volume.class_name)
        found.append(Refused(f"of class {class_}", f"its class is {class_}"))
    if volume.volume_mode != claim.volume_mode:
        mode = f"of volumeMode {volume.volume_mode}"
        found.append(Refused(mode, f"it is {mode}"))
    if volume.attributes_class != claim.attributes_class:
        found.append(Refused("of another attributes class", "its attributes class differs"))
    if lacking := claim.modes - volume.modes:
        found.append(Refused(f"without {short(lacking)}", f"it does not offer {short(lacking)}"))
    if volume.capacity < claim.request:
        missing = claim.request.minus(volume.capacity)
        found.append(Refused("too small", f"it is {missing} too small"))
    selector = claim.spec.selector
    if ref is None and selector is not None and not selector.matches(volume.metadata.labels):
        found.append(Refused("not selected by its labels", "its labels are not selected"))
    return found


def explained_claim(claim: Claim, sight: Sight) -> Explanation:
    """Why a claim is Bound, Pending or Lost."""
    subject = f"pvc {claim.key}"
    state = claim.phase or str(Phase.PENDING)
    if claim.being_deleted:
        users = ", ".join(pod.key for pod in sight.pods) or "nobody: it goes in a moment"
        return Explanation(subject, "Terminating", f"it is being deleted, and used by {users}")
    volume = next((one for one in sight.volumes if one.name == claim.volume_name), None)
    if state == Phase.BOUND and volume is not None:
        return Explanation(subject, state, *_bound(claim, volume, sight))
    if claim.was_bound:
        why = f"its volume {claim.volume_name} is gone, or another claim's"
        help_ = "restore the volume under its name, or delete the claim and claim anew"
        return Explanation(subject, state, why, (), help_)
    if claim.volume_name:
        return Explanation(subject, state, *_naming(claim, volume))
    return Explanation(subject, state, *_waiting(claim, sight))


Reasons = tuple[str, tuple[str, ...], str]  # why, details, help


def _bound(claim: Claim, volume: Volume, sight: Sight) -> Reasons:
    details = [f"the volume is {volume.capacity}, {short(volume.modes)}, {_origin(volume)}"]
    if (more := waste(claim, volume)).nanos:
        details.append(f"{more} of it is more than the claim asked for, and nobody else's")
    if sight.pods:
        details.append("used by " + ", ".join(pod.key for pod in sight.pods))
    return f"it has volume {volume.name}", tuple(details), ""


def _naming(claim: Claim, volume: Volume | None) -> Reasons:
    name = claim.volume_name
    if volume is None:
        return f"it names volume {name}, which does not exist", (), f"create volume {name}"
    if volume.claim_ref is not None and not volume.points_at(claim):
        why = f"it names volume {name}, which {volume.claim_ref.key} has"
        return why, (), "leave spec.volumeName empty in a new claim, or name a free volume"
    if lacking := misfit(claim, volume):
        return f"it names volume {name}, but {lacking}", (), "name a volume that fits the claim"
    return f"it is about to be bound to {name}", (), ""


def _waiting(claim: Claim, sight: Sight) -> Reasons:
    judged = [(one, refused_by(claim, one)) for one in sight.volumes]
    if fit := next((one for one, refused in judged if not refused), None):
        return f"it is about to be bound to {fit.name}", (), ""
    details = _candidates(claim, judged)
    class_, wanted = sight.class_, f"a volume of {_wanted(claim)}"
    if claim.class_name and class_ is None:
        why = f"its class {claim.class_name} does not exist, and no volume fits"
        return why, details, f"create the class, or {wanted}"
    if class_ is None:
        if claim.has_class:
            help_ = f"{wanted}; or a new claim of a class that makes volumes"
            return 'no volume fits, and class "" makes none', details, help_
        why = "no volume fits, it names no class, and there is no default class"
        return why, details, f"{wanted}; or a default class"
    if class_.waits_for_consumer:
        why = f"its class {class_.name} waits for the first consumer"
        return why, details, "start a container that uses the claim"
    return _provisioned(claim, class_, sight.pools, details, wanted)


def _provisioned(
    claim: Claim,
    class_: StorageClass,
    pools: Sequence[Pool],
    details: tuple[str, ...],
    wanted: str,
) -> Reasons:
    by = class_.provisioner
    if by not in DRIVERS:
        why = f"no volume fits, and {by}, which makes volumes of class {class_.name}, made none"
        return why, details, f"start that provisioner; or {wanted}"
    pool = _pool_of(class_, pools)
    if isinstance(pool, str):
        return pool, details, "create the pool, or name another in the class"
    if why := refusal(pool, claim.namespace, claim.request):
        return why, details, f"delete claims of {pool.name}, ask for less, or raise the limit"
    place = pool.node or "any host"
    return f"the agent of {place} is to make its volume from pool {pool.name}", (), ""


def _pool_of(class_: StorageClass, pools: Sequence[Pool]) -> Pool | str:
    if class_.pool:
        found = next((pool for pool in pools if pool.name == class_.pool), None)
        return found or f"its class {class_.name} takes from pool {class_.pool}, which is missing"
    alike = [pool for pool in pools if pool.driver == class_.provisioner]
    if len(alike) == 1:
        return alike[0]
    return f"its class {class_.name} names no pool, and there are {len(alike)} of its driver"


def _candidates(claim: Claim, judged: Sequence[tuple[Volume, list[Refused]]]) -> tuple[str, ...]:
    """How many were refused by which rule, counted once each, and the nearest to fitting."""
    if not judged:
        return ("there are no volumes at all",)
    counts = Counter(refused[0].rule for _, refused in judged)
    counted = ", ".join(f"{count} {rule}" for rule, count in counts.most_common(4))
    if (others := sum(counts.values()) - sum(n for _, n in counts.most_common(4))) > 0:
        counted += f", {others} for other reasons"
    plural = "volumes" if len(judged) > 1 else "volume"
    details = [f"{len(judged)} {plural} looked at: {counted}"]
    free = [(one, refused) for one, refused in judged if one.claim_ref is None]
    if free:
        near, refused = min(free, key=lambda pair: _distance(claim, *pair))
        reasons = ", and ".join(one.why for one in refused)
        size = f"{near.capacity}, {short(near.modes)}"
        details.append(f"nearest is {near.name} ({size}): {reasons}")
    return tuple(details)


def _distance(claim: Claim, volume: Volume, refused: list[Refused]) -> tuple[int, int, str]:
    return len(refused), abs(volume.capacity.nanos - claim.request.nanos), volume.name


def _wanted(claim: Claim) -> str:
    class_ = f"class {_quoted(claim.class_name)}"
    selected = ", with the labels it selects" if claim.spec.selector is not None else ""
    return f"{class_}, {short(claim.modes)}, {claim.request} or more{selected}"


def explained_volume(volume: Volume) -> Explanation:
    """Why a volume is Available, Bound, Released or Failed."""
    subject, state = f"pv {volume.name}", volume.phase or str(Phase.PENDING)
    ref = volume.claim_ref
    about = f"{volume.capacity}, {short(volume.modes)}, {_origin(volume)}"
    if ref is None or not ref.uid:
        free = f"it is reserved for claim {ref.key}" if ref else "it is free"
        asks = f"class {_quoted(volume.class_name)}, at most {volume.capacity}"
        help_ = f"a claim of {asks}, {short(volume.modes)} or fewer modes"
        if ref:
            help_ = f"create claim {ref.name} in namespace {ref.namespace}"
        return Explanation(subject, state, free, (about,), help_)
    if state == Phase.RELEASED:
        why = f"its claim {ref.key} is gone, and its policy is {volume.reclaim_policy}"
        if volume.reclaim_policy == RETAIN:
            reuse = (
                f'kubectl patch pv {volume.name} --type merge -p \'{{"spec":{{"claimRef":null}}}}\''
            )
            kept = "its data is kept, and no claim gets it by itself"
            return Explanation(
                subject, state, why, (about, kept), f"to give it away again: {reuse}"
            )
        return Explanation(subject, state, why, (about,), "")
    if state == Phase.FAILED:
        why = volume.status.message or "reclaiming it failed"
        return Explanation(subject, state, why, (about,), "put that right; it is tried again")
    return Explanation(subject, state, f"claim {ref.key} has it", (about,), "")


def deletion_of_claim(claim: Claim, volume: Volume | None, pods: Sequence[Pod]) -> Explanation:
    """What deleting a claim would do to data, volumes and users of it."""
    subject, state = f"deleting pvc {claim.key}", "possible"
    details = []
    if users := [pod.key for pod in pods if pod.node_name]:
        state = "put off"
        details.append(f"in use by {', '.join(users)}: it stays until they are gone")
    if volume is None:
        return Explanation(subject, state, "it has no volume, so no data is lost", tuple(details))
    details.insert(0, _reclaimed(volume))
    lost = volume.reclaim_policy in (DELETE, RECYCLE)
    why = f"the data of volume {volume.name} is {'LOST' if lost else 'kept'}"
    help_ = ""
    if lost:
        patch = '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'
        help_ = f"to keep the data first: kubectl patch pv {volume.name} -p '{patch}'"
    return Explanation(subject, state, why, tuple(details), help_)


def deletion_of_volume(volume: Volume, claim: Claim | None) -> Explanation:
    """What deleting a volume would do."""
    subject = f"deleting pv {volume.name}"
    if claim is not None and volume.phase == Phase.BOUND:
        why = f"claim {claim.key} has it, so it stays until that claim is deleted"
        return Explanation(subject, "put off", why, (_reclaimed(volume),))
    why = f"only the object goes; what is in {_origin(volume)} stays"
    return Explanation(subject, "possible", why)


def _reclaimed(volume: Volume) -> str:
    policy = volume.reclaim_policy
    after = {
        DELETE: "the volume and its data are deleted with the claim",
        RECYCLE: "the volume is emptied and free again",
        RETAIN: "the volume becomes Released and keeps its data",
    }
    return f"its policy is {policy}: {after.get(policy, 'nothing is known of it')}"


def waste(claim: Claim, volume: Volume) -> Quantity:
    """How much of a volume its claim did not ask for."""
    return max(volume.capacity.minus(claim.request), Quantity(0))


def short(modes: frozenset[str]) -> str:
    """Access modes as kubectl prints them."""
    return ",".join(sorted(SHORT_MODES.get(mode, mode) for mode in modes)) or "no access modes"


def _quoted(class_name: str) -> str:
    return class_name or '""'


def _origin(volume: Volume) -> str:
    spec = volume.spec
    if volume.pool:
        return f"from pool {volume.pool}"
    if spec.host_path is not None:
        return f"hostPath {spec.host_path.path}"
    if spec.local is not None:
        return f"local {spec.local.path}"
    return f"{volume.source_name or 'of an unknown source'} {volume.driver}".strip()
