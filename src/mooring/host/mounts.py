"""What is mounted on this host, and bind mounts made by descriptor. Nobody else mounts."""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from enum import IntFlag
from errno import EBUSY, EINVAL, EPERM
from pathlib import Path

from mooring.host.errors import MountBusy, MountFailed
from mooring.host.mountinfo import Mount, Mountinfo, Place

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.syscall.restype = ctypes.c_long
_MS_BIND, _MS_REMOUNT = 4096, 32  # from <sys/mount.h>
_MS_PRIVATE, _MS_SLAVE, _MS_SHARED, _MS_REC = 1 << 18, 1 << 19, 1 << 20, 1 << 14
_UMOUNT_NOFOLLOW = 8
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every machine but Alpha
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # likewise
_SET_FLAG, _SET_STRING, _CREATE, _CLOEXEC = 0, 1, 6, 1
_AT_EMPTY_PATH, _OPEN_TREE_CLONE, _MOVE_MOUNT_EMPTY_PATHS = 0x1000, 1, 0x44
# Read-only, nosuid, nodev, noexec, noatime, nodiratime: of one value in statvfs(3) and mount(2).
_INHERITED = 1 | 2 | 4 | 8 | 1024 | 2048


class Restriction(IntFlag):
    """What a mount forbids; the values are those of mount(2)."""

    NONE = 0
    READ_ONLY = 1
    NO_SUID = 2
    NO_DEVICES = 4
    NO_PROGRAMS = 8


_FORBIDDEN = Restriction.NO_SUID | Restriction.NO_DEVICES | Restriction.NO_PROGRAMS


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
    found = [_printable(mount.point) for _, mount in table.showing({place})]
    for process, other in _other_namespaces():
        found += [_held(process, mount) for _, mount in other.showing({place})]
    return found


def held_elsewhere(places: Set[Place], processes: Iterable[int] = ()) -> dict[Place, list[str]]:
    """Who has places mounted, of other mount namespaces than ours, and keeps them when we unmount.

    Where mounts propagate, as to most services of a host with systemd, each of our mounts has a
    copy in many namespaces. Nobody there asked for it, and the kernel takes it away with ours.

    processes  whose mount namespaces do not count either
    returns    as holders, for each place that is held
    """
    held: dict[Place, list[str]] = {}
    for place, process, mount in _holding(places, processes):
        held.setdefault(place, []).append(_held(process, mount))
    return held


def processes_holding(places: Set[Place], spared: Iterable[int] = ()) -> set[int]:
    """All processes of the mount namespaces that `held_elsewhere` finds.

    spared  likewise
    """
    namespaces = {_namespace(process) for _, process, _ in _holding(places, spared)} - {None}
    if not namespaces:
        return set()
    found = filter(str.isdigit, os.listdir("/proc"))
    return {int(one) for one in found if _namespace(one) in namespaces}


def _holding(places: Set[Place], processes: Iterable[int]) -> Iterator[tuple[Place, str, Mount]]:
    """One process of each mount namespace that has a place, and where."""
    ours = Mountinfo.of()
    origins = {
        (parent.place_of(mount.point), parent.peer_group)
        for _, mount in ours.showing(places)
        if (parent := ours.parent(mount)) and parent.peer_group
    }
    tables, found = [ours], []
    for process, table in _other_namespaces(processes):
        tables.append(table)
        for place, mount in table.showing(places):
            if not _is_copy(mount, table.parent(mount), origins):
                found.append((place, process, mount, table.parent(mount)))
    if found:  # or copies of copies, which is rare, and needs a look at all namespaces
        origins = _received(origins, tables)
    for place, process, mount, parent in found:
        if not _is_copy(mount, parent, origins):
            yield place, process, mount


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


@contextmanager
def file_system(
    device: str,
    kind: str,
    options: Sequence[str] = (),
    restrictions: Restriction = Restriction.NONE,
) -> Iterator[int]:
    """A file system on a block device, mounted nowhere: a descriptor of its root.

    With the descriptor it goes, also if this process dies, unless `attach` has given it a place. If
    it is mounted somewhere already this is another mount of the same.

    options  each "name" or "name=value"
    raises   MountFailed, with what the kernel has to say
    """
    mounted = _mounted(device, kind, options, restrictions)
    try:
        root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mounted)
        try:
            yield root
        finally:
            os.close(root)
    finally:
        os.close(mounted)


def attach(root_fd: int, point_fd: int) -> None:
    """Give what `file_system` has mounted its place: an open directory. Raises MountFailed."""
    try:
        _called(_MOVE_MOUNT, root_fd, b"", point_fd, b"", _MOVE_MOUNT_EMPTY_PATHS)
    except OSError as error:
        point = os.readlink(f"/proc/self/fd/{point_fd}")
        raise MountFailed("mount at", point, os.strerror(error.errno or 0)) from error


