"""Pod: something that uses claims; under Docker the mirror of a container."""

from typing import ClassVar, Final, Self

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.selector import NodeSelector, NodeSelectorTerm

MIRROR: Final = "mooring.dev/mirror"  # label: what it is the mirror of, "docker"
DEFAULT_SCHEDULER: Final = "default-scheduler"
POD_SCHEDULED: Final = "PodScheduled"  # a condition


class ClaimUse(Part, frozen=True):
    claim_name: str = ""
    read_only: bool = False


class EphemeralUse(Part, frozen=True):
    """A claim made for this pod alone, from a template."""


class PodVolume(Part, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimUse | None = None
    ephemeral: EphemeralUse | None = None


class Toleration(Part, frozen=True):
    """A taint that does not keep the pod away. Empty key or effect: any."""

    key: str = ""
    operator: str = ""  # Exists; Equal, as ""
    value: str = ""
    effect: str = ""


class PreferredTerm(Part, frozen=True):
    weight: int = 0
    preference: NodeSelectorTerm = msgspec.field(default_factory=NodeSelectorTerm)


class PodNodeAffinity(Part, frozen=True):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredTerm, ...] = ()


class Affinity(Part, frozen=True):
    node_affinity: PodNodeAffinity = msgspec.field(default_factory=PodNodeAffinity)


class SchedulingGate(Part, frozen=True):
    name: str = ""


class PodSpec(Part, frozen=True):
    node_name: str = ""
    volumes: tuple[PodVolume, ...] = ()
    scheduler_name: str = ""
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    affinity: Affinity = msgspec.field(default_factory=Affinity)
    tolerations: tuple[Toleration, ...] = ()
    scheduling_gates: tuple[SchedulingGate, ...] = ()


class PodCondition(Part, frozen=True):
    """Times are RFC 3339; `status` is True, False or Unknown."""

    type: str = ""
    status: str = ""
    observed_generation: int = 0
    last_probe_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class PodStatus(Part, frozen=True):
    phase: str = ""
    conditions: tuple[PodCondition, ...] = ()


class Pod(View, frozen=True):
    kind_name: ClassVar[str] = "Pod"
    resource: ClassVar[str] = "pods"

    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def node_name(self) -> str:
        """Where it runs, "" if nowhere yet."""
        return self.spec.node_name

    @property
    def is_mirror(self) -> bool:
        """Whether it stands for a container."""
        return MIRROR in self.metadata.labels

    @property
    def phase(self) -> str:
        return self.status.phase

    @property
    def has_ended(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def is_to_be_placed(self) -> bool:
        """Whether our scheduler is to find a node for it: it has claims, and no node yet.

        A pod without claims asks nothing of storage; nothing here would run it anyway.
        """
        return (
            not self.spec.node_name
            and not self.has_ended
            and not self.being_deleted
            and not self.is_mirror
            and not self.spec.scheduling_gates
            and self.spec.scheduler_name in ("", DEFAULT_SCHEDULER)
            and bool(self.claim_names)
        )

    def on_node(self, node: str) -> Self:
        """Assigned to this node."""
        spec = msgspec.structs.replace(self.spec, node_name=node)
        return msgspec.structs.replace(self, spec=spec)

    def with_condition(self, condition: PodCondition) -> Self:
        """With this one in place of the one of its type; its time stays while its status does."""
        conditions = list(self.status.conditions)
        for place, old in enumerate(conditions):
            if old.type == condition.type:
                if old.status == condition.status:
                    since = old.last_transition_time
                    condition = msgspec.structs.replace(condition, last_transition_time=since)
                conditions[place] = condition
                break
        else:
            conditions.append(condition)
        status = msgspec.structs.replace(self.status, conditions=tuple(conditions))
        return self if status == self.status else msgspec.structs.replace(self, status=status)

    @property
    def claim_names(self) -> frozenset[str]:
        """Names of the claims it uses in its namespace, those made for it included."""
        return self.named_claims | self.ephemeral_claims

    @property
    def named_claims(self) -> frozenset[str]:
        """Claims that it refers to by name."""
        return frozenset(
            volume.persistent_volume_claim.claim_name
            for volume in self.spec.volumes
            if volume.persistent_volume_claim is not None
        )

    @property
    def ephemeral_claims(self) -> frozenset[str]:
        """Claims made from its templates: "<pod>-<volume>"."""
        return frozenset(
            f"{self.metadata.name}-{volume.name}"
            for volume in self.spec.volumes
            if volume.ephemeral is not None
        )
