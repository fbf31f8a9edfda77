"""Subvolumes and their quotas, asked of the kernel by open directories: no path, no program.

The `btrfs` program takes paths, and libbtrfsutil knows no quotas; these calls and their structures
are <linux/btrfs.h>, which does not change. Quotas are read in /sys/fs/btrfs/FSID/qgroups.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from mooring.host.errors import NotBtrfs

_SYSFS: Final = Path("/sys/fs/btrfs")
_TOP_INODE: Final = 256  # of each subvolume's own directory
_ROOT_TREE = 1
_ROOT_ITEM, _ROOT_REF = 132, 156  # what says that a subvolume is there, and what is in it
_FIRST_SUBVOLUME, _LAST_SUBVOLUME = 256, (1 << 64) - 256
_MOST: Final = (1 << 64) - 1
_READ_ONLY, _BY_ID = 1 << 1, 1 << 4  # flags of a struct btrfs_ioctl_vol_args_v2
_ENABLE, _DISABLE, _ENABLE_SIMPLE = 1, 2, 4
_LIMITS_REFERENCED: Final = 1
_LEVEL: Final = int.from_bytes(b"MO")  # of our groups of quotas; people's are on levels below 100
_LEVEL_BITS: Final = 48

_BY_NAME: Final = struct.Struct("=qQQ32s4040s")  # btrfs_ioctl_vol_args_v2
_BY_NUMBER: Final = struct.Struct("=qQQ32sQ4032s")  # the same that names a subvolume by its id
_NUMBER: Final = struct.Struct("=Q")
_LOOKUP: Final = struct.Struct("=QQ4080s")
_QUOTA: Final = struct.Struct("=QQ")
_ASSIGN: Final = struct.Struct("=QQQ")
_LIMIT: Final = struct.Struct("=QQQQQQ")
_RESCAN: Final = struct.Struct("=QQ48s")
_SEARCH_KEY: Final = struct.Struct("=7Q4I4Q")
_FOUND: Final = struct.Struct("=QQQII")
_SEARCH_BYTES: Final = 4096
_FS_INFO_BYTES: Final = 1024
_SUBVOLUME_BYTES: Final = 504  # btrfs_ioctl_get_subvol_info_args
_GENERATION, _MADE_IN = 280, 352  # where in that: its last transaction, and that it was made in


def _number(number: int, size: int, *, reads: bool = False, writes: bool = False) -> int:
    """What ioctl(2) calls it; `reads` and `writes` as the program sees it, as the kernel's _IOR."""
    return (2 * reads + writes) << 30 | size << 16 | 0x94 << 8 | number


_SEARCH = _number(17, _SEARCH_BYTES, reads=True, writes=True)
_INO_LOOKUP = _number(18, _LOOKUP.size, reads=True, writes=True)
_WAIT_SYNC = _number(22, _NUMBER.size, writes=True)
_SNAPSHOT = _number(23, _BY_NAME.size, writes=True)
_CREATE = _number(24, _BY_NAME.size, writes=True)
_START_SYNC = _number(24, _NUMBER.size, reads=True)
_FS_INFO = _number(31, _FS_INFO_BYTES, reads=True)
_QUOTA_CONTROL = _number(40, _QUOTA.size, reads=True, writes=True)
_QGROUP_ASSIGN = _number(41, _ASSIGN.size, writes=True)
_QGROUP_CREATE = _number(42, _QUOTA.size, writes=True)
_QGROUP_LIMIT = _number(43, _LIMIT.size, reads=True)
_QUOTA_RESCAN = _number(44, _RESCAN.size, writes=True)
_QUOTA_WAIT = _number(46, 0)
_SUBVOLUME_INFO = _number(60, _SUBVOLUME_BYTES, reads=True)
_DESTROY = _number(63, _BY_NAME.size, writes=True)


class Quotas(StrEnum):
    """How a file system counts what a subvolume holds; the values are those of sysfs.

    FULL    all that can be read in it, shared with a snapshot or not
    SIMPLE  what was first written in it, for as long as anybody keeps that; subvolumes that are
            made inside one join the groups that it is in
    """

    OFF = "off"
    FULL = "qgroup"
    SIMPLE = "squota"


def file_system_id(fd: int) -> str:
    """Of the btrfs that an open file is on. Raises NotBtrfs."""
    try:
        answer = _called(fd, _FS_INFO, bytes(_FS_INFO_BYTES))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        raise NotBtrfs(os.readlink(f"/proc/self/fd/{fd}")) from error
    text = answer[16:32].hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def is_subvolume(fd: int) -> bool:
    """Whether an open directory of a btrfs is the top of a subvolume."""
    return os.fstat(fd).st_ino == _TOP_INODE


