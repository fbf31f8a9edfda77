"""Fills new volumes from backups."""

from pathlib import Path
from typing import NamedTuple

from mooring.errors import MooringError
from mooring.host.errors import DiskFull
from mooring.host.restic import Restic
from mooring.model.backup import VolumeBackup
from mooring.model.claim import Claim, DataSource
from mooring.node.archives import SourceMissing, TooLarge
from mooring.node.filling import Contents, Tell
from mooring.node.repositories import Repositories
from mooring.objects.objects import Objects
from mooring.rules.filling import Amount


class BackupNotThere(MooringError):
    code = "BackupNotThere"

    def __init__(self, backup: VolumeBackup) -> None:
        self.what = f"VolumeBackup {backup.key} is {backup.status.phase}, not Completed"
        self.remedy = "the claim is filled when it is; or name another backup"


class BackupFiller:
    """For sources of kind VolumeBackup."""

    def __init__(self, objects: Objects, repositories: Repositories) -> None:
        self._objects, self._repositories = objects, repositories

    async def contents(self, claim: Claim, source: DataSource) -> Contents:
        key = f"{claim.namespace}/{source.name}"
        backup = self._objects.view(VolumeBackup, key)
        if backup is None or backup.being_deleted:
            raise SourceMissing(source.kind, key)
        if not backup.is_complete:
            raise BackupNotThere(backup)
        restic = self._repositories.opened(backup.repository_key)
        return _Snapshot(
            f"{key} ({backup.status.snapshot_id[:8]})", backup, restic, self._repositories
        )


class _Snapshot(NamedTuple):
    """One snapshot in a repository."""

    identity: str
    backup: VolumeBackup
    restic: Restic
    repositories: Repositories

    async def fill(self, root: Path, room_bytes: int, tell: Tell) -> None:
        id_ = self.backup.status.snapshot_id
        async with self.repositories.turns(self.restic).shared():
            # What the backup said counts a file once for each name, so it may be too much.
            need_bytes = self.backup.status.size_bytes
            if not need_bytes or need_bytes > room_bytes:
                need_bytes = await self.restic.restore_size(id_)
            # What it writes has no holes until all of it is there.
            if need_bytes > room_bytes and not await self.restic.makes_holes():
                raise TooLarge(f"backup {self.backup.key}", room_bytes, need_bytes)
            await self.restic.unlock()  # one of ours that was killed may have left a lock
            try:
                await self.restic.restore(
                    id_, root, lambda done, of: tell(Amount(done, of)), need_bytes, room_bytes
                )
            except DiskFull as error:
                raise TooLarge(f"backup {self.backup.key}", room_bytes) from error
