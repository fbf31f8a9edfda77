"""Hosts that have joined a server on another."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, PLUGIN_SOCKET, Mooring
from tests.docker.testbed import DEADLINE_S, Done, Host, eventually

PORT: Final = 6443


class ServerHost(Mooring):
    """`mooring up` that other hosts reach."""

    def __init__(self, host: Host, *options: str) -> None:
        super().__init__(host, *options, "--listen", f"{host.ip}:{PORT}")

    def joining(self, *options: str) -> list[str]:
        """The command by which a host joins, without its first word."""
        kubeconfig = ("--kubeconfig", str(self.data_dir / "kubeconfig"))
        done = self.mooring("node", "token", *kubeconfig, *options)
        assert done.code == 0, done.err
        return done.out.splitlines()[-1].split()[1:]


class JoinedHost:
    """The agent of one host. May be killed and started again."""

    def __init__(self, host: Host, server: ServerHost) -> None:
        self.host, self.server = host, server
        self.data_dir = host.place / "mooring"
        self.pool = self.data_dir / "pool"
        self._log = host.place / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def join(self, *options: str) -> "JoinedHost":
        words = (*self.server.joining(*options), "--data-dir", str(self.data_dir))
        done = self.host.run(sys.executable, "-m", "mooring.cli.main", *words)
        assert done.code == 0, done.err
        return self

    def start(self, *options: str, **environment: str) -> "JoinedHost":
        said = self._times_served()
        self._process = self.host.popen(
            *(sys.executable, "-m", "mooring.cli.main", "node", "run"),
            *("--data-dir", str(self.data_dir), "--plugin-socket", PLUGIN_SOCKET),
            *("--docker-socket", str(self.host.socket), *options),
            log=self._log.name,
            PYTHONUNBUFFERED="1",
            **environment,
        )
        eventually(lambda: self._serves(said), f"the agent serves on {self.host.name}")
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, "start comes first"
        return self.host.pid_of(self._process)

    @property
    def has_ended(self) -> bool:
        assert self._process is not None, "start comes first"
        return self._process.poll() is not None

    def freeze(self) -> None:
        """It does nothing any more, and does not end."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on. Whoever started it was stopped with it."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGCONT)
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.pid, number)
        assert self._process is not None
        self._process.wait(DEADLINE_S)
        self._process = None

    def docker_run(self, volume: str, command: str, *options: str) -> Done:
        """A container that has a volume of class `host` at /data, to its end."""
        created = self.create(volume)
        if created.code:
            return created
        mount = ("--volume", f"{volume}:/data", "--rm", *options)
        return self.host.try_docker("run", *mount, SHELL, "sh", "-c", command)

    def create(self, volume: str, class_: str = "host") -> Done:
        options = ("--opt", "size=1Mi", "--opt", f"class={class_}")
        return self.host.try_docker("volume", "create", "--driver", DRIVER, *options, volume)

    def _serves(self, said: int) -> bool:
        assert self._process is not None
        tail = self._log.read_text(errors="replace")[-2000:]
        assert self._process.poll() is None, f"the agent ended: {tail}"
        return self._times_served() > said and self._accepts()

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(DEADLINE_S)
            probe.connect(str(self.host.seen(Path(PLUGIN_SOCKET))))
        return True

    def _times_served(self) -> int:
        said = self._log.read_text(errors="replace") if self._log.exists() else ""
        return said.count("serves this host")