def restrict(target: Path, restrictions: Restriction) -> None:
    """Add to what a bind mount forbids; what its source's mount forbids stays. MountFailed."""
    kept = os.statvfs(target).f_flag & _INHERITED  # a remount would drop what it does not repeat
    flags = _MS_BIND | _MS_REMOUNT | kept | restrictions
    if _libc.mount(None, os.fsencode(target), None, flags, None):
        raise MountFailed("set the options of", str(target), os.strerror(ctypes.get_errno()))


def is_shared_with_itself(directory: Path, *, by_us: bool = False) -> bool:
    """Whether a directory is a shared mount of itself.

    by_us  also that share_with_itself made it, and not an administrator
    """
    mount = _covering_itself(directory)
    if mount is None or not mount.peer_group:
        return False
    return not by_us or {"nosuid", "nodev", "noexec"} <= mount.options


def share_with_itself(directory: Path) -> None:
    """Mount a directory on itself, so that what is mounted below reaches other mount namespaces.

    It does where they have a copy of this mount: one that propagated, or that they got as copies of
    our namespace, unless they made it private. What is mounted below already is hidden. Repeat it
    after a crash. MountFailed.

    It forbids all that nobody needs of the directory as such. That is how we know our own again.
    """
    if _covering_itself(directory) is None:
        with handle(directory, follow_links=False) as fd:
            with suppress(OSError):  # before Linux 5.12, or forbidden
                _mount_shared_clone(fd)
                return
            # It is in the peer group of the mount around it, if that is shared: what is mounted
            # below is then mounted in there as well, unseen, and goes with it.
            bind(fd, directory, _FORBIDDEN)
    if _libc.mount(None, os.fsencode(directory), None, _MS_SHARED, None):
        raise MountFailed("share", str(directory), os.strerror(ctypes.get_errno()))


def follow_outside() -> None:
    """In a mount namespace of one's own: what is mounted and unmounted outside is so here as well,
    and nothing of what is mounted here outside. Raises MountFailed."""
    if _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None):
        raise MountFailed("keep apart what is mounted below", "/", os.strerror(ctypes.get_errno()))


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


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def _is_copy(mount: Mount, parent: Mount | None, origins: Set[tuple[Place, int]]) -> bool:
    """The kernel made it of a mount of ours: its parent gets what is mounted in our mount's.

    origins  of our mounts: what each one covers, and the peer group that gets it there
    """
    if parent is None:
        return False
    covered = parent.place_of(mount.point)
    return (covered, parent.peer_group) in origins or (covered, parent.master) in origins


def _received(
    origins: Set[tuple[Place, int]], tables: Iterable[Mountinfo]
) -> set[tuple[Place, int]]:
    """The same with all peer groups that get it, over any number of steps."""
    slaves: dict[int, set[int]] = {}
    for table in tables:
        for group, master in table.masters():
            slaves.setdefault(master, set()).add(group)
    reached, new = set[tuple[Place, int]](), set(origins)
    while new:
        reached |= new
        new = {(place, one) for place, group in new for one in slaves.get(group, ())} - reached
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


def _mounted(device: str, kind: str, options: Sequence[str], restrictions: Restriction) -> int:
    """A mount without a place. Raises MountFailed."""
    context = -1
    try:
        context = _called(_FSOPEN, kind.encode(), _CLOEXEC)
        _called(_FSCONFIG, context, _SET_STRING, b"source", os.fsencode(device), 0)
        for option in options:
            name, has_value, value = option.partition("=")
            if has_value:
                _called(_FSCONFIG, context, _SET_STRING, name.encode(), value.encode(), 0)
            else:
                _called(_FSCONFIG, context, _SET_FLAG, name.encode(), 0, 0)
        _called(_FSCONFIG, context, _CREATE, 0, 0, 0)
        return _called(_FSMOUNT, context, _CLOEXEC, int(restrictions))
    except OSError as error:
        said = [os.strerror(error.errno or 0), *_said(context)]
        raise MountFailed("mount", device, "; ".join(said), error.errno or 0) from error
    finally:
        if context >= 0:
            os.close(context)


def _said(context: int) -> Iterator[str]:
    """What the kernel tells about a mount that it refused: "e xfs: …" a line."""
    with suppress(OSError):
        while context >= 0:
            yield os.read(context, 4096).decode(errors="replace").strip()[2:]


def _mount_shared_clone(fd: int) -> None:
    """Mount an open directory on itself, in a peer group of its own, in one step. OSError."""
    tree = _called(_OPEN_TREE, fd, b"", _OPEN_TREE_CLONE | _AT_EMPTY_PATH | os.O_CLOEXEC)
    try:
        for propagation in (_MS_PRIVATE, _MS_SHARED):  # out of the group it is cloned into first
            attributes = struct.pack("=4Q", _FORBIDDEN, 0, propagation, 0)
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
