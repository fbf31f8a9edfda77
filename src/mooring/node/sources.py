"""What the data of a volume is on this host, before it is published at its own path."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from mooring.drivers.interface import AssetName, Driver
from mooring.host.blocking import Blocking
from mooring.host.mounts import Restriction
from mooring.node.errors import PathMissing, PathWrong

_STRICT = Restriction.NO_SUID | Restriction.NO_DEVICES
_LOOKS_AT_ONCE = 64


class Source(Protocol):
    """One volume's data."""

    @property
    def restrictions(self) -> Restriction:
        """Of its mount."""

    @property
    def follows_links(self) -> bool:
        """Whether the last part of its path may be a symbolic link."""

    async def path(self) -> Path:
        """Have it ready; repeatable. Raises what the backend raises, PathMissing, PathWrong."""

    async def release(self) -> None:
        """It is not needed on this host any more; repeatable."""


@dataclass(frozen=True)
class AssetSource:
    """An asset of one of this host's pools. If its directory is a link, it is not followed."""

    driver: Driver
    name: AssetName
    restrictions: Restriction = _STRICT
    follows_links: bool = False

    async def path(self) -> Path:
        return await self.driver.publish(self.name)

    async def release(self) -> None:
        await self.driver.unpublish(self.name)


def paths_of_host() -> Blocking:
    """Places for looks at paths: each may be on a disk or a server of its own."""
    return Blocking("the paths of this host", width=_LOOKS_AT_ONCE)


@dataclass(frozen=True)
class PathSource:
    """A path that an admin wrote into a static PV: hostPath with its type, or local.

    type      "" (whatever is there), DirectoryOrCreate, Directory, FileOrCreate, File, Socket,
              CharDevice or BlockDevice; a local volume is a Directory. Whether this is the right
              host for the volume is not asked here.
    is_new    nobody has used the volume: only then may what is not there be made
    blocking  the places of all sources of this kind
    """

    place: Path
    type: str = ""
    is_new: bool = True
    blocking: Blocking = field(default_factory=paths_of_host, compare=False)
    follows_links: bool = True

    @property
    def restrictions(self) -> Restriction:
        return Restriction.NO_SUID if self.type.endswith("Device") else _STRICT

    async def path(self) -> Path:
        return await self.blocking.run(self._checked, about=str(self.place))

    async def release(self) -> None:
        """Nothing was done to have it."""

    def _checked(self) -> Path:
        if not self.place.is_absolute():  # it would be taken from where the agent was started
            raise PathWrong(str(self.place), "an absolute path")
        if self.type not in _WANTED:
            raise PathWrong(str(self.place), f"of a known type ({self.type!r} is not)")
        wanted, is_right, make = _WANTED[self.type]
        if make is not None and self.is_new and not self.place.exists():
            make(self.place)
        try:
            found = os.stat(self.place)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PathMissing(str(self.place)) from error
        if not is_right(found.st_mode):
            raise PathWrong(str(self.place), wanted)
        return self.place


def _make_directory(path: Path) -> None:
    path.mkdir(mode=0o755, parents=True, exist_ok=True)


def _make_file(path: Path) -> None:
    """In a directory that exists, as Kubernetes does; the directory may be a disk not mounted."""
    try:
        path.touch(mode=0o644)
    except FileNotFoundError as error:
        raise PathMissing(str(path.parent)) from error


def _anything(mode: int) -> bool:
    return True


_WANTED: Final[Mapping[str, tuple[str, Callable[[int], bool], Callable[[Path], None] | None]]] = {
    "": ("anything", _anything, None),
    "DirectoryOrCreate": ("a directory", stat.S_ISDIR, _make_directory),
    "Directory": ("a directory", stat.S_ISDIR, None),
    "FileOrCreate": ("a file", stat.S_ISREG, _make_file),
    "File": ("a file", stat.S_ISREG, None),
    "Socket": ("a socket", stat.S_ISSOCK, None),
    "CharDevice": ("a character device", stat.S_ISCHR, None),
    "BlockDevice": ("a block device", stat.S_ISBLK, None),
}
