"""How a claim and its volume grow, step by step. Storage semantics §14.

What is marked on the claim says how far it is, so a growth that was cut off anywhere is gone on
with. Docs: decisions/0015.
"""

from enum import StrEnum
from typing import Final

from mooring.model.claim import Claim, ClaimCondition
from mooring.model.names import GROWS_TO, PRE_RESIZE_CAPACITY, STORAGE, STORAGE_RESIZER, Phase
from mooring.model.quantity import Quantity, parse_quantity
from mooring.model.volume import Volume
from mooring.rules.conditions import with_condition

COMPONENT: Final = "external-resizer"  # of events, before the name of the driver
NODE_COMPONENT: Final = "kubelet"  # of those about what is done where the volume is used

RESIZING: Final = "Resizing"
FILE_SYSTEM_PENDING: Final = "FileSystemResizePending"
CONTROLLER_ERROR: Final = "ControllerResizeError"
NODE_ERROR: Final = "NodeResizeError"
CONDITIONS: Final = frozenset({RESIZING, FILE_SYSTEM_PENDING, CONTROLLER_ERROR, NODE_ERROR})
WAITS_FOR_USER: Final = (
    "Waiting for user to (re-)start a pod to finish file system resize of volume on node."
)


class Progress(StrEnum):
    """Of status.allocatedResourceStatuses.storage; absent when nothing grows."""

    AT_BACKEND = "ControllerResizeInProgress"
    BACKEND_CANNOT = "ControllerResizeInfeasible"
    NODE_TO_DO = "NodeResizePending"
    AT_NODE = "NodeResizeInProgress"
    NODE_CANNOT = "NodeResizeInfeasible"


INFEASIBLE: Final = frozenset({Progress.BACKEND_CANNOT, Progress.NODE_CANNOT})
NODE_STEP: Final = frozenset({Progress.NODE_TO_DO, Progress.AT_NODE})


def has_what_it_asks(claim: Claim) -> bool:
    """Whether it was given just that, or nothing yet: nearly all were, and are of no concern."""
    has = claim.status.capacity.get(STORAGE)
    return has is None or has == claim.spec.resources.requests.get(STORAGE)


def waits_for_node(claim: Claim) -> bool:
    """Whether its file system is to grow where it is mounted next."""
    return any(one.type == FILE_SYSTEM_PENDING for one in claim.status.conditions)


def lacks_room(claim: Claim) -> bool:
    """Whether it asks for more than it has."""
    return claim.phase == Phase.BOUND and claim.request > claim.capacity


def progress(claim: Claim) -> str:
    """How far its growth is: one of Progress, or "" if nothing grows."""
    return claim.status.allocated_resource_statuses.get(STORAGE, "")


def is_growing(claim: Claim) -> bool:
    """Whether its volume has to be looked at."""
    return bool(claim.volume_name) and (lacks_room(claim) or bool(progress(claim)))


def allocated(claim: Claim) -> Quantity:
    """The size that was set about last; 0 if none ever was."""
    return parse_quantity(claim.status.allocated_resources.get(STORAGE, "0"))


def owner_of(volume: Volume, claim: Claim | None) -> Claim | None:
    """The claim if the volume is its own, by uid."""
    ref = volume.claim_ref
    if claim is None or ref is None or not ref.uid or ref.uid != claim.uid:
        return None
    return claim if claim.volume_name == volume.name and claim.phase == Phase.BOUND else None


def growth_target(claim: Claim) -> Quantity | None:
    """What its volume is to become, None if it is large enough.

    A target that was set about is gone on with, though the request is another one by now; one that
    could not be reached is given up for a request that may be smaller.
    """
    if not lacks_room(claim):
        return None
    begun = progress(claim)
    if begun and begun not in INFEASIBLE and (target := allocated(claim)) > claim.capacity:
        return target
    return claim.request


# The claim as it is at each step


def begun(claim: Claim, target: Quantity, resizer: str, now: str) -> Claim:
    """It is set about; nothing has happened yet."""
    if progress(claim) == Progress.AT_BACKEND and allocated(claim) == target:
        return claim
    marked = claim.annotated(**{STORAGE_RESIZER: resizer})
    conditions = with_condition(claim, RESIZING, "", now, instead_of=CONDITIONS)
    return _progressed(marked, Progress.AT_BACKEND, conditions).with_status(
        allocated_resources={**claim.status.allocated_resources, STORAGE: target.canonical()}
    )


def infeasible(claim: Claim, why: str, now: str, *, at_node: bool = False) -> Claim:
    """It cannot be done as long as things are as they are. The user may ask for less."""
    type_, state = (
        (NODE_ERROR, Progress.NODE_CANNOT)
        if at_node
        else (CONTROLLER_ERROR, Progress.BACKEND_CANNOT)
    )
    return _progressed(claim, state, with_condition(claim, type_, why, now, instead_of=frozenset()))


def waiting_for_node(claim: Claim, now: str) -> Claim:
    """The backend has the size; the file system in it gets it where it is mounted next."""
    type_, why = FILE_SYSTEM_PENDING, WAITS_FOR_USER
    conditions = with_condition(claim, type_, why, now, instead_of=CONDITIONS)
    return _progressed(claim, Progress.NODE_TO_DO, conditions)


def begun_at_node(claim: Claim) -> Claim:
    """It is not mounted now, and its file system grows."""
    return _progressed(claim, Progress.AT_NODE, claim.status.conditions)


def grown(claim: Claim, size: Quantity) -> Claim:
    """It has its size. What was set about last stays written, for the quota to be charged by."""
    statuses = {
        name: state
        for name, state in claim.status.allocated_resource_statuses.items()
        if name != STORAGE
    }
    return claim.with_status(
        capacity={**claim.status.capacity, STORAGE: size.canonical()},
        conditions=tuple(one for one in claim.status.conditions if one.type not in CONDITIONS),
        allocated_resource_statuses=statuses,
    )


def _progressed(claim: Claim, state: Progress, conditions: tuple[ClaimCondition, ...]) -> Claim:
    statuses = {**claim.status.allocated_resource_statuses, STORAGE: str(state)}
    if statuses == claim.status.allocated_resource_statuses and (
        conditions == claim.status.conditions
    ):
        return claim
    return claim.with_status(allocated_resource_statuses=statuses, conditions=conditions)


# The volume as it is at each step


def reserved(volume: Volume, target: Quantity) -> Volume:
    """Charged with the size that it is to have, before its backend gives it any of it."""
    return volume if volume.takes >= target else volume.annotated(**{GROWS_TO: target.canonical()})


def unreserved(volume: Volume) -> Volume:
    """Charged with what it is: its backend was seen not to have grown."""
    return volume.without_annotations(GROWS_TO)


def enlarged(volume: Volume, size: Quantity, node_step_from: Quantity | None = None) -> Volume:
    """With the size that its backend has; never a smaller one than before.

    node_step_from  what its claim has until its file system has grown as well; None: it has
    """
    larger = unreserved(volume)
    if size > volume.capacity:
        larger = larger.with_spec(capacity={**volume.spec.capacity, STORAGE: size.canonical()})
    if node_step_from is None:
        return larger.without_annotations(PRE_RESIZE_CAPACITY)
    if PRE_RESIZE_CAPACITY in larger.annotations:
        return larger
    return larger.annotated(**{PRE_RESIZE_CAPACITY: node_step_from.canonical()})


def is_unfinished(volume: Volume) -> bool:
    """Whether something of a growth is left to be done, whatever its claim says."""
    return GROWS_TO in volume.annotations or PRE_RESIZE_CAPACITY in volume.annotations
