"""What file systems are asked by a descriptor of something in them. All of it raises OSError."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EBUSY, EINVAL
from typing import Final

# From <linux/fs.h>, <xfs/xfs_fs.h> and ext4's own; the same on the machines Docker is used on.
_FREEZE, _THAW, _TRIM, _CLONE = 0xC0045877, 0xC0045878, 0xC0185879, 0x40049409
_XFS_GEOMETRY, _XFS_GROW, _EXT4_GROW = 0x80705864, 0x4010586E, 0x40086610
_WHOLE: Final = 2**64 - 1


def clone(source: int, target: int) -> None:
    """Give an empty file the content of another on the same file system, sharing its blocks.

    EOPNOTSUPP: it cannot. What is written to the source meanwhile is in it whole or not at all.
    """
    fcntl.ioctl(target, _CLONE, source)


@contextmanager
def frozen(fd: int) -> Iterator[None]:
    """Meanwhile nothing is written: the file system is on its device as if it were unmounted.

    Writers wait. If this process dies in here they wait until somebody thaws it.
    """
    try:
        fcntl.ioctl(fd, _FREEZE, 0)
    except OSError as error:
        if error.errno != EBUSY:
            raise
        # By somebody who died, or an administrator: it is still, and stays so until it is thawed.
    try:
        yield
    finally:
        thaw(fd)


def thaw(fd: int) -> None:
    """Writers go on. Not frozen is success."""
    try:
        fcntl.ioctl(fd, _THAW, 0)
    except OSError as error:
        if error.errno != EINVAL:
            raise


def trim(fd: int) -> None:
    """Give back to the device below what is not used."""
    fcntl.ioctl(fd, _TRIM, struct.pack("=3Q", 0, _WHOLE, 0))


def grow_xfs(fd: int, size_bytes: int) -> None:
    """Have it take so much of its device, which became larger. It never becomes smaller."""
    block_bytes, has_blocks, most_inodes = _geometry(fd)
    blocks = size_bytes // block_bytes
    if blocks > has_blocks:
        fcntl.ioctl(fd, _XFS_GROW, struct.pack("=QI4x", blocks, most_inodes))


def grow_ext4(fd: int, size_bytes: int) -> None:
    """The same, of one that has less; EPERM without CAP_SYS_RESOURCE."""
    blocks = size_bytes // os.fstatvfs(fd).f_bsize
    fcntl.ioctl(fd, _EXT4_GROW, struct.pack("=Q", blocks))


def xfs_bytes(fd: int) -> int:
    """How much of its device it takes. Its superblock on the device may be older than that."""
    block_bytes, blocks, _ = _geometry(fd)
    return block_bytes * blocks


def _geometry(fd: int) -> tuple[int, int, int]:
    """Of an xfs: bytes of a block, blocks, percent that may be inodes."""
    geometry = fcntl.ioctl(fd, _XFS_GEOMETRY, bytes(112))
    (block_bytes,), (most_inodes,) = (
        struct.unpack_from("=I", geometry),
        struct.unpack_from("=I", geometry, 28),
    )
    (blocks,) = struct.unpack_from("=Q", geometry, 32)
    return block_bytes, blocks, most_inodes
