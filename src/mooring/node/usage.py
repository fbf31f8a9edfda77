"""How much is in each volume of this host: asked where somebody counts, else counted here.

Looks go on all the time, one after the other. Each is to be followed by a rest that is so many
times as long as it took; a few may come together and rest later. So however many volumes there are
they take little of a processor, and what is known is the older the more there are.
"""

import asyncio
import heapq
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from mooring.background import Background
from mooring.drivers.interface import asset_name
from mooring.errors import MooringError
from mooring.host.blocking import Blocking
from mooring.host.counting import Count, Counting
from mooring.host.errors import HostStuck
from mooring.model.attachment import Attachment
from mooring.model.names import BLOCK
from mooring.model.volume import Volume
from mooring.node.mounting import Mounting
from mooring.node.published import Publisher, Reader
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view

log = logging.getLogger(__name__)

USED_EVERY_S: Final = 60.0  # of volumes that are at hand here, and may be written to
IDLE_EVERY_S: Final = 600.0
# Times the work: keeps looks below a third of a percent of a processor.
REST: Final = 300
FIRST_REST: Final = 3  # when nothing is known of a volume yet, somebody may be waiting
OWED_AT_MOST_S: Final = 120.0  # of rest: some hundred looks at once after a calm time
STEP_ENTRIES: Final = 1000  # of a count in one go, some milliseconds
STEP_REST: Final = 9  # times the step: a count takes a tenth of a processor at most
STEP_DEADLINE_S: Final = 30.0
PUT_OFF_AT_MOST: Final = 1000  # entries of the queue that stand for nothing, beside as many as do
SETTLES_S: Final = 1.0  # a new volume is being made, mounted, filled


class VolumeUsage(NamedTuple):
    """Of one volume; None where that is not known.

    inodes      that there can be; None: as many as there is room for
    taken_at_s  when, in seconds since the epoch
    abnormal    "" if all is well, else the code of what is wrong; the numbers are then older, or of
                a part: TooManyFiles, NotCounted (host/counting.py)
    """

    capacity_bytes: int
    used_bytes: int | None = None
    available_bytes: int | None = None
    inodes: int | None = None
    inodes_used: int | None = None
    taken_at_s: float = 0.0
    abnormal: str = ""


class _Disk(NamedTuple):
    """The file system that a volume is on.

    is_own  nothing else is on it: what it counts is the volume's
    """

    total_bytes: int
    used_bytes: int
    available_bytes: int
    inodes: int | None
    inodes_used: int | None
    is_own: bool


class _SentAway(Exception):
    """The volume is unmounted by its user, who does not wait for a count."""


