"""The pools that this host serves, and their drivers, started once each."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from mooring.drivers.interface import Driver, Place, Usage
from mooring.drivers.registry import DRIVERS, driver_for
from mooring.errors import MooringError
from mooring.host import files
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote
from mooring.rules.provisioning import pool_for

log = logging.getLogger(__name__)


class Pools:
    """What this host can make volumes from.

    tell   takes notes for events
    """

    def __init__(
        self, objects: Objects, node: str, state_dir: Path, tell: Callable[[EventNote], None]
    ) -> None:
        self._objects, self._node = objects, node
        self._used = state_dir / "pools"  # one empty file per pool that was used here
        self.tell = tell
        self._drivers: dict[str, Driver] = {}  # by uid of the pool
        # Those that did not start. Tried again, each has the one thread that may hang in its place.
        self._unstarted: dict[str, tuple[Place, Driver]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._stopping: set[asyncio.Task[None]] = set()

    def serves(self, driver: str) -> bool:
        """Whether the driver is one of ours, whatever pools there are."""
        return driver in DRIVERS

    def mine(self, pool: Pool) -> bool:
        return pool.driver in DRIVERS and pool.node in ("", self._node)

    def for_class(self, class_: StorageClass) -> Pool | str:
        """The pool that a class takes from, or why there is none; "" if it is not our matter."""
        if class_.provisioner not in DRIVERS:
            return ""
        found = pool_for(class_, self._objects.views(Pool), self._node)
        return found if isinstance(found, str) or self.mine(found) else ""

    def has(self, pool: Pool) -> bool:
        """Whether it is still there: not gone, nor made anew."""
        found = self._objects.view(Pool, pool.name)
        return found is not None and found.uid == pool.uid

    def of_volume(self, volume: Volume) -> Pool | None:
        """The pool of this host that holds a volume's asset."""
        pool = self._objects.view(Pool, volume.pool) if volume.pool else None
        return pool if pool is not None and self.mine(pool) else None

    async def usage(self, pool: Pool) -> Usage | None:
        """Of the pool's place, None if it is not of this host or cannot be asked now."""
        if not self.mine(pool):
            return None
        try:
            return await (await self.driver(pool)).usage()
        except MooringError as error:
            log.info("pool=%s usage is not known: %s", pool.name, error)
            return None

    def is_of_none(self, volume: Volume) -> bool:
        """Whether one of our drivers made it in a pool that is there no longer."""
        return (
            volume.driver in DRIVERS
            and bool(volume.pool)
            and self._objects.view(Pool, volume.pool) is None
        )

    async def driver(self, pool: Pool) -> Driver:
        """Started. Raises what the driver raises when its place is missing or not its own."""
        # Of each pool its own, since one whose place hangs must not keep others from starting.
        async with self._turns.setdefault(pool.uid, asyncio.Lock()):
            if pool.uid in self._drivers:
                return self._drivers[pool.uid]
            mark = self._used / pool.uid
            used = await asyncio.to_thread(_names, self._used)
            place = Place(
                pool=pool.name,
                uid=pool.uid,
                root=Path(pool.root),
                options=msgspec.to_builtins(pool.options or {}),
                former=used - {one.uid for one in self._objects.views(Pool)},
            )
            before = self._unstarted.get(pool.uid)
            same = before is not None and before[0] == place
            driver = before[1] if before and same else driver_for(pool.driver, place)
            self._unstarted[pool.uid] = place, driver
            await driver.start(new=not mark.exists())
            await asyncio.to_thread(_note, mark)
            self._drivers[pool.uid] = driver
            del self._unstarted[pool.uid]
            return driver

    def forget(self, uid: str) -> None:
        """Of a pool that is deleted: its place is free then, and its disk can be unmounted."""
        task = asyncio.create_task(self._stopped(uid))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stopped(self, uid: str) -> None:
        async with self._turns.setdefault(uid, asyncio.Lock()):
            self._unstarted.pop(uid, None)
            if (driver := self._drivers.pop(uid, None)) is not None:
                try:
                    await driver.stop()
                except MooringError as error:
                    log.warning("pool-uid=%s may stay taken until Mooring ends: %s", uid, error)


def _names(directory: Path) -> frozenset[str]:
    return frozenset(one.name for one in directory.iterdir()) if directory.exists() else frozenset()


def _note(mark: Path) -> None:
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.touch()
    with files.directory(mark.parent) as parent:
        files.synced(parent)
