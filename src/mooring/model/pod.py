"""Pod: something that uses claims; under Docker the mirror of a container."""

from typing import ClassVar, Final

import msgspec

from mooring.model.metadata import Part, View

MIRROR: Final = "mooring.dev/mirror"  # label: what it is the mirror of, "docker"


class ClaimUse(Part, frozen=True):
    claim_name: str = ""
    read_only: bool = False


class EphemeralUse(Part, frozen=True):
    """A claim made for this pod alone, from a template."""


class PodVolume(Part, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimUse | None = None
    ephemeral: EphemeralUse | None = None


class PodSpec(Part, frozen=True):
    node_name: str = ""
    volumes: tuple[PodVolume, ...] = ()


class PodStatus(Part, frozen=True):
    phase: str = ""


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