class Usages:
    """Of the volumes of one host."""

    def __init__(self, objects: Objects, mounting: Mounting, publisher: Publisher) -> None:
        self._objects, self._mounting, self._publisher = objects, mounting, publisher
        self._known: dict[str, VolumeUsage] = {}  # by name of the volume
        self._queue: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}  # by name: what else is in the queue was put off
        self._rested_at_s = 0.0  # when all rests will have been taken
        self._news = asyncio.Event()
        self._looking = Blocking("what volumes use", deadline_s=STEP_DEADLINE_S)
        self._work = Background("usage")
        self._unfollow: list[Callable[[], None]] = []

    def of(self, volume: str) -> VolumeUsage | None:
        """What is known of a volume, from memory; None: it is not here, or not looked at yet."""
        return self._known.get(volume)

    def all(self) -> dict[str, VolumeUsage]:
        """By name of the volume, as of now."""
        return dict(self._known)

    def start(self) -> None:
        """Look at all, then again and again; soon at those that are new, mounted or unmounted."""
        shelves = self._objects.cache.shelves
        for entry in shelves[Volume.resource].entries():
            self._take_in(entry, 0.0)
        self._unfollow = [
            shelves[Volume.resource].follow(self._changed),
            shelves[Attachment.resource].follow(self._attached),
        ]
        self._work.begin(self._run())

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        await self._work.end()

    def _changed(self, event: Event) -> None:
        if event.after is None:
            self._known.pop(event.key, None)
            self._due.pop(event.key, None)
        elif event.before is None:
            self._take_in(event.after, SETTLES_S)

    def _attached(self, event: Event) -> None:
        entry = event.after or event.before
        if entry is not None:
            self._await(view(Attachment, entry).volume, SETTLES_S)

    def _take_in(self, entry: Entry, after_s: float) -> None:
        spec = view(Volume, entry).spec
        if spec.csi or spec.host_path or spec.local or spec.nfs:  # what may be here
            self._await(entry.key, after_s)

    def _await(self, name: str, after_s: float) -> None:
        due_s = time.monotonic() + after_s
        if due_s < self._due.get(name, math.inf):
            self._due[name] = due_s
            heapq.heappush(self._queue, (due_s, name))
            if len(self._queue) > 2 * len(self._due) + PUT_OFF_AT_MOST:  # most are of volumes gone
                self._queue = [(due_s, name) for name, due_s in self._due.items()]
                heapq.heapify(self._queue)
            self._news.set()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            wait_s = self._queue[0][0] - time.monotonic() if self._queue else None
            if wait_s is None or wait_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._news.wait()
                continue
            due_s, name = heapq.heappop(self._queue)
            if self._due.get(name) != due_s:
                continue  # it was looked for sooner, or is gone
            del self._due[name]
            is_first = name not in self._known
            work_s = await self.look(name)
            if work_s is not None:
                every_s = USED_EVERY_S if self._is_at_hand(name) else IDLE_EVERY_S
                self._await(name, max(every_s, work_s * REST))
                await self._rest(work_s, is_first=is_first)
            else:
                await asyncio.sleep(0)  # of very many that are not here, others wait for none

    async def _rest(self, work_s: float, *, is_first: bool) -> None:
        if is_first:  # of very many, perhaps, that were all made or bound a moment ago
            await asyncio.sleep(work_s * FIRST_REST)
            return
        rest_s = work_s * REST
        now_s = time.monotonic()
        self._rested_at_s = max(self._rested_at_s, now_s) + rest_s
        await asyncio.sleep(max(self._rested_at_s - now_s - OWED_AT_MOST_S, 0))

    def _is_at_hand(self, name: str) -> bool:
        volume = self._objects.view(Volume, name)
        return volume is not None and self._publisher.published_path(volume.uid) is not None

    async def look(self, name: str) -> float | None:
        """At one volume, now. Returns how long it took, rests left out; None: it is not here."""
        volume = self._objects.view(Volume, name)
        if volume is None or not self._is_here(volume):
            self._known.pop(name, None)
            return None
        begun_s, rested_s = time.monotonic(), 0.0
        try:
            with self._publisher.reading(volume.uid) as reader:
                found, rested_s = await self._looked(volume, reader)
        except _SentAway:  # its unmount has it looked at anew
            return time.monotonic() - begun_s
        except FileNotFoundError:  # of a path that is made when it is used first, it is no news
            is_lost = volume.spec.local is not None or self._is_at_hand(name)
            had = self._known.get(name) or VolumeUsage(volume.capacity.bytes())
            found = had._replace(abnormal="PathMissing" if is_lost else "")
        except (MooringError, OSError) as error:
            code = error.code if isinstance(error, MooringError) else "NotCounted"
            log.info("volume=%s what it uses is not known: %s", name, error)
            had = self._known.get(name) or VolumeUsage(volume.capacity.bytes())
            found = had._replace(abnormal=code)
        if self._objects.entry(Volume.resource, name) is not None:
            self._known[name] = found
        return time.monotonic() - begun_s - rested_s

    def _is_here(self, volume: Volume) -> bool:
        """Whether this host can tell. A path that nobody claimed is looked into for nobody."""
        if volume.volume_mode == BLOCK or not self._mounting.reaches(volume):
            return False
        if self._mounting.pools.of_volume(volume) is not None:
            return True
        if volume.spec.host_path is not None or volume.spec.local is not None:
            return volume.claim_ref is not None
        return self._publisher.published_path(volume.uid) is not None

    async def _looked(self, volume: Volume, reader: Reader) -> tuple[VolumeUsage, float]:
        """And how long was rested in between. Raises _SentAway."""
        capacity_bytes = volume.capacity.bytes()
        path = self._publisher.published_path(volume.uid)
        used: int | None = None
        place: Path | None = None
        pool = self._mounting.pools.of_volume(volume)
        if pool is not None:
            driver, place = await self._mounting.pools.driver(pool), Path(pool.root)
            asset = asset_name(volume.handle)
            used = await driver.used_bytes(asset)
            if path is None and used is None and not driver.features.shared:
                path = await driver.publish(asset)  # of a directory that is where it is
        elif path is None:
            path = _path_of(volume)
        disk = None
        if path is not None:
            disk = await self._looking.run(partial(_disk, path, place), about=volume.name)
        if disk is not None and disk.is_own:
            return _of_own(disk, used), 0.0
        count: Count | None = None
        rested_s = 0.0
        if used is None and path is not None:
            count, rested_s = await self._counted(volume, path, reader)
            used = count.room_bytes
        return _within(capacity_bytes, used, disk, count), rested_s

    async def _counted(self, volume: Volume, path: Path, reader: Reader) -> tuple[Count, float]:
        about, rested_s = volume.name, 0.0
        counting = await self._looking.run(partial(Counting, str(path)), about=about)
        try:
            while True:
                begun_s = time.monotonic()
                if await self._looking.run(partial(counting.step, STEP_ENTRIES), about=about):
                    return counting.count, rested_s
                rest_s = (time.monotonic() - begun_s) * STEP_REST
                rested_s += rest_s
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest_s):
                        await reader.sent_away.wait()
                if reader.sent_away.is_set():
                    raise _SentAway
        except (HostStuck, asyncio.CancelledError):
            counting.give_up()  # its thread may be in it still, and closes it
            raise
        finally:
            if not counting.is_given_up:
                await self._looking.run(counting.close, about=about)


