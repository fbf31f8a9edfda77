"""Keeps each pool while it has volumes, then lets go of one that is being deleted."""

from mooring.model.names import POOL_PROTECTION
from mooring.model.pool import Pool
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Done, Outcome


class Pools:
    """Looks at one pool at a time. Each volume that comes or goes changes its pool's account."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

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
        else:
            # A volume made at this moment changes the account, and this fails with a Conflict.
            wanted = pool.without_finalizer(POOL_PROTECTION)
        if wanted is not pool:
            await self._objects.commit([(pool, wanted)])
        return Done("kept" if not pool.being_deleted else "let go")
