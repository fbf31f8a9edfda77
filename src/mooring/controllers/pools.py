"""Keeps each pool while it has volumes or snapshots, then lets go of one that is being deleted."""

from collections.abc import Callable, Iterable

from mooring.model.names import POOL_PROTECTION
from mooring.model.pool import Pool
from mooring.model.snapshot import SnapshotContent
from mooring.objects.cache import Entry, Event
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Done, Outcome


class Pools:
    """Looks at one pool at a time. Each volume that comes or goes changes its pool's account.

    wake  is told of a pool that has to be looked at: a snapshot in it is gone
    """

    def __init__(self, objects: Objects, wake: Callable[[str], None]) -> None:
        self._objects, self._wake = objects, wake
        self._contents = objects.cache.shelves[SnapshotContent.resource]
        self._in_pools = Index(self._contents, _pool)
        self._unfollow: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Follow what lies in pools."""
        self._unfollow = self._contents.follow(self._content_changed)

    def stop(self) -> None:
        self._unfollow()
        self._in_pools.stop()

    async def reconcile(self, name: str) -> Outcome:
        """Put the finalizer on a pool that lacks it; remove it when it is deleted and empty.

        Pools stored by an earlier version lack it, and so does one that a client wrote without.
        """
        pool = self._objects.view(Pool, name)
        if pool is None:
            return Done("the pool is gone")
        if not pool.being_deleted:
            wanted = pool.with_finalizer(POOL_PROTECTION)
        elif pool.status.volumes:
            return Done(f"being deleted, and kept by {pool.status.volumes} volumes")
        elif kept := self._in_pools.keys(name):
            return Done(f"being deleted, and kept by {len(kept)} snapshots")
        else:
            # A volume made at this moment changes the account, and this fails with a Conflict. A
            # content is made only where a pool is not being deleted yet, and so it is seen here.
            wanted = pool.without_finalizer(POOL_PROTECTION)
        if wanted is not pool:
            await self._objects.commit([(pool, wanted)])
        return Done("kept" if not pool.being_deleted else "let go")

    def _content_changed(self, event: Event) -> None:
        if event.before is not None and event.after is None:
            for name in _pool(event.before):
                self._wake(name)


def _pool(entry: Entry) -> Iterable[str]:
    """The pool that a content lies in, or is to."""
    name = view(SnapshotContent, entry).pool
    return (name,) if name else ()
