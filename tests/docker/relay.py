"""A relay between dockerd and Mooring: it sees every call, and something may happen at one of them.

Mooring takes what comes over it for dockerd's own calls: as the relay is no process of the host, it
cannot be asked what it sees mounted there, so Mooring does not.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from tests.docker import images
from tests.docker.mooring import PLUGIN_SOCKET, Mooring
from tests.docker.testbed import COMMAND_S, DEADLINE_S, Host

BEHIND: Final = "/run/docker/behind/mooring.sock"  # where Mooring listens; it is called so too
# When something may happen at a call, in this order.
ASKED: Final = "asked"  # and Mooring does not know
SENT: Final = "sent"  # Mooring works on it
ANSWERED: Final = "answered"  # and dockerd does not know
DELIVERED: Final = "delivered"


class Trap(NamedTuple):
    """Let something happen at the n-th call from now on."""

    moment: str
    number: int
    act: Callable[[], None]


class Relay:
    """Of one host. What is under way when something happens is cut off on both sides."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.calls: list[str] = []  # "Get" and the like, as they come
        self._trap: Trap | None = None
        self._left = 0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def start(self) -> "Relay":
        """Listen where dockerd looks; again after each start of the host."""
        self.stop()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.host.seen(PLUGIN_SOCKET)))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # ends its accept
            self._listener.close()
            self._listener = None

    def set(self, trap: Trap | None) -> None:
        """Have something happen once."""
        with self._lock:
            self._trap, self._left = trap, trap.number if trap else 0

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=self._served, args=(peer,), daemon=True).start()

    def _served(self, docker: socket.socket) -> None:
        docker.settimeout(COMMAND_S)
        with docker, suppress(OSError), socket.socket(socket.AF_UNIX) as mooring:
            if (asked := _message(docker)) is None:
                return
            trap = self._sprung_by(_call(asked))
            if trap is not None and trap.moment == ASKED:
                return trap.act()
            mooring.settimeout(2 * DEADLINE_S)
            mooring.connect(str(self.host.seen(BEHIND)))
            mooring.sendall(asked)
            if trap is not None and trap.moment == SENT:
                return trap.act()
            answer = _message(mooring)
            if trap is not None and trap.moment == ANSWERED:
                return trap.act()
            if answer is not None:
                docker.sendall(answer)
            if trap is not None:
                trap.act()

    def _sprung_by(self, call: str) -> Trap | None:
        with self._lock:
            self.calls.append(call)
            if self._trap is None:
                return None
            self._left -= 1
            if self._left:
                return None
            trap, self._trap = self._trap, None
            return trap


def _message(peer: socket.socket) -> bytes | None:
    """A whole request or answer; None if the peer hung up before its end."""
    read = b""
    while b"\r\n\r\n" not in read:
        if not (chunk := peer.recv(65536)):
            return None
        read += chunk
    head, _, body = read.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        if not (chunk := peer.recv(65536)):
            return None
        body += chunk
    return head + b"\r\n\r\n" + body


def _call(asked: bytes) -> str:
    return asked.split()[1].decode().rpartition(".")[2]


def relayed(host: Host, *flags: str) -> tuple[Mooring, Relay]:
    """Start a host that is not up, with a relay between its Docker and its Mooring.

    flags  of dockerd
    """
    host.up()
    relay = Relay(host).start()
    mooring = Mooring(host, "--plugin-socket", BEHIND).start()
    host.dockerd(*flags)
    images.load(host)
    return mooring, relay
