"""Volumes of servers: NFS exports and iSCSI disks that an admin wrote into static PVs.

STATE/remote/UID         where that of a PV is mounted while it is published; users see it elsewhere
STATE/remote/.sessions/  what was logged in to: node/iscsi.py
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from mooring.crashpoints import crash_point, passing
from mooring.host import mounts, nfs
from mooring.host.blocking import Blocking
from mooring.host.mounts import Restriction
from mooring.model.names import MOUNT_OPTIONS
from mooring.model.nfs import is_server, option_fault, path_fault, split_options
from mooring.model.volume import Volume
from mooring.node.errors import BadMountOption, BadSource

T = TypeVar("T")

STRICT: Final = Restriction.NO_SUID | Restriction.NO_DEVICES
_PLACES: Final = "remote"
_UID = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,62}[0-9A-Za-z])?")
_AT_ONCE: Final = 64
_CALL_DEADLINE_S: Final = 10  # of umount2(2): a server that is away keeps nobody else waiting

NFS_MOUNTED = crash_point("remote.nfs.mounted")
UNMOUNTED = crash_point("remote.unmounted")


class RemotePlaces:
    """Where volumes of servers are mounted on this host, each for itself."""

    def __init__(self, state_dir: Path) -> None:
        self.root = Path(os.path.realpath(state_dir)) / _PLACES  # as mountinfo has it
        self._blocking = Blocking("volumes of servers", width=_AT_ONCE, deadline_s=_CALL_DEADLINE_S)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._users: Counter[str] = Counter()  # by server

    def point(self, uid: str) -> Path:
        return self.root / uid

    @asynccontextmanager
    async def turn(self, about: str) -> AsyncIterator[None]:
        """One at a time about the same volume, or the same server."""
        async with self._turns.setdefault(about, asyncio.Lock()):
            yield

    @contextmanager
    def using(self, server: str) -> Iterator[None]:
        """Meanwhile it is in use, though no mount shows it yet."""
        self._users[server] += 1
        try:
            yield
        finally:
            self._users[server] -= 1
            if not self._users[server]:
                del self._users[server]

    def is_in_use(self, server: str) -> bool:
        return server in self._users

    async def run(self, work: Callable[[], T], about: str, deadline_s: float | None = None) -> T:
        """In a thread. Raises HostStuck, OSError."""
        return await self._blocking.run(work, deadline_s, about)

    async def unmount(self, point: Path) -> None:
        """Undo what is mounted there; nothing is success. Raises MountBusy, HostStuck."""
        await self.run(partial(_unmounted, point), str(point))
        passing(UNMOUNTED)

    async def left(self) -> list[str]:
        """Uids of volumes that have a place."""
        return await self.run(self._left, _PLACES)

    def _left(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [name for name in os.listdir(self.root) if _UID.fullmatch(name)]
        return []


@dataclass(frozen=True)
class NfsSource:
    """An export, as a static PV has it.

    options  of its mount, not looked at yet
    """

    places: RemotePlaces
    uid: str
    server: str
    export: str
    options: tuple[str, ...] = ()
    restrictions: Restriction = STRICT
    follows_links: bool = False

    @classmethod
    def of(cls, places: RemotePlaces, volume: Volume) -> "NfsSource":
        """Of a volume that has the source nfs."""
        source = volume.spec.nfs
        assert source is not None
        options = mount_options(volume) + (("ro",) if source.read_only else ())
        return cls(places, volume.uid, source.server, source.path, options)

    async def path(self) -> Path:
        """Raises BadSource, BadMountOption, NotTheExport, and what nfs.mount does."""
        if not is_server(self.server):
            raise BadSource(f"nfs.server {self.server!r}", "is no host name or address")
        if fault := path_fault(self.export):
            raise BadSource(f"nfs.path {self.export!r}", fault)
        options = split_options(self.options)
        for option in options:
            if fault := option_fault(option):
                raise BadMountOption(option, fault)
        point = self.places.point(self.uid)
        async with self.places.turn(self.uid):
            if not await self.places.run(partial(self._is_there, point), str(point)):
                await nfs.mount(self.server, self.export, point, options)
                passing(NFS_MOUNTED)
        return point

    async def release(self) -> None:
        async with self.places.turn(self.uid):
            await self.places.unmount(self.places.point(self.uid))

    def _is_there(self, point: Path) -> bool:
        if nfs.is_at(point, self.server, self.export):
            return True
        nfs.make_point(point)
        return False


def mount_options(volume: Volume) -> tuple[str, ...]:
    """Of its spec, and of the annotation of old."""
    annotated = volume.annotations.get(MOUNT_OPTIONS, "")
    return (*volume.spec.mount_options, *([annotated] if annotated else []))


def _unmounted(point: Path) -> None:
    mounts.unmount(point)
    with suppress(FileNotFoundError):
        point.rmdir()
