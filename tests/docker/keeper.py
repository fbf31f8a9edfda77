"""Keeps Mooring running and holds its plugin socket meanwhile, as systemd does by Mooring's units.

python -m tests.docker.keeper up …      as `mooring up …`, --plugin-socket PATH among it
"""

import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Final

BACKLOG: Final = 4096  # as in examples/systemd/mooring.socket
FD: Final = 3  # sd_listen_fds(3)


def held(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    return listener


def started(listener: socket.socket, arguments: list[str]) -> int:
    """Its process id."""
    if child := os.fork():
        return child
    fd = os.dup(listener.fileno())  # another than FD, which dup2 would leave to be closed
    os.dup2(fd, FD)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.execv(sys.executable, [sys.executable, "-m", "mooring.cli.main", *arguments])


def main(arguments: list[str]) -> None:
    listener = held(Path(arguments[arguments.index("--plugin-socket") + 1]))
    child = 0

    def end(number: int, frame: FrameType | None) -> None:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    while True:
        child = started(listener, arguments)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
