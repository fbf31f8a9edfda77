"""What deleting a claim or a volume would do: `mooring explain --delete`. Semantics §9, §13."""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.names import (
    EXTERNAL_PROVISIONER_FINALIZER,
    PV_PROTECTION,
    PVC_PROTECTION,
    RETAIN,
    Phase,
)
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.rules.explanation import Explanation, counted, listed, origin, unremoved
from mooring.rules.protection import holders
from mooring.rules.remedies import retaining
from mooring.rules.volume_explanation import roots_of
from mooring.rules.volumes import reclaim_decision

ALLOWED, PUT_OFF, DONE = "possible", "put off", "under way"


class Fate(NamedTuple):
    """What becomes of a volume once its claim is gone."""

    lost: bool  # its data
    what: str


def fate(volume: Volume, pools: Sequence[Pool]) -> Fate:
    """As the reclaimer would decide."""
    released = volume.with_status(phase=str(Phase.RELEASED), message="")
    reclaim = reclaim_decision(released, used=False, roots=roots_of(pools), now="")
    policy = f"policy {volume.reclaim_policy}"
    if volume.reclaim_policy == RETAIN:
        goes = "it goes too, its data stays" if volume.being_deleted else "it stays, Released"
        return Fate(False, f"{policy}: {goes}")
    if reclaim.delete_path:
        return Fate(True, f"{policy}: {reclaim.delete_path} is removed, and so is the volume")
    if reclaim.recycle_path:
        return Fate(True, f"{policy}: {reclaim.recycle_path} is emptied, and the volume is free")
    if reclaim.writes:
        return Fate(False, f"{policy}, which will fail: {reclaim.why}")
    if volume.being_deleted and not volume.has_finalizer(EXTERNAL_PROVISIONER_FINALIZER):
        return Fate(False, f"{policy}, but the volume goes before its data could be deleted")
    return Fate(True, f"{policy}: {reclaim.why}, with all data in it")


def deletion_of_claim(
    claim: Claim,
    volume: Volume | None,
    pods: Sequence[Pod],
    pools: Sequence[Pool],
    path: str = "",
) -> Explanation:
    """pods  that use it, ended or not: those that have a node hold it (§13)
    path  where it is mounted on the host of the server, "" if it is not
    """
    subject, state = f"deleting pvc {claim.key}", ALLOWED
    details = []
    if others := [one for one in claim.metadata.finalizers if one != PVC_PROTECTION]:
        state = PUT_OFF
        details.append(f"it stays until {unremoved(others)}")
    if users := [pod.key for pod in holders(claim, pods)]:
        state = PUT_OFF
        details.append(f"it stays until {counted(users, 'its user is gone', 'its users are gone')}")
    if waiting := [pod.key for pod in pods if not pod.node_name and not pod.has_ended]:
        details.append(f"pods that wait for it, and would wait in vain: {listed(waiting)}")
    if claim.being_deleted:
        state = DONE
    if volume is None or not _is_its(volume, claim):
        return Explanation(subject, state, "it has no volume, so no data is lost", tuple(details))
    lost, what = fate(volume, pools)
    if path:
        until = ", and its data goes once no process has files open there" if lost else ""
        details.append(f"it is mounted at {path}{until}")
    why = f"the data of volume {volume.name} is {'LOST' if lost else 'kept'}"
    help_ = f"to keep the data first: {retaining(volume)}" if lost else ""
    return Explanation(subject, state, why, (f"by its volume's {what}", *details), help_)


def _is_its(volume: Volume, claim: Claim) -> bool:
    """A volume that is only reserved for the claim's name stays so when the claim goes."""
    return volume.claim_ref is not None and volume.claim_ref.uid == claim.uid


def deletion_of_volume(
    volume: Volume, claim: Claim | None, pods: Sequence[Pod], pools: Sequence[Pool]
) -> Explanation:
    """claim  that has it, if any   pods  that use the claim."""
    subject, state = f"deleting pv {volume.name}", DONE if volume.being_deleted else ALLOWED
    if volume.phase == Phase.BOUND:
        ref = volume.claim_ref
        key = claim.key if claim is not None else ref.key if ref is not None else "?"
        lost, what = fate(volume.with_metadata(deletion_timestamp="now"), pools)
        why = f"claim {key} has it, so it stays until that claim is deleted"
        then = f"the data is then {'LOST' if lost else 'kept'}, by {what}"
        users = (f"in use by {listed([pod.key for pod in pods])}",) if pods else ()
        help_ = f"to keep the data first: {retaining(volume)}" if lost else ""
        state = DONE if volume.being_deleted else PUT_OFF
        return Explanation(subject, state, why, (then, *users), help_)
    held = [one for one in volume.metadata.finalizers if one != PV_PROTECTION]
    if EXTERNAL_PROVISIONER_FINALIZER in held and volume.phase == Phase.RELEASED:
        lost, what = fate(volume, pools)
        if lost:
            keep = f"to keep the data first: {retaining(volume)}"
            return Explanation(subject, state, f"its data is LOST, by {what}", (), keep)
    details = (f"it stays until {unremoved(held)}",) if held else ()
    why = f"only the object goes, its data stays ({origin(volume)})"
    return Explanation(subject, state, why, details)
