"""What to do about a volume. Storage semantics §5 and §9."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import (
    BOUND_BY_CONTROLLER,
    DELETE,
    EXTERNAL_PROVISIONER_FINALIZER,
    IN_TREE,
    MIGRATED_TO,
    PV_CONTROLLER_FINALIZER,
    PV_PROTECTION,
    RECYCLE,
    RETAIN,
    Phase,
)
from mooring.model.volume import Volume
from mooring.rules.binding import rolled_back
from mooring.rules.events import NORMAL, WARNING, EventNote

ENDED: Final = frozenset({Phase.RELEASED, Phase.FAILED})
HOST_PATH_PLUGIN: Final = IN_TREE + "host-path"  # the one in-tree deleter that we have


class VolumeDecision(NamedTuple):
    """writes, events and why as in claims.Decision.

    wake     the claim, "ns/name", that should be looked at
    reclaim  the volume is released: its reclaim policy applies now
    """

    why: str
    writes: tuple[tuple[View, View], ...] = ()
    events: tuple[EventNote, ...] = ()
    wake: str = ""
    reclaim: bool = False


def is_at_rest(volume: Volume) -> bool:
    """Whether looking at it would change nothing, seen without looking at anything else: it is
    free, protected and Available. As are most volumes whenever one of them changes."""
    return (
        volume.claim_ref is None
        and volume.phase == Phase.AVAILABLE
        and not volume.being_deleted
        and guarded(volume) is volume
    )


def is_going(volume: Volume) -> bool:
    """Whether its data is being deleted, or is to be as soon as somebody comes to it."""
    return volume.being_deleted or (volume.phase in ENDED and volume.reclaim_policy == DELETE)


def is_left(volume: Volume) -> bool:
    """Whether its claim is gone and its data stays until somebody decides about it."""
    return volume.phase in ENDED and not is_going(volume)


def guarded(volume: Volume) -> Volume:
    """With the finalizers of ours that it is to have, and no others of ours. §5 row 0, §13."""
    if not volume.being_deleted:
        volume = volume.with_finalizer(PV_PROTECTION)
    elif volume.phase != Phase.BOUND:
        volume = volume.without_finalizer(PV_PROTECTION)
    if not volume.provisioned_by.startswith(IN_TREE) or MIGRATED_TO in volume.annotations:
        return volume
    if volume.reclaim_policy != DELETE:
        return volume.without_finalizer(PV_CONTROLLER_FINALIZER)
    return volume if volume.being_deleted else volume.with_finalizer(PV_CONTROLLER_FINALIZER)


def volume_decision(volume: Volume, claim: Claim | None, now: str) -> VolumeDecision:
    """Bring a volume to where its pointers say it belongs.

    claim  the one at claimRef's namespace and name, as it is now; None if there is none
    """
    ref = volume.claim_ref
    if ref is None:
        return _phase(volume, Phase.AVAILABLE, now, "no claim refers to it")
    if not ref.uid:
        decision = _phase(volume, Phase.AVAILABLE, now, f"reserved for {ref.key}")
        return decision._replace(wake=ref.key)
    if claim is None or claim.metadata.uid != ref.uid:
        return _released(volume, now, f"its claim {ref.key} is gone")
    if not claim.volume_name:
        return _claim_undecided(volume, claim)
    if claim.volume_name == volume.name:
        return _phase(volume, Phase.BOUND, now, f"bound to {ref.key}")
    if volume.provisioned_by and volume.reclaim_policy == DELETE:
        return _released(volume, now, f"made for {ref.key}, which took {claim.volume_name}")
    new = rolled_back(volume, now)
    freed = BOUND_BY_CONTROLLER in volume.annotations
    why = f"{ref.key} took {claim.volume_name}; {'free again' if freed else 'still reserved'}"
    return VolumeDecision(why, ((volume, new),) if new != volume else ())


def _claim_undecided(volume: Volume, claim: Claim) -> VolumeDecision:
    if claim.volume_mode == volume.volume_mode:
        return VolumeDecision(f"{claim.key} is to be bound to it", wake=claim.key)
    message = (
        f'Cannot bind PersistentVolume "{volume.name}" to requested PersistentVolumeClaim '
        f'"{claim.name}" due to incompatible volumeMode.'
    )
    events = tuple(
        EventNote(view.reference(), WARNING, "VolumeMismatch", message) for view in (volume, claim)
    )
    return VolumeDecision(message, events=events)


def _released(volume: Volume, now: str, why: str) -> VolumeDecision:
    if volume.phase in ENDED:
        return VolumeDecision(why, reclaim=True)
    return _phase(volume, Phase.RELEASED, now, why)._replace(reclaim=True)


def _phase(volume: Volume, phase: Phase, now: str, why: str) -> VolumeDecision:
    new = volume.in_phase(phase, now)
    return VolumeDecision(why, () if new is volume else ((volume, new),))


class Reclaim(NamedTuple):
    """What the reclaim policy of a released volume asks of the controller now.

    delete_path    a static hostPath below /tmp that is to be removed, then the object
    recycle_path   a hostPath to be emptied, then the volume is free again
    recycle_root   the pool's root that it must lie below
    busy           somebody uses it still: nothing is done now
    """

    why: str
    writes: tuple[tuple[View, View], ...] = ()
    events: tuple[EventNote, ...] = ()
    delete_path: str = ""
    recycle_path: str = ""
    recycle_root: str = ""
    busy: bool = False


def reclaim_decision(volume: Volume, used: bool, roots: Iterable[str], now: str) -> Reclaim:
    """By §9.

    used   a pod that has not ended still refers to the old claim's name, and no such claim exists
    roots  of the pools: what lies below one may be emptied
    """
    policy = volume.reclaim_policy
    if policy == RETAIN:
        return Reclaim("kept, as its policy Retain says")
    if policy == DELETE:
        return _deleting(volume, now)
    if policy == RECYCLE:
        return _recycling(volume, used, roots, now)
    message = f"Volume has unrecognized PersistentVolumeReclaimPolicy: {policy}"
    return failed(volume, "VolumeUnknownReclaimPolicy", message, now)


def _deleting(volume: Volume, now: str) -> Reclaim:
    by = volume.provisioned_by
    if MIGRATED_TO in volume.annotations:
        return Reclaim(f"{volume.annotations[MIGRATED_TO]} deletes it")
    if by and not by.startswith(IN_TREE):
        return Reclaim(f"{by} deletes it")
    if not by and volume.spec.csi is not None:
        return Reclaim(f"{volume.driver} deletes it")
    if by not in ("", HOST_PATH_PLUGIN) or volume.spec.host_path is None:
        message = "no deletable volume plugin matched"
        return failed(volume, "VolumeFailedDelete", message, now)
    path = volume.spec.host_path.path
    if not path.startswith("/tmp/"):
        message = f'host_path deleter only supports /tmp/.+ but received provided "{path}"'
        return failed(volume, "VolumeFailedDelete", message, now)
    return Reclaim("its directory is to be removed", delete_path=path)


def _recycling(volume: Volume, used: bool, roots: Iterable[str], now: str) -> Reclaim:
    if used:
        message = "Volume is used by pods"
        note = EventNote(volume.reference(), NORMAL, "VolumeFailedRecycle", message)
        return Reclaim(message, events=(note,), busy=True)
    if volume.spec.host_path is None:
        message = "No recycler plugin found for the volume!"
        return failed(volume, "VolumeFailedRecycle", message, now)
    path = volume.spec.host_path.path
    root = next((one for one in roots if _may_empty(one, path)), "")
    if not root:
        message = (
            f"only hostPaths below the root of a Pool, beside its volumes, are emptied: not {path}"
        )
        return failed(volume, "VolumeFailedRecycle", message, now)
    return Reclaim("to be emptied", recycle_path=path, recycle_root=root)


def _may_empty(root: str, path: str) -> bool:
    """Not what a driver keeps in its pool: volumes, and what it half made or marked."""
    within, given = ([part for part in one.split("/") if part] for one in (root, path))
    rest = given[len(within) :]
    below = path.startswith("/") and given[: len(within)] == within and bool(rest)
    return below and not rest[0].startswith(("pvc-", "."))


def busy(volume: Volume, message: str) -> Reclaim:
    """What is to be deleted is in use: told as such, the phase stays. §9."""
    note = EventNote(volume.reference(), NORMAL, "VolumeDelete", message)
    return Reclaim(message, events=(note,), busy=True)


def failed(volume: Volume, reason: str, message: str, now: str) -> Reclaim:
    """Reclaiming did not work: phase Failed, told once."""
    new = volume.in_phase(Phase.FAILED, now, message)
    note = EventNote(volume.reference(), WARNING, reason, message)
    told = () if volume.phase == Phase.FAILED else (note,)
    return Reclaim(message, () if new is volume else ((volume, new),), told)


def may_delete_externally(volume: Volume, driver: str) -> bool:
    """Whether the external deleter of a driver acts on a volume now (§9, last paragraph)."""
    ours = volume.provisioned_by == driver or (
        not volume.provisioned_by and volume.driver == driver
    )
    skipped = volume.being_deleted and not volume.has_finalizer(EXTERNAL_PROVISIONER_FINALIZER)
    return (
        ours and volume.phase == Phase.RELEASED and volume.reclaim_policy == DELETE and not skipped
    )
