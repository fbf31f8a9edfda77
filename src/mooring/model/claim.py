"""PersistentVolumeClaim: what somebody asked for, and what they got."""

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Self

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.names import (
    BIND_COMPLETED,
    FILESYSTEM,
    STORAGE,
    STORAGE_CLASS_BETA,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
    Phase,
)
from mooring.model.quantity import Quantity, parse_quantity
from mooring.model.selector import LabelSelector

if TYPE_CHECKING:
    from mooring.model.volume import Volume

mode_set = lru_cache(maxsize=256)(frozenset[str])  # the few sets of access modes there are


class DataSource(Part, frozen=True):
    """What a new volume is to be filled from."""

    api_group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""


class ResourceRequests(Part, frozen=True):
    """Amounts as stored: canonical text."""

    requests: dict[str, str | int | float] = msgspec.field(default_factory=dict)


class ClaimSpec(Part, frozen=True):
    access_modes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: ResourceRequests = msgspec.field(default_factory=ResourceRequests)
    storage_class_name: str | None = None  # None and "" differ: only None is defaulted
    volume_name: str = ""
    volume_mode: str | None = None
    volume_attributes_class_name: str | None = None
    data_source: DataSource | None = None
    data_source_ref: DataSource | None = None


class ClaimCondition(Part, frozen=True):
    """Times are RFC 3339; `status` is True, False or Unknown."""

    type: str = ""
    status: str = ""
    last_probe_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class ModifyVolumeStatus(Part, frozen=True):
    """How far a change of its VolumeAttributesClass is. Storage semantics §15."""

    target_volume_attributes_class_name: str = ""
    status: str = ""  # Pending, InProgress, Infeasible


class ClaimStatus(Part, frozen=True):
    phase: str = ""
    access_modes: tuple[str, ...] = ()
    capacity: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    conditions: tuple[ClaimCondition, ...] = ()
    allocated_resources: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    allocated_resource_statuses: dict[str, str] = msgspec.field(default_factory=dict)
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class Claim(View, frozen=True):
    kind_name: ClassVar[str] = "PersistentVolumeClaim"
    resource: ClassVar[str] = "persistentvolumeclaims"

    spec: ClaimSpec = msgspec.field(default_factory=ClaimSpec)
    status: ClaimStatus = msgspec.field(default_factory=ClaimStatus)

    @property
    def phase(self) -> str:
        return self.status.phase

    @property
    def volume_name(self) -> str:
        """The volume it names, "" if none."""
        return self.spec.volume_name

    @property
    def class_name(self) -> str:
        """The effective class, "" if none. Storage semantics §1.2."""
        annotated = self.metadata.annotations.get(STORAGE_CLASS_BETA)
        return annotated if annotated is not None else self.spec.storage_class_name or ""

    @property
    def has_class(self) -> bool:
        """Whether a class was said, "" included; if not, a default may be filled in."""
        return (
            self.spec.storage_class_name is not None
            or STORAGE_CLASS_BETA in self.metadata.annotations
        )

    @property
    def provisioner(self) -> str:
        """Who is asked to make its volume, by the newer key or else the old one; "" nobody yet."""
        annotations = self.metadata.annotations
        newer, old = STORAGE_PROVISIONER, STORAGE_PROVISIONER_BETA
        return annotations.get(newer) or annotations.get(old, "")

    @property
    def request(self) -> Quantity:
        """How much it asks for."""
        return parse_quantity(self.spec.resources.requests.get(STORAGE, "0"))

    @property
    def capacity(self) -> Quantity:
        """How much its status says it has."""
        return parse_quantity(self.status.capacity.get(STORAGE, "0"))

    @property
    def modes(self) -> frozenset[str]:
        """The access modes it asks for."""
        return mode_set(self.spec.access_modes)

    @property
    def volume_mode(self) -> str:
        """Filesystem or Block."""
        return self.spec.volume_mode or FILESYSTEM

    @property
    def attributes_class(self) -> str:
        """The VolumeAttributesClass it names, "" if none."""
        return self.spec.volume_attributes_class_name or ""

    @property
    def was_bound(self) -> bool:
        """Whether it has been bound once, which switches its state machine (§4 C)."""
        return BIND_COMPLETED in self.metadata.annotations

    def with_volume(self, volume: "Volume") -> Self:
        """Naming this volume."""
        if self.spec.volume_name == volume.name:
            return self
        spec = msgspec.structs.replace(self.spec, volume_name=volume.name)
        return msgspec.structs.replace(self, spec=spec)

    def with_class(self, name: str) -> Self:
        """Asking for this class."""
        spec = msgspec.structs.replace(self.spec, storage_class_name=name)
        return msgspec.structs.replace(self, spec=spec)

    def in_phase(self, phase: Phase) -> Self:
        """In this phase with nothing else of its status changed; see rules.phases."""
        return self if self.status.phase == phase else self.with_status(phase=str(phase))

    def with_status(self, **changes: object) -> Self:
        """With these fields of its status changed."""
        status = msgspec.structs.replace(self.status, **changes)
        return msgspec.structs.replace(self, status=status)
