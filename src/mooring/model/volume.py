"""PersistentVolume: a piece of storage, and the claim it belongs to."""

from collections.abc import Mapping
from typing import ClassVar, Self

import msgspec

from mooring.model.claim import Claim, mode_set
from mooring.model.home import Copy, Elsewhere, Home, copies_of, copies_text, elsewhere, home_of
from mooring.model.metadata import ObjectReference, Part, View
from mooring.model.names import (
    COPIES,
    ELSEWHERE,
    FILESYSTEM,
    GROWS_TO,
    HOME,
    ONE_HOST,
    POOL_ATTRIBUTE,
    PROVISIONED_BY,
    RETAIN,
    STORAGE,
    STORAGE_CLASS_BETA,
    Phase,
)
from mooring.model.quantity import Quantity, QuantityError, parse_quantity
from mooring.model.selector import NodeAffinity


class HostPathSource(Part, frozen=True):
    path: str = ""
    type: str | None = None


class LocalSource(Part, frozen=True):
    path: str = ""
    fs_type: str | None = None


class NFSSource(Part, frozen=True):
    server: str = ""
    path: str = ""
    read_only: bool = False


class ISCSISource(Part, frozen=True):
    target_portal: str = ""
    portals: tuple[str, ...] = ()
    iqn: str = ""
    lun: int = 0
    iscsi_interface: str = ""
    fs_type: str = ""
    read_only: bool = False
    chap_auth_session: bool = False
    secret_ref: ObjectReference | None = None


class CSISource(Part, frozen=True):
    driver: str = ""
    volume_handle: str = ""
    read_only: bool = False
    fs_type: str = ""
    volume_attributes: dict[str, str] = msgspec.field(default_factory=dict)


class VolumeSpec(Part, frozen=True):
    capacity: dict[str, str | int | float] = msgspec.field(default_factory=dict)
    access_modes: tuple[str, ...] = ()
    persistent_volume_reclaim_policy: str = ""
    volume_mode: str | None = None
    storage_class_name: str = ""
    claim_ref: ObjectReference | None = None
    node_affinity: NodeAffinity | None = None
    mount_options: tuple[str, ...] = ()
    volume_attributes_class_name: str | None = None
    host_path: HostPathSource | None = None
    local: LocalSource | None = None
    nfs: NFSSource | None = None
    iscsi: ISCSISource | None = None
    csi: CSISource | None = None


class VolumeStatus(Part, frozen=True):
    phase: str = ""
    message: str = ""
    reason: str = ""
    last_phase_transition_time: str | None = None


