"""Decisions about claims in worlds of a few things, and what they come to."""

from collections.abc import Iterable
from dataclasses import dataclass

from mooring.model.claim import Claim
from mooring.model.names import BIND_COMPLETED, Phase
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.claims import Decision, claim_decision
from mooring.rules.waste import WasteLimit
from tests.rules.making import NOW
from tests.rules.plain_scan import acceptable


@dataclass
class World:
    """Few things, looked at one by one."""

    volumes: Iterable[Volume] = ()
    classes: Iterable[StorageClass] = ()
    waiting_pods: Iterable[str] = ()

    def volume(self, name: str) -> Volume | None:
        return next((one for one in self.volumes if one.name == name), None)

    def storage_class(self, name: str) -> StorageClass | None:
        return next((one for one in self.classes if one.name == name), None)

    def default_class(self) -> StorageClass | None:
        return next((one for one in self.classes if one.is_default), None)

    def best_volume(self, claim: Claim, *, delay: bool) -> Volume | None:
        names = acceptable(self.volumes, claim, delay=delay)
        return self.volume(min(names)) if names else None

    def limit(self, claim: Claim) -> WasteLimit | None:
        """None: what is chosen by it is tested with the index, and told of with the controllers."""

    def wasteful(self, claim: Claim) -> Volume | None:
        return self.best_volume(claim, delay=False)

    def has_waiting_pod(self, claim: Claim) -> bool:
        return claim.name in self.waiting_pods


def decided(claim: Claim, *things: Volume | StorageClass, pod: bool = False) -> Decision:
    """The decision in a world of these things."""
    world = World(
        volumes=[one for one in things if isinstance(one, Volume)],
        classes=[one for one in things if isinstance(one, StorageClass)],
        waiting_pods=[claim.name] if pod else [],
    )
    return claim_decision(claim, world, NOW)


def claim_after(decision: Decision, before: Claim) -> Claim:
    """The claim once the writes are stored."""
    return next((new for _, new in decision.writes if isinstance(new, Claim)), before)


def volume_after(decision: Decision) -> Volume | None:
    """The volume that is written, if any."""
    return next((new for _, new in decision.writes if isinstance(new, Volume)), None)


def told(decision: Decision) -> list[tuple[str, str]]:
    """Types and reasons of the events."""
    return [(note.type, note.reason) for note in decision.events]


def is_bound(decision: Decision, claim: Claim, volume: Volume) -> bool:
    """Whether both sides point at each other and say so, without an event."""
    new_claim = claim_after(decision, claim)
    new_volume = volume_after(decision) or volume
    return (
        new_claim.volume_name == volume.name
        and new_claim.phase == Phase.BOUND
        and BIND_COMPLETED in new_claim.annotations
        and new_volume.claim_ref is not None
        and new_volume.claim_ref.uid == claim.uid
        and new_volume.points_at(claim)
        and new_volume.phase == Phase.BOUND
        and not decision.events
    )
