"""Looks at the places of this host's pools, and writes into each Pool how it is."""

import errno
import logging
import time
from collections.abc import Callable
from typing import Final

from mooring.clock import timestamp
from mooring.drivers.interface import Driver, Usage
from mooring.errors import MooringError
from mooring.model.pool import Pool, PoolOrphans
from mooring.node.intents import Intents
from mooring.node.orphans import Orphans
from mooring.node.pools import Pools
from mooring.objects.cache import Event
from mooring.objects.errors import NotFound
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.pool_health import READ_ONLY, Look, Seen, looked_at
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
WHEN_AWAY_S: Final = 10.0  # of a place that could not be used: a disk that is mounted is found soon
AFTER_VOLUMES_S: Final = 1.0  # many come and go together, and one look is enough for them
ORPHANS_EVERY_S: Final = 600.0
# After a look at all that is in a place: so many times as long as it took. Keeps it below 0.5 % of
# a processor, however many volumes there are.
REST: Final = 200
TRIES: Final = 16  # of a commit that volumes which come and go get in the way of


class Health:
    """Of the pools of one host. One whose place hangs keeps no other from being looked at."""

    def __init__(
        self, objects: Objects, pools: Pools, intents: Intents, hurry: Callable[[str], None]
    ) -> None:
        """hurry  told the name of a pool that can give more than before"""
        self._objects, self._pools, self._hurry = objects, pools, hurry
        self.orphans = Orphans(objects, pools, intents)
        self.queue = Queue("pool-health", self.look)
        self._seen: dict[str, Seen] = {}  # by uid, if it could be asked
        self._next_orphans_s: dict[str, float] = {}  # by uid of the pool: not before
        self._lost: set[str] = set()  # uids of pools that lost volumes since
        self._unfollow: Callable[[], None] | None = None

    def start(self) -> None:
        """Look at all now, then again and again."""
        shelf = self._objects.cache.shelves[Pool.resource]
        for entry in shelf.entries():
            self.queue.add(entry.key)
        self._unfollow = shelf.follow(self._changed)
        self.queue.start()

    async def stop(self) -> None:
        if self._unfollow is not None:
            self._unfollow()
        await self.queue.stop()

    def pool(self, name: str) -> Pool:
        """Raises NotFound."""
        found = self._objects.view(Pool, name)
        if found is None:
            raise NotFound(self._objects.kinds[Pool.resource], name)
        return found

    def seen(self, pool: Pool) -> Seen | None:
        """What the place of a pool had a minute ago at most; None: it cannot be asked."""
        return self._seen.get(pool.uid)

    def look_for_orphans(self, pool: Pool) -> None:
        """Soon: one was removed."""
        self._lost.add(pool.uid)
        self.queue.add_after(pool.name, AFTER_VOLUMES_S)

    def _changed(self, event: Event) -> None:
        if event.after is None:
            if event.before is not None:
                self._seen.pop(view(Pool, event.before).uid, None)
            return
        after = view(Pool, event.after)
        before = view(Pool, event.before) if event.before is not None else None
        if before is None or before.spec != after.spec or before.uid != after.uid:
            self.queue.add(event.key)
        elif before.allocated != after.allocated:
            if after.status.volumes < before.status.volumes:
                self._lost.add(after.uid)
            self.queue.add_after(event.key, AFTER_VOLUMES_S)

    async def look(self, name: str) -> Outcome:
        """At one pool. What it finds is written if it is of any weight."""
        pool = self._objects.view(Pool, name)
        if pool is None or not self._pools.mine(pool):
            return Done("not of this host")
        uid, look = pool.uid, await self._looked(pool)
        for _ in range(TRIES):
            pool = self._objects.view(Pool, name)
            if pool is None or pool.uid != uid:
                self._pools.forget(uid)  # this look may have taken its place again
                return Done("the pool is gone") if pool is None else Again(0, "it was made anew")
            after, notes = looked_at(pool, look, timestamp(self._objects.clock.now()))
            try:
                if after is not pool:
                    await self._objects.commit([(pool, after)])
            except Conflict:
                continue  # a volume came or went; its charge is in what is read next
            for note in notes:
                self._pools.tell(note)
            if _offers_more(pool, after):
                self._hurry(name)
            if look.reason:
                return Again(WHEN_AWAY_S, look.message)
            after_s = min(EVERY_S, self._orphans_in_s(after))
            return Again(max(after_s, AFTER_VOLUMES_S), "looked at")
        return Again(AFTER_VOLUMES_S, "its volumes come and go all the time")

    async def _looked(self, pool: Pool) -> Look:
        try:
            driver = await self._pools.driver(pool)
            usage = await driver.usage()
            orphans = await self._orphans(pool, driver)
        except (MooringError, OSError) as error:
            self._seen.pop(pool.uid, None)
            return _away(error)
        self._seen[pool.uid] = seen = _seen(usage)
        reason = READ_ONLY if usage.read_only else ""
        message = "the file system of its place is mounted read-only" if reason else ""
        return Look(seen, reason, message, orphans)

    async def _orphans(self, pool: Pool, driver: Driver) -> PoolOrphans | None:
        """None: it is not their time. It is when a volume went, else every ten minutes."""
        if self._orphans_in_s(pool) > 0:
            return None
        now_s = time.monotonic()
        self._lost.discard(pool.uid)
        found = await self.orphans.of(pool, driver)
        rest_s = (time.monotonic() - now_s) * REST
        self._next_orphans_s[pool.uid] = time.monotonic() + rest_s + ORPHANS_EVERY_S
        return found

    def _orphans_in_s(self, pool: Pool) -> float:
        wait_s = self._next_orphans_s.get(pool.uid, 0.0) - time.monotonic()
        return wait_s - (ORPHANS_EVERY_S if pool.uid in self._lost else 0)


def _seen(usage: Usage) -> Seen:
    available = usage.available_bytes
    return Seen(
        usage.total_bytes,
        usage.used_bytes,
        usage.free_bytes if available is None else available,
        usage.inodes,
        usage.inodes_used,
    )


def _away(error: MooringError | OSError) -> Look:
    """A place that cannot be used, in the words of whoever tried."""
    cause = error if isinstance(error, OSError) else error.__cause__
    is_read_only = isinstance(cause, OSError) and cause.errno == errno.EROFS
    code = error.code if isinstance(error, MooringError) else "PoolFailed"
    return Look(reason=READ_ONLY if is_read_only else code, message=str(error))


def _offers_more(before: Pool, after: Pool) -> bool:
    if after.is_ready and not before.is_ready:
        return True
    had, has = before.overcommit_limit, after.overcommit_limit
    return had is not None and has is not None and has > had
