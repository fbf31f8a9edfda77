"""What happens to a service of a swarm, one thing after the other, and how soon the entry knows."""

import csv
import json
import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from testbed import server
from tests.docker.testbed import Host, eventually
from tests.edge.entry import Counted, Entry

WEB: Final = "web.example.com"
WORK_S: Final = 0.02  # so that some is under way whenever something is killed
SERVICES: Final = 50  # that come and go
TOLD_AT_MOST: Final = 30  # failures
LOOK_S: Final = 0.01  # at what HAProxy sends where
REFUSED: Final = re.compile(r"^(\S+ \S+) \[error\].*upstream: \"http://([0-9.]+:[0-9]+)/", re.M)


class Container(NamedTuple):
    """One of the service. began: when its task was running, in seconds since the epoch."""

    id: str
    host: Host
    address: str  # and port
    began: float


def serving(work: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Options and command of a service that keeps connections open and writes its work down."""
    own = Path(server.__file__)
    seen = {Path("/lib"): Path("/lib"), Path("/lib64"): Path("/lib64"), own: Path("/server.py")}
    seen |= {Path(sys.base_prefix): Path(sys.base_prefix)}
    options = [f"type=bind,source={one.resolve()},target={to},readonly" for one, to in seen.items()]
    options.append(f"type=bind,source={work},target=/work")
    python = f"{sys.base_prefix}/bin/python3"
    command = (python, "-I", "-S", "/server.py", "80", "/work/log", str(WORK_S))
    return tuple(word for one in options for word in ("--mount", one)), command


class Storm:
    """What happens to one service, and when. It has three tasks whenever nothing happens."""

    def __init__(self, entry: Entry, hosts: list[Host], work: Path) -> None:
        self.entry, self.hosts, self.work = entry, hosts, work
        self.known: dict[str, Container] = {}
        self.killed: list[tuple[Container, float]] = []  # and when
        self.events: list[tuple[float, str]] = []
        self._updates = 0

    def begin(self, *words: str) -> None:
        """words: further options of the service."""
        options, command = serving(self.work)
        self.entry.create("web", 3, *options, *words, command=command)
        self.settle(3)

    def note(self, what: str) -> None:
        self.events.append((time.time(), what))

    def settle(self, replicas: int = 3) -> None:
        # Tasks of a node that is away are told to run, and are not to.
        eventually(lambda: len(self.look()) == replicas, f"{replicas} of web run")
        self.entry.serves("web", replicas)

    def look(self) -> list[Container]:
        """The containers that run now."""
        asked = "/tasks?filters=" + json.dumps({"service": {"web": True}}, separators=(",", ":"))
        addresses = {host.name: host for host in self.hosts}
        nodes = {
            one["ID"]: addresses[one["Description"]["Hostname"]]
            for one in self.entry.manager.api("GET", "/nodes")[1]
        }
        found = []
        for task in self.entry.manager.api("GET", asked)[1]:
            status = task["Status"]
            if status["State"] == "running" and task["DesiredState"] == "running":
                port = status["PortStatus"]["Ports"][0]["PublishedPort"]
                name, host = status["ContainerStatus"]["ContainerID"], nodes[task["NodeID"]]
                address = f"{host.ip}:{port}"
                found.append(Container(name[:12], host, address, moment(status["Timestamp"])))
        self.known |= {one.id: one for one in found}
        return found

    def scale(self, replicas: int) -> None:
        self.note(f"scale to {replicas}")
        self.entry.manager.docker("service", "scale", "--detach", f"web={replicas}")
        self.settle(replicas)

    def kill(self) -> None:
        one = self.look()[0]
        self.note(f"kill {one.id}")
        one.host.docker("kill", one.id)
        died = one.host.docker("inspect", "--format", "{{.State.FinishedAt}}", one.id)
        self.killed.append((one, moment(died)))
        self.settle()

    def update(self) -> None:
        self.note("update")
        self._updates += 1
        changed = ("--env-add", f"A={self._updates}", "web")
        self.entry.manager.docker("service", "update", "--quiet", *changed)
        self.settle()

    def drain(self) -> None:
        self.note("drain")
        self.entry.manager.docker("node", "update", "--availability", "drain", "h2")
        eventually(lambda: not self.hosts[1].docker("ps", "--quiet"), "the node is empty")
        self.settle()
        self.entry.manager.docker("node", "update", "--availability", "active", "h2")

    def restart(self) -> None:
        self.note("the edge is killed")
        self.entry.kill()
        self.entry.start()
        self.settle()

    def services(self, count: int = SERVICES) -> None:
        """Others come, which reload the proxy, and go."""
        self.note("others come")
        names = [f"x{number}" for number in range(count)]
        for name in names:
            self.entry.create(name, 1)
        for name in names:
            self.entry.answers(f"{name}.example.com")
        self.note("others go")
        self.entry.manager.docker("service", "rm", *names)
        for name in names:
            gone = f"{name} is gone"
            eventually(lambda name=name: self.entry.get(f"{name}.example.com")[0] == 404, gone)

    def all(self, *, services: int = SERVICES) -> None:
        """One after the other."""
        for replicas in (6, 1, 3):
            self.scale(replicas)
        self.update()
        for _ in range(3):
            self.kill()
        self.drain()
        self.restart()
        self.services(services)

    def reloads(self) -> int:
        """Of the proxy, since its edge was started first; one that a kill cut off may be beside."""
        return (self.entry.host.place / "edge.log").read_text().count(" reloaded backends=")

    def to_first(self, counts: Iterable[Counted]) -> list[float]:
        """Seconds from a task's running to its first answer, of all that began under load."""
        return [
            one.seen(name)[0] - container.began
            for one in counts
            for name, container in self.known.items()
            if name in one.answered and one.began < container.began
        ]

    def to_last(self, asked: dict[str, float]) -> list[float]:
        """Seconds from a task's death to the last request that was sent there.

        asked  when that was, by address
        """
        return [max(asked.get(container.address, at) - at, 0.0) for container, at in self.killed]

    def told(self, counted: Counted) -> str:
        """Failures by what happened then."""
        lines = [f"{counted.done} requests, {counted.said['failed']} failed, "]
        lines[0] += f"the slowest took {counted.slowest_s:.2f} s"
        for began, ended, why, _ in counted.failures[:TOLD_AT_MOST]:
            last = max((one for one in self.events if one[0] <= ended), default=(began, "nothing"))
            how = f"{ended - last[0]:.2f} s after {last[1]}, took {ended - began:.2f} s"
            lines.append(f"  {how}: {why[:60]}")
        return "\n".join(lines)


class Asked(threading.Thread):
    """When HAProxy sent the last request to each address, looked at all the time."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(daemon=True)
        self.last: dict[str, float] = {}
        self._socket = str(entry.directory / "admin.sock")
        service = entry.manager.docker("service", "inspect", "--format", "{{.ID}}", "web").strip()
        self._command = f"show stat svc_{service}_ 4 -1\n".encode()
        self._counts: dict[str, tuple[str, int]] = {}  # of a slot
        self._ends = threading.Event()

    def __enter__(self) -> "Asked":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self.join()

    def run(self) -> None:
        while not self._ends.wait(LOOK_S):
            with suppress(OSError):  # a reload changes the socket
                self._look()

    def _look(self) -> None:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(self._socket)
            asking.sendall(self._command)
            asking.shutdown(socket.SHUT_WR)
            text = b"".join(iter(lambda: asking.recv(1 << 16), b"")).decode()
        for row in csv.DictReader(text.removeprefix("# ").splitlines()):
            now = row["addr"], int(row["stot"])
            before = self._counts.get(row["svname"], ("", 0))
            if before[0] == now[0] and now[1] > before[1]:
                self.last[now[0]] = time.time()
            self._counts[row["svname"]] = now


def refused(entry: Entry) -> dict[str, float]:
    """When nginx sent the last request to each address that did not answer, to the second."""
    log = (entry.directory / "nginx.log").read_text()
    form = "%Y/%m/%d %H:%M:%S"
    return {where: datetime.strptime(at, form).timestamp() for at, where in REFUSED.findall(log)}


def times(what: str, found: list[float]) -> str:
    if not found:
        return f"{what}: none"
    return (
        f"{what}: median {statistics.median(found):.3f} s, most {max(found):.3f} s, of {len(found)}"
    )


def moment(said: str) -> float:
    """Of Docker, with its nanoseconds, in UTC."""
    return datetime.fromisoformat(said.strip().rstrip("Z")[:26] + "+00:00").timestamp()
