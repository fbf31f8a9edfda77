"""Members of etcd, each a process of its own: alone, or several that are one cluster."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from testbed.hosts import checked, eventually

STARTED_S = 60.0
ELECTION_MS = 200  # a fifth of etcd's own, so that tests do not wait for long


def lacking() -> str:
    """What this machine lacks for it, or empty."""
    if shutil.which("etcd"):
        return ""
    return "there is no etcd (`make programs` as root brings it on Debian)"


def free_ports(number: int) -> list[int]:
    """That nobody has at this moment."""
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Member:
    """One etcd. May be killed and started again."""

    def __init__(
        self,
        place: Path,
        name: str = "one",
        ip: str = "127.0.0.1",
        election_ms: int = ELECTION_MS,
    ) -> None:
        self.place, self.name, self.ip, self._election_ms = place, name, ip, election_ms
        self.port, self.peer_port = free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{self.ip}:{self.port}"

    @property
    def peer(self) -> str:
        """As the others know it."""
        return f"{self.name}=http://{self.ip}:{self.peer_port}"

    def command(self, peers: Sequence[str] = ()) -> list[str]:
        client, peer = self.url, f"http://{self.ip}:{self.peer_port}"
        return [
            *("etcd", "--name", self.name, "--data-dir", str(self.place)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", ",".join(peers or [self.peer])),
            *("--log-level", "error", "--logger", "zap"),
            *("--heartbeat-interval", str(self._election_ms // 10)),
            *("--election-timeout", str(self._election_ms)),
        ]

    def start(self, peers: Sequence[str] = ()) -> None:
        """peers: of all members, if there are others. Does not wait for those."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"}
        with self.place.with_name(f"{self.place.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(peers), stdout=log, stderr=log, env=environment
            )
        if not peers:
            eventually(self.answers, f"etcd {self.name} answers", STARTED_S)

    def answers(self) -> bool:
        """Whether somebody listens there."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.ip, self.port)) == 0

    def is_well(self) -> bool:
        """Whether it serves, and most of the members with it. Without TLS."""
        with suppress(OSError), urlopen(f"{self.url}/health", timeout=2) as answer:
            return bool(json.load(answer)["health"] == "true")
        return False

    @property
    def url(self) -> str:
        """For clients."""
        return f"http://{self.endpoint}"

    def ctl(self, *words: str, options: Sequence[str] = ()) -> str:
        """What etcdctl says. It must succeed."""
        environment = {"ETCDCTL_API": "3"}
        return checked(
            ["etcdctl", "--endpoints", self.url, *options, *words], environment=environment
        )

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


class Cluster:
    """Three of them, or another number."""

    def __init__(self, place: Path, number: int = 3, election_ms: int = ELECTION_MS) -> None:
        names = (f"m{one}" for one in range(1, number + 1))
        self.members = [Member(place / name, name, election_ms=election_ms) for name in names]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(one.endpoint for one in self.members)

    def start(self) -> None:
        for one in self.members:
            self.restart(one)
        self.is_whole()

    def restart(self, member: Member) -> None:
        """Does not wait for it."""
        member.start([one.peer for one in self.members])

    def is_whole(self) -> None:
        """Waits until it is: a member that starts takes connections before it serves."""
        for one in self.members:
            eventually(one.is_well, f"etcd {one.name} is well", STARTED_S)

    def stop(self) -> None:
        for one in self.members:
            one.stop()
