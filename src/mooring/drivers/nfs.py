"""A directory of an NFS server per volume: every host that reaches the server has all of them.

The export is mounted at the pool's root, by this driver if nobody else has done it; see
drivers/directories.py for what is in it. Hosts make and delete in it side by side.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2s
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeVar
from weakref import WeakValueDictionary

from mooring.crashpoints import crash_point, passing
from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import BadPoolOption, InUse, PoolMissing, PoolUnreachable
from mooring.drivers.interface import AssetName, Features, Place, asset_name
from mooring.drivers.root import MAKING, making
from mooring.host import mounts, nfs
from mooring.host.blocking import Blocking
from mooring.host.errors import MountBusy, MountFailed
from mooring.model.nfs import (
    VERSIONS,
    is_server,
    option_fault,
    path_fault,
    source_of,
    split_options,
)

T = TypeVar("T")

_FORGOTTEN_S: Final = 24 * 3600.0  # so long after it was begun nobody works on it, on any host

MOUNTED = crash_point("nfs.mounted")
PUBLISHED = crash_point("nfs.published")


class Export(NamedTuple):
    """What the option `nfs` of a pool says."""

    server: str
    path: str
    options: tuple[str, ...]

    @classmethod
    def of(cls, place: Place) -> Self:
        """Raises BadPoolOption."""
        server, path = _text(place, "server"), _text(place, "path")
        if not is_server(server):
            raise BadPoolOption(place.pool, "server", server, "a host name or an address")
        if fault := path_fault(path):
            raise BadPoolOption(place.pool, "path", path, f"the path of an export: it {fault}")
        if (version := _text(place, "version")) not in ("", *VERSIONS):
            raise BadPoolOption(place.pool, "version", version, f"one of {', '.join(VERSIONS)}")
        options = split_options(place.options.get("mountOptions") or ())
        for option in options:
            if fault := option_fault(option):
                raise BadPoolOption(place.pool, "mountOptions", option, f"allowed: it {fault}")
        return cls(server, path, (*([f"vers={version}"] if version else []), *options))


@dataclass(frozen=True)
class NfsDriver(DirectoryDriver):
    """One directory per volume below the root of a mounted export. Sizes are promises."""

    features: ClassVar[Features] = Features(
        enforces_size=False, snapshots=False, expands=True, shared=True
    )
    call_deadline_s: ClassVar[float] = 10  # a server that is away is away for all volumes
    turns: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary, compare=False
    )
    mounting: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False)

    @classmethod
    def at(cls, place: Place) -> Self:
        Export.of(place)
        return super().at(place)

    async def start(self, *, new: bool) -> None:
        await self._mounted()
        await super().start(new=new)

    async def _done(
        self,
        work: Callable[[], T],
        *,
        about: str = "",
        where: Blocking | None = None,
        deadline_s: float | None = None,
    ) -> T:
        again = partial(super()._done, work, about=about, where=where, deadline_s=deadline_s)
        try:
            return await again()
        except PoolMissing:
            if not await self._mounted():
                raise
        return await again()  # somebody had unmounted it

    async def _mounted(self) -> bool:
        """Have the export at the root. Returns whether it was not.

        raises  PoolUnreachable, NotTheExport, ProgramMissing, HostStuck
        """
        export = Export.of(self.place)
        async with self.mounting:
            if await super()._done(partial(self._is_there, export)):
                return False
            try:
                await nfs.mount(export.server, export.path, self.place.root, export.options)
            except MountFailed as error:
                source = source_of(export.server, export.path)
                raise PoolUnreachable(self.place.pool, source, error.what) from error
            passing(MOUNTED)
            return True

    async def publish(self, name: AssetName) -> Path:
        """A mount of its own, at its own place: of parts of a mount nobody can tell which they are,
        and so not whether a container has this asset or another one."""
        path = await super().publish(name)
        export = Export.of(self.place)
        source = f"{export.path.rstrip('/')}/{name}/data"
        async with self.turns.setdefault(name, asyncio.Lock()):
            has_it = partial(nfs.has_own_mount, self._point(name), export.server, source)
            if not await super()._done(has_it, about=name):
                try:
                    await nfs.mount(export.server, source, self._point(name), export.options)
                except MountFailed as error:
                    what = source_of(export.server, source)
                    raise PoolUnreachable(self.place.pool, what, error.what) from error
                passing(PUBLISHED)
        return path

    async def unpublish(self, name: AssetName) -> None:
        async with self.turns.setdefault(asset_name(name), asyncio.Lock()):
            await super()._done(partial(mounts.unmount, self._point(name)), about=name)

    # In threads.

    def _point(self, name: str) -> Path:
        return self._root() / name / "data"

    def _root(self) -> Path:
        """As mountinfo has it."""
        root = self.place.root
        return Path(os.path.realpath(root.parent)) / root.name

    def _refuse_in_use(self, name: str, root: int) -> None:
        try:
            mounts.unmount(self._point(name))
        except MountBusy as error:
            raise InUse(name, str(self._point(name))) from error
        super()._refuse_in_use(name, root)

    def _is_there(self, export: Export) -> bool:
        """Whether the root is where it is to be; else there is a directory to mount it at."""
        root = self._root()
        if nfs.is_at(root, export.server, export.path):
            return True
        nfs.make_point(root)
        return False

    def _aside_name(self, name: str) -> str:
        return making(f"{_host()}-{name}")

    def _is_left_over(self, name: str, root: int) -> bool:
        """Locks of directories tell nothing about other hosts: what they make stays for a day."""
        if not name.startswith(MAKING) or name.startswith(f"{MAKING}{_host()}-"):
            return True
        with suppress(FileNotFoundError):
            began_s = os.stat(name, dir_fd=root, follow_symlinks=False).st_mtime
            return time.time() - began_s > _FORGOTTEN_S
        return False


def _host() -> str:
    """A word for this host, that is safe in a name."""
    return blake2s(os.uname().nodename.encode(), digest_size=6).hexdigest()


def _text(place: Place, option: str) -> str:
    value: Any = place.options.get(option, "")
    if not isinstance(value, str):
        raise BadPoolOption(place.pool, option, value, "text")
    return value
