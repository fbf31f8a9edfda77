"""Cuts and deletes the snapshots that lie in this host's pools, as csi-snapshotter does.

A snapshot's handle is "POOL/ASSET", so that it is found by its handle alone. Semantics §18.
"""

from collections.abc import Callable
from typing import Final

from mooring.clock import timestamp
from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import Driver, asset_name
from mooring.drivers.interface import Snapshot as Kept
from mooring.errors import MooringError
from mooring.host.errors import HostStuck
from mooring.model.names import CONTENT_BOUND
from mooring.model.pool import Pool
from mooring.model.snapshot import SnapshotContent, SnapshotError
from mooring.node.intents import Intent, Intents
from mooring.node.pools import Pools
from mooring.node.snapshot_errors import (
    BadSnapshotHandle,
    NoSnapshots,
    SnapshotGone,
    SnapshotOfAnother,
    SnapshotPoolGone,
)
from mooring.objects.cache import Event
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.reconcile.resync import Resync
from mooring.rules.events import WARNING, EventNote
from mooring.store.interface import Conflict

INTENT_NOTED: Final = crash_point("snapshot.intent-noted")
CUT: Final = crash_point("snapshot.cut")
STORED: Final = crash_point("snapshot.stored")
ASSET_DELETED: Final = crash_point("snapshot.asset-deleted")
LET_GO: Final = crash_point("snapshot.let-go")


