"""Replicas that lie in the pools of this host: read-only snapshots with names of their own."""

import asyncio
from typing import cast

from mooring.drivers.interface import Driver, Streaming, asset_name
from mooring.errors import Effect, MooringError
from mooring.model.pool import Pool
from mooring.node.pools import Pools
from mooring.rules.replicas import uid_in


class NoStreams(MooringError):
    code, effect = "NotSupported", Effect.NONE

    def __init__(self, pool: Pool) -> None:
        self.what = f"pool {pool.name} of {pool.driver} has no replicas"
        self.remedy = "use a pool of btrfs.mooring.dev"
        super().__init__(self.what)


class KeptReplicas:
    """By pool and volume, listed once: nobody else makes or deletes them."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._known: dict[str, dict[str, set[str]]] = {}  # uid of a pool → uid of a volume → names
        self._listing = asyncio.Lock()

    async def driver(self, pool: Pool) -> Driver:
        """Raises NoStreams, and what keeps the pool from being used."""
        driver = await self._pools.driver(pool)
        if not driver.features.streams:
            raise NoStreams(pool)
        return driver

    async def streaming(self, pool: Pool) -> Streaming:
        """The same, for what such a driver can do beside all others."""
        return cast(Streaming, await self.driver(pool))

    async def of(self, pool: Pool, uid: str) -> frozenset[str]:
        """Names of those of one volume. Raises as `driver`."""
        return frozenset((await self._of_pool(pool)).get(uid, ()))

    async def looked_at(self, pool: Pool) -> None:
        """List them anew: what came while it was cut off may not be known."""
        async with self._listing:
            self._known.pop(pool.uid, None)

    async def uids(self, pool: Pool) -> list[str]:
        """Of the volumes that have some there."""
        return sorted(await self._of_pool(pool))

    async def came(self, pool: Pool, name: str) -> None:
        (await self._of_pool(pool)).setdefault(uid_in(name), set()).add(name)

    async def drop(self, pool: Pool, name: str) -> None:
        """Delete one; absent is success."""
        driver, known = await self.driver(pool), await self._of_pool(pool)
        await driver.delete_snapshot(asset_name(name))
        names = known.get(uid_in(name), set())
        names.discard(name)
        if not names:
            known.pop(uid_in(name), None)

    async def _of_pool(self, pool: Pool) -> dict[str, set[str]]:
        async with self._listing:
            if pool.uid not in self._known:
                driver, found = await self.driver(pool), dict[str, set[str]]()
                for one in await driver.snapshots():
                    if uid := uid_in(one.name):
                        found.setdefault(uid, set()).add(one.name)
                self._known[pool.uid] = found
            return self._known[pool.uid]
