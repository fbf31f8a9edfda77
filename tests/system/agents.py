"""Agents in processes of their own, at a server of a test."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.system.server import Server, eventually


class AgentProcess:
    """`mooring node run` in a directory, without Docker. May be killed and started again."""

    def __init__(self, server: Server, place: Path, node: str) -> None:
        self.server, self.place, self.node = server, place, node
        self.pool = place / "pool"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.place / "log").read_text()

    @property
    def token(self) -> str:
        """Its own."""
        found: dict[str, Any] = msgspec.json.decode((self.place / "agent.json").read_bytes())
        return str(found["token"])

    def join(self, *options: str, servers: Sequence[str] = ()) -> "AgentProcess":
        """servers: more than the one that made the token"""
        self.place.mkdir(parents=True, exist_ok=True)
        joining = mooring(self.server, "node", "token", *options).splitlines()[-1].split()[1:]
        joining[3:3] = [one for one in servers if one not in joining]
        mooring(
            *(self.server, *joining, "--data-dir", str(self.place)),
            *("--node-name", self.node, "--pool", str(self.pool)),
        )
        return self

    def start(self) -> "AgentProcess":
        said = self._times_ready()
        command = (sys.executable, "-m", "mooring.cli.main", "node", "run")
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                (*command, "--data-dir", str(self.place), "--plugin-socket", ""),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        eventually(lambda: self._times_ready() > said, f"agent {self.node} runs")
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def _times_ready(self) -> int:
        path = self.place / "log"
        return path.read_text().count("serves this host") if path.exists() else 0


def mooring(server: Server, *words: str) -> str:
    """What a command of an admin prints. It must succeed."""
    done = try_mooring(server, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def try_mooring(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    """However it ends."""
    return subprocess.run(
        (sys.executable, "-m", "mooring.cli.main", *words),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KUBECONFIG": str(server.kubeconfig)},
    )
