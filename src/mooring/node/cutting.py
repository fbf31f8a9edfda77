"""What a backup reads: a volume at one moment where its backend can hold it, else as it lies there.

Names come from the uid of the backup, and are noted before anything has them: whatever a crash
leaves is found again by the same name, and removed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import AssetName, Driver, Source, asset_name
from mooring.model.pool import Pool
from mooring.node.errors import ForOneContainer
from mooring.node.ids import BACKUP
from mooring.node.intents import Intent, Intents
from mooring.node.pools import Pools
from mooring.node.use import Users
from mooring.objects.objects import Objects

NOTED: Final = crash_point("backup.noted")
CUT: Final = crash_point("backup.cut")
IMAGE_MADE: Final = crash_point("backup.image-made")
IMAGE_DELETED: Final = crash_point("backup.image-deleted")
CUT_DELETED: Final = crash_point("backup.cut-deleted")


class Original(NamedTuple):
    """What is to be backed up.

    snapshot  of its pool; None: the asset as it is now
    claim     whose volume it is, or was
    """

    pool: Pool
    asset: str
    size_bytes: int
    claim: str
    claim_uid: str
    snapshot: str | None = None


class Image(NamedTuple):
    """A directory to read. It is consistent if nothing writes to it any more."""

    path: Path
    is_consistent: bool


class Cutter:
    """Makes images of originals on one host, and removes them."""

    def __init__(self, objects: Objects, pools: Pools, users: Users, state_dir: Path) -> None:
        self._objects, self._pools, self._users = objects, pools, users
        self._notes = Intents(state_dir / "backup")

    async def start(self) -> list[str]:
        """Keys of the backups of which an earlier process left something. What it read as it lies
        there is given back: it reads it no more."""
        for user in self._users.ids.all():
            if user.id == BACKUP:
                await self._users.take(user.claim, BACKUP)
        return [note.claim for note in await self._notes.start()]

    @asynccontextmanager
    async def image(self, backup: str, uid: str, original: Original) -> AsyncIterator[Image]:
        """Of an original, for as long as it is needed. Raises what the driver raises.

        backup, uid  whose it is: "namespace/name"
        """
        driver = await self._pools.driver(original.pool)
        if original.snapshot is None and not driver.features.snapshots:
            async with self._live(driver, original) as path:
                yield Image(path, False)
            return
        name, cut = _names(uid)
        await self._begin(backup, name, original.pool)
        try:
            snapshot = original.snapshot
            if snapshot is None:
                await driver.snapshot(cut, asset_name(original.asset))
                passing(CUT)
                snapshot = cut
            source = Source(snapshot=asset_name(snapshot))
            await driver.create(name, original.size_bytes, source)
            passing(IMAGE_MADE)
            yield Image(await driver.publish(name), True)
        finally:
            await self._remove(driver, uid)

    @asynccontextmanager
    async def scratch(self, backup: str, uid: str, original: Original) -> AsyncIterator[Path]:
        """An empty asset in the same pool, for as long as it is needed."""
        driver, name = await self._pools.driver(original.pool), _scratch_name(uid)
        await self._begin(backup, name, original.pool)
        try:
            await driver.delete(name)
            await driver.create(name, original.size_bytes)
            yield await driver.publish(name)
        finally:
            await driver.delete(name)
            await self._notes.end(name)

    async def clean(self, backup: str, uid: str) -> None:
        """Remove what is left of a backup that is not under way."""
        for note in self._notes.of_claim(backup):
            pool = self._objects.view(Pool, note.pool)
            if pool is not None and pool.uid == note.pool_uid:
                driver = await self._pools.driver(pool)
                if note.asset == _scratch_name(uid):
                    await driver.delete(_scratch_name(uid))
                    await self._notes.end(note.asset)
                else:
                    await self._remove(driver, note.asset.removeprefix("backup-"))
            else:
                await self._notes.end(note.asset)

    async def _begin(self, backup: str, name: AssetName, pool: Pool) -> None:
        await self._notes.begin(Intent(name, backup, pool.name, pool.uid))
        passing(NOTED)

    async def _remove(self, driver: Driver, uid: str) -> None:
        name, cut = _names(uid)
        await driver.delete(name)
        passing(IMAGE_DELETED)
        if driver.features.snapshots:
            await driver.delete_snapshot(cut)
        passing(CUT_DELETED)
        await self._notes.end(name)

    @asynccontextmanager
    async def _live(self, driver: Driver, original: Original) -> AsyncIterator[Path]:
        try:
            mounted = await self._users.give(original.claim, BACKUP)
        except ForOneContainer:  # which has it: so it is at hand, and stays so for our time
            yield await driver.publish(asset_name(original.asset))
            return
        try:
            yield Path(mounted.path)
        finally:
            await self._users.take(original.claim, BACKUP)


def _names(uid: str) -> tuple[AssetName, AssetName]:
    """Of the image, and of the snapshot it is made from."""
    return asset_name(f"backup-{uid}"), asset_name(f"backup-cut-{uid}")


def _scratch_name(uid: str) -> AssetName:
    return asset_name(f"verify-{uid}")
