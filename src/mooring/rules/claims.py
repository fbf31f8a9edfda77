"""What to do about a claim. Storage semantics §4."""

from typing import NamedTuple, Protocol

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import (
    BOUND_BY_CONTROLLER,
    DRIVERS,
    IN_TREE,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
    Phase,
)
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.binding import bound, unbound_status
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.waste import WasteLimit

Pair = tuple[View, View]  # as read, as wanted


class Decision(NamedTuple):
    """writes  in one commit, or none   events  to tell   why  in a sentence
    waits  no volume fits now; one that comes to fit should wake the claim
    """

    why: str
    writes: tuple[Pair, ...] = ()
    events: tuple[EventNote, ...] = ()
    waits: bool = False


class World(Protocol):
    """What a claim's decision depends on, answered from indexes."""

    def volume(self, name: str) -> Volume | None: ...

    def storage_class(self, name: str) -> StorageClass | None: ...

    def default_class(self) -> StorageClass | None: ...

    def best_volume(self, claim: Claim, *, delay: bool) -> Volume | None:
        """By §6."""

    def limit(self, claim: Claim) -> WasteLimit | None:
        """By which `best_volume` left volumes out, None: by none."""

    def wasteful(self, claim: Claim) -> Volume | None:
        """The volume that it would get if there were no limit of waste, None if none."""

    def has_waiting_pod(self, claim: Claim) -> bool:
        """Whether a pod that has not ended and has no node refers to the claim."""


def claim_decision(claim: Claim, world: World, now: str) -> Decision:
    """Bring a claim to where its spec and the volumes say it belongs."""
    if claim.was_bound:
        return _bound_before(claim, world, now)
    if claim.volume_name:
        return _names_volume(claim, world, now)
    return _free(claim, world, now)


def _free(claim: Claim, world: World, now: str) -> Decision:
    class_ = world.storage_class(claim.class_name) if claim.class_name else None
    delay = class_ is not None and class_.waits_for_consumer
    selected = SELECTED_NODE in claim.annotations
    if volume := world.best_volume(claim, delay=delay):
        return _bind(claim, volume, now, f"bound to {volume.name}, the best that fits")
    if not claim.has_class and (default := world.default_class()):
        why = f"given the default class {default.name}"
        return Decision(why, ((claim, claim.with_class(default.name)),))
    if delay and not selected:
        waiting = world.has_waiting_pod(claim)
        reason = "WaitForPodScheduled" if waiting else "WaitForFirstConsumer"
        message = (
            "waiting for the pod that uses it to get a node"
            if waiting
            else "waiting for first consumer to be created before binding"
        )
        return _pending(claim, NORMAL, reason, message)
    if claim.class_name:
        return _provision(claim, class_, world)._replace(waits=not delay)
    message = _too_wasteful(claim, world) or (
        "no persistent volumes available for this claim and no storage class is set"
    )
    return _pending(claim, NORMAL, "FailedBinding", message)._replace(waits=True)


def _too_wasteful(claim: Claim, world: World) -> str:
    """That the limit of waste is why it gets none of the volumes that fit, "" if it is not."""
    limit = world.limit(claim)
    if limit is None or world.wasteful(claim) is None:
        return ""
    return f"what fits is {limit.forbidden}"


def _provision(claim: Claim, class_: StorageClass | None, world: World) -> Decision:
    if class_ is None:
        message = f'storageclass.storage.k8s.io "{claim.class_name}" not found'
        return Decision(message, events=(_note(claim, WARNING, "ProvisioningFailed", message),))
    provisioner = class_.provisioner
    if provisioner.startswith(IN_TREE):
        message = f"no volume plugin matched name: {provisioner}"
        if wasteful := _too_wasteful(claim, world):
            message = f"{message}, and {wasteful}"
        return Decision(message, events=(_note(claim, WARNING, "ProvisioningFailed", message),))
    keys = {STORAGE_PROVISIONER: provisioner, STORAGE_PROVISIONER_BETA: provisioner}
    asked = claim.annotated(**keys)
    message = (
        f"Waiting for a volume to be created by the external provisioner '{provisioner}'"
        if provisioner in DRIVERS
        else f"Waiting for a volume to be created either by the external provisioner "
        f"'{provisioner}' or manually by the system administrator. If volume creation is delayed, "
        "please verify that the provisioner is running and correctly registered."
    )
    writes = () if asked is claim else ((claim, asked),)
    return Decision(message, writes, (_note(claim, NORMAL, "ExternalProvisioning", message),))


