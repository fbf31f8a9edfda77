"""What is mounted on this host, and bind mounts made by descriptor. Nobody else mounts."""

import ctypes
import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import IntFlag
from errno import EBUSY, EINVAL, EPERM
from pathlib import Path
from typing import Final, NamedTuple

from mooring.host.errors import MountBusy, MountFailed

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.syscall.restype = ctypes.c_long
_MS_BIND, _MS_REMOUNT = 4096, 32  # from <sys/mount.h>
_MS_PRIVATE, _MS_SHARED = 1 << 18, 1 << 20
_UMOUNT_NOFOLLOW = 8
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every machine but Alpha
_AT_EMPTY_PATH, _OPEN_TREE_CLONE, _MOVE_MOUNT_EMPTY_PATHS = 0x1000, 1, 0x44
# Read-only, nosuid, nodev, noexec, noatime, nodiratime: of one value in statvfs(3) and mount(2).
_INHERITED = 1 | 2 | 4 | 8 | 1024 | 2048
_DELETED: Final = "//deleted"
_SHARED_AND_SLAVE: Final = re.compile(r" shared:(\d+) master:(\d+) ")
_ESCAPES: Final = (("\\", "134"), (" ", "040"), ("\t", "011"), ("\n", "012"))


class Restriction(IntFlag):
    """What a mount forbids; the values are those of mount(2)."""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    NO_DEVICES = 4


class Place(NamedTuple):
    """A directory or file, whether it is mounted anywhere or not.

    device  "major:minor" of its file system
    root    where it is in that file system, "/" for all of it
    """

    device: str
    root: str


class Mount(NamedTuple):
    """One line of mountinfo, proc(5).

    id          of the mount, see mount_id
    device      "major:minor" of the file system
    root        the directory or file of that file system which is seen at the point; ends in
                "//deleted" once that was removed
    point       where, as the process sees it that was asked about
    peer_group  number of the group in which all get what is mounted in one of them; 0: in none
    master      number of the peer group whose mounts it gets as well; 0: of none
    """

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: frozenset[str]
    type: str
    source: str
    peer_group: int = 0
    master: int = 0

    @property
    def place(self) -> Place:
        """What is seen at its point."""
        return Place(self.device, self.root.removesuffix(_DELETED))

    def place_of(self, path: str) -> Place:
        """What is seen of this mount at a path at or below its point."""
        device, root = self.place
        below = os.path.relpath(path, self.point)
        return Place(device, os.path.normpath(os.path.join(root, below)))

    def shows(self, place: Place) -> bool:
        """It is a mount of that place, or of something inside it."""
        device, root = self.place
        return device == place.device and (root == place.root or _is_below(root, place.root))


class Mountinfo:
    """The mounts of one mount namespace, in the kernel's order: a later one covers an earlier one.

    There may be thousands, so a line is taken apart only when it is asked for.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def of(cls, process: int | str = "self") -> "Mountinfo":
        """As a process has it. Raises OSError if that is gone, or not ours to look into."""
        # A carriage return in a name is not the end of a line.
        with open(
            f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            return cls(file.read())

    def all(self) -> list[Mount]:
        return list(self._with(""))

    def at(self, point: str) -> list[Mount]:
        """What is mounted exactly there, the one that is seen last."""
        return [one for one in self._with(f" {_escaped(point)} ") if one.point == point]

    def showing(self, place: Place) -> list[Mount]:
        """The mounts of a place, or of something inside it."""
        sign = f" {place.device} {_escaped(place.root)}"
        return [one for one in self._with(sign) if one.shows(place)]

    def mount(self, number: int) -> Mount | None:
        """The one with this id; None also if it is outside of the root of that process."""
        sign = f"{number} "
        lines = (line for line in self._text.split("\n") if line.startswith(sign))
        return next(map(_parsed_line, lines), None)

    def parent(self, mount: Mount) -> Mount | None:
        """What a mount is mounted in."""
        return self.mount(mount.parent)

    def masters(self) -> Iterator[tuple[int, int]]:
        """The peer groups that get the mounts of another one, and which that is."""
        for found in _SHARED_AND_SLAVE.finditer(self._text):
            yield int(found[1]), int(found[2])

    def _with(self, sign: str) -> Iterator[Mount]:
        if sign in self._text:  # usually not, and thousands of lines need no second look
            for line in self._text.split("\n"):
                if line and sign in line:
                    yield _parsed_line(line)


def parsed(text: str) -> list[Mount]:
    """The mounts of a mountinfo file."""
    return Mountinfo(text).all()


def mount_table(process: int | str = "self") -> list[Mount]:
    """Every mount in the mount namespace of a process. Raises OSError if it is gone."""
    return Mountinfo.of(process).all()


def mount_id(fd: int) -> int:
    """Of the mount an open file was reached by; st_dev would not tell a bind mount apart."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


