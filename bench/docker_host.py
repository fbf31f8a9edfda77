"""A host with Mooring and a Docker of its own on this machine, gone after the measurement."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.client import BenchError
from bench.docker_api import MOORING, Docker, Plugin
from testbed import images
from testbed.hangs import Hangs
from testbed.hosts import DEADLINE_S, Bed, Host, a_bed, eventually, lacking

ROOT: Final = Path(__file__).parent.parent  # where `testbed` is found
PROGRAM: Final = "mooring.cli.main"
PLUGIN_SOCKET: Final = f"/run/docker/plugins/{MOORING}.sock"
DATA: Final = "mooring"  # the data directory, below what the host has on disk
MOORING_LOG: Final = "mooring.log"
DOCKER_LOG: Final = "dockerd.log"
RETRIED: Final = re.compile(r"Unable to connect to plugin.*retrying")


class DockerHost:
    """Mooring and dockerd, each of which may be stopped and started again."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.docker = Docker(host.socket)
        self.plugin = Plugin(host.seen(PLUGIN_SOCKET))
        self._mooring: subprocess.Popen[bytes] | None = None
        self.first_start_s = 0.0  # of dockerd, which knew no volumes then

    def start_mooring(self, program: str = PROGRAM, **environment: str) -> None:
        """program  a module that takes Mooring's arguments"""
        self._mooring = self.host.popen(
            *(sys.executable, "-m", program, "up", "--listen", "127.0.0.1:6443"),
            *("--data-dir", str(self.host.place / DATA)),
            *("--plugin-socket", PLUGIN_SOCKET, "--docker-socket", str(self.host.socket)),
            log=MOORING_LOG,
            **environment,
        )
        eventually(self._serves, "Mooring serves Docker")

    def start_hanging(self) -> Hangs:
        """Mooring with the same data, whose pool hangs when it is told to."""
        self.start_mooring("testbed.hanging", PYTHONPATH=str(ROOT))
        return Hangs(self.host.place / DATA / "pool")

    def stop_mooring(self) -> None:
        assert self._mooring is not None, "start_mooring comes first"
        os.kill(self.host.pid_of(self._mooring), signal.SIGTERM)
        self._mooring.wait(DEADLINE_S)
        self._mooring = None

    def start_docker(self) -> float:
        """Returns how many seconds it took until it answered."""
        started_s = time.perf_counter()
        self.host.dockerd()
        return time.perf_counter() - started_s

    def stop_docker(self) -> None:
        self.docker.close()
        self.host.stop_dockerd()

    def retries(self) -> int:
        """How often dockerd had to ask the plugin again so far."""
        log = (self.host.place / DOCKER_LOG).read_text(errors="replace")
        return len(RETRIED.findall(log))

    def versions(self) -> str:
        """Of what is measured, for people."""
        log = (self.host.place / MOORING_LOG).read_text(errors="replace")
        found = re.search(r"^(Mooring \S+) serves ", log, re.MULTILINE)
        docker = self.docker.ask("GET", "/version")["Version"]
        return f"{found[1] if found else 'Mooring'} beside dockerd {docker}"

    def _serves(self) -> bool:
        assert self._mooring is not None
        if self._mooring.poll() is not None:
            log = (self.host.place / MOORING_LOG).read_text(errors="replace")
            raise BenchError(f"Mooring ended; it said last:\n{log[-2000:]}")
        return bool(self.plugin.call("Capabilities"))


@contextmanager
def own_host() -> Iterator[DockerHost]:
    """With both started and an image to run. Raises BenchError if this machine cannot have it."""
    if why := lacking():
        raise BenchError(why)
    with a_bed() as bed:
        yield _started(bed)


def _started(bed: Bed) -> DockerHost:
    host = bed.host("bench")
    host.up()
    found = DockerHost(host)
    found.start_mooring()
    found.first_start_s = found.start_docker()
    images.load(host)
    return found
