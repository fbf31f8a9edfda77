"""One process at a time works on a pool's root: whoever has its mark locked (flock).

The kernel keeps the lock with the file: it holds in whatever mount namespace or container the
others are, and ends with its holder, however that ends. docs/decisions/0020. All calls block.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mooring.host.loops import Backing, backing_of

HOLDER: Final = "user.mooring.holder"  # an attribute of the mark: who has it, for people
_UNKNOWN: Final = "another process"


class Served(Exception):
    """Another process has it: who that is, for people."""


class _Lock:
    """A locked file of this process, for as long as it has users."""

    def __init__(self, file: Backing, fd: int) -> None:
        self.file, self.fd, self.users = file, fd, 0


_turn: Final = threading.Lock()
_locks: Final[dict[Backing, _Lock]] = {}  # of this process, whose drivers are of one agent


class Tenure:
    """Of one driver. Two of one process share what that has."""

    def __init__(self) -> None:
        self._lock: _Lock | None = None

    @contextmanager
    def kept(self, mark: int) -> Iterator[None]:
        """Take it if it is not ours yet; while this runs it is not let go.

        mark    the open mark of the root
        raises  Served
        """
        with _turn:
            lock = _taken(mark)
            lock.users += 1
            if self._lock is not lock:  # the first call, or another disk is there now
                lock.users += 1
                _left(self._lock)
                self._lock = lock
        try:
            yield
        finally:
            with _turn:
                _left(lock)

    def let_go(self) -> None:
        """Others may have it, once the calls that run now have ended; the next call takes it."""
        with _turn:
            _left(self._lock)
            self._lock = None


def _taken(mark: int) -> _Lock:
    file = backing_of(mark)
    if file not in _locks:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Served(_holder(mark)) from error
        _locks[file] = _Lock(file, os.dup(mark))  # the same lock, until both are closed
        _say_who(mark)
    return _locks[file]


def _left(lock: _Lock | None) -> None:
    """One user less."""
    if lock is not None:
        lock.users -= 1
        if not lock.users:
            del _locks[lock.file]
            os.close(lock.fd)


def _say_who(mark: int) -> None:
    """A disk that is full or read-only is served all the same."""
    text = f"process {os.getpid()} on {os.uname().nodename}"
    with suppress(OSError):
        os.setxattr(mark, HOLDER, text.encode())


def _holder(mark: int) -> str:
    try:
        return os.getxattr(mark, HOLDER)[:200].decode(errors="replace")
    except OSError:
        return _UNKNOWN
