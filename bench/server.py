"""A server of our own, started for the measurement and gone after it."""

import base64
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import yaml

from bench.client import BenchError, Target
from testbed.etcd import Cluster

START_S: Final = 60.0  # the first start makes a CA and a store
ETCDS_ELECTION_MS: Final = 1000  # its default
STOP_S: Final = 10.0  # the server promises 5 s
PROBE_S: Final = 5.0
POLL_S: Final = 0.05
LAST_LINES: Final = 15  # of the server's output, shown when it does not start


class Started(NamedTuple):
    """A server that is ready. pids: of all that was started for it"""

    target: Target
    pids: list[int]


@dataclass(frozen=True)
class Shared:
    """A store that servers share, on this machine: members of etcd, and servers of it."""

    members: int
    servers: int

    def __str__(self) -> str:
        return f"etcd of {self.members}, {self.servers} server{'s' * (self.servers > 1)}"


@contextmanager
def own_server(start_s: float = START_S, shared: Shared | None = None) -> Iterator[Started]:
    """`mooring up` in a temporary directory, stopped and removed after.

    shared: its store is in etcd, and other servers of it run beside; otherwise in its directory
    """
    with ExitStack() as stack:
        directory = TemporaryDirectory(prefix="mooring-bench-", ignore_cleanup_errors=True)
        place = Path(stack.enter_context(directory))
        if shared is None:
            yield stack.enter_context(_server(place, "up", (), start_s))
            return
        cluster = Cluster(place / "etcd", shared.members, ETCDS_ELECTION_MS)
        stack.callback(cluster.stop)
        cluster.start()
        options = ("--store", f"etcd://{','.join(cluster.endpoints)}")
        pids = [one.process.pid for one in cluster.members if one.process is not None]
        first: Target | None = None
        for number in range(shared.servers):
            ours = place / f"server-{number}"
            ours.mkdir()
            command = "server" if number else "up"  # the first one leads, and has the agent
            started = stack.enter_context(_server(ours, command, options, start_s))
            first, pids = first or started.target, [*pids, *started.pids]
        assert first is not None
        yield Started(first, pids)


@contextmanager
def _server(place: Path, command: str, options: Sequence[str], start_s: float) -> Iterator[Started]:
    log = place / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_command(place, command), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Started(_ready(process, place, log, start_s), [process.pid])
    finally:
        _stop(process)


def _command(place: Path, command: str) -> list[str]:
    options = {
        "--data-dir": place / "data",
        "--listen": f"127.0.0.1:{_free_port()}",
        "--kubeconfig": place / "kubeconfig",
    }
    if command == "up":
        options |= {"--plugin-socket": "", "--pool": place / "pool"}
    flags = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "mooring.cli.main", command, *flags]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ready(process: subprocess.Popen[bytes], place: Path, log: Path, start_s: float) -> Target:
    end_s = time.monotonic() + start_s
    while process.poll() is None and time.monotonic() < end_s:
        target = _target(place / "kubeconfig", place / "ca.crt")
        if target is not None and _serves(target):
            return target
        time.sleep(POLL_S)
    said = "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
    raise BenchError(f"`mooring up` did not become ready; it said last:\n{said}")


def _target(kubeconfig: Path, ca_file: Path) -> Target | None:
    """What the server wrote for its users; None until it has."""
    if not kubeconfig.exists():
        return None
    config = yaml.safe_load(kubeconfig.read_text())
    if not config:
        return None
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca_file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    return Target.of(cluster["server"], user["token"], str(ca_file))


def _serves(target: Target) -> bool:
    connection = http.client.HTTPSConnection(
        target.host, target.port, context=target.context, timeout=PROBE_S
    )
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {target.token}"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
