"""Exports of NFS servers, mounted on this host. A program does it: one that hangs can be killed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mooring.host import files
from mooring.host.errors import MountFailed, NotTheExport, ProgramFailed
from mooring.host.mountinfo import NFS_TYPES, Mount, Mountinfo
from mooring.host.processes import checked
from mooring.model.nfs import source_of

# A server that lives answers within one second. But where version 4 has not the path the program
# goes on to look for version 3, and that takes a while if there is none.
MOUNT_DEADLINE_S: Final = 20.0
_POINT_MODE: Final = 0  # whoever is not root finds nothing to write to where it is bare
# Nobody is to become root, nor get at devices, by what is in an export. Within the deadline the
# program is not to try again by itself.
_ALWAYS: Final = ("nosuid", "nodev", "retry=0")


def shown_at(path: Path) -> str | None:
    """Which export, as "server:/path", is seen at a path, whether anything is there or not.

    returns  None: that is not on NFS
    """
    mount = mount_of(path)
    if mount is None or mount.type not in NFS_TYPES:
        return None
    server, below = mount.place_of(str(path))
    return f"{server.removeprefix('nfs ')}:{below}"


def mount_of(path: Path) -> Mount | None:
    """The mount that a path without links is in, as the names of points have it: no server is
    asked."""
    table = Mountinfo.of()
    for one in (path, *path.parents):
        if found := table.at(str(one)):
            return found[-1]
    return None


def is_at(point: Path, server: str, path: str) -> bool:
    """Whether just this export is seen there. Raises NotTheExport: something else is mounted."""
    wanted = source_of(server, path)
    if shown_at(point) == wanted:
        return True
    if found := Mountinfo.of().at(str(point)):
        raise NotTheExport(str(point), wanted, found[-1].source)
    return False


def has_own_mount(point: Path, server: str, path: str) -> bool:
    """Whether this export is mounted just there, and not seen there as a part of another mount."""
    found = Mountinfo.of().at(str(point))
    return bool(found) and found[-1].source.rstrip("/") == source_of(server, path).rstrip("/")


def make_point(point: Path) -> None:
    """A directory to mount at, in which nobody writes by accident."""
    point.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        os.mkdir(point, _POINT_MODE)
    except FileExistsError:
        return
    with files.directory(point.parent) as parent:
        files.synced(parent)


async def mount(server: str, path: str, point: Path, options: Sequence[str]) -> None:
    """At a directory that is there, without set-uid and devices.

    options  each seen to be allowed: mooring.model.nfs
    raises   MountFailed, HostStuck; ProgramMissing: nfs-common is not installed
    """
    source, joined = source_of(server, path), ",".join((*options, *_ALWAYS))
    command = ("mount.nfs", source, str(point), "-o", joined)
    try:
        await checked(*command, deadline_s=MOUNT_DEADLINE_S)
    except ProgramFailed as error:
        raise MountFailed("mount", source, error.message or error.what) from error
