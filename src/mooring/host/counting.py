"""How much is in a tree, counted a piece at a time, so that whoever counts can rest in between."""

import os
import stat
from collections.abc import Iterator
from errno import ELOOP, ENOENT, ENOTDIR
from typing import Final, NamedTuple

from mooring.host.errors import MountInside
from mooring.host.scanning import Several
from mooring.host.trees import Tree

KEPT_AT_MOST: Final = 1_000_000  # directories to enter and files seen, of 100 to 350 bytes each
TOO_MANY: Final = "TooManyFiles"
NOT_COUNTED: Final = "NotCounted"
_SOMETHING_ELSE: Final = (ENOENT, ENOTDIR, ELOOP)  # a directory that went meanwhile
_BLOCK_BYTES: Final = 512  # of st_blocks, on every file system


class Count(NamedTuple):
    """Of a directory and all below it.

    room_bytes  that it takes on its disk; what has several names counts once
    entries     inodes: files, directories, links and all else
    fault       "", else why both are too small: TOO_MANY, it ended early; NOT_COUNTED, something
                in it cannot be looked at
    """

    room_bytes: int
    entries: int
    fault: str = ""


class Counting:
    """One count of one tree. No link is followed and no other mount entered.

    What changes meanwhile is counted as it is met, so of a tree that is written to this is about
    right, never exact. All of it blocks, and is for one thread at a time.
    """

    def __init__(self, path: str, kept_at_most: int = KEPT_AT_MOST) -> None:
        """path: of our own or an administrator's, links in it are followed. Raises OSError.

        kept_at_most  names of directories and numbers of inodes in memory: then it ends
        """
        self._top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tree, self._several = Tree(self._top), Several()
        first = os.fstat(self._top)
        self._room_bytes, self._entries = first.st_blocks * _BLOCK_BYTES, 1
        self._waiting: list[list[str]] = []  # names at each level that are to be entered
        self._here: Iterator[os.DirEntry[str]] | None = None
        self._below: list[str] = []
        self._names, self._kept_at_most = 0, kept_at_most
        self._fault = ""
        self.is_given_up = self._is_closed = False

    @property
    def count(self) -> Count:
        """So far."""
        return Count(self._room_bytes, self._entries, self._fault)

    def step(self, entries_at_most: int) -> bool:
        """Go on. Returns whether all is counted. Raises OSError: it was moved meanwhile."""
        try:
            return self._step(entries_at_most)
        finally:
            if self.is_given_up:
                self.close()

    def give_up(self) -> None:
        """Nobody waits for it any more; a step that hangs closes it when it ends."""
        self.is_given_up = True

    def close(self) -> None:
        """What is open is closed; again changes nothing."""
        if not self._is_closed:
            self._is_closed = True
            if self._here is not None:
                self._here.close()  # type: ignore[attr-defined]
            self._tree.close()
            os.close(self._top)

    def _step(self, left: int) -> bool:
        while True:
            while (entry := self._next()) is not None:
                self._add(entry)
                if self._names + len(self._several) > self._kept_at_most:
                    self._fault = TOO_MANY
                    return True
                left -= 1
                if left <= 0:
                    return False
            self._waiting.append(self._below)
            self._below = []
            if not self._moved_on():
                return True

    def _next(self) -> os.DirEntry[str] | None:
        """In the directory where it is; None: no more of it can be read."""
        entry: os.DirEntry[str] | None = None
        try:
            if self._here is None:
                self._here = iter(os.scandir(self._tree.fd))
            entry = next(self._here, None)
        except OSError:
            self._fault = NOT_COUNTED
        if entry is None and self._here is not None:
            self._here.close()  # type: ignore[attr-defined]
            self._here = None
        return entry

    def _add(self, entry: os.DirEntry[str]) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError:  # of it alone, such as EIO: the rest is counted
            self._fault = NOT_COUNTED
            return
        if stat.S_ISDIR(found.st_mode):
            self._below.append(entry.name)
            self._names += 1
        if self._several.is_new(found):
            self._room_bytes += found.st_blocks * _BLOCK_BYTES
            self._entries += 1

    def _moved_on(self) -> bool:
        """To the next directory. Returns False if there is none."""
        while self._waiting:
            if not self._waiting[-1]:
                self._waiting.pop()
                if self._waiting:
                    self._tree.leave()
                continue
            self._names -= 1
            try:
                self._tree.enter(self._waiting[-1].pop())
                return True
            except MountInside:
                self._tree.leave()
            except OSError as error:
                if error.errno not in _SOMETHING_ELSE:
                    self._fault = NOT_COUNTED
        return False
