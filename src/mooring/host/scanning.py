"""What is in a tree, and how far some work on all of it is."""

import os
import stat
import time
from collections.abc import Callable
from typing import Final

import msgspec

from mooring.host.trees import Tree, walk

TELL_EACH_S: Final = 0.2
_BLOCK_BYTES: Final = 512  # of st_blocks, on every file system
_SMALL_BYTES: Final = 4096  # files that may be kept within their inode, without a block


class Totals(msgspec.Struct, frozen=True):
    """What is below a directory, and in it.

    files       with several names once; links, sockets and devices too, directories not
    bytes       of content: holes do not count
    room_bytes  that it takes on its disk
    changed_ns  when anything of it was changed last (ctime), in ns since the epoch
    """

    files: int = 0
    bytes: int = 0
    room_bytes: int = 0
    changed_ns: int = 0


class Counts(msgspec.Struct, frozen=True):
    """How far some work is; bytes as in Totals."""

    files: int = 0
    bytes: int = 0


class Progress:
    """Counts, and tells of it now and then."""

    def __init__(self, tell: Callable[[Counts], None]) -> None:
        self._tell, self._told_s = tell, 0.0
        self.files = self.bytes = 0

    def add(self, files: int, content: int) -> None:
        """So many files and bytes more are done."""
        self.files += files
        self.bytes += content
        self.alive()

    def alive(self, content: int = 0) -> None:
        """It goes on; of what is in work so many bytes are done, which `add` will count."""
        if (now_s := time.monotonic()) >= self._told_s + TELL_EACH_S:
            self._told_s = now_s
            self._tell(Counts(self.files, self.bytes + content))


class Several:
    """Files that have several names: each is looked at once."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def is_new(self, found: os.stat_result) -> bool:
        if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode):
            return True
        identity = (found.st_dev, found.st_ino)
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def content_bytes(found: os.stat_result) -> int:
    """How much content of a file there is to be read, as far as that is known without reading."""
    if not stat.S_ISREG(found.st_mode):
        return 0
    if found.st_size <= _SMALL_BYTES:
        return found.st_size
    return min(found.st_size, found.st_blocks * _BLOCK_BYTES)


def scanned(top: int, progress: Progress) -> Totals:
    """Look at all that is in a directory. Raises MountInside, OSError."""
    tree, several = Tree(top), Several()
    first = os.fstat(top)
    room_bytes, changed_ns = first.st_blocks * _BLOCK_BYTES, first.st_ctime_ns

    def visit() -> list[str]:
        nonlocal room_bytes, changed_ns
        below = []
        with os.scandir(tree.fd) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                changed_ns = max(changed_ns, found.st_ctime_ns)
                is_directory = stat.S_ISDIR(found.st_mode)
                if is_directory:
                    below.append(entry.name)
                if several.is_new(found):
                    room_bytes += found.st_blocks * _BLOCK_BYTES
                    progress.add(not is_directory, content_bytes(found))
        return below

    try:
        walk([tree], visit)
    finally:
        tree.close()
    return Totals(progress.files, progress.bytes, room_bytes, changed_ns)
