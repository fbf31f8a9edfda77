"""snapshot.storage.k8s.io/v1: what somebody wants kept of a claim, and what a backend keeps of it.

Source: storage semantics §18.
"""

from typing import ClassVar, Final, Self

import msgspec

from mooring.model.metadata import ObjectReference, Part, View
from mooring.model.names import DEFAULT_SNAPSHOT_CLASS, DELETE, POOL_ATTRIBUTE, SNAPSHOT_GOING
from mooring.model.quantity import Quantity, parse_quantity

GROUP: Final = "snapshot.storage.k8s.io"
API_VERSION: Final = f"{GROUP}/v1"


class SnapshotError(Part, frozen=True):
    """What went wrong last."""

    time: str | None = None
    message: str = ""


class SnapshotClass(View, frozen=True):
    """VolumeSnapshotClass: how snapshots of a driver are made, and what becomes of them."""

    kind_name: ClassVar[str] = "VolumeSnapshotClass"
    api_version_name: ClassVar[str] = API_VERSION
    resource: ClassVar[str] = f"volumesnapshotclasses.{GROUP}"

    driver: str = ""
    deletion_policy: str = ""
    parameters: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        """Whether snapshots of its driver's claims that name no class get this one."""
        return self.annotations.get(DEFAULT_SNAPSHOT_CLASS) == "true"


class SnapshotSource(Part, frozen=True):
    """Exactly one of the two; the second is a snapshot that was there before."""

    persistent_volume_claim_name: str = ""
    volume_snapshot_content_name: str = ""


class SnapshotSpec(Part, frozen=True):
    source: SnapshotSource = msgspec.field(default_factory=SnapshotSource)
    volume_snapshot_class_name: str | None = None  # None: the driver's default


class SnapshotStatus(Part, frozen=True):
    bound_volume_snapshot_content_name: str = ""
    creation_time: str | None = None  # RFC 3339
    ready_to_use: bool | None = None
    restore_size: str | int | float | None = None  # a quantity
    error: SnapshotError | None = None


class Snapshot(View, frozen=True):
    """VolumeSnapshot: what somebody wants kept of a claim."""

    kind_name: ClassVar[str] = "VolumeSnapshot"
    api_version_name: ClassVar[str] = API_VERSION
    resource: ClassVar[str] = f"volumesnapshots.{GROUP}"

    spec: SnapshotSpec = msgspec.field(default_factory=SnapshotSpec)
    status: SnapshotStatus = msgspec.field(default_factory=SnapshotStatus)

    @property
    def claim_key(self) -> str:
        """ "namespace/name" of the claim it is of, "" if it was there before."""
        name = self.spec.source.persistent_volume_claim_name
        return f"{self.namespace}/{name}" if name else ""

    @property
    def named_content(self) -> str:
        """The content that was there before, "" if it is made of a claim."""
        return self.spec.source.volume_snapshot_content_name

    @property
    def content_name(self) -> str:
        """The content that it is bound to, "" if none yet."""
        return self.status.bound_volume_snapshot_content_name

    @property
    def made_content_name(self) -> str:
        """What the content is called that is made for it."""
        return f"snapcontent-{self.uid}"

    @property
    def is_ready(self) -> bool:
        return self.status.ready_to_use is True

    @property
    def restore_size(self) -> Quantity | None:
        """What a volume made from it needs at least; None if not known."""
        size = self.status.restore_size
        return None if size is None else parse_quantity(size)

    def with_class(self, name: str) -> Self:
        """Of this class."""
        spec = msgspec.structs.replace(self.spec, volume_snapshot_class_name=name)
        return msgspec.structs.replace(self, spec=spec)

    def with_status(self, **changes: object) -> Self:
        """With these fields of its status changed."""
        status = msgspec.structs.replace(self.status, **changes)
        return msgspec.structs.replace(self, status=status)


class SnapshotContentSource(Part, frozen=True):
    """Exactly one of the two: what it is to be made of, or what is there already."""

    volume_handle: str = ""
    snapshot_handle: str = ""


class SnapshotContentSpec(Part, frozen=True):
    volume_snapshot_ref: ObjectReference = msgspec.field(default_factory=ObjectReference)
    deletion_policy: str = ""
    driver: str = ""
    volume_snapshot_class_name: str | None = None
    source: SnapshotContentSource = msgspec.field(default_factory=SnapshotContentSource)
    source_volume_mode: str | None = None


class SnapshotContentStatus(Part, frozen=True):
    snapshot_handle: str | None = None
    creation_time: int | None = None  # ns since the epoch
    restore_size: int | None = None  # bytes
    ready_to_use: bool | None = None
    error: SnapshotError | None = None


class SnapshotContent(View, frozen=True):
    """VolumeSnapshotContent: what a backend keeps."""

    kind_name: ClassVar[str] = "VolumeSnapshotContent"
    api_version_name: ClassVar[str] = API_VERSION
    resource: ClassVar[str] = f"volumesnapshotcontents.{GROUP}"

    spec: SnapshotContentSpec = msgspec.field(default_factory=SnapshotContentSpec)
    status: SnapshotContentStatus = msgspec.field(default_factory=SnapshotContentStatus)

    @property
    def driver(self) -> str:
        return self.spec.driver

    @property
    def snapshot_key(self) -> str:
        """ "namespace/name" of the snapshot it is for."""
        return self.spec.volume_snapshot_ref.key

    @property
    def is_deleted_with_snapshot(self) -> bool:
        return self.spec.deletion_policy == DELETE

    @property
    def handle(self) -> str:
        """What its driver calls it, "" if it is not made yet."""
        return self.status.snapshot_handle or self.spec.source.snapshot_handle

    @property
    def pool(self) -> str:
        """The Pool of ours that it lies in, or is to; "" if it is of none."""
        pool, slash, _ = self.handle.partition("/")
        return pool if slash else self.annotations.get(POOL_ATTRIBUTE, "")

    @property
    def asset(self) -> str:
        """What it is called in its pool, or is to be. Text from outside: asset_name checks it."""
        _, slash, asset = self.handle.partition("/")
        return asset if slash else f"snapshot-{self.spec.volume_snapshot_ref.uid}"

    @property
    def may_go(self) -> bool:
        """Whether nothing keeps it but what its driver has of it: its snapshot goes or is gone."""
        return not self.spec.volume_snapshot_ref.uid or SNAPSHOT_GOING in self.annotations

    def is_of(self, snapshot: Snapshot) -> bool:
        """Whether it is bound to exactly this snapshot."""
        ref = self.spec.volume_snapshot_ref
        return ref.key == snapshot.key and ref.uid == snapshot.uid

    def points_at(self, snapshot: Snapshot) -> bool:
        """Whether it is for this snapshot: namespace and name, and uid if it has one."""
        ref = self.spec.volume_snapshot_ref
        return ref.key == snapshot.key and ref.uid in ("", snapshot.uid)

    def with_spec(self, **changes: object) -> Self:
        """With these fields of its spec changed."""
        return msgspec.structs.replace(self, spec=msgspec.structs.replace(self.spec, **changes))

    def with_status(self, **changes: object) -> Self:
        """With these fields of its status changed."""
        status = msgspec.structs.replace(self.status, **changes)
        return msgspec.structs.replace(self, status=status)
