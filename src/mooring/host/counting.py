"""How much is in a tree, counted a piece at a time, so that whoever counts can rest in between."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from mooring.host.errors import MountInside
from mooring.host.scanning import Several
from mooring.host.trees import Tree

_BLOCK_BYTES: Final = 512  # of st_blocks, on every file system


class Count(NamedTuple):
    """Of a directory and all below it.

    room_bytes  that it takes on its disk; what has several names counts once
    entries     inodes: files, directories, links and all else
    """

    room_bytes: int
    entries: int


class Counting:
    """One count of one tree. No link is followed and no other mount entered.

    What changes meanwhile is counted as it is met, so of a tree that is written to this is about
    right, never exact. All of it blocks, and is for one thread at a time.
    """

    def __init__(self, path: str) -> None:
        """path: of our own or an administrator's, links in it are followed. Raises OSError."""
        self._top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tree, self._several = Tree(self._top), Several()
        first = os.fstat(self._top)
        self._room_bytes, self._entries = first.st_blocks * _BLOCK_BYTES, 1
        self._waiting: list[list[str]] = []  # names at each level that are to be entered
        self._here: Iterator[os.DirEntry[str]] | None = None
        self._below: list[str] = []
        self.is_given_up = self._is_closed = False

    @property
    def count(self) -> Count:
        """So far."""
        return Count(self._room_bytes, self._entries)

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
            if self._here is None:
                self._here = iter(os.scandir(self._tree.fd))
            for entry in self._here:
                self._add(entry)
                left -= 1
                if left <= 0:
                    return False
            self._here.close()  # type: ignore[attr-defined]
            self._here = None
            self._waiting.append(self._below)
            self._below = []
            if not self._moved_on():
                return True

    def _add(self, entry: os.DirEntry[str]) -> None:
        with suppress(FileNotFoundError):
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                self._below.append(entry.name)
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
            try:
                self._tree.enter(self._waiting[-1].pop())
                return True
            except MountInside:
                self._tree.leave()
            except OSError:  # it is gone, or something else now
                continue
        return False
