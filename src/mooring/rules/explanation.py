"""Why a claim is as it is, and what would help: `mooring explain pvc`.

What will happen is asked of the same function that decides it (rules.claims); why a volume is no
candidate, of the rules of §6 as rules.matching has them.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mooring.model.claim import Claim, DataSource
from mooring.model.metadata import ObjectReference, View
from mooring.model.names import (
    CLAIM_AS_SOURCE,
    CLONING_PROTECTION,
    DRIVERS,
    EXTERNAL_PROVISIONER_FINALIZER,
    IN_TREE,
    MAKER,
    PVC_PROTECTION,
    SELECTED_NODE,
    Phase,
)
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.candidates import candidates, lacking, left_behind, wanted
from mooring.rules.claims import Decision, claim_decision
from mooring.rules.filling import filling_told, source_for_others
from mooring.rules.growth_explanation import forbidden_growth, unfinished
from mooring.rules.making_explanation import mending
from mooring.rules.matching import owned, short
from mooring.rules.protection import holders
from mooring.rules.remedies import (
    asking,
    choosing,
    classing,
    deleting,
    ending,
    freeing,
    handing_on,
    naming,
    rescheduling,
    unfinalized,
)
from mooring.rules.sight import Sight
from mooring.rules.waste import waste

LINES_AT_MOST: Final = 8
NAMES_AT_MOST: Final = 3  # of pods in one line
TEXT_AT_MOST: Final = 400  # characters of a line; somebody else may have written part of it


MEANINGS: Final = {  # of finalizers that go by themselves
    CLONING_PROTECTION: "a claim is to be filled from it",
    CLAIM_AS_SOURCE: "a snapshot is being cut from it",
    EXTERNAL_PROVISIONER_FINALIZER: "its driver is to delete its data",
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
        """At most LINES_AT_MOST, of printable characters."""
        room = LINES_AT_MOST - 1 - bool(self.help)
        details = list(self.details)
        if len(details) > room:
            details[room - 1 :] = [f"and {len(details) - room + 1} more like these"]
        shown = [f"{self.subject} is {self.state}: {self.why}", *(f"  {one}" for one in details)]
        if self.help:
            shown.append(f"  would help: {self.help}")
        return [_plain(line) for line in shown]


def _plain(text: str) -> str:
    """In one line, with nothing in it that a terminal would obey."""
    bare = "".join(one if one.isprintable() else " " for one in text)
    return bare if len(bare) <= TEXT_AT_MOST else bare[: TEXT_AT_MOST - 1] + "…"


Reasons = tuple[str, tuple[str, ...], str]  # why, details, help


def explained_claim(claim: Claim, sight: Sight, *, in_short: bool = False) -> Explanation:
    """Why a claim is Bound, Pending or Lost.

    in_short  without details, which for a pending claim take a look at every volume, and without
              what keeps a claim only from something that it does not ask for
    """
    decision = claim_decision(claim, sight, "")
    state = claim.phase or str(Phase.PENDING)
    if claim.being_deleted:
        state, reasons = "Terminating", _terminating(claim, sight)
    elif (taken := _taken(decision)) and state != Phase.BOUND:
        reasons = f"it is about to be bound to {taken}", (), ""
    elif claim.was_bound:
        reasons = _bound_before(claim, sight, in_short)
    elif claim.volume_name:
        reasons = _named(claim, sight)
    else:
        reasons = _waiting(claim, sight, in_short)
    why, details, help_ = reasons
    return Explanation(f"pvc {claim.key}", state, why, () if in_short else details, help_)


def _taken(decision: Decision) -> str:
    """The volume that is to be bound, "" if none."""
    return next((new.name for _, new in decision.writes if isinstance(new, Volume)), "")


def _terminating(claim: Claim, sight: Sight) -> Reasons:
    if users := holders(claim, sight.pods):
        names = [pod.key for pod in users]
        gone = counted(names, "its user is gone", "its users are gone")
        return f"it stays until {gone}", (), ending(users)
    if others := [one for one in claim.metadata.finalizers if one != PVC_PROTECTION]:
        return held("pvc", claim, others)
    return "nobody uses it, so it goes in a moment", (), ""


def _bound_before(claim: Claim, sight: Sight, in_short: bool) -> Reasons:
    name, volume = claim.volume_name, sight.volume(claim.volume_name)
    ref = volume.claim_ref if volume is not None else None
    if volume is None and not name:
        return "it was bound, and names no volume any longer", (), f"{deleting('pvc', claim)}"
    if volume is None:
        again = f"create volume {name} again, if its data still exists"
        return f"its volume {name} is gone", (), f"{again}; otherwise {deleting('pvc', claim)}"
    if ref is not None and ref.uid != claim.uid:
        return _misbound(claim, volume, ref, sight.holder)
    details = [f"the volume is {about(volume)}"]
    help_ = ""
    if (more := waste(claim, volume)).nanos:
        details.append(f"{more} of it are more than was asked for, and nobody else can have them")
        if not volume.pool and (maker := sight.supply.maker(claim)):
            help_ = f"to waste nothing, a claim of class {maker}: it gets a volume of its own size"
    left = unfinished(claim, volume, sight.supply.pools)
    details += left.details
    help_ = left.help or help_
    if not in_short:
        grows_not = forbidden_growth(claim, volume, sight.storage_class(claim.class_name))
        details += grows_not.details
        help_ = help_ or grows_not.help
    if sight.path:
        details.append(f"it is mounted at {sight.path}")
    if sight.pods:
        details.append("used by " + listed([pod.key for pod in sight.pods]))
    return f"it has volume {volume.name}", tuple(details), help_


def _misbound(claim: Claim, volume: Volume, ref: ObjectReference, holder: Claim | None) -> Reasons:
    """Its volume points at another claim, or at another of its name.

    holder  the claim that it points at by name, if that exists
    """
    back = f"to have it back: {freeing(volume)}"
    if ref.key != claim.key:
        whose = f"of claim {ref.key}" if ref.uid else f"reserved for claim {ref.key}"
        why = f"its volume {volume.name} is {whose}"
        if holder is None:
            why += ", which does not exist"
        elif ref.uid and ref.uid != holder.uid:
            why = f"its volume {volume.name} is of an earlier claim {ref.key}"
        elif volume.phase == Phase.BOUND:
            return f"{why} now", (), deleting("pvc", claim)
        else:
            why += " now"
            back += f", which takes it from claim {holder.key}"
    elif ref.uid:
        why = f"its volume {volume.name} is of another claim of this name"
    else:
        why = f"its volume {volume.name} is only reserved for its name: claimRef has no uid"
    return why, (), f"{back}; otherwise {deleting('pvc', claim)}"


def _named(claim: Claim, sight: Sight) -> Reasons:
    """The volume that it names cannot be its own now."""
    volume = sight.volume(claim.volume_name)
    why = f"it names volume {claim.volume_name}, which"
    if volume is None:
        create = f"create volume {claim.volume_name}"
        return f"{why} does not exist", (), f"{create}; or a new claim without spec.volumeName"
    if volume.claim_ref is None:
        lacks = lacking(claim, volume)
        return f"{why} is {lacks}", (), "a new claim that it fits, or without spec.volumeName"
    if volume.claim_ref.key == claim.key:
        whose = "of an earlier claim of this name"
    else:
        whose = owned(volume, volume.claim_ref)
    other = "a new claim that names a free volume, or none"
    if volume.phase == Phase.BOUND:
        return f"{why} is {whose}", (), other
    return f"{why} is {whose}", (), f"to give it to this claim: {freeing(volume)}; or {other}"


def _waiting(claim: Claim, sight: Sight, in_short: bool) -> Reasons:
    class_, default = sight.storage_class(claim.class_name), sight.default_class()
    if not claim.has_class and default is not None:
        return f"it is about to get the default class {default.name}", (), ""
    lack = _lack(claim, sight, in_short)
    if class_ is not None and class_.waits_for_consumer:
        selected = claim.annotations.get(SELECTED_NODE)
        if selected is None:
            return _unused(claim, class_, sight, lack.details)
        # What is there is not chosen any more: trap 13.
        other = f"to have a node chosen anew: {rescheduling(claim)}"
        lack = _Lack(f"its volume is to be made for node {selected}", (), other)
    if class_ is not None:
        return _provisioned(claim, class_, sight, lack)
    if claim.class_name:
        why = f"{lack.why}, and class {claim.class_name}, which could make one, does not exist"
        return why, lack.details, f"create StorageClass {claim.class_name}, or {lack.wanted}"
    if claim.has_class:
        other = sight.offer(claim) or "a class with a pool"
        return f'{lack.why}, and class "" makes none', lack.details, f"{lack.wanted}; or {other}"
    why = f"{lack.why}, it names no class, and there is no default class"
    maker, other = sight.supply.maker(claim), "a default StorageClass"
    if maker:
        other = f"to give it class {maker}: {classing(claim, maker)}"
    return why, lack.details, f"{lack.wanted}; or {other}"


class _Lack(NamedTuple):
    """why  no volume is bound   details  which there are   wanted  those that would do"""

    why: str
    details: tuple[str, ...]
    wanted: str


def _lack(claim: Claim, sight: Sight, in_short: bool) -> _Lack:
    limit, wasteful = sight.limit(claim), sight.wasteful(claim)
    volumes = [] if in_short else list(sight.volumes.values())
    why, suitable = "no volume fits", f"a volume of {wanted(claim, limit)}"
    if limit is not None and wasteful is not None:
        why = f"what fits is {limit}"
        suitable += f"; or to have {wasteful.name} nevertheless: {naming(claim, wasteful)}"
    if (left := left_behind(claim, volumes)) is not None:
        suitable += f"; or to have what the earlier claim left: {handing_on(left)}"
    return _Lack(why, () if in_short else candidates(claim, volumes, limit), suitable)


def _unused(claim: Claim, class_: StorageClass, sight: Sight, details: tuple[str, ...]) -> Reasons:
    if class_.provisioner in DRIVERS and (trouble := sight.supply.outlook(claim, class_).why):
        details = (f"should no volume fit then, none can be made: {trouble}", *details)
    why = f"by class {class_.name} it waits for its first consumer, and there is none"
    help_ = f"mooring mount {claim.name} -n {claim.namespace}, or a pod that uses it"
    if waiting := [pod for pod in sight.pods if not pod.node_name and not pod.has_ended]:
        names = listed([pod.key for pod in waiting])
        why = f"by class {class_.name} it waits for the node of pod {names}"
        help_ = f"{asking('pod', waiting[0])} says why it has none"
    elif placed := [pod for pod in sight.pods if not pod.is_mirror and not pod.has_ended]:
        # As in Kubernetes: a node is chosen for a claim with that of a pod, and not without.
        why = f"nobody chooses a node for it: pod {placed[0].key} came with its own"
        help_ = choosing(claim, placed[0].node_name)
    return why, details, help_


def _provisioned(claim: Claim, class_: StorageClass, sight: Sight, lack: _Lack) -> Reasons:
    by, details, suitable = class_.provisioner, lack.details, lack.wanted
    if by.startswith(IN_TREE):
        why = f"{lack.why}, and class {class_.name} makes none: its provisioner is {by}"
        return why, details, suitable
    if (source := source_for_others(claim)) is not None:
        return _populated(source, sight, lack)
    if by not in DRIVERS:
        why = f"{lack.why}, and {by}, which makes those of class {class_.name}, made none yet"
        return why, (*_failure(sight), *details), f"see that this provisioner runs; or {suitable}"
    chosen_by = SELECTED_NODE if class_.waits_for_consumer else MAKER
    selected = claim.annotations.get(chosen_by, "")
    pool, why, change = sight.supply.outlook(claim, class_, selected)
    if why or pool is None:
        no_offer = "" if change or selected else "a new claim of another class"
        other = sight.offer(claim) or no_offer
        helps = "; or ".join(one for one in (change, other, suitable) if one)
        return f"{lack.why}, and none can be made: {why}", details, helps
    if progress := filling_told(claim):
        return f"its volume is being filled: {progress}", (), ""
    by = selected or pool.node or "any host"
    if sight.told:
        why = f"the agent of {by} could not make its volume yet, in pool {pool.name}"
        return why, _failure(sight), mending(claim, class_, sight)
    return f"the agent of {by} is to make its volume in pool {pool.name}", (), ""


def _populated(source: DataSource, sight: Sight, lack: _Lack) -> Reasons:
    kind = f"{source.kind}.{source.api_group}"
    found = [one.name for one in sight.populators if one.source_kind.is_of(source)]
    if found:
        why = (
            f"{lack.why}, and populator {listed(found)}, which is to fill one from {kind} "
            f"{source.name}, gave it none yet"
        )
        help_ = f"see that this populator runs, and that there is a {source.kind} {source.name}"
    else:
        why = f"{lack.why}, and no VolumePopulator is registered for its dataSourceRef: {kind}"
        help_ = f"install the populator of {kind}, or a new claim with another source or none"
    return why, (*_failure(sight), *lack.details), f"{help_}; or {lack.wanted}"


def _failure(sight: Sight) -> tuple[str, ...]:
    return (f"it failed last with: {sight.told}",) if sight.told else ()


def held(kind: str, one: View, finalizers: Sequence[str]) -> Reasons:
    """Why an object that is being deleted is still there.

    kind  as kubectl calls it   finalizers  that keep it, those of a user excluded
    """
    why = f"it stays until {unremoved(finalizers)}"
    details = tuple(MEANINGS[each] for each in finalizers if each in MEANINGS)
    if len(details) == len(finalizers):
        return why, details, "the end of that"
    whoever = "whoever set them, to be done with it; if that is gone for good"
    return why, details, f"{whoever}: {unfinalized(kind, one)}"


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - NAMES_AT_MOST
    return ", ".join(names[:NAMES_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def counted(names: Sequence[str], one: str, several: str) -> str:
    """Words for as many as there are, and which they are."""
    return f"{one if len(names) == 1 else several}: {listed(names)}"


def unremoved(finalizers: Sequence[str]) -> str:
    """What an object waits for, by those of its finalizers that keep it."""
    return counted(finalizers, "its finalizer is removed", "its finalizers are removed")


def about(volume: Volume) -> str:
    """Its size, modes and origin."""
    return f"{volume.capacity}, {short(volume.modes)}, {origin(volume)}"


def origin(volume: Volume) -> str:
    """Where its data is."""
    spec = volume.spec
    if volume.pool:
        return f"from pool {volume.pool}"
    if spec.host_path is not None:
        return f"hostPath {spec.host_path.path}"
    if spec.local is not None:
        return f"local {spec.local.path}"
    return f"{volume.source_name or 'of an unknown source'} {volume.driver}".strip()
