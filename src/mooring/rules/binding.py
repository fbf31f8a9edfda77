"""Both sides of a bind, as one commit leaves them. Storage semantics §7."""

import msgspec

from mooring.model.claim import Claim
from mooring.model.names import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PRE_RESIZE_CAPACITY,
    STORAGE,
    Phase,
)
from mooring.model.volume import Volume

YES = "yes"


def bound(claim: Claim, volume: Volume, now: str) -> tuple[Claim, Volume]:
    """Claim and volume as they are once bound: pointers, annotations, phases.

    now  RFC 3339, for the volume's lastPhaseTransitionTime
    """
    return _bound_claim(claim, volume), _bound_volume(volume, claim, now)


def pointing(volume: Volume, claim: Claim) -> Volume:
    """A volume that names the claim as its own: bind write 1, which a scheduler may do itself."""
    new = volume.claimed_by(claim)
    if new is not volume and not volume.points_at(claim):
        new = new.annotated(**{BOUND_BY_CONTROLLER: YES})
    return new


def _bound_volume(volume: Volume, claim: Claim, now: str) -> Volume:
    return pointing(volume, claim).in_phase(Phase.BOUND, now)


def _bound_claim(claim: Claim, volume: Volume) -> Claim:
    new, marks = claim.with_volume(volume), {}
    if new is not claim:
        marks[BOUND_BY_CONTROLLER] = YES
    if BIND_COMPLETED not in claim.annotations:
        marks[BIND_COMPLETED] = YES
    return _with_bound_status(new.annotated(**marks), volume)


def _with_bound_status(claim: Claim, volume: Volume) -> Claim:
    """Access modes are copied each time, capacity only when the phase changes (§4).

    The attributes class comes from the volume when a Pending claim becomes Bound, never later:
    then it is for the resizer to say what the volume has.
    """
    status = claim.status
    modes = volume.spec.access_modes
    if status.phase == Phase.BOUND:
        return claim if status.access_modes == modes else claim.with_status(access_modes=modes)
    capacity = volume.annotations.get(PRE_RESIZE_CAPACITY) or volume.spec.capacity.get(STORAGE, "0")
    attributes_class = status.current_volume_attributes_class_name
    if claim.phase in ("", Phase.PENDING):
        attributes_class = volume.spec.volume_attributes_class_name
    return claim.with_status(
        phase=str(Phase.BOUND),
        access_modes=modes,
        capacity={STORAGE: capacity},
        current_volume_attributes_class_name=attributes_class,
    )


def unbound_status(claim: Claim, phase: Phase) -> Claim:
    """Pending or Lost: nothing of a volume is left in the status."""
    status = msgspec.structs.replace(
        claim.status,
        phase=str(phase),
        access_modes=(),
        capacity={},
        current_volume_attributes_class_name=None,
    )
    return claim if status == claim.status else msgspec.structs.replace(claim, status=status)


def rolled_back(volume: Volume, now: str) -> Volume:
    """A volume whose claim took another one: rows 7 and 8 of §5."""
    if BOUND_BY_CONTROLLER in volume.annotations:
        freed = volume.with_spec(claim_ref=None).without_annotations(BOUND_BY_CONTROLLER)
    else:
        assert volume.claim_ref is not None
        reserved = msgspec.structs.replace(volume.claim_ref, uid="")
        freed = volume.with_spec(claim_ref=reserved)
    return freed.in_phase(Phase.AVAILABLE, now)