def _names_volume(claim: Claim, world: World, now: str) -> Decision:
    volume = world.volume(claim.volume_name)
    if volume is None:
        return _in_phase(claim, Phase.PENDING, f"volume {claim.volume_name} does not exist yet")
    if volume.points_at(claim):
        return _bind(claim, volume, now, f"bound to {volume.name}, each names the other")
    if volume.claim_ref is None:
        if lacking := misfit(claim, volume):
            message = f'Cannot bind to requested volume "{volume.name}": {lacking}'
            return _pending(claim, WARNING, "VolumeMismatch", message)
        return _bind(claim, volume, now, f"bound to {volume.name}, which it names")
    message = f'volume "{volume.name}" already bound to a different claim.'
    event = _note(claim, WARNING, "FailedBinding", message)
    if BOUND_BY_CONTROLLER in claim.annotations:
        return Decision(message, events=(event,))
    return _pending(claim, WARNING, "FailedBinding", message)


def misfit(claim: Claim, volume: Volume) -> str:
    """Why a volume that the claim names cannot be its own, "" if it can. §4 B row 2, in order."""
    if volume.being_deleted:
        return "the volume is marked for deletion"
    if volume.capacity.bytes() < claim.request.bytes():
        return "requested PV is too small"
    if volume.class_name != claim.class_name:
        return "storageClassName does not match"
    if volume.attributes_class != claim.attributes_class:
        return "volumeAttributesClassName does not match"
    if volume.volume_mode != claim.volume_mode:
        return "incompatible volumeMode"
    if not claim.modes <= volume.modes:
        return "incompatible accessMode"
    return ""


def _bound_before(claim: Claim, world: World, now: str) -> Decision:
    if not claim.volume_name:
        return _lost(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume")
    volume = world.volume(claim.volume_name)
    if volume is None:
        what = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return _lost(claim, "ClaimLost", what)
    if volume.claim_ref is None or (
        volume.claim_ref.uid and volume.claim_ref.uid == claim.metadata.uid
    ):
        return _bind(claim, volume, now, f"bound to {volume.name}")
    what = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, "ClaimMisbound", what)


def _bind(claim: Claim, volume: Volume, now: str, why: str) -> Decision:
    new_claim, new_volume = bound(claim, volume, now)
    pairs: tuple[Pair, ...] = ((claim, new_claim), (volume, new_volume))
    # The half that stays as it is goes along: it must still be so when the other is stored.
    return Decision(why, pairs if any(old != new for old, new in pairs) else ())


def _lost(claim: Claim, reason: str, message: str) -> Decision:
    decision = _in_phase(claim, Phase.LOST, message)
    if claim.phase == Phase.LOST:
        return decision
    return decision._replace(events=(_note(claim, WARNING, reason, message),))


def _pending(claim: Claim, type_: str, reason: str, message: str) -> Decision:
    event = _note(claim, type_, reason, message)
    return _in_phase(claim, Phase.PENDING, message)._replace(events=(event,))


def _in_phase(claim: Claim, phase: Phase, why: str) -> Decision:
    new = unbound_status(claim, phase)
    return Decision(why, () if new is claim else ((claim, new),))


def _note(claim: Claim, type_: str, reason: str, message: str) -> EventNote:
    return EventNote(claim.reference(), type_, reason, message)