def mounts_at(path: str) -> list[Mount]:
    """What is mounted exactly here, the one that is seen last. The path is free of links."""
    return Mountinfo.of().at(path)


def mounts_below(path: str) -> list[str]:
    """The mount points inside a directory, itself left out. The path is free of links."""
    return [mount.point for mount in mount_table() if _is_below(mount.point, path)]


def place_of(fd: int, table: Mountinfo | None = None) -> Place | None:
    """Where an open file or directory is (O_PATH will do); None if its mount cannot be seen."""
    mount = (table or Mountinfo.of()).mount(mount_id(fd))
    return None if mount is None else mount.place_of(os.readlink(f"/proc/self/fd/{fd}"))


def holders(fd: int) -> list[str]:
    """Where a directory, or something in it, is mounted: in any mount namespace that we may see.

    Containers have namespaces of their own, so one that runs on is found here even if this host
    mounts the directory nowhere any more.

    returns  mount points for people to read: "/mnt/a", or "/data of process 4711 (postgres)";
             printable, whatever they are called
    """
    table = Mountinfo.of()
    place = place_of(fd, table)
    if place is None:
        return []
    found = [_printable(mount.point) for mount in table.showing(place)]
    for process, other in _other_namespaces():
        found += [_held(process, mount) for mount in other.showing(place)]
    return found


def held_elsewhere(
    place: Place, published: Iterable[Mount] = (), processes: Iterable[int] = ()
) -> list[str]:
    """Who has a place mounted, of other mount namespaces than ours, and keeps it when we unmount.

    Where mounts propagate, as to most services of a host with systemd, each of our mounts has a
    copy in many namespaces. Nobody there asked for it, and the kernel takes it away with ours.

    published  our own mounts of the place
    processes  whose mount namespaces do not count either
    returns    as holders
    """
    ours = Mountinfo.of()
    origins = {
        (parent.peer_group, parent.place_of(mount.point))
        for mount in published
        if (parent := ours.parent(mount)) and parent.peer_group
    }
    tables, found = [ours], []
    for process, table in _other_namespaces(processes):
        tables.append(table)
        found += [(process, mount, table.parent(mount)) for mount in table.showing(place)]
    return [
        _held(process, mount)
        for process, mount, parent in found
        if parent is None or not _is_copy(mount, parent, origins, tables)
    ]


def in_our_namespace(process: int) -> bool:
    """Whether a process sees the mounts that we see. False if it is gone."""
    return _namespace(process) == _namespace("self")


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


def is_shared_with_itself(directory: Path) -> bool:
    """Whether a directory is a shared mount of itself, as share_with_itself makes it."""
    mount = _covering_itself(directory)
    return mount is not None and mount.peer_group != 0


def share_with_itself(directory: Path) -> None:
    """Mount a directory on itself, so that what is mounted below reaches other mount namespaces.

    It does where they have a copy of this mount: one that propagated, or that they got as copies of
    our namespace, unless they made it private. What is mounted below already is hidden. Repeat it
    after a crash. MountFailed.
    """
    if _covering_itself(directory) is None:
        with handle(directory, follow_links=False) as fd:
            with suppress(OSError):  # before Linux 5.12, or forbidden
                _mount_shared_clone(fd)
                return
            # It is in the peer group of the mount around it, if that is shared: what is mounted
            # below is then mounted in there as well, unseen, and goes with it.
            bind(fd, directory)
    if _libc.mount(None, os.fsencode(directory), None, _MS_SHARED, None):
        raise MountFailed("share", str(directory), os.strerror(ctypes.get_errno()))


def unmount(target: Path) -> None:
    """Undo every mount at a path; none there is success. Never lazily: a holder keeps it.

    raises  MountBusy: a process has files open in it. MountFailed.
    """
    while _unmounted_one(target):
        pass


def unmount_one(target: Path) -> None:
    """Undo the mount that is seen at a path, as unmount does, and leave what it covers."""
    _unmounted_one(target)


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
    number, parent, device, root, point, options, *optional = before.split(" ")
    kind, source, *_ = after.split(" ")
    tags = dict(field.split(":", 1) for field in optional if ":" in field)
    return Mount(
        id=int(number),
        parent=int(parent),
        device=device,
        root=_unescaped(root),
        point=_unescaped(point),
        options=frozenset(options.split(",")),
        type=kind,
        source=_unescaped(source.replace("\\043", "#")),
        peer_group=int(tags.get("shared", 0)),
        master=int(tags.get("master", 0)),
    )


