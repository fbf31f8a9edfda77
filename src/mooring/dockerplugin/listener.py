"""The socket that Docker finds a volume plugin by. Docker volumes §1."""

import fcntl
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mooring.dockerplugin.errors import AlreadyServed, SocketUnusable

log = logging.getLogger(__name__)

BACKLOG: Final = 4096  # calls that wait: a dockerd that starts asks for all its volumes at once
FIRST_INHERITED: Final = 3  # sd_listen_fds(3)
ANSWERS_WITHIN_S: Final = 1.0


def plugin_listener(path: Path) -> socket.socket:
    """A socket that listens at a path, for its owner alone.

    The one that systemd holds there, if it handed it over: calls then wait while Mooring is being
    restarted. Else a new one, in place of what a process that is gone left behind.

    raises  AlreadyServed: another process listens there. SocketUnusable
    """
    for inherited in _inherited():
        if _listens_at(inherited, path):
            inherited.set_inheritable(False)
            inherited.listen(BACKLOG)  # systemd's own default is less
            return inherited
        log.warning("systemd handed over a socket that is not %s", path)
        inherited.detach()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path):
            _make_way(path)
            return _bound(path)
    except (OSError, ValueError) as error:
        raise SocketUnusable(str(path), getattr(error, "strerror", None) or str(error)) from error


def _inherited() -> Iterator[socket.socket]:
    """What systemd handed over to this process, once: sd_listen_fds(3)."""
    process, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if process != str(os.getpid()) or not count.isdecimal():
        return
    for fd in range(FIRST_INHERITED, FIRST_INHERITED + int(count)):
        with suppress(OSError):  # it is no socket
            yield socket.socket(fileno=fd)


def _listens_at(listener: socket.socket, path: Path) -> bool:
    if listener.family != socket.AF_UNIX or listener.type != socket.SOCK_STREAM:
        return False
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    name = listener.getsockname()  # /var/run and /run are the same
    return isinstance(name, str) and os.path.realpath(name) == os.path.realpath(path)


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Keep out others that are about to do the same: they would remove our new socket."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServed(str(path)) from None
        yield
    finally:
        os.close(fd)


def _make_way(path: Path) -> None:
    """Remove a socket that nobody listens at. Raises AlreadyServed, OSError."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(f"{path.name} is there and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWERS_WITHIN_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except (BlockingIOError, TimeoutError):
            pass  # as many wait there as can
    raise AlreadyServed(str(path))


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # nobody can connect before it listens
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
