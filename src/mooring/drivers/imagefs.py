"""The file systems that an image can have: how large it must be, how it is made, checked, grown."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from errno import EBADMSG, EINVAL, EUCLEAN
from pathlib import Path
from typing import Final

from mooring.host import filesystems
from mooring.host.errors import ProgramFailed
from mooring.host.processes import checked, run

MIB: Final = 1 << 20
MAKE_DEADLINE_S: Final = 60
CHECK_DEADLINE_S: Final = 600  # of terabytes with errors; a clean one takes milliseconds
DAMAGE: Final = frozenset({EUCLEAN, EBADMSG, EINVAL})  # errno of a mount: found it is not whole
_U32, _U16 = struct.Struct("<I"), struct.Struct("<H")
_XFS_SIZE: Final = struct.Struct(">IQ")  # from byte 4 on: bytes of a block, blocks
_EXT4_64BIT: Final = 0x80  # of the features: numbers of blocks have a high half
_CORRECTED: Final = 2  # the highest exit status of e2fsck -p after which all is well


class Damaged(Exception):
    """A check found what it does not repair by itself: what it said."""


@dataclass(frozen=True)
class ImageFs:
    """One kind.

    kind            as mount(2) has it
    min_size_bytes  of a volume; images are larger, by what the file system keeps for itself
    first_bytes     of the pool's disk are taken by an empty one, at least
    options         of its mounts
    grow_mounted    grow_xfs, grow_ext4
    repair          what a person runs on an image that is damaged
    """

    kind: str
    min_size_bytes: int
    first_bytes: int
    options: tuple[str, ...]
    grow_mounted: Callable[[int, int], None]
    repair: str

    def image_bytes(self, size_bytes: int) -> int:
        """How large an image is in which nearly this much can be written, and not more."""
        if self.kind == "xfs":
            return _whole(size_bytes + size_bytes // 200 + 72 * MIB)
        return _whole(size_bytes + size_bytes // 64 + _journal_bytes(size_bytes) + MIB // 2)

    def grown_bytes(self, image: int, has_bytes: int, more_bytes: int) -> int:
        """How large an image of this size is to be so that more can be written."""
        if self.kind == "xfs":
            return _whole(has_bytes + more_bytes + more_bytes // 200)
        # What comes has as many inodes as what is there, and that depends on its first size.
        found = os.pread(image, 96, 1024)
        (log,), (blocks,), (inodes,) = (_U32.unpack_from(found, one) for one in (0x18, 0x20, 0x28))
        (inode_bytes,) = _U16.unpack_from(found, 0x58)
        inodes_bytes, group_bytes = inodes * inode_bytes, blocks * (1024 << log)
        return _whole(has_bytes + more_bytes + more_bytes * inodes_bytes // group_bytes)

    async def make(self, image: int, size_bytes: int) -> None:
        """In an empty file. Raises ProgramFailed, ProgramMissing."""
        if self.kind == "xfs":
            command = ["mkfs.xfs", "-q", "-K"]
        else:
            journal = f"size={_journal_bytes(size_bytes) // MIB}"
            lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
            command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-i", "16384"]
            command += ["-J", journal, "-E", lazy]
        await checked(*command, _path(image), deadline_s=MAKE_DEADLINE_S, inherits=[image])

    async def check(self, image: int, lock: int) -> None:
        """See that it can be mounted, and mend what can be mended without a loss.

        An xfs does that by itself when it is mounted. Raises Damaged.

        lock  is held by the program too
        """
        if self.kind == "ext4":
            await _checked_ext4(image, lock, "-p")

    def growth_bytes(self, more_bytes: int) -> int:
        """What growing by this takes of the pool's disk, at most, for tables of its own."""
        return more_bytes // 32 + 8 * MIB

    def taken_bytes(self, device: int, top: int | None = None) -> int:
        """How much of an image its file system takes, or of the device of one that is mounted.

        top     of one that is mounted: an xfs writes its superblock later than it grows
        raises  OSError
        """
        if self.kind == "xfs":
            if top is not None:
                return filesystems.xfs_bytes(top)
            block_bytes, blocks = _XFS_SIZE.unpack(os.pread(device, _XFS_SIZE.size, 4))
            return int(block_bytes * blocks)
        found = os.pread(device, 1024, 1024)
        (blocks,), (log,), (features,) = (_U32.unpack_from(found, one) for one in (4, 0x18, 0x60))
        (high,) = _U32.unpack_from(found, 0x150) if features & _EXT4_64BIT else (0,)
        return int((blocks | high << 32) * (1024 << log))

    async def grow_unmounted(self, image: int, lock: int, size_bytes: int) -> None:
        """An ext4; take so much of its image. Raises Damaged, ProgramFailed."""
        await _checked_ext4(image, lock, "-f", "-p")
        if self.taken_bytes(image) < size_bytes:  # else it would be made smaller
            sectors = f"{size_bytes // 512}s"
            await checked(
                *("resize2fs", _path(image), sectors),
                deadline_s=CHECK_DEADLINE_S,
                inherits=[image, lock],
            )


XFS: Final = ImageFs(
    kind="xfs",
    min_size_bytes=256 * MIB,  # mkfs.xfs refuses what is below 300 MiB, log included
    first_bytes=68 * MIB,
    options=("nouuid",),  # clones have the same
    grow_mounted=filesystems.grow_xfs,
    repair="xfs_repair",
)
EXT4: Final = ImageFs(
    kind="ext4",
    min_size_bytes=16 * MIB,
    first_bytes=MIB,
    options=("errors=remount-ro",),
    grow_mounted=filesystems.grow_ext4,
    repair="e2fsck -f",
)
KINDS: Final = {one.kind: one for one in (XFS, EXT4)}


def kind_in(image: int) -> ImageFs | None:
    """What an image has, None if that is nothing that we make."""
    if os.pread(image, 4, 0) == b"XFSB":
        return XFS
    if os.pread(image, 2, 1024 + 56) == b"\x53\xef":
        return EXT4
    return None


def can_have_xfs() -> bool:
    """Whether this host makes and mounts it."""
    release = Path("/lib/modules") / os.uname().release
    lists = [Path("/proc/filesystems"), release / "modules.builtin", release / "modules.dep"]
    known = any("xfs" in _words(one) for one in lists)
    folders = os.get_exec_path({"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"})
    return known and any(os.access(f"{one}/mkfs.xfs", os.X_OK) for one in folders)


def _words(path: Path) -> set[str]:
    """Of a list of modules or file systems, without folders and endings."""
    try:
        words = path.read_text().replace(":", " ").split()
    except OSError:
        return set()
    return {word.rpartition("/")[2].partition(".")[0] for word in words}


async def _checked_ext4(image: int, lock: int, *how: str) -> None:
    command = ("e2fsck", *how, _path(image))
    done = await run(*command, deadline_s=CHECK_DEADLINE_S, inherits=[image, lock])
    if done.status < 0:
        raise ProgramFailed("e2fsck", done.status, done.message)
    if done.status > _CORRECTED:
        said = " ".join(done.output.decode(errors="replace").split())
        raise Damaged(said.replace(_path(image), "the image")[:400] or done.message)


def _journal_bytes(size_bytes: int) -> int:
    return min(max(size_bytes // 64 // MIB, 4), 64) * MIB


def _whole(size_bytes: int) -> int:
    """Up to the next block."""
    return -(-size_bytes // 4096) * 4096


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