def subvolume_id(fd: int) -> int:
    """Of the subvolume that an open file is in. Never used again for another one."""
    return int(_LOOKUP.unpack(_called(fd, _INO_LOOKUP, _LOOKUP.pack(0, _TOP_INODE, b"")))[0])


def create_subvolume(name: str, dir_fd: int) -> None:
    """Make an empty one, of root, with mode 0777 less the umask. Raises OSError."""
    _called(dir_fd, _CREATE, _BY_NAME.pack(0, 0, 0, b"", os.fsencode(name)))


def snapshot(source_fd: int, name: str, dir_fd: int, *, read_only: bool) -> None:
    """Make a subvolume of what another holds at this moment, its unwritten pages included.

    Subvolumes inside are empty directories in it, and the limit of the source is its own as well.
    """
    flags = _READ_ONLY if read_only else 0
    _called(dir_fd, _SNAPSHOT, _BY_NAME.pack(source_fd, 0, flags, b"", os.fsencode(name)))


def destroy(fd: int, subvolume: int) -> None:
    """Remove one of an id, on the file system of an open file, and all inside that is not a
    subvolume. Absent is success. Its blocks come free later.

    raises  OSError: ENOTEMPTY with subvolumes inside, EBUSY if it is mounted
    """
    try:
        _called(fd, _DESTROY, _BY_NUMBER.pack(0, 0, _BY_ID, b"", subvolume, b""))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def subvolumes_in(fd: int, subvolume: int) -> list[int]:
    """The ids of all subvolumes inside one, on any level, the inner before the outer."""
    found, waiting = list[int](), [subvolume]
    while waiting:
        outer = waiting.pop()
        inner = [key.offset for key in _named(fd, _ROOT_REF, outer, outer)]
        found += inner
        waiting += inner
    return found[::-1]


class _Key(NamedTuple):
    """Of an item in a tree of the file system."""

    number: int
    type: int
    offset: int


def _named(fd: int, type_: int, lowest: int, highest: int) -> Iterator[_Key]:
    """The items of a type in the tree of all trees, for numbers from one to another."""
    key, last = _Key(lowest, type_, 0), _Key(highest, type_, _MOST)
    while True:
        sought = (_ROOT_TREE, key.number, last.number, key.offset, last.offset, 0, _MOST)
        wanted = _SEARCH_KEY.pack(*sought, key.type, last.type, _MOST >> 32, 0, 0, 0, 0, 0)
        answer = _called(fd, _SEARCH, wanted.ljust(_SEARCH_BYTES, b"\0"))
        count, at = _SEARCH_KEY.unpack_from(answer)[9], _SEARCH_KEY.size
        if not count:
            return
        for _ in range(count):
            _, number, offset, found, length = _FOUND.unpack_from(answer, at)
            at += _FOUND.size + length
            key = _Key(number, found, offset)
            if found == type_:  # between those of two numbers there are others
                yield key
        key = key._replace(offset=key.offset + 1)


def last_written(fd: int) -> int:
    """The transaction in which something was last written to the subvolume of an open file, or a
    snapshot of it was made. What was not committed yet is not counted."""
    return _told_of(fd, _GENERATION)


def made_in(fd: int) -> int:
    """The transaction in which the subvolume of an open file was made, as a snapshot for one."""
    return _told_of(fd, _MADE_IN)


def _told_of(fd: int, at: int) -> int:
    told = _called(fd, _SUBVOLUME_INFO, bytes(_SUBVOLUME_BYTES))
    return int(_NUMBER.unpack_from(told, at)[0])


def committed(fd: int) -> None:
    """What was made and removed so far is on disk, on the file system of an open file."""
    _called(fd, _WAIT_SYNC, bytes(_called(fd, _START_SYNC, bytes(_NUMBER.size))))


def quotas(fd: int) -> Quotas:
    """What an open file's file system counts by now."""
    groups = _SYSFS / file_system_id(fd) / "qgroups"
    try:
        if (groups / "enabled").read_text().strip() == "0":
            return Quotas.OFF
    except FileNotFoundError:  # kernels before 5.9 show none of this
        return Quotas.OFF
    try:
        return Quotas((groups / "mode").read_text().strip())
    except FileNotFoundError:  # kernels that have full ones only
        return Quotas.FULL


def enable_quotas(fd: int, wanted: Quotas) -> None:
    """Have the file system count; if it does already, in whatever way, that stays.

    raises  OSError: EINVAL for simple ones before Linux 6.7
    """
    if quotas(fd) is Quotas.OFF:
        command = _ENABLE_SIMPLE if wanted is Quotas.SIMPLE else _ENABLE
        with suppress(FileExistsError):
            _called(fd, _QUOTA_CONTROL, _QUOTA.pack(command, 0))


