"""The account of each pool: what its volumes take, charged in the commit that stores them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from mooring.model.names import POOL_ATTRIBUTE
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.objects.cache import Cache, Entry
from mooring.objects.documents import unspliced
from mooring.objects.errors import Forbidden, Stale
from mooring.objects.kind import Doc, Kind
from mooring.objects.views import overlaid, view
from mooring.rules.pool_room import pools_recharged, recharged, refused_change
from mooring.store.interface import Check, Conflict, Write

POOLS: Final = Pool.resource
POOL_SIGN: Final = f'"{POOL_ATTRIBUTE}"'.encode()  # in the bytes of a volume of a pool
TRIES: Final = 16  # of a commit that others' writes of the pool get in the way of
Charged = tuple[Sequence[Write], Sequence[Check]]
Commit = Callable[[Sequence[Write], Sequence[Check]], Awaitable[int]]


class Account:
    """Of all pools."""

    def __init__(self, cache: Cache, kinds: Mapping[str, Kind], commit: Commit) -> None:
        self._cache, self._kinds, self._commit = cache, kinds, commit
        self._turn = asyncio.Lock()  # so that our own writes do not get in each other's way

    def take_turns_with(self, other: "Account") -> None:
        """Of the same process and store."""
        self._turn = other._turn

    def charge(self, old: Volume | None, new: Volume | None) -> list[Write]:
        """The pool's new account, if it is another. Raises Forbidden if it has not the room.

        old, new  the volume of a pool before and after a write, None if there is none
        """
        volume, found = new or old, self._pools_of(old, new)
        if volume is None or not found:
            return []
        if len(found) > 1:  # one write of each kind in a commit, so that watches can go on anywhere
            why = f"it has copies in {', '.join(one.key for one in found)}, which have to go first"
            raise Forbidden(self._kinds[Volume.resource], volume.name, why)
        pool = view(Pool, entry := found[0])
        if why := refused_change(pool, old, new):
            raise Forbidden(self._kinds[Volume.resource], volume.name, why)
        after = recharged(pool, old, new)
        shelf = self._cache.shelves[POOLS]
        stored = overlaid(unspliced(entry.body, shelf.offset), pool, after)
        return [Write(shelf.prefix + pool.key, stored, entry.revision)]

    def pool_of(self, old: Volume | None, new: Volume | None) -> Entry | None:
        """A pool whose account is another after a write."""
        return next(iter(self._pools_of(old, new)), None)

    def _pools_of(self, old: Volume | None, new: Volume | None) -> list[Entry]:
        shelf = self._cache.shelves[POOLS]
        found = (shelf.get(name) for name in pools_recharged(old, new))
        return [one for one in found if one is not None]

    async def in_turn(self, charged: Callable[[], Charged]) -> int:
        """Make a commit that writes a pool: again if only the pool was written meanwhile.

        charged  what to write and what to check, with the pool as it is now
        raises   Conflict if anything else is another than it was read
        """
        async with self._turn:
            for _ in range(TRIES):
                writes, checks = charged()
                pools = [one.key for one in writes if self.is_of_pool(one)]
                try:
                    return await self._commit(writes, checks)
                except Conflict as conflict:
                    if conflict.key not in pools:
                        raise
        raise Stale(self._kinds[POOLS], pools[0].rpartition("/")[2])

    def is_of_pool(self, write: Write) -> bool:
        """Whether it is the write of a pool."""
        return write.key.startswith(self._cache.shelves[POOLS].prefix)


def pooled(kind: Kind, found: Doc | Entry) -> Volume | None:
    """The volume that this is, if it takes its room from a pool."""
    if kind.resource != Volume.resource:
        return None
    if isinstance(found, Entry):
        volume = view(Volume, found) if POOL_SIGN in found.body else None
    else:
        volume = msgspec.convert(found, Volume) if found["spec"].get("csi") else None
    return volume if volume is not None and volume.pool else None
