"""Files as block devices, by the loop driver of the kernel (5.8 or later).

A device ends with its last user, be that a mount or an open descriptor ("autoclear"). So a process
that dies leaves none, and there is nothing to detach after an unmount.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EBUSY, EINVAL, ENXIO
from pathlib import Path
from typing import Final, NamedTuple

# From <linux/loop.h>.
_CONFIGURE, _CLR_FD, _GET_STATUS64, _SET_CAPACITY = 0x4C0A, 0x4C01, 0x4C05, 0x4C07
_SET_DIRECT_IO: Final = 0x4C08
_CTL_GET_FREE: Final = 0x4C82
_AUTOCLEAR, _DIRECT_IO = 4, 16
_STATUS: Final = struct.Struct("=5Q4I64s64s32s2Q")
_CONFIG: Final = struct.Struct(f"=2I{_STATUS.size}s64x")
_CONTROL: Final = "/dev/loop-control"
_BLOCK_BYTES: Final = 512  # left to itself, the kernel takes another after a file was cloned
_SHOWN_BYTES: Final = 64
_TRIES: Final = 64  # others look for a free device at the same moment


class Backing(NamedTuple):
    """The file of a device: as st_dev and st_ino have it."""

    device: int
    inode: int


class Loop(NamedTuple):
    """A device that is attached.

    path  of the file when it was asked; ends in " (deleted)" if it has no name any more
    """

    number: int
    backing: Backing
    path: str

    @property
    def node(self) -> str:
        return f"/dev/loop{self.number}"

    @property
    def device(self) -> str:
        """As mountinfo has it."""
        return f"7:{self.number}"


def backing_of(fd: int) -> Backing:
    found = os.fstat(fd)
    return Backing(found.st_dev, found.st_ino)


def loops() -> Iterator[Loop]:
    """Every device of this host that is attached, whoever made it."""
    for directory in Path("/sys/block").glob("loop*/loop"):
        with suppress(OSError, ValueError):  # it ends at this moment
            path = (directory / "backing_file").read_text(errors="surrogateescape").rstrip("\n")
            number = int(directory.parent.name.removeprefix("loop"))
            with _opened(number, os.O_RDONLY) as device:
                status = bytearray(_STATUS.size)
                fcntl.ioctl(device, _GET_STATUS64, status)
                backing_device, inode, *_ = _STATUS.unpack(status)
                yield Loop(number, Backing(backing_device, inode), path)


def loop_of(fd: int) -> Loop | None:
    """The device of an open file, None if it has none."""
    wanted = backing_of(fd)
    return next((loop for loop in loops() if loop.backing == wanted), None)


@contextmanager
def attached(fd: int, *, direct_io: bool = True) -> Iterator[Loop]:
    """A device of a file, open for reading and writing, that has none: two would overwrite each
    other. It stays after this while something else uses it.

    With direct_io, it reads and writes past the page cache where the file system of the file lets
    it in blocks of 512 bytes; xfs does not once blocks of the file are shared. Raises OSError.
    """
    backing = backing_of(fd)
    path, flags = os.readlink(f"/proc/self/fd/{fd}"), _AUTOCLEAR | (_DIRECT_IO if direct_io else 0)
    shown = os.fsencode(path)[: _SHOWN_BYTES - 1]  # to people, by `losetup --list`
    status = _STATUS.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, shown, b"", b"", 0, 0)
    for tries_left in reversed(range(_TRIES)):
        number = _free_number()
        with _opened(number, os.O_RDWR) as device:
            try:
                fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(fd, _BLOCK_BYTES, status))
            except OSError as error:
                if error.errno != EBUSY or not tries_left:
                    raise
                continue
            yield Loop(number, backing, path)
            return


def follow_size(loop: Loop) -> None:
    """Have the device as large as its file is now. Raises OSError."""
    with _opened(loop.number, os.O_RDWR) as device:
        fcntl.ioctl(device, _SET_CAPACITY)


def set_direct_io(loop: Loop, wanted: bool) -> None:
    """As `attached` has it, of a device in use. Raises OSError."""
    with _opened(loop.number, os.O_RDWR) as device:
        try:
            fcntl.ioctl(device, _SET_DIRECT_IO, int(wanted))
        except OSError as error:
            if error.errno != EINVAL or not wanted:
                raise


def is_held(loop: Loop) -> bool:
    """Whether something has it for itself, as a mount does: in any mount namespace."""
    try:
        with _opened(loop.number, os.O_RDONLY | os.O_EXCL):
            return False
    except OSError as error:
        if error.errno == ENXIO:
            return False
        if error.errno == EBUSY:
            return True
        raise


def detach(loop: Loop) -> None:
    """End it as soon as nobody has it open; not attached is success. Raises OSError."""
    try:
        with _opened(loop.number, os.O_RDONLY) as device:
            fcntl.ioctl(device, _CLR_FD)
    except OSError as error:
        if error.errno != ENXIO:
            raise


def _free_number() -> int:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, _CTL_GET_FREE)
    finally:
        os.close(control)


@contextmanager
def _opened(number: int, flags: int) -> Iterator[int]:
    fd = os.open(f"/dev/loop{number}", flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
