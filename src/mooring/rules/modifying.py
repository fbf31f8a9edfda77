"""How a volume comes to what a VolumeAttributesClass says, step by step. Storage semantics §15."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim, ClaimCondition, ModifyVolumeStatus
from mooring.model.names import Phase
from mooring.model.volume import Volume
from mooring.rules.conditions import with_condition

MODIFYING: Final = "ModifyingVolume"
ERROR: Final = "ModifyVolumeError"
CONDITIONS: Final = frozenset({MODIFYING, ERROR})
FAILED, RETRIED = "ModifyVolume failed with error: ", ". Waiting for retry."  # around what failed


class Progress(StrEnum):
    """Of status.modifyVolumeStatus.status."""

    PENDING = "Pending"  # its class does not exist
    IN_PROGRESS = "InProgress"
    INFEASIBLE = "Infeasible"


def names_of_claim(claim: Claim) -> set[str]:
    """The VolumeAttributesClasses that a claim keeps from being deleted."""
    modify = claim.status.modify_volume_status
    named = {
        claim.attributes_class,
        claim.status.current_volume_attributes_class_name or "",
        modify.target_volume_attributes_class_name if modify is not None else "",
    }
    return named - {""}


def names_of_volume(volume: Volume) -> set[str]:
    """The same of a volume."""
    return {volume.attributes_class} - {""}


def current(claim: Claim) -> str:
    """The class that its volume is of, "" if none."""
    return claim.status.current_volume_attributes_class_name or ""


def progress(claim: Claim) -> str:
    """How far a change is: one of Progress, or "" if there is none."""
    modify = claim.status.modify_volume_status
    return modify.status if modify is not None else ""


def target(claim: Claim) -> str:
    """The class that its volume is to be of, "" if that is as it should be.

    What is in progress may have been done already, so it is gone on with though the claim names
    another class by now.
    """
    if claim.phase != Phase.BOUND or not claim.volume_name:
        return ""
    modify = claim.status.modify_volume_status
    if modify is not None and modify.status == Progress.IN_PROGRESS:
        return modify.target_volume_attributes_class_name
    return claim.attributes_class if claim.attributes_class != current(claim) else ""


def is_modifying(claim: Claim) -> bool:
    """Whether its volume has to be looked at."""
    return bool(target(claim)) or claim.status.modify_volume_status is not None


def unfit(
    class_: AttributesClass, driver: str, offered: Mapping[str, tuple[str, ...]]
) -> tuple[str, str]:
    """Why a volume cannot be of a class, and what would help; ("", "") if it can.

    offered  what its driver can change, as Features.attributes
    """
    if class_.driver_name != driver:
        what = f"VolumeAttributesClass {class_.name} is of {class_.driver_name}, not of {driver}"
        return what, f"name one whose driverName is {driver}"
    for name, value in class_.parameters.items():
        if value not in offered.get(name, ()):
            what = f"VolumeAttributesClass {class_.name} says {name}={value}"
            known = "; ".join(f"{one}: {' or '.join(values)}" for one, values in offered.items())
            return what, f"{driver} knows {known}" if known else f"{driver} can change nothing"
    return "", ""


# The claim as it is at each step


def pending(claim: Claim, name: str) -> Claim:
    """Its class does not exist; what was before is not over, so conditions stay."""
    return _marked(claim, name, Progress.PENDING, claim.status.conditions)


def begun(claim: Claim, name: str, now: str) -> Claim:
    """It is set about; nothing has happened yet."""
    message = "ModifyVolume operation in progress."
    conditions = with_condition(claim, MODIFYING, message, now, instead_of=CONDITIONS)
    return _marked(claim, name, Progress.IN_PROGRESS, conditions)


def infeasible(claim: Claim, name: str, why: str, now: str) -> Claim:
    """It cannot be done, and nothing was changed. The user may name another class."""
    message = f"{FAILED}{why}{RETRIED}"
    conditions = with_condition(claim, ERROR, message, now, instead_of=CONDITIONS)
    return _marked(claim, name, Progress.INFEASIBLE, conditions)


def plain(message: str) -> str:
    """What failed, of the message of the condition that says so."""
    return message.removeprefix(FAILED).removesuffix(RETRIED)


def modified(claim: Claim, name: str) -> Claim:
    """Its volume is of the class."""
    return claim.with_status(
        current_volume_attributes_class_name=name or None,
        modify_volume_status=None,
        conditions=tuple(one for one in claim.status.conditions if one.type not in CONDITIONS),
    )


def _marked(
    claim: Claim, name: str, state: Progress, conditions: tuple[ClaimCondition, ...]
) -> Claim:
    modify = ModifyVolumeStatus(target_volume_attributes_class_name=name, status=str(state))
    status = claim.status
    if (status.modify_volume_status, status.conditions) == (modify, conditions):
        return claim
    return claim.with_status(modify_volume_status=modify, conditions=conditions)