def _unescaped(text: str) -> str:
    """Blanks and the like are written as three octal digits; the backslash last, it is one too."""
    for character, digits in reversed(_ESCAPES):
        text = text.replace(f"\\{digits}", character)
    return text


def _escaped(text: str) -> str:
    """As paths are written in mountinfo."""
    for character, digits in _ESCAPES:
        text = text.replace(character, f"\\{digits}")
    return text


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def _is_copy(
    mount: Mount, parent: Mount, origins: set[tuple[int, Place]], tables: list[Mountinfo]
) -> bool:
    """The kernel made it of a mount of ours: its parent gets what is mounted in our mount's."""
    spot = parent.place_of(mount.point)
    for group, place in origins:
        if place == spot:
            if group in (parent.peer_group, parent.master):
                return True
            if {parent.peer_group, parent.master} & _receivers(group, tables):
                return True
    return False


def _receivers(group: int, tables: list[Mountinfo]) -> set[int]:
    """The peer groups that get what is mounted in a group, over any number of steps."""
    masters = {pair for table in tables for pair in table.masters()}
    reached, found = set[int](), {group}
    while found:
        reached |= found
        found = {one for one, master in masters if master in found} - reached
    return reached


def _held(process: str, mount: Mount) -> str:
    name = ""
    with suppress(OSError), open(f"/proc/{process}/comm", errors="replace") as file:
        name = f" ({file.read().strip()})"
    return _printable(f"{mount.point} of process {process}{name}")


def _printable(text: str) -> str:
    """Containers choose these names."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _other_namespaces(processes: Iterable[int] = ()) -> Iterator[tuple[str, Mountinfo]]:
    """One process of each mount namespace but ours and those of some processes; what it has."""
    seen = {_namespace("self"), *map(_namespace, processes)} - {None}
    for process in filter(str.isdigit, os.listdir("/proc")):
        if (namespace := _namespace(process)) in seen:
            continue
        for task in [process] if namespace else _tasks(process):
            if (namespace := _namespace(task)) and namespace not in seen:
                # It may end before it is read, but others may live on in there.
                with suppress(OSError):
                    table = Mountinfo.of(task)
                    seen.add(namespace)
                    yield task, table


def _tasks(process: str) -> list[str]:
    """Its threads. One can have ended alone, the first one too, and has no namespace any more."""
    try:
        return os.listdir(f"/proc/{process}/task")
    except OSError:
        return []


def _namespace(process: int | str) -> str | None:
    """What the mount namespace of a process is called; None if it has none any more."""
    try:
        return os.readlink(f"/proc/{process}/ns/mnt")
    except OSError:
        return None


def _covering_itself(directory: Path) -> Mount | None:
    """The mount that is seen at a directory, if it shows just the directory that it covers."""
    table = Mountinfo.of()
    mounts = table.at(str(directory))
    parent = table.parent(mounts[-1]) if mounts else None
    if parent is None or mounts[-1].place != parent.place_of(str(directory)):
        return None
    return mounts[-1]


def _mount_shared_clone(fd: int) -> None:
    """Mount an open directory on itself, in a peer group of its own, in one step. OSError."""
    tree = _called(_OPEN_TREE, fd, b"", _OPEN_TREE_CLONE | _AT_EMPTY_PATH | os.O_CLOEXEC)
    try:
        for propagation in (_MS_PRIVATE, _MS_SHARED):  # out of the group it is cloned into first
            attributes = struct.pack("=4Q", 0, 0, propagation, 0)
            _called(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes))
        _called(_MOVE_MOUNT, tree, b"", fd, b"", _MOVE_MOUNT_EMPTY_PATHS)
    finally:
        os.close(tree)


def _called(number: int, *arguments: int | bytes) -> int:
    """A system call that the C library may not know yet. Raises OSError."""
    converted = [
        ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments
    ]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _unmounted_one(target: Path) -> bool:
    """False if nothing is mounted there."""
    if _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW) == 0:
        return True
    error = ctypes.get_errno()
    if error == EBUSY:
        raise MountBusy(str(target))
    # Without the right to unmount it is EPERM whether anything is mounted there or not.
    if error in (EPERM, EINVAL) and mounts_at(str(target)):
        raise MountFailed("unmount", str(target), os.strerror(error))
    return False