def disable_quotas(fd: int) -> None:
    """No limit holds from now on, and all are forgotten."""
    _called(fd, _QUOTA_CONTROL, _QUOTA.pack(_DISABLE, 0))


def recounted(fd: int) -> None:
    """Wait for a count that runs; where the kernel says that it lost count, begin one before.

    It reads everything there is about the file system's extents: minutes where that is terabytes.
    """
    fcntl.ioctl(fd, _QUOTA_WAIT)
    if is_inconsistent(fd):
        begin_count(fd)
        fcntl.ioctl(fd, _QUOTA_WAIT)


def begin_count(fd: int) -> None:
    """Have the kernel count anew, beside everything else; one that does already goes on."""
    try:
        _called(fd, _QUOTA_RESCAN, _RESCAN.pack(0, 0, b""))
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise


def is_inconsistent(fd: int) -> bool:
    """Whether the kernel says that it lost count, so that limits do not hold."""
    status = _SYSFS / file_system_id(fd) / "qgroups" / "inconsistent"
    return status.exists() and status.read_text().strip() == "1"


def set_limit(fd: int, limit_bytes: int, group: int) -> None:
    """How much may be in a subvolume, metadata included: beyond it, writes fail with EDQUOT.

    group   the id of a subvolume, or a group of several
    raises  OSError: ENOTCONN if quotas are off
    """
    _called(fd, _QGROUP_LIMIT, _LIMIT.pack(group, _LIMITS_REFERENCED, limit_bytes, 0, 0, 0))


def limit_of(fd: int, group: int) -> int | None:
    """None if it has none, or none are kept."""
    shown = _shown(fd, group)
    try:
        flags = int((shown / "limit_flags").read_text(), 0)
        return int((shown / "max_referenced").read_text()) if flags & _LIMITS_REFERENCED else None
    except FileNotFoundError:
        return None


def referenced(fd: int, group: int) -> int | None:
    """What is in it, as of the last commit, up to 30 s ago. None if that is not known."""
    try:
        return int((_shown(fd, group) / "referenced").read_text())
    except FileNotFoundError:
        return None


def group_of(subvolume: int) -> int:
    """The group for a subvolume and those in it, where quotas are simple."""
    return _LEVEL << _LEVEL_BITS | subvolume


def make_group(fd: int, subvolume: int) -> None:
    """Make that group, with the subvolume in it; those that are made inside it will be too."""
    group = group_of(subvolume)
    for request, argument in (
        (_QGROUP_CREATE, _QUOTA.pack(1, group)),
        (_QGROUP_ASSIGN, _ASSIGN.pack(1, subvolume, group)),
    ):
        with suppress(FileExistsError):
            _called(fd, request, argument)


def remove_group(fd: int, subvolume: int, inside: Iterable[int]) -> None:
    """Undo that, with what joined it since; absent is success."""
    group = group_of(subvolume)
    for member in (*inside, subvolume):
        with suppress(FileNotFoundError):
            _called(fd, _QGROUP_ASSIGN, _ASSIGN.pack(0, member, group))
    with suppress(FileNotFoundError):
        _called(fd, _QGROUP_CREATE, _QUOTA.pack(0, group))


def forget_gone(fd: int) -> None:
    """Remove what counts subvolumes that are gone by now, whoever made them.

    Linux 6.1 never does it, 6.18 does unless a snapshot kept for a while what was counted.
    """
    if gone := _counted_in_vain(fd):
        committed(fd)  # one that is being made is counted first, but there after this
        for subvolume in gone & _counted_in_vain(fd):
            try:
                _called(fd, _QGROUP_CREATE, _QUOTA.pack(0, subvolume))
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOENT, errno.ENOTCONN):
                    raise


def _counted_in_vain(fd: int) -> set[int]:
    with suppress(FileNotFoundError):
        shown = os.listdir(_SYSFS / file_system_id(fd) / "qgroups")
        counted = {int(name[2:]) for name in shown if name.startswith("0_")}
        there = {key.number for key in _named(fd, _ROOT_ITEM, _FIRST_SUBVOLUME, _LAST_SUBVOLUME)}
        return {one for one in counted - there if one >= _FIRST_SUBVOLUME}
    return set()


def _shown(fd: int, group: int) -> Path:
    level, number = group >> _LEVEL_BITS, group & (1 << _LEVEL_BITS) - 1
    return _SYSFS / file_system_id(fd) / "qgroups" / f"{level}_{number}"


def _called(fd: int, request: int, argument: bytes) -> bytearray:
    """What the kernel made of the argument. Raises OSError."""
    answer = bytearray(
        argument
    )  # fcntl copies at most 1024 bytes of anything that it cannot change
    fcntl.ioctl(fd, request, answer)
    return answer
