"""What is mounted on this host, and bind mounts made by descriptor. Nobody else mounts."""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntFlag
from errno import EBUSY, EINVAL, EPERM
from pathlib import Path
from typing import NamedTuple

from mooring.host.errors import MountBusy, MountFailed

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_MS_BIND, _MS_REMOUNT = 4096, 32  # from <sys/mount.h>
_UMOUNT_NOFOLLOW = 8
# Read-only, nosuid, nodev, noexec, noatime, nodiratime: of one value in statvfs(3) and mount(2).
_INHERITED = 1 | 2 | 4 | 8 | 1024 | 2048


class Restriction(IntFlag):
    """What a mount forbids; the values are those of mount(2)."""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    NO_DEVICES = 4


class Mount(NamedTuple):
    """One line of mountinfo, proc(5).

    id      of the mount, see mount_id
    device  "major:minor" of the file system
    root    the directory or file of that file system which is seen at the point; ends in
            "//deleted" once that was removed
    point   where, as this process sees it
    """

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: frozenset[str]
    type: str
    source: str


def parsed(text: str) -> list[Mount]:
    """The mounts of a mountinfo file, in its order: a later one covers an earlier one."""
    return [_parsed_line(line) for line in text.splitlines() if line]


def mount_table(process: int | str = "self") -> list[Mount]:
    """Every mount in the mount namespace of a process. Raises OSError if it is gone."""
    with open(f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parsed(file.read())


def mount_id(fd: int) -> int:
    """Of the mount an open file was reached by; st_dev would not tell a bind mount apart."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


def mounts_at(path: str) -> list[Mount]:
    """What is mounted exactly here, the one that is seen last. The path is free of links."""
    return [mount for mount in mount_table() if mount.point == path]


def mounts_below(path: str) -> list[str]:
    """The mount points inside a directory, itself left out. The path is free of links."""
    return [mount.point for mount in mount_table() if _is_below(mount.point, path)]


def holders(fd: int) -> list[str]:
    """Where a directory, or something in it, is mounted: in any mount namespace that we may see.

    Containers have namespaces of their own, so one that runs on is found here even if this host
    mounts the directory nowhere any more.

    returns  mount points for people to read: "/mnt/a", or "/data of process 4711"
    """
    table = mount_table()
    here = next((mount for mount in table if mount.id == mount_id(fd)), None)
    if here is None:
        return []
    place = os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), here.point)
    root = os.path.normpath(os.path.join(here.root, place))
    found = [mount.point for mount in table if _shows(mount, here.device, root)]
    for process, other in _other_namespaces():
        found += [
            f"{mount.point} of process {process}"
            for mount in other
            if _shows(mount, here.device, root)
        ]
    return found


@contextmanager
def handle(path: Path, *, follow_links: bool = True) -> Iterator[int]:
    """Whatever is at a path now, held: to be mounted from, it cannot be exchanged any more.

    follow_links  of the last part; if not, the handle may be one of a link
    raises        OSError
    """
    no_follow = 0 if follow_links else os.O_NOFOLLOW
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC | no_follow)
    try:
        yield fd
    finally:
        os.close(fd)


def bind(source_fd: int, target: Path, restrictions: Restriction = Restriction.NONE) -> None:
    """Show an open file or directory (O_PATH will do) at a path as well.

    target        exists, a directory for a directory, else a file
    restrictions  are set in a second step; repeat `restrict` if a crash may have come between
    raises        MountFailed
    """
    source = f"/proc/self/fd/{source_fd}"
    if _libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None):
        raise MountFailed("mount at", str(target), os.strerror(ctypes.get_errno()))
    restrict(target, restrictions)


def restrict(target: Path, restrictions: Restriction) -> None:
    """Add to what a bind mount forbids; what its source's mount forbids stays. MountFailed."""
    kept = os.statvfs(target).f_flag & _INHERITED  # a remount would drop what it does not repeat
    flags = _MS_BIND | _MS_REMOUNT | kept | restrictions
    if _libc.mount(None, os.fsencode(target), None, flags, None):
        raise MountFailed("set the options of", str(target), os.strerror(ctypes.get_errno()))


def unmount(target: Path) -> None:
    """Undo every mount at a path; none there is success. Never lazily: a holder keeps it.

    raises  MountBusy: a process has files open in it. MountFailed.
    """
    while _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW) == 0:
        pass
    error = ctypes.get_errno()
    if error == EBUSY:
        raise MountBusy(str(target))
    # Without the right to unmount it is EPERM whether anything is mounted there or not.
    if error in (EPERM, EINVAL) and mounts_at(str(target)):
        raise MountFailed("unmount", str(target), os.strerror(error))


def can_bind(directory: Path) -> bool:
    """Whether this process may mount here; found out by trying, since rights alone do not tell."""
    probe = directory / ".mount-probe"
    probe.mkdir(mode=0, exist_ok=True)
    try:
        with handle(probe, follow_links=False) as fd:
            bind(fd, probe)
        unmount(probe)
    except MountFailed:
        return False
    else:
        return True
    finally:
        probe.rmdir()


def _parsed_line(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    number, parent, device, root, point, options, *_ = before.split(" ")
    kind, source, *_ = after.split(" ")
    return Mount(
        id=int(number),
        parent=int(parent),
        device=device,
        root=_unescaped(root),
        point=_unescaped(point),
        options=frozenset(options.split(",")),
        type=kind,
        source=_unescaped(source),
    )


def _unescaped(text: str) -> str:
    """Blanks and the like are written as three octal digits; the backslash last, it is one too."""
    for escape, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("043", "#")):
        text = text.replace(f"\\{escape}", character)
    return text.replace("\\134", "\\")


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def _shows(mount: Mount, device: str, root: str) -> bool:
    """It is a mount of that place in that file system, or of something inside it."""
    shown = mount.root.removesuffix("//deleted")
    return mount.device == device and (shown == root or _is_below(shown, root))


def _other_namespaces() -> Iterable[tuple[str, list[Mount]]]:
    """One process of each mount namespace that is not ours, and what is mounted there."""
    seen = {os.stat("/proc/self/ns/mnt").st_ino}
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            namespace = os.stat(f"/proc/{process}/ns/mnt").st_ino
            if namespace not in seen:
                seen.add(namespace)
                yield process, mount_table(process)
        except OSError:  # it ended, or is not ours to look into
            continue
