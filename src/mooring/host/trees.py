"""Walks through directories with hostile contents: by descriptor, and however deep they are.

No link is followed, no other mount is entered, and no path is put together: what is below a
directory is reached from its descriptor alone. Only a few descriptors are open at a time; those
further up are found again by `..`, and it is checked that they are the same.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import ESTALE
from typing import Final

from mooring.host.errors import MountInside
from mooring.host.mounts import mount_id

_OPEN_AT_ONCE: Final = 32  # of each tree; a process may usually have 1,024
_SHOWN_LETTERS: Final = 200
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def opened(name: str, flags: int, dir_fd: int | None = None) -> int:
    """Open to read, without leaving a trace in the time of last access if that is allowed.

    raises  OSError; ELOOP if it is a link
    """
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError:  # only for the owner and for root
        return os.open(name, flags, dir_fd=dir_fd)


def shown(path: str) -> str:
    """A path that somebody else chose, for people to read: in one line, and not too long."""
    if not path.isprintable():
        path = "".join(
            one if one.isprintable() else one.encode("unicode_escape").decode() for one in path
        )
    return path if len(path) <= _SHOWN_LETTERS else "…" + path[1 - _SHOWN_LETTERS :]


class _Level:
    """A directory on the way down. Its descriptor may be closed meanwhile."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd, self.name = fd, name
        self.is_open = True
        found = os.fstat(fd)
        self.identity = (found.st_dev, found.st_ino)


class Tree:
    """A place in a tree that moves down and up again."""

    def __init__(self, top: int) -> None:
        """top  a directory; it stays its opener's to close"""
        self.top = top
        self._levels = [_Level(top, "")]
        self._mount = mount_id(top)

    @property
    def fd(self) -> int:
        """The directory where it is now."""
        return self._levels[-1].fd

    @property
    def is_at_top(self) -> bool:
        return len(self._levels) == 1

    def enter(self, name: str) -> None:
        """Go down. Raises MountInside, OSError (ENOTDIR or ELOOP if it is no directory)."""
        fd = opened(name, _DIRECTORY, self.fd)
        self._levels.append(_Level(fd, name))
        if mount_id(fd) != self._mount:
            raise MountInside(self.shown())
        if len(self._levels) > _OPEN_AT_ONCE + 1:  # the top, which is not ours, is not counted
            far = self._levels[-_OPEN_AT_ONCE - 1]
            os.close(far.fd)
            far.is_open = False

    def leave(self) -> None:
        """Go up. Raises OSError ESTALE: the directory was moved while it was walked through."""
        below = self._levels.pop()
        above = self._levels[-1]
        try:
            if not above.is_open:
                above.fd = opened("..", _DIRECTORY, below.fd)
                above.is_open = True
                found = os.fstat(above.fd)
                if (found.st_dev, found.st_ino) != above.identity:
                    raise OSError(ESTALE, "it was moved meanwhile", self.shown(below.name))
        finally:
            os.close(below.fd)

    def shown(self, name: str = "") -> str:
        """Where it is, or something there, from the top, for people; "." is the top."""
        names = [level.name for level in self._levels[1:]] + ([name] if name else [])
        return shown("/".join(names)) or "."

    @contextmanager
    def blaming(self, name: str = "") -> Iterator[None]:
        """An OSError within is about this entry, whatever path it was reached by."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.shown(name)) from error

    def close(self) -> None:
        """What was opened is closed."""
        for level in self._levels[1:]:
            if level.is_open:
                os.close(level.fd)
        del self._levels[1:]


def walk(
    trees: Sequence[Tree], visit: Callable[[], list[str]], leave: Callable[[], None] | None = None
) -> None:
    """Go through trees side by side, each directory before what is in it.

    visit  looks at the directory where they are; returns those below that are walked into
    leave  is called in a directory when all that is in it was
    """
    waiting = [visit()]
    while waiting:
        if waiting[-1]:
            name = waiting[-1].pop()
            for tree in trees:
                tree.enter(name)
            waiting.append(visit())
        else:
            waiting.pop()
            if leave is not None:
                leave()
            if waiting:
                for tree in trees:
                    tree.leave()
