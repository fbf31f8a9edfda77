"""Backups of the volumes of this host, from the object that asks for one to what is kept of it.

A backup that a crash cut off is made again: restic finds what was uploaded already, and a snapshot
that was finished is found by the tag that only this backup has.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mooring.clock import timestamp
from mooring.crashpoints import crash_point, passing
from mooring.errors import MooringError
from mooring.host import copies
from mooring.host.copier import Tick
from mooring.host.restic import (
    RepositoryAway,
    RepositoryDenied,
    Restic,
    Summary,
    WrongPassword,
)
from mooring.model.backup import (
    CONSISTENT,
    VERIFIED,
    VERIFY_DATA,
    VERIFY_NONE,
    VERIFY_RESTORE,
    BackupPhase,
    BackupRepository,
    Condition,
    VolumeBackup,
    with_condition,
)
from mooring.model.claim import Claim
from mooring.model.names import BACKUP_PROTECTION, DELETE
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot, SnapshotContent
from mooring.model.volume import Volume
from mooring.node.cutting import Cutter, Image, Original
from mooring.node.forgetting import Forgetting
from mooring.node.pools import Pools
from mooring.node.repositories import (
    COMPONENT,
    Repositories,
    RepositoryUnknown,
    SecretUnknown,
)
from mooring.node.telling import Telling
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules import backups as rules
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.filling import Amount, shown_bytes
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

AT_ONCE: Final = 2  # backups of one host, which its disks are for others as well
DELETE_AGAIN_S: Final = 30.0
NAMED_AT_MOST: Final = 5  # of files in a message

BEGUN: Final = crash_point("backup.begun")
UPLOADED: Final = crash_point("backup.uploaded")
NOTED: Final = crash_point("backup.uploaded-noted")
VERIFIED_AT: Final = crash_point("backup.verified")
FORGOTTEN: Final = crash_point("backup.forgotten")


class NotOurs(MooringError):
    """It can never be backed up here, so it is not tried again."""

    code = "NotBackedUp"

    def __init__(self, what: str) -> None:
        self.what = what
        self.remedy = "make another VolumeBackup"


class Waits(MooringError):
    """Something that may come still."""

    code = "NotReady"

    def __init__(self, what: str) -> None:
        self.what = what


class VerificationFailed(MooringError):
    code = "VerificationFailed"

    def __init__(self, what: str) -> None:
        self.what = what
        self.remedy = "the backup is made anew; look at the repository's disk if it stays so"


class Backups:
    """Looks at one VolumeBackup at a time; the work itself goes on beside."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        repositories: Repositories,
        cutter: Cutter,
        node: str,
        tell: Callable[[EventNote], None],
    ) -> None:
        self._objects, self._pools, self._node, self._tell = objects, pools, node, tell
        self._repositories, self._cutter = repositories, cutter
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._forgetting = Forgetting(repositories, lambda key: self.again(key))
        self._waiting: set[str] = set()  # for a claim, a snapshot or a repository
        self.again: Callable[[str], None] = lambda _: None  # has one looked at once more
        self.doubt: Callable[[str], None] = lambda _: None  # has a repository looked at

    def wake(self, namespace: str) -> None:
        """Something that backups of a namespace may wait for is another now."""
        if not self._waiting:
            return
        for key in [one for one in self._waiting if one.startswith(f"{namespace}/")]:
            self._waiting.discard(key)
            self.again(key)

    async def until_idle(self) -> None:
        """Wait until none is under way."""
        while tasks := {*self._tasks.values(), *self._forgetting.tasks}:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End what is under way; it is made again after the next start."""
        tasks = [*self._tasks.values(), *self._forgetting.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reconcile(self, key: str) -> Outcome:
        """Begin a backup, or forget one, if it is this host's to do."""
        backup = self._objects.view(VolumeBackup, key)
        if backup is None or backup.being_deleted:
            if (task := self._tasks.get(key)) is not None:
                task.cancel()
                await asyncio.wait({task})
            if backup is None:
                self._forgetting.drop(key)
                return Done("gone")
            return await self._delete(backup)
        if backup.has_ended or key in self._tasks:
            return Done("it has ended" if backup.has_ended else "it is under way")
        if backup.status.node not in ("", self._node):
            return Done("of another host")
        try:
            original = self._original(backup)
            if original is None:
                return Done("of another host")
            restic = self._repositories.opened(backup.repository_key)
        except NotOurs as error:
            why = str(error)
            await self._put(backup, lambda one: _failed(one, why, self._now()))
            self._warn(backup, why)
            return Done(why)
        except MooringError as error:
            why = str(error)
            self._waiting.add(key)
            await self._put(backup, lambda one: one.with_status(error=why))
            return Done(why)
        if (left_s := self._left_s(backup)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        task = asyncio.create_task(self._run(backup, original, restic), name=f"backup {key}")
        self._tasks[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))
        return Done("begun")

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            if error := task.exception():
                log.error("backup=%s ended unexpectedly", key, exc_info=error)
            self.again(key)

    def _left_s(self, backup: VolumeBackup) -> float:
        """Of the pause after a failure."""
        status = backup.status
        if not status.failures or not status.start_time:
            return 0.0
        passed_s = rules.took_s(status.start_time, self._now())
        return max(0.0, rules.delay_s(status.failures) - passed_s)

    # What it is of

    def _original(self, backup: VolumeBackup) -> Original | None:
        """None if it is another host's. Raises NotOurs, and why it has to wait."""
        source = backup.spec.source
        if source.volume_snapshot_name:
            return self._of_snapshot(backup, source.volume_snapshot_name)
        key = f"{backup.namespace}/{source.persistent_volume_claim_name}"
        claim = self._objects.view(Claim, key)
        name = claim.volume_name if claim is not None else ""
        volume = self._objects.view(Volume, name) if name else None
        if why := rules.why_unreadable(claim, key, volume):
            raise Waits(why)
        assert claim is not None
        assert volume is not None
        pool = self._pools.of_volume(volume)
        if pool is None:
            if volume.pool:
                return None
            raise NotOurs(f"volume {volume.name} of claim {key} is of no pool of Mooring's")
        self._refuse_unreachable(backup, pool)
        size_bytes = volume.capacity.bytes()
        return Original(pool, volume.handle, size_bytes, key, claim.uid)

    def _of_snapshot(self, backup: VolumeBackup, name: str) -> Original | None:
        key = f"{backup.namespace}/{name}"
        snapshot = self._objects.view(Snapshot, key)
        if snapshot is None:
            raise Waits(f"VolumeSnapshot {key} does not exist")
        content = self._objects.view(SnapshotContent, snapshot.content_name)
        size = snapshot.restore_size
        if not snapshot.is_ready or content is None or size is None:
            raise Waits(f"VolumeSnapshot {key} is not ready to use")
        pool_name, slash, asset = content.handle.partition("/")
        pool = self._objects.view(Pool, pool_name) if slash else None
        if pool is None or not self._pools.mine(pool):
            return None
        self._refuse_unreachable(backup, pool)
        claim = snapshot.claim_key or key
        known = self._objects.view(Claim, claim)
        uid = known.uid if known is not None else snapshot.uid
        return Original(pool, asset, size.bytes(), claim, uid, snapshot=asset)

    def _refuse_unreachable(self, backup: VolumeBackup, pool: Pool) -> None:
        repository = self._objects.view(BackupRepository, backup.repository_key)
        if repository is not None and (why := rules.why_elsewhere(pool, repository)):
            raise NotOurs(why)

    # How it is made

    async def _run(self, backup: VolumeBackup, original: Original, restic: Restic) -> None:
        async with self._room:
            begun = {
                "phase": str(BackupPhase.RUNNING),
                "node": self._node,
                "claim": original.claim.partition("/")[2],
                "start_time": self._now(),
            }
            await self._put(backup, lambda one: one.with_status(**begun))
            passing(BEGUN)
            telling = Telling(lambda amount, elapsed_s: self._progress(backup, amount, elapsed_s))
            turns = self._repositories.turns(restic)
            try:
                async with turns.shared():
                    await self._cutter.clean(backup.key, backup.uid)
                    await restic.unlock()  # one of ours that was killed may have left a lock
                    await self._made(backup, original, restic, telling)
                await self._tidy(backup, restic)
                if backup.spec.verify not in (VERIFY_NONE, VERIFY_RESTORE):
                    async with turns.alone():  # restic locks others out while it looks
                        await self._check(backup, restic)
                passing(VERIFIED_AT)
            except Exception as error:  # of ours, too: it must not be begun again and again at once
                if not isinstance(error, MooringError | OSError):
                    log.exception("backup=%s ended unexpectedly", backup.key)
                await telling.stop()
                if isinstance(error, VerificationFailed):
                    await self._tidy(backup, restic)
                await self._note_failure(backup, str(error) or repr(error))
                if isinstance(error, RepositoryAway | RepositoryDenied | WrongPassword):
                    # so that no try is lost while it is away
                    await self._repositories.note_away(backup.repository_key, error)
                    self.doubt(backup.repository_key)
                return
            finally:
                await telling.stop()
        await self._put(
            backup,
            lambda one: one.with_status(
                phase=str(BackupPhase.COMPLETED),
                completion_time=self._now(),
                progress=None,
                error="",
            ),
        )
        done = self._objects.view(VolumeBackup, backup.key)
        if done is not None:
            status = done.status
            new = shown_bytes(status.added_bytes)
            text = f"Backed up {shown_bytes(status.size_bytes)}, the repository grew by {new}"
            self._tell(EventNote(backup.reference(), NORMAL, "BackupCompleted", text, COMPONENT))

    async def _made(
        self, backup: VolumeBackup, original: Original, restic: Restic, telling: Telling
    ) -> None:
        verify = backup.spec.verify
        found = await restic.snapshots(rules.tag_of(backup))
        # Only what is noted is known to be whole: restic keeps also what it could read of a part.
        # And what a crash left would have to be compared with a volume that is another by now.
        is_whole = any(one.id == backup.status.snapshot_id for one in found)
        if is_whole and verify != VERIFY_RESTORE:
            return
        async with self._cutter.image(backup.key, backup.uid, original) as image:
            id_ = await self._uploaded(backup, original, restic, image, telling)
            if verify == VERIFY_RESTORE:
                await self._verifying(backup)
                await self._compare(backup, original, restic, image, id_, telling)

    async def _tidy(self, backup: VolumeBackup, restic: Restic) -> None:
        """Forget what tries before left of it, so that nobody takes that for the backup."""
        known = self._objects.view(VolumeBackup, backup.key)
        keep = known.status.snapshot_id if known is not None else ""
        try:
            found = await restic.snapshots(rules.tag_of(backup))
            if any(one.id != keep for one in found):
                await self._forgetting.others(backup, keep)
        except MooringError as error:  # deleting the backup forgets them as well
            log.warning("backup=%s incomplete tries stay for now: %s", backup.key, error)

    async def _check(self, backup: VolumeBackup, restic: Restic) -> None:
        await self._verifying(backup)
        verify = backup.spec.verify
        subset = backup.spec.read_data_subset if verify == VERIFY_DATA else ""
        await restic.check(subset)
        read = f"{subset} of its data was read as well" if subset else "no data was read"
        text = f"the structure of the repository is whole, {read}"
        await self._condition(backup, VERIFIED, "True", verify, text)

    async def _uploaded(
        self,
        backup: VolumeBackup,
        original: Original,
        restic: Restic,
        image: Image,
        telling: Telling,
    ) -> str:
        """The id of the snapshot in the repository, once it is there."""
        tags = rules.tags(backup, original.claim, original.claim_uid)
        parent = await restic.newest(f"claim-uid={original.claim_uid}")

        def tell(done_bytes: int, of_bytes: int) -> None:
            telling(Amount(done_bytes, of_bytes))

        summary = await restic.backup(image.path, self._node, tags, parent, tell)
        passing(UPLOADED)
        id_ = await restic.full_id(summary.snapshot_id, rules.tag_of(backup))
        await self._note_consistency(backup, image, summary)
        await self._put(
            backup,
            lambda one: one.with_status(
                snapshot_id=id_,
                size_bytes=summary.total_bytes_processed,
                added_bytes=summary.data_added,
            ),
        )
        passing(NOTED)
        return id_

    async def _note_consistency(self, backup: VolumeBackup, image: Image, summary: Summary) -> None:
        skipped = "; ".join(summary.skipped[:NAMED_AT_MOST])
        if image.is_consistent:
            if skipped:
                raise VerificationFailed(f"not all of it could be read: {skipped}")
            told = ("True", "Snapshot", "it is of one moment: a snapshot of the backend was read")
        else:
            why = "its backend has no snapshots, so it was read while it could be written to"
            unread = f"; this could not be read: {skipped}" if skipped else ""
            told = ("False", "ReadLive", why + unread)
        await self._condition(backup, CONSISTENT, *told)

    async def _compare(
        self,
        backup: VolumeBackup,
        original: Original,
        restic: Restic,
        image: Image,
        id_: str,
        telling: Telling,
    ) -> None:
        """Restore it beside, and compare each file."""

        def restored(done_bytes: int, of_bytes: int) -> None:
            telling(Amount(done_bytes, of_bytes * 2))

        def compared(tick: Tick) -> None:
            of_bytes = tick.of_all.bytes
            telling(Amount(of_bytes + tick.done.bytes, of_bytes * 2))

        async with self._cutter.scratch(backup.key, backup.uid, original) as root:
            await restic.restore(id_, root, restored)
            ended = await copies.compared(image.path, root, compared)
        if not ended.differs.count:
            text = f"{ended.totals.files} files were restored and are equal"
            await self._condition(backup, VERIFIED, "True", "Restored", text)
        elif ended.changed.count and not image.is_consistent:
            text = f"it was written to meanwhile: {'; '.join(ended.changed.named[:NAMED_AT_MOST])}"
            await self._condition(backup, VERIFIED, "Unknown", "Changed", text)
        else:
            named = "; ".join(ended.differs.named[:NAMED_AT_MOST])
            raise VerificationFailed(f"what was restored differs: {named}")

    async def _verifying(self, backup: VolumeBackup) -> None:
        phase = str(BackupPhase.VERIFYING)
        await self._put(backup, lambda one: one.with_status(phase=phase))

    # What becomes of it

    async def _delete(self, backup: VolumeBackup) -> Outcome:
        """Forget what the repository has of it, unless it is to stay there; then let it go."""
        if not backup.has_finalizer(BACKUP_PROTECTION):
            return Done("held by others")
        if backup.status.node not in ("", self._node):
            return Done("of another host")
        try:
            await self._cutter.clean(backup.key, backup.uid)  # again when it is forgotten: no harm
            is_kept = backup.spec.deletion_policy != DELETE or not backup.status.node
            if not (is_kept or self._forgetting.is_forgotten(backup)):
                return Done("it is being forgotten")
        except (RepositoryUnknown, SecretUnknown) as error:
            if not self._is_terminating(backup.namespace):
                self._warn(backup, str(error))
                return Again(DELETE_AGAIN_S, str(error))
            log.warning("backup=%s stays in its repository: %s", backup.key, error)
        except MooringError as error:
            self._warn(backup, str(error))
            return Again(DELETE_AGAIN_S, str(error))
        passing(FORGOTTEN)
        left = self._objects.view(VolumeBackup, backup.key)
        if left is not None and left.uid == backup.uid:
            await self._objects.commit([(left, left.without_finalizer(BACKUP_PROTECTION))])
        return Done("forgotten")

    def _is_terminating(self, namespace: str) -> bool:
        doc = self._objects.one("namespaces", namespace)
        return doc is None or "deletionTimestamp" in doc["metadata"]

    async def _note_failure(self, backup: VolumeBackup, why: str) -> None:
        await self._put(backup, lambda one: rules.after_failure(one, why, self._now()))
        self._warn(backup, why)

    # What is told

    def _now(self) -> str:
        return timestamp(self._objects.clock.now())

    def _warn(self, backup: VolumeBackup, why: str) -> None:
        reason = "BackupFailed" if not backup.being_deleted else "DeletionFailed"
        self._tell(EventNote(backup.reference(), WARNING, reason, why, COMPONENT))

    async def _progress(self, backup: VolumeBackup, amount: Amount, elapsed_s: float) -> None:
        shown = rules.progress(amount, elapsed_s)
        await self._put(backup, lambda one: one.with_status(progress=shown))

    async def _condition(
        self, backup: VolumeBackup, type_: str, status: str, reason: str, message: str
    ) -> None:
        new = Condition(type=type_, status=status, reason=reason, message=message)

        def change(one: VolumeBackup) -> VolumeBackup:
            known = with_condition(one.status.conditions, new, self._now())
            return one.with_status(conditions=known)

        await self._put(backup, change)

    async def _put(
        self, about: VolumeBackup, change: Callable[[VolumeBackup], VolumeBackup]
    ) -> None:
        """Store a change of its status, unless it is gone."""
        while (found := self._objects.view(VolumeBackup, about.key)) is not None:
            wanted = change(found)
            if found.uid != about.uid or wanted == found:
                return
            with suppress(Conflict):
                await self._objects.commit([(found, wanted)])
                return


def _failed(backup: VolumeBackup, why: str, now: str) -> VolumeBackup:
    return backup.with_status(phase=str(BackupPhase.FAILED), error=why, completion_time=now)
