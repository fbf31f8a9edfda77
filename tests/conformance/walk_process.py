"""The other end of walk_worker.py: makes calls, and kills whoever makes them."""

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.conformance.driver_bench import Backend

DEADLINE_S: Final = 60.0


class Told(Exception):
    """What the driver answered instead."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Worker:
    """A driver in another process, started. One that was killed has a successor."""

    def __init__(self, backend: Backend, root: Path) -> None:
        address = f"mooring-walk-{secrets.token_hex(8)}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{address}")
        self._listener.listen()
        self._listener.settimeout(DEADLINE_S)
        module = "tests.conformance.walk_worker"
        command = [sys.executable, "-m", module, backend.name, str(root), address]
        self._parent = subprocess.Popen(command, stdin=subprocess.PIPE)
        self.begin()

    def begin(self) -> None:
        """Raises Told: it could not be started."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(b"\n")
        self._parent.stdin.flush()
        self._peer, _ = self._listener.accept()
        self._peer.settimeout(DEADLINE_S)
        self._lines = self._peer.makefile("rb")
        pid = int(self._lines.readline())
        self._process = os.pidfd_open(pid)
        self.call("start")

    def call(self, *call: object) -> Any:
        """Raises Told."""
        self._send("", call)
        return self._answer()

    def killed(self, call: tuple[object, ...], point: str, after_s: float) -> bool:
        """Make a call and kill it at a crash point, or else after a time.

        returns  whether it was cut off; what it answered if not is lost
        """
        self._send(point, call)
        ready, _, _ = select.select([self._peer], [], [], DEADLINE_S if point else after_s)
        self._kill()
        try:
            answered = bool(ready and self._lines.readline())
        except ConnectionResetError:
            answered = False
        self._ended()
        return not answered

    def close(self) -> None:
        """Killed, too: there is nothing that it would have to do."""
        self._kill()
        self._ended()
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(DEADLINE_S)
        self._listener.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # it died at its crash point
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def _ended(self) -> None:
        gone, _, _ = select.select([self._process], [], [], DEADLINE_S)
        assert gone, "a process that was killed lives on"
        os.close(self._process)
        self._lines.close()
        self._peer.close()

    def _send(self, point: str, call: tuple[object, ...]) -> None:
        self._peer.sendall(json.dumps([point, *call]).encode() + b"\n")

    def _answer(self) -> Any:
        value, *told = json.loads(self._lines.readline())
        if told:
            raise Told(*told)
        return value


def eventually(look: Any, what: str) -> None:
    """Wait for a condition, not for a time."""
    ends = time.monotonic() + DEADLINE_S
    while not look():
        if time.monotonic() > ends:
            raise AssertionError(f"still not so: {what}")
        time.sleep(0.01)