class Snapshotter:
    """For the contents that lie in this host's pools, or are to.

    intents  of this alone, each for a content by its name
    """

    def __init__(self, objects: Objects, pools: Pools, intents: Intents) -> None:
        self._objects, self._pools, self._intents = objects, pools, intents
        self._backoff = Backoff(objects.clock)
        self._unsure: set[str] = set()  # assets whose making may go on in a thread that hangs
        contents = objects.cache.shelves[SnapshotContent.resource]
        self._by_handle = Index(contents, lambda entry: [view(SnapshotContent, entry).handle])
        self.queue = Queue("cut", self.look_at)
        self._contents = contents
        self._resync = Resync(contents, lambda entry: self.queue.add(entry.key))
        self._unfollow: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Look at all there is, and at what an earlier process had begun; then follow."""
        for intent in await self._intents.start():
            self.queue.add(intent.claim)
        for entry in self._contents.entries():
            self.queue.add(entry.key)
        self._unfollow = self._contents.follow(self._changed)
        self.queue.start()
        self._resync.start()

    def _changed(self, event: Event) -> None:
        self.queue.add(event.key)
        if event.after is None and event.before is not None:
            handle = view(SnapshotContent, event.before).handle
            for name in self._by_handle.keys(handle) if handle else ():
                self._backoff.forget(f"{name} deletion")  # it waited for this one to go
                self.queue.add(name)

    def hurry(self) -> None:
        """What failed is not left alone any longer: a pool is another."""
        self._backoff.hurry()
        self.queue.hurry()

    async def stop(self) -> None:
        self._unfollow()
        self._by_handle.stop()
        await self._resync.stop()
        await self.queue.stop()

    async def look_at(self, name: str) -> Outcome:
        """Bring what a pool has of one content to where the content says."""
        content = self._objects.view(SnapshotContent, name)
        await self._give_up(name, content)
        if content is None:
            for work in (name, f"{name} deletion"):
                self._backoff.forget(work)
            return Done("the content is gone")
        if not self._pools.serves(content.driver) or not (content.pool or content.handle):
            return Done("not ours")
        if content.being_deleted and not (content.may_go and content.has_finalizer(CONTENT_BOUND)):
            return Done("kept until its snapshot is deleted")
        if not content.being_deleted and content.status.ready_to_use:
            self._backoff.forget(name)
            await self._intents.end(content.asset)  # a crash came before that
            return Done("it is ready")
        pool = self._objects.view(Pool, content.pool)
        if pool is not None and not self._pools.mine(pool):
            return Done("of another host")
        if (left_s := self._backoff.left_s(_work(content), content.uid)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        try:
            if content.being_deleted:
                return await self._delete(content, pool)
            return await self._have(content, pool)
        except Conflict:
            raise  # somebody was faster: it is looked at anew
        except (OSError, MooringError) as error:
            if isinstance(error, HostStuck):
                self._unsure.add(content.asset)
            return await self._failed(content, error)

    # There

    async def _have(self, content: SnapshotContent, pool: Pool | None) -> Outcome:
        driver = await self._driver(content, pool)
        assert pool is not None
        if content.spec.source.snapshot_handle:
            kept = await self._found(content, pool, driver)
        else:
            kept = await self._cut(content, pool, driver)
        wanted = content.with_status(
            snapshot_handle=f"{pool.name}/{kept.name}",
            creation_time=kept.created_ns,
            restore_size=kept.size_bytes,
            ready_to_use=True,
            error=None,
        )
        await self._objects.commit([(content, wanted)])
        passing(STORED)
        self._unsure.discard(kept.name)
        self._backoff.forget(content.name)
        await self._intents.end(kept.name)
        return Done(f"it is {kept.name} in pool {pool.name}")

    async def _cut(self, content: SnapshotContent, pool: Pool, driver: Driver) -> Kept:
        name, of = asset_name(content.asset), asset_name(content.spec.source.volume_handle)
        if not driver.features.snapshots:
            raise NoSnapshots(pool.name, pool.driver)
        await self._intents.begin(Intent(name, content.name, pool.name, pool.uid))
        passing(INTENT_NOTED)
        kept = await driver.snapshot(name, of)
        passing(CUT)
        return kept

    async def _found(self, content: SnapshotContent, pool: Pool, driver: Driver) -> Kept:
        """One that was there before."""
        name = asset_name(content.asset)
        found = next((one for one in await driver.snapshots() if one.name == name), None)
        if found is None:
            raise SnapshotGone(content.handle, pool.name)
        return found

    # Gone

    async def _delete(self, content: SnapshotContent, pool: Pool | None) -> Outcome:
        is_kept = bool(content.handle) and not content.is_deleted_with_snapshot
        has_begun = bool(content.handle) or bool(self._intents.of_claim(content.name))
        # One without a pool names nothing that there could be.
        if has_begun and content.pool and not is_kept:
            driver = await self._driver(content, pool)
            self._refuse_anothers(content)
            name = asset_name(content.asset)
            await driver.delete_snapshot(name)
            passing(ASSET_DELETED)
            await self._forget(name)
        await self._objects.commit([(content, content.without_finalizer(CONTENT_BOUND))])
        passing(LET_GO)
        self._backoff.forget(content.name)
        return Done("let go, its data is kept" if is_kept else "deleted with its data")

    def _refuse_anothers(self, content: SnapshotContent) -> None:
        """Raises SnapshotOfAnother: an admin's content may name what another has already."""
        if not content.handle:
            return
        for name in self._by_handle.keys(content.handle):
            other = self._objects.view(SnapshotContent, name)
            if name != content.name and other is not None and not other.being_deleted:
                raise SnapshotOfAnother(content.handle, name)

    async def _give_up(self, name: str, content: SnapshotContent | None) -> None:
        """Take back what was begun for a content of this name that is not there any more: somebody
        took its finalizers off. Raises MooringError; then it is tried again."""
        for intent in self._intents.of_claim(name):
            if content is not None and content.asset == intent.asset:
                continue
            pool = self._objects.view(Pool, intent.pool)
            if pool is not None and pool.uid == intent.pool_uid:
                driver = await self._pools.driver(pool)
                await driver.delete_snapshot(asset_name(intent.asset))
            await self._forget(intent.asset)

    async def _forget(self, asset: str) -> None:
        if asset in self._unsure:
            # The thread may finish it even now; the intent stays for the next start, which knows.
            self._intents.leave(asset)
            self._unsure.discard(asset)
        else:
            await self._intents.end(asset)

    # Both

    async def _driver(self, content: SnapshotContent, pool: Pool | None) -> Driver:
        """Raises BadSnapshotHandle, SnapshotPoolGone, and what the driver raises."""
        if not content.pool:
            raise BadSnapshotHandle(content.handle)
        if pool is None or pool.driver != content.driver:
            raise SnapshotPoolGone(content.pool, content.driver)
        return await self._pools.driver(pool)

    async def _failed(self, content: SnapshotContent, error: OSError | MooringError) -> Outcome:
        of = content.spec.source.volume_handle
        what = f"failed to take snapshot of the volume {of}" if of else "failed to find snapshot"
        reason = "SnapshotDeleteError" if content.being_deleted else "SnapshotCreationFailed"
        what = "failed to delete snapshot" if content.being_deleted else what
        why = f"{what}: {error}"
        self._pools.tell(EventNote(content.reference(), WARNING, reason, why, content.driver))
        had = content.status.error
        if had is None or had.message != why:
            now = timestamp(self._objects.clock.now())
            failed = content.with_status(
                error=SnapshotError(time=now, message=why), ready_to_use=False
            )
            await self._objects.commit([(content, failed)])
        return Again(self._backoff.failed(_work(content), content.uid), why)


def _work(content: SnapshotContent) -> str:
    """What is to be done for it: how often one failed does not delay the other."""
    return f"{content.name} deletion" if content.being_deleted else content.name
