"""One of several machines that are alike: each a member of etcd, a server, an agent, a Docker."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from testbed.etcd import Member
from testbed.hosts import DEADLINE_S, Host, eventually
from testbed.images import load
from tests.docker.joined import PORT
from tests.docker.mooring import PLUGIN_SOCKET

ELECTION_MS: Final = 500
LEADER_LEASE_S: Final = 3.0
NODE_LEASE_S: Final = 4.0  # writers are stopped after two thirds of it
MOORING: Final = (sys.executable, "-m", "mooring.cli.main")
FAST_SWARM: Final = ("--dispatcher-heartbeat", "1s")


class Process:
    """A program of a host, which may be killed, stand still and be started again."""

    def __init__(self, host: Host, name: str, words: Sequence[str]) -> None:
        self.host, self.name, self.words = host, name, words
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.host.place / f"{self.name}.log"

    def start(self) -> None:
        """Not waited for."""
        self._process = self.host.popen(*self.words, log=self.log.name, PYTHONUNBUFFERED="1")

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "start comes first"
        return self.host.pid_of(self._process)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(DEADLINE_S)

    def freeze(self) -> None:
        """What has started it on the host stops with it by itself."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        for pid in (self.pid, self._process.pid):
            os.kill(pid, signal.SIGCONT)


class Dockerd:
    """Of a host, as the other programs are handled."""

    name = "dockerd"

    def __init__(self, host: Host) -> None:
        self._host = host

    def start(self) -> None:
        """Waits until it answers: before, it does not say what drivers it has."""
        self._host.dockerd()
        self._host.api("GET", "/volumes")  # it knows the plugin from now on

    def kill(self) -> None:
        self._host.stop_dockerd(signal.SIGKILL)

    def freeze(self) -> None:
        self._host.freeze_dockerd()

    def thaw(self) -> None:
        self._host.thaw_dockerd()


class Watchdog:
    """Of an agent, which starts it anew."""

    name = "watchdog"

    def __init__(self, host: Host) -> None:
        self._host = host

    def pids(self) -> list[int]:
        """As this process sees them."""
        return pids_of(self._host, "mooring.node.watchdog")

    def start(self) -> None:
        """Its agent does."""

    def kill(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)


Program = Process | Dockerd | Watchdog


class Machine:
    """All of it. What is on disk outlives a crash."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.member = Member(host.place / "etcd", host.name, host.ip, ELECTION_MS)
        self.data_dir = host.place / "agent"
        self.kubeconfig = host.place / "server" / "kubeconfig"
        self.pool = self.data_dir / "pool"
        self.loops = host.place / "loops"

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def url(self) -> str:
        return f"https://{self.host.ip}:{PORT}"

    def prepare(self, machines: Sequence["Machine"]) -> None:
        """machines  all that belong together"""
        store = f"etcd://{','.join(one.member.endpoint for one in machines)}"
        self.etcd = Process(
            self.host, "etcd", self.member.command([one.member.peer for one in machines])
        )
        self.server = Process(
            self.host,
            "server",
            [
                *(*MOORING, "server", "--data-dir", str(self.kubeconfig.parent)),
                *("--listen", f"{self.host.ip}:{PORT}", "--store", store),
                *("--leader-lease", str(LEADER_LEASE_S)),
            ],
        )
        self.agent = Process(
            self.host,
            "agent",
            [
                *(*MOORING, "node", "run", "--data-dir", str(self.data_dir)),
                *("--plugin-socket", PLUGIN_SOCKET, "--docker-socket", str(self.host.socket)),
                *("--node-lease", str(NODE_LEASE_S)),
            ],
        )
        self.dockerd, self.watchdog = Dockerd(self.host), Watchdog(self.host)

    def programs(self) -> dict[str, Program]:
        found = (self.etcd, self.server, self.agent, self.dockerd, self.watchdog)
        return {one.name: one for one in found}

    def join(self, machines: Sequence["Machine"]) -> None:
        """To any server."""
        words = ("--kubeconfig", str(self.kubeconfig), "--output", "json")
        made = self.host.run(*MOORING, "node", "token", *words)
        assert made.code == 0, made.err
        token = made.out.split('"token":')[1].split('"')[1]
        urls = [one.url for one in machines]
        done = self.host.run(
            *(*MOORING, "node", "join", *urls, "--token", token),
            *("--data-dir", str(self.data_dir)),
        )
        assert done.code == 0, done.err

    def serves(self) -> bool:
        """Whether the agent answers Docker."""
        return self.agent.lives and self.host.seen(PLUGIN_SOCKET).exists()

    def reboot(self) -> None:
        """After a crash: all programs in the order in which a machine starts them."""
        power_on(self.host)
        for one in (self.etcd, self.server, self.agent):
            one.start()
        eventually(self.serves, f"the agent of {self.name} serves")
        self.dockerd.start()

    def first_docker(self) -> None:
        self.dockerd.start()
        load(self.host)


def power_on(host: Host) -> None:
    host.up()
    # Else the network of a host that crashes stays until nobody waits for an answer.
    host.run("sysctl", "-qw", "net.ipv4.tcp_orphan_retries=1")


def pids_of(host: Host, word: str) -> list[int]:
    """Processes of a host in whose command a word stands, as this process sees them."""
    found = []
    space = os.readlink(f"/proc/{host.init}/ns/pid")
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.readlink(f"/proc/{name}/ns/pid") != space:
                continue
            if word in Path(f"/proc/{name}/cmdline").read_bytes().decode().split("\0"):
                found.append(int(name))
    return found