def _path_of(volume: Volume) -> Path | None:
    """What an admin wrote into a static PV, if it is a directory of this host."""
    if volume.spec.local is not None:
        return Path(volume.spec.local.path)
    if volume.spec.host_path is not None:
        type_ = volume.spec.host_path.type or ""
        is_directory = type_ in ("", "Directory", "DirectoryOrCreate")
        return Path(volume.spec.host_path.path) if is_directory else None
    return None


def _disk(path: Path, place: Path | None) -> _Disk:
    """In a thread. place: of the pool that the volume is in, None if it is in none."""
    found, device = os.statvfs(path), os.stat(path).st_dev
    around = place if place is not None else path.parent
    outside = os.statvfs(around)
    # A subvolume of a btrfs has a device and an id of its own, but the size of all around it.
    sizes = [(one.f_blocks * one.f_frsize, one.f_files) for one in (found, outside)]
    is_own = device != os.stat(around).st_dev and sizes[0] != sizes[1]
    total, free = found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize
    inodes = found.f_files or None
    return _Disk(
        total,
        total - free,
        found.f_bavail * found.f_frsize,
        inodes,
        None if inodes is None else found.f_files - found.f_ffree,
        is_own,
    )


def _of_own(disk: _Disk, used: int | None) -> VolumeUsage:
    return VolumeUsage(
        disk.total_bytes,
        disk.used_bytes if used is None else used,
        disk.available_bytes,
        disk.inodes,
        disk.inodes_used,
        time.time(),
    )


def _within(
    capacity_bytes: int, used: int | None, disk: _Disk | None, count: Count | None
) -> VolumeUsage:
    """Of a volume that shares its file system: it has what it was promised, or what is left."""
    available = None if used is None else max(capacity_bytes - used, 0)
    if available is not None and disk is not None:
        available = min(available, disk.available_bytes)
    inodes = inodes_used = None
    if count is not None:
        inodes_used = count.entries
        if disk is not None and disk.inodes is not None and disk.inodes_used is not None:
            inodes = disk.inodes - disk.inodes_used + inodes_used  # those that it could have
    fault = "" if count is None else count.fault
    return VolumeUsage(capacity_bytes, used, available, inodes, inodes_used, time.time(), fault)
