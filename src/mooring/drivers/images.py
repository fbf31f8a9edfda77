"""An image with what belongs to it, as a directory below a pool's root. All calls block.

about      JSON: what it is, and how large; beside the data, where a volume cannot reach it
image      the file system; in that, data/ is what belongs to the volume's user
fs         where the file system is mounted while it is published
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EISDIR, ENOENT, EOPNOTSUPP, EPERM
from pathlib import Path
from typing import Final, Self

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.drivers.imagefs import ImageFs, kind_in
from mooring.host import files, filesystems, loops, mounts
from mooring.host.loops import Loop
from mooring.host.mountinfo import Place
from mooring.host.mounts import Restriction

ABOUT, IMAGE, POINT, DATA = "about", "image", "fs", "data"
NO_LINK: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RESTRICTIONS: Final = Restriction.NO_SUID | Restriction.NO_DEVICES
CANNOT_NOW: Final = (EPERM, EOPNOTSUPP)  # of a growth: it can be ended later
_POINT_MODE: Final = 0  # whoever is not root finds nothing to write to where it is bare

PUBLISH_ATTACHED: Final = crash_point("loopfile.publish.attached")
PUBLISH_MOUNTED: Final = crash_point("loopfile.publish.mounted")
MODIFY_WRITTEN: Final = crash_point("loopfile.modify.written")
SNAPSHOT_FROZEN: Final = crash_point("loopfile.snapshot.frozen")
SNAPSHOT_CLONED: Final = crash_point("loopfile.snapshot.cloned")
SNAPSHOT_COPIED: Final = crash_point("loopfile.snapshot.copied")


class About(msgspec.Struct, frozen=True):
    """What is known of an image.

    size_bytes   of the volume: what can be written
    image_bytes  of the image; more while it grows
    asked_bytes  what was asked for when it was made; its source may have been larger
    grows_to     size it is about to get, 0: none; it may have it already in part
    made_ns      since the epoch
    direct_io    its device reads and writes past the page cache, where that can be
    """

    size_bytes: int
    image_bytes: int
    asked_bytes: int
    made_ns: int
    grows_to: int = 0
    direct_io: bool = True


class Held:
    """A descriptor that is closed in time, and also if nobody could be given it any more.

    about  the asset or snapshot that it is of, whose calls may hang alone
    """

    def __init__(self, fd: int, about: str = "") -> None:
        self.fd, self.about = fd, about

    def again(self) -> "Held":
        """Another one of the same, with the same lock: that is held until both are closed."""
        return Held(os.dup(self.fd), self.about)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def locked_directory(name: str, root: int) -> Held | None:
    """The directory of a name, for us alone.

    returns  None if it is not there
    raises   BlockingIOError: somebody else has it. OSError (ENOTDIR, ELOOP: it is something else)
    """
    try:
        held = Held(os.open(name, NO_LINK, dir_fd=root), name)
    except FileNotFoundError:
        return None
    fcntl.flock(held.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.stat(name, dir_fd=root), os.fstat(held.fd)):
            return held
    raise BlockingIOError  # it was exchanged meanwhile: look again


def about(directory: int) -> About:
    """Raises FileNotFoundError, msgspec.DecodeError, OSError."""
    return msgspec.json.decode(files.small_file(ABOUT, directory), type=About)


def write_about(directory: int, about: About) -> None:
    files.written(ABOUT, msgspec.json.encode(about), directory, mode=0o600)


@contextmanager
def opened_image(directory: int) -> Iterator[int]:
    """Raises OSError: FileNotFoundError, ELOOP, or EISDIR for anything but a file."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(IMAGE, flags, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(EISDIR, "not a regular file", IMAGE)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def new_image(directory: int, size_bytes: int, allocate: bool) -> Iterator[int]:
    """An empty one. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(IMAGE, flags, 0o600, dir_fd=directory)
    try:
        resize(fd, size_bytes, allocate)
        yield fd
    finally:
        os.close(fd)


def resize(image: int, size_bytes: int, allocate: bool) -> None:
    """Have it at least that large. Raises OSError; then it is as large as before."""
    has_bytes = os.fstat(image).st_size
    if size_bytes <= has_bytes:
        return
    if not allocate:
        os.ftruncate(image, size_bytes)
        return
    try:
        os.posix_fallocate(image, 0, size_bytes)
    except OSError:  # what it got of the disk by then is given back
        os.ftruncate(image, has_bytes)
        raise


@contextmanager
def mounted(
    image: int, kind: ImageFs, options: tuple[str, ...] = (), *, direct_io: bool = True
) -> Iterator[tuple[int, Loop]]:
    """The file system of an image, mounted nowhere: of the device that it has, else of a new one.

    Not both: two devices of one image would overwrite each other. So the caller has the lock.

    returns  a descriptor of its root
    raises   MountFailed, OSError
    """
    with ExitStack() as stack:
        loop = loops.loop_of(image)
        if loop is None:
            loop = stack.enter_context(loops.attached(image, direct_io=direct_io))
            passing(PUBLISH_ATTACHED)
        yield (
            stack.enter_context(
                mounts.file_system(loop.node, kind.kind, kind.options + options, _RESTRICTIONS)
            ),
            loop,
        )


def make_data(image: int, kind: ImageFs, mode: int, uid: int, gid: int) -> None:
    """Fill a new file system: the directory that is the volume's. Raises MountFailed, OSError."""
    with mounted(image, kind) as (top, _):
        os.mkdir(DATA, 0o700, dir_fd=top)
        with files.directory(DATA, top) as data:
            os.fchown(data, uid, gid)
            os.fchmod(data, mode)  # after chown, which takes set-uid bits away
            files.synced(data)
        with suppress(OSError):  # an xfs has none
            os.rmdir("lost+found", dir_fd=top)
        files.file_system_synced(top)


