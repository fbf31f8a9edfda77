"""Whether a copy of a tree is right: all that the copier keeps, looked at anew on both sides.

Content is compared by SHA-256 of what is read from both, of the copy from its disk and not from
memory. Where both have a hole nothing is read.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from mooring.host.copying import SELINUX, attributes, handle, hole_from, written_from
from mooring.host.scanning import Progress, Totals, content_bytes
from mooring.host.trees import Tree, opened, walk

NAMED_AT_MOST: Final = 20  # of files in one finding
_READ_BYTES: Final = 1 << 20
_MAY_BE_LEFT_OUT: Final = {stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK}
_SECOND_NS: Final = 10**9  # all that some file systems keep of a time


class Finding(msgspec.Struct):
    """What is so of some files.

    count  of how many
    named  the first of them, for people: path, and what is so
    """

    count: int = 0
    named: list[str] = msgspec.field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.named) < NAMED_AT_MOST:
            self.named.append(text)


class Compared(NamedTuple):
    """What a comparison found.

    totals   of the original, as it is now
    changed  in the original, since the time that was said
    differs  in the copy
    """

    totals: Totals
    changed: Finding
    differs: Finding


class _Pair(NamedTuple):
    """One entry of both, as found."""

    name: str
    original: os.stat_result
    copy: os.stat_result


class Comparison:
    """Of a copy with its original. A file of the copy that has other content is marked by a time
    of 0, so that the next run of the copier makes it anew."""

    def __init__(self, original: int, copy: int, since_ns: int, progress: Progress) -> None:
        """since_ns  when the original was changed last, as it was scanned before it was copied"""
        self._original, self._copy = Tree(original), Tree(copy)
        self._since_ns, self._progress = since_ns, progress
        self._changed, self._differs = Finding(), Finding()
        self._changed_ns = 0
        self._copies: dict[tuple[int, int], int] = {}  # of originals with several names: inodes
        self._originals: dict[int, tuple[int, int]] = {}  # the other way round

    def run(self) -> Compared:
        """Raises MountInside, OSError."""
        try:
            walk([self._original, self._copy], self._visit)
        finally:
            self._original.close()
            self._copy.close()
        progress = self._progress
        totals = Totals(progress.files, progress.bytes, changed_ns=self._changed_ns)
        return Compared(totals, self._changed, self._differs)

    def _visit(self) -> list[str]:
        original, copy = self._original.fd, self._copy.fd
        self._compare_directories(original, copy)
        below, surplus = [], set(os.listdir(copy))
        for name in os.listdir(original):
            with self._original.blaming(name):
                if self._look_at(name, is_there=name in surplus):
                    below.append(name)
            surplus.discard(name)
        for name in surplus:
            self._blame(name, "it is in the copy alone")
        return below

    def _look_at(self, name: str, *, is_there: bool) -> bool:
        """Whether it is a directory on both sides; anything else is compared."""
        found = _stat(name, self._original.fd)
        if not is_there:
            self._note_change(name, found)
            self._compare_missing(name, found)
            return False
        there = _stat(name, self._copy.fd)
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(there.st_mode):
            self._blame(name, "it is something else in the copy")
            return False
        if stat.S_ISDIR(found.st_mode):
            return True
        self._note_change(name, found)
        self._compare(_Pair(name, found, there))
        return False

    def _note_change(self, name: str, found: os.stat_result) -> None:
        self._changed_ns = max(self._changed_ns, found.st_ctime_ns)
        if found.st_ctime_ns > self._since_ns:
            self._changed.add(self._original.shown(name))

    def _compare_missing(self, name: str, found: os.stat_result) -> None:
        """Only what the copier leaves out may be missing."""
        if stat.S_IFMT(found.st_mode) in _MAY_BE_LEFT_OUT:
            self._progress.add(1, 0)
        else:
            self._blame(name, "it is missing in the copy")

    def _compare_directories(self, original: int, copy: int) -> None:
        pair = _Pair("", os.fstat(original), os.fstat(copy))
        self._note_change("", pair.original)
        self._blame("", _difference(pair, original, copy))

    def _compare(self, pair: _Pair) -> None:
        is_first = self._compare_names(pair)
        if not is_first:
            return
        if stat.S_ISREG(pair.original.st_mode):
            why = self._compare_files(pair)
        else:
            fds = self._original.fd, self._copy.fd
            with handle(pair.name, fds[0]) as original, handle(pair.name, fds[1]) as copy:
                why = _difference(pair, original, copy) or _other_kind(pair, *fds)
        self._blame(pair.name, why)
        self._progress.add(1, content_bytes(pair.original))

    def _compare_names(self, pair: _Pair) -> bool:
        """Whether these are the first names of both, else they must be further names of both."""
        if pair.original.st_nlink == 1 and pair.copy.st_nlink == 1:
            return True
        identity, inode = (pair.original.st_dev, pair.original.st_ino), pair.copy.st_ino
        known, other = self._copies.get(identity), self._originals.get(inode)
        if (known, other) == (None, None):
            self._copies[identity], self._originals[inode] = inode, identity
            return True
        if (known, other) != (inode, identity):
            self._blame(pair.name, "it is linked with other files")
        return known is None

    def _compare_files(self, pair: _Pair) -> str:
        original = opened(pair.name, os.O_NONBLOCK, self._original.fd)
        try:
            copy = opened(pair.name, os.O_NONBLOCK, self._copy.fd)
            try:
                if self._has_other_content(pair, original, copy):
                    os.utime(copy, ns=(0, 0))
                    return "it has other content"
                return _difference(pair, original, copy)
            finally:
                os.close(copy)
        finally:
            os.close(original)

    def _has_other_content(self, pair: _Pair, original: int, copy: int) -> bool:
        size = pair.original.st_size
        if pair.copy.st_size != size:
            return True
        os.posix_fadvise(copy, 0, 0, os.POSIX_FADV_DONTNEED)  # what was synced is read from disk
        share = content_bytes(pair.original) / size if size else 0
        hashes = hashlib.sha256(), hashlib.sha256()
        for start, end in _written(original, copy, size):
            while start < end:
                count = min(end - start, _READ_BYTES)
                for fd, hash_ in zip((original, copy), hashes, strict=True):
                    hash_.update(os.pread(fd, count, start))
                start += count
                self._progress.alive(int(start * share))
        return hashes[0].digest() != hashes[1].digest()

    def _blame(self, name: str, why: str) -> None:
        if why:
            self._differs.add(f"{self._original.shown(name)}: {why}")


def _stat(name: str, dir_fd: int) -> os.stat_result:
    return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)


def _written(first: int, second: int, size: int) -> Iterator[tuple[int, int]]:
    """Where not both have a hole: (start, end), in order."""
    position = 0
    while position < size:
        starts = [(written_from(fd, position, size), fd) for fd in (first, second)]
        start, fd = min(starts)
        if start >= size:
            return
        position = hole_from(fd, start, size)
        yield start, position


def _difference(pair: _Pair, original: int | str, copy: int | str) -> str:
    """In what belongs to files of every kind, "" if there is none.

    original, copy  descriptors, or paths by `handle`
    """
    left, right = pair.original, pair.copy
    if (left.st_uid, left.st_gid) != (right.st_uid, right.st_gid):
        return f"it is of {right.st_uid}:{right.st_gid}, not of {left.st_uid}:{left.st_gid}"
    if left.st_mode != right.st_mode:
        return f"it has mode {right.st_mode & 0o7777:04o}, not {left.st_mode & 0o7777:04o}"
    if not _same_time(left.st_mtime_ns, right.st_mtime_ns):
        return "it has another time of modification"
    wanted, there = attributes(original), attributes(copy)
    if SELINUX not in wanted:
        there.pop(SELINUX, None)
    names = {name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)}
    return f"it has another attribute {min(names)}" if names else ""


def _same_time(original_ns: int, copy_ns: int) -> bool:
    if copy_ns % _SECOND_NS == 0:
        original_ns -= original_ns % _SECOND_NS
    return original_ns == copy_ns


def _other_kind(pair: _Pair, original: int, copy: int) -> str:
    """In what belongs to links and devices alone."""
    if stat.S_ISLNK(pair.original.st_mode):
        texts = {os.readlink(pair.name, dir_fd=fd) for fd in (original, copy)}
        return "" if len(texts) == 1 else "it leads elsewhere"
    return "" if pair.original.st_rdev == pair.copy.st_rdev else "it is another device"
