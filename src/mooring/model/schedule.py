"""SnapshotSchedule (mooring.dev/v1): snapshots and backups of claims at certain times."""

from typing import ClassVar, Self

import msgspec

from mooring.model.backup import VERIFY_METADATA, Condition
from mooring.model.metadata import Part, View
from mooring.model.selector import LabelSelector


class Keep(Part, frozen=True):
    """How many are kept, 0 of a sort that is not said."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


class ScheduledBackup(Part, frozen=True):
    repository: str = ""
    verify: str = VERIFY_METADATA


class ScheduleSpec(Part, frozen=True):
    schedule: str = ""
    time_zone: str = "UTC"
    persistent_volume_claim_name: str = ""
    claim_selector: LabelSelector | None = None
    volume_snapshot_class_name: str = ""
    snapshots: bool | None = None
    backup: ScheduledBackup | None = None
    keep: Keep | None = None
    suspend: bool = False
    starting_deadline_seconds: int | None = None


class ScheduleStatus(Part, frozen=True):
    last_schedule_time: str = ""
    last_successful_time: str = ""
    next_schedule_time: str = ""
    active: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


class SnapshotSchedule(View, frozen=True):
    kind_name: ClassVar[str] = "SnapshotSchedule"
    api_version_name: ClassVar[str] = "mooring.dev/v1"
    resource: ClassVar[str] = "snapshotschedules.mooring.dev"

    spec: ScheduleSpec = msgspec.field(default_factory=ScheduleSpec)
    status: ScheduleStatus = msgspec.field(default_factory=ScheduleStatus)

    @property
    def makes_snapshots(self) -> bool:
        """Whether VolumeSnapshots are made, beside backups or alone."""
        return self.spec.backup is None if self.spec.snapshots is None else self.spec.snapshots

    def with_status(self, **changes: object) -> Self:
        """With these fields of its status changed."""
        status = msgspec.structs.replace(self.status, **changes)
        return msgspec.structs.replace(self, status=status)
