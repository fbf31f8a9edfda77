"""Backups (mooring.dev/v1): where they go, one of them, and archives that fill new volumes."""

from enum import StrEnum
from typing import ClassVar, Final, Self

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.names import DELETE

READY: Final = "Ready"
CONSISTENT: Final = "Consistent"
VERIFIED: Final = "Verified"
VERIFY_NONE: Final = "None"
VERIFY_METADATA: Final = "Metadata"
VERIFY_DATA: Final = "Data"
VERIFY_RESTORE: Final = "Restore"
VERIFICATIONS: Final = (VERIFY_NONE, VERIFY_METADATA, VERIFY_DATA, VERIFY_RESTORE)
PASSWORD_KEY: Final = "password"  # in a Secret that names no other
ACCESS_KEY_ID: Final = "AWS_ACCESS_KEY_ID"  # in the Secret of an object store, as programs of
SECRET_ACCESS_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # that store know them
CA_CERTIFICATE: Final = "caCertificate"
S3: Final = "s3:"


class BackupPhase(StrEnum):
    """Of one backup."""

    PENDING = "Pending"
    RUNNING = "Running"
    VERIFYING = "Verifying"
    COMPLETED = "Completed"
    FAILED = "Failed"


ENDED: Final = (BackupPhase.COMPLETED, BackupPhase.FAILED)


class Condition(Part, frozen=True):
    """What is so, since when, and why."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


def with_condition(known: tuple[Condition, ...], new: Condition, now: str) -> tuple[Condition, ...]:
    """The conditions with one set; its time is that of its last change of status."""
    before = next((one for one in known if one.type == new.type), None)
    since = now
    if before is not None and before.status == new.status and before.last_transition_time:
        since = before.last_transition_time
    dated = msgspec.structs.replace(new, last_transition_time=since)
    if before is None:
        return (*known, dated)
    return tuple(dated if one is before else one for one in known)


class SecretKey(Part, frozen=True):
    """A key of a Secret of the same namespace."""

    name: str = ""
    key: str = PASSWORD_KEY


class SecretName(Part, frozen=True):
    name: str = ""


class RepositorySpec(Part, frozen=True):
    url: str = ""
    node: str = ""
    password_secret: SecretKey = msgspec.field(default_factory=SecretKey)
    credentials_secret: SecretName | None = None


class RepositoryStatus(Part, frozen=True):
    repository_id: str = msgspec.field(default="", name="repositoryID")
    prune_needed: bool = False
    conditions: tuple[Condition, ...] = ()


class BackupRepository(View, frozen=True):
    kind_name: ClassVar[str] = "BackupRepository"
    api_version_name: ClassVar[str] = "mooring.dev/v1"
    resource: ClassVar[str] = "backuprepositories.mooring.dev"

    spec: RepositorySpec = msgspec.field(default_factory=RepositorySpec)
    status: RepositoryStatus = msgspec.field(default_factory=RepositoryStatus)

    @property
    def is_remote(self) -> bool:
        """Whether every host reaches it in the same way."""
        return self.spec.url.startswith(S3)

    @property
    def is_ready(self) -> bool:
        return any(one.type == READY and one.status == "True" for one in self.status.conditions)

    @property
    def message(self) -> str:
        """Why it is not ready."""
        found = next((one for one in self.status.conditions if one.type == READY), None)
        return found.message if found is not None else "no host has looked at it yet"


class BackupSource(Part, frozen=True):
    """One of the two."""

    persistent_volume_claim_name: str = ""
    volume_snapshot_name: str = ""


class BackupSpec(Part, frozen=True):
    source: BackupSource = msgspec.field(default_factory=BackupSource)
    repository: str = ""
    tags: tuple[str, ...] = ()
    verify: str = VERIFY_METADATA
    read_data_subset: str = "100%"
    retries: int = 3
    deletion_policy: str = DELETE


class BackupProgress(Part, frozen=True):
    """How far it is; etaSeconds is absent while it cannot be told."""

    percent: int = 0
    bytes_done: int = 0
    total_bytes: int = 0
    eta_seconds: int | None = None


class BackupStatus(Part, frozen=True):
    phase: str = BackupPhase.PENDING
    node: str = ""
    snapshot_id: str = msgspec.field(default="", name="snapshotID")
    claim: str = ""
    start_time: str = ""
    completion_time: str = ""
    progress: BackupProgress | None = None
    size_bytes: int = 0
    added_bytes: int = 0
    failures: int = 0
    error: str = ""
    conditions: tuple[Condition, ...] = ()


class VolumeBackup(View, frozen=True):
    kind_name: ClassVar[str] = "VolumeBackup"
    api_version_name: ClassVar[str] = "mooring.dev/v1"
    resource: ClassVar[str] = "volumebackups.mooring.dev"

    spec: BackupSpec = msgspec.field(default_factory=BackupSpec)
    status: BackupStatus = msgspec.field(default_factory=BackupStatus)

    @property
    def has_ended(self) -> bool:
        return self.status.phase in ENDED

    @property
    def is_complete(self) -> bool:
        return self.status.phase == BackupPhase.COMPLETED

    @property
    def repository_key(self) -> str:
        return f"{self.namespace}/{self.spec.repository}"

    def with_status(self, **changes: object) -> Self:
        """With these fields of its status changed."""
        status = msgspec.structs.replace(self.status, **changes)
        return msgspec.structs.replace(self, status=status)


class ArchiveSpec(Part, frozen=True):
    """One of tar and directory: a path on the host."""

    tar: str = ""
    directory: str = ""
    node: str = ""


class VolumeArchive(View, frozen=True):
    kind_name: ClassVar[str] = "VolumeArchive"
    api_version_name: ClassVar[str] = "mooring.dev/v1"
    resource: ClassVar[str] = "volumearchives.mooring.dev"

    spec: ArchiveSpec = msgspec.field(default_factory=ArchiveSpec)

    @property
    def path(self) -> str:
        return self.spec.tar or self.spec.directory