def show(directory: int, kind: ImageFs, options: tuple[str, ...]) -> None:
    """Mount it at its point. FileNotFoundError: there is no data in it. MountFailed, OSError."""
    with suppress(FileExistsError):
        os.mkdir(POINT, _POINT_MODE, dir_fd=directory)
    with (
        opened_image(directory) as image,
        mounted(image, kind, options, direct_io=about(directory).direct_io) as (top, _),
        files.directory(POINT, directory) as point,
    ):
        if not stat.S_ISDIR(os.stat(DATA, dir_fd=top, follow_symlinks=False).st_mode):
            raise FileNotFoundError(ENOENT, "it is no directory", DATA)
        mounts.attach(top, point)
        passing(PUBLISH_MOUNTED)


def shown_device(directory: int) -> int | None:
    """What is mounted at its point, as st_dev; None if nothing is."""
    try:
        there = os.stat(POINT, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return there.st_dev if there.st_dev != os.fstat(directory).st_dev else None


def point_of(directory: int) -> Path:
    """Where it is mounted while it is published, as mountinfo has it."""
    return Path(os.readlink(f"/proc/self/fd/{directory}")) / POINT


def device_of(loop: Loop) -> int:
    """As st_dev of what is in its file system."""
    major, _, minor = loop.device.partition(":")
    return os.makedev(int(major), int(minor))


def users(loop: Loop, but: str) -> list[str]:
    """Where the file system of a device is mounted, besides at a path of ours and its copies."""
    here = [one.point for one in mounts.mount_table() if one.device == loop.device]
    place = Place(loop.device, "/")
    return [one for one in here if one != but] + mounts.held_elsewhere({place}).get(place, [])


def copy_image(source: int, target: int, kind: ImageFs) -> None:
    """Clone an image as its file system is now, whole, also while it is written to.

    raises  OSError, MountFailed
    """
    if loops.loop_of(source) is None:
        filesystems.clone(source, target)
    else:
        with mounted(source, kind) as (top, _), filesystems.frozen(top):
            passing(SNAPSHOT_FROZEN)
            filesystems.clone(source, target)
    passing(SNAPSHOT_CLONED)
    os.fsync(target)


def thaw(image: int, loop: Loop) -> None:
    """Whoever froze it may have died. Without the lock: of the device that it has, or not at all.

    raises  OSError, MountFailed
    """
    if (kind := kind_in(image)) is not None:
        with mounts.file_system(loop.node, kind.kind, kind.options, _RESTRICTIONS) as top:
            filesystems.thaw(top)


def grow_mounted(
    image: int, kind: ImageFs, size_bytes: int, allocate: bool, keep_bytes: int
) -> None:
    """Have image and file system so large, mounted or not. OSError (CANNOT_NOW), MountFailed.

    keep_bytes  of the image are its own whatever fails; what it grew by goes, unless it is used
    """
    with mounted(image, kind) as (top, loop):
        try:
            resize(image, size_bytes, allocate)
            loops.follow_size(loop)
            if _taken_bytes(kind, loop, top) < size_bytes:
                kind.grow_mounted(top, size_bytes)
            files.file_system_synced(top)
        except OSError as error:
            if error.errno not in CANNOT_NOW:
                with suppress(OSError):  # what it said first is what is told
                    _give_back(image, max(keep_bytes, _taken_bytes(kind, loop, top)))
                    loops.follow_size(loop)
            raise


def give_back(image: int, kind: ImageFs, keep_bytes: int) -> None:
    """What an image that is mounted nowhere has beyond this, and its file system does not use."""
    _give_back(image, max(keep_bytes, kind.taken_bytes(image)))


def _give_back(image: int, keep_bytes: int) -> None:
    if keep_bytes < os.fstat(image).st_size:
        os.ftruncate(image, keep_bytes)


def _taken_bytes(kind: ImageFs, loop: Loop, top: int) -> int:
    with Held(os.open(loop.node, os.O_RDONLY | os.O_CLOEXEC)) as device:
        return kind.taken_bytes(device.fd, top)


def modify(directory: int, has: About) -> None:
    """Have it as this says, its device as well if it has one. Raises OSError."""
    write_about(directory, has)
    passing(MODIFY_WRITTEN)
    with opened_image(directory) as image:
        if (loop := loops.loop_of(image)) is not None:
            loops.set_direct_io(loop, has.direct_io)


def can_clone(directory: int) -> bool:
    """Whether files there can share their blocks; found out by trying."""
    flags = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
    try:
        with Held(os.open(".", flags, 0o600, dir_fd=directory)) as one:
            with Held(os.open(".", flags, 0o600, dir_fd=directory)) as other:
                os.write(one.fd, b"x" * 4096)
                filesystems.clone(one.fd, other.fd)
    except OSError:
        return False
    return True