class Volume(View, frozen=True):
    kind_name: ClassVar[str] = "PersistentVolume"
    resource: ClassVar[str] = "persistentvolumes"

    spec: VolumeSpec = msgspec.field(default_factory=VolumeSpec)
    status: VolumeStatus = msgspec.field(default_factory=VolumeStatus)

    @property
    def phase(self) -> str:
        return self.status.phase

    @property
    def claim_ref(self) -> ObjectReference | None:
        return self.spec.claim_ref

    @property
    def class_name(self) -> str:
        """The effective class, "" if none. Storage semantics §1.2."""
        annotated = self.metadata.annotations.get(STORAGE_CLASS_BETA)
        return annotated if annotated is not None else self.spec.storage_class_name

    @property
    def capacity(self) -> Quantity:
        return parse_quantity(self.spec.capacity.get(STORAGE, "0"))

    @property
    def takes(self) -> Quantity:
        """How much of its home's pool it is charged with: its capacity, or what it grows to."""
        if GROWS_TO not in self.metadata.annotations:
            return self.capacity
        try:
            return max(self.capacity, parse_quantity(self.metadata.annotations[GROWS_TO]))
        except QuantityError:  # written by hand
            return self.capacity

    @property
    def modes(self) -> frozenset[str]:
        """The access modes it offers."""
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
    def reclaim_policy(self) -> str:
        return self.spec.persistent_volume_reclaim_policy or RETAIN

    @property
    def provisioned_by(self) -> str:
        """Who made it dynamically, "" if an admin did."""
        return self.metadata.annotations.get(PROVISIONED_BY, "")

    @property
    def source_name(self) -> str:
        """hostPath, local, nfs, iscsi or csi; "" for a source that Mooring knows nothing of."""
        spec = self.spec
        sources = (
            ("hostPath", spec.host_path),
            ("local", spec.local),
            ("nfs", spec.nfs),
            ("iscsi", spec.iscsi),
            ("csi", spec.csi),
        )
        return next((name for name, source in sources if source is not None), "")

    @property
    def driver(self) -> str:
        """The driver of a csi volume, "" otherwise."""
        return self.spec.csi.driver if self.spec.csi else ""

    @property
    def handle(self) -> str:
        """What its driver calls it (the asset's name, for our drivers), "" without csi."""
        return self.spec.csi.volume_handle if self.spec.csi else ""

    @property
    def pool(self) -> str:
        """The Pool where its data is, which it takes its room from; "" if none."""
        if (home := self.home) is not None:
            return home.pool
        return self.spec.csi.volume_attributes.get(POOL_ATTRIBUTE, "") if self.spec.csi else ""

    @property
    def elsewhere(self) -> Elsewhere:
        """What becomes of a use on another host. It was said when it was made, and stays."""
        return elsewhere(self.annotations.get(ELSEWHERE))

    @property
    def home(self) -> Home | None:
        """Where its data is, if that may change; None for all other volumes."""
        text = self.annotations.get(HOME)
        return None if text is None else home_of(text)

    @property
    def copies(self) -> tuple[Copy, ...]:
        """Of its data, on other hosts."""
        text = self.annotations.get(COPIES)
        try:
            return copies_of(text) if text else ()
        except ValueError:  # written by hand
            return ()

    def copy_on(self, node: str) -> Copy | None:
        return next((one for one in self.copies if one.node == node), None)

    @property
    def charges(self) -> dict[str, Quantity]:
        """What pools are charged with for it, by name: its home's, and those of its copies."""
        charged = {one.pool: one.takes for one in self.copies}
        return {**charged, self.pool: self.takes} if self.pool else charged

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have its data, as far as its affinity names them; its home if it has one.

        Copies do not count.
        """
        if (home := self.home) is not None:
            return (home.node,)
        affinity = self.spec.node_affinity
        return affinity.hosts() if affinity is not None else ()

    def reached_from(self, labels: Mapping[str, str], node: str) -> bool:
        """Whether it can be used on a node of this name and these labels, as it is now."""
        if (home := self.home) is not None:
            return home.node == node
        affinity = self.spec.node_affinity
        return affinity is None or affinity.allows(labels, node)

    @property
    def is_for_one_host(self) -> bool:
        """Whether one host at most uses it at a time, whatever its access modes say."""
        return self.modes <= ONE_HOST or self.home is not None

    def with_copies(self, *copies: Copy) -> Self:
        """With these copies and no others."""
        if not copies:
            return self.without_annotations(COPIES)
        return self.annotated(**{COPIES: copies_text(copies)})

    def with_copy(self, copy: Copy) -> Self:
        """With this one in the place of what that node has."""
        others = (one for one in self.copies if one.node != copy.node)
        return self.with_copies(*others, copy)

    def without_copy(self, node: str) -> Self:
        return self.with_copies(*(one for one in self.copies if one.node != node))

    def at_home(self, home: Home) -> Self:
        """With its home there."""
        return self.annotated(**{HOME: str(home)})

    def points_at(self, claim: Claim) -> bool:
        """Whether its claimRef means this claim: namespace and name, and uid if it has one."""
        ref = self.spec.claim_ref
        return (
            ref is not None
            and ref.name == claim.metadata.name
            and ref.namespace == claim.metadata.namespace
            and ref.uid in ("", claim.metadata.uid)
        )

    def claimed_by(self, claim: Claim) -> Self:
        """Pointing at exactly this claim, unless it does already."""
        ref = self.spec.claim_ref
        if ref is not None and self.points_at(claim) and ref.uid == claim.metadata.uid:
            return self
        return self.with_spec(claim_ref=claim.reference())

    def in_phase(self, phase: Phase, now: str, message: str = "") -> Self:
        """In this phase since `now` (RFC 3339); unchanged if it is in it with this message.

        The message is kept with Failed and cleared by every other phase; the reason is not ours
        to write. Spec §1.1.
        """
        if self.status.phase == phase:
            return self if self.status.message == message else self.with_status(message=message)
        return self.with_status(phase=str(phase), message=message, last_phase_transition_time=now)

    def with_spec(self, **changes: object) -> Self:
        """With these fields of its spec changed."""
        return msgspec.structs.replace(self, spec=msgspec.structs.replace(self.spec, **changes))

    def with_status(self, **changes: object) -> Self:
        """With these fields of its status changed."""
        status = msgspec.structs.replace(self.status, **changes)
        return msgspec.structs.replace(self, status=status)
