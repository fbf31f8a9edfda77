"""An edge that asks three managers of one swarm: the first by its socket, the others by TLS."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import yaml

from mooring.edge.follower import POLL_S
from mooring.edge.status import NoStatus, Status, read
from testbed import images
from testbed.hosts import SLOWNESS
from tests.docker.testbed import Bed, Host, eventually
from tests.edge.authority import Authority
from tests.edge.entry import Counted, Entry

WEB: Final = "web.example.com"
PORT: Final = 2376  # where managers listen


class Managed:
    """The swarm, its service and its edge."""

    def __init__(self, bed: Bed, place: Path) -> None:
        self.authority = Authority(place, "ca")
        self.hosts = [bed.host(f"h{number}") for number in (1, 2, 3)]
        for host in self.hosts:
            host.up()
            self.start(host)
            images.load(host)
        first, *others = self.hosts
        told = ("--advertise-addr", first.ip, "--dispatcher-heartbeat", f"{SLOWNESS:.0f}s")
        first.docker("swarm", "init", *told)
        for host in others:
            self.join(host, first)
        machine = bed.host("edge")
        machine.up()
        self.certificate, self.key = self.authority.issue("edge")
        tls = {"ca": self.authority.file, "certificate": self.certificate, "key": self.key}
        # The leader is not the first: nobody knows the swarm while there is no other leader.
        managers = [self.address(host) for host in (*others, first)]
        self.entry = Entry(machine, first, managers=managers, managerTls=tls)
        self.entry.start()

    def start(self, host: Host, days: int = 1) -> None:
        """Its dockerd, listening as managers do. days: until its certificate expires."""
        certificate, key = self.authority.issue(host.name, days, host.ip)
        tls = ("--tlscacert", self.authority.file, "--tlscert", certificate, "--tlskey", key)
        host.dockerd("--host", f"tcp://{host.ip}:{PORT}", "--tlsverify", *tls)

    @staticmethod
    def join(host: Host, manager: Host) -> None:
        """As one more manager."""
        token = manager.docker("swarm", "join-token", "--quiet", "manager")
        known = ("--token", token, "--advertise-addr", host.ip)
        host.docker("swarm", "join", *known, f"{manager.ip}:2377")

    def address(self, host: Host) -> str:
        """As the edge asks it."""
        return str(host.socket) if host is self.hosts[0] else f"tcp://{host.ip}:{PORT}"

    def asks(self, *hosts: Host) -> None:
        """Start the edge anew with these managers alone, in this order; whatever they answer."""
        said = yaml.safe_load(self.entry.file.read_text())
        said["managers"] = [self.address(host) for host in hosts]
        self.entry.file.write_text(yaml.safe_dump(said))
        self.entry.kill()
        self.entry.start()

    def status(self) -> Status | None:
        with suppress(NoStatus):
            return read(self.entry.directory)
        return None

    def in_use(self) -> Host:
        """The manager that the edge asks now."""
        status = self.status()
        assert status is not None
        return next(one for one in self.hosts if self.address(one) == status.manager)

    def others(self, *but: Host) -> list[Host]:
        return [one for one in self.hosts if one not in but]

    def leader(self) -> Host:
        """Of those that answer."""
        found: list[Host] = []

        def look() -> bool:
            for host in self.hosts:
                form = ("--format", "{{.Hostname}} {{.ManagerStatus}}")
                done = host.try_docker("node", "ls", *form) if host.has_dockerd else None
                lines = done.out.splitlines() if done and not done.code else []
                names = [one.split()[0] for one in lines if one.endswith(" Leader")]
                found.extend(one for one in self.hosts if one.name in names)
                if found:
                    return True
            return False

        eventually(look, "the swarm has a leader")
        return found[0]

    def all_ready(self, managers: int = 3) -> None:
        """Every host is there, and so many are managers that the others reach."""
        form = ("node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}")

        def look() -> bool:
            asked = [host.try_docker(*form) for host in self.hosts]
            lines = next((one.out.splitlines() for one in asked if not one.code), [])
            reached = sum(one in ("Ready Leader", "Ready Reachable") for one in lines)
            there = sum(one.startswith("Ready") for one in lines)
            return (there, reached, len(lines)) == (3, managers, 3)

        eventually(look, "all three are ready and reachable")

    def follows(self, *hosts: Host) -> float:
        """Wait until the edge has looked at the swarm by one of them. How long that took.

        Until then no server is taken out.
        """
        began, kept = time.time(), self.kept()

        def look() -> bool:
            status = self.status()
            if status is None:
                return False
            if status.manager_failure:
                assert self.kept() >= kept, "a server was taken out without a look at the swarm"
                return False
            if status.manager not in {self.address(host) for host in hosts}:
                return False
            return status.swarm_seen is not None and status.swarm_seen.timestamp() > began

        eventually(look, f"the edge follows the swarm by one of {[one.name for one in hosts]}")
        return time.time() - began

    def follows_now(self, host: Host) -> bool:
        """Whether it is the one that the edge looked at the swarm by, a moment ago."""
        status = self.status()
        if status is None or status.swarm_seen is None or status.manager != self.address(host):
            return False
        return time.time() - status.swarm_seen.timestamp() < POLL_S + 1

    def told(self, host: Host, *why: str) -> None:
        """Wait until an event says that this manager was lost, with these words."""

        def look() -> bool:
            lines = self.entry.mooring("events", "-o", "json").out
            lost = [
                one["message"]
                for one in (json.loads(lines) if lines.startswith("[") else [])
                if one["reason"] == "ManagerLost"
            ]
            return any(
                self.address(host) in one and all(word in one for word in why) for one in lost
            )

        eventually(look, f"it is told that {host.name} was lost: {why}")

    def lost(self) -> None:
        """Wait until no manager can be used."""

        def look() -> bool:
            status = self.status()
            asked = yaml.safe_load(self.entry.file.read_text())["managers"]
            return status is not None and len(status.managers_lost) == len(asked)

        eventually(look, "no manager can be used")

    def why(self, host: Host) -> str:
        """A manager could not be used when it was asked last; empty if it could."""
        status = self.status()
        lost = status.managers_lost if status else ()
        return next((one.why for one in lost if one.address == self.address(host)), "")

    def serves(self, servers: int) -> None:
        eventually(lambda: self.serving() == servers, f"{servers} serve")

    def serves_at_least(self, servers: int, for_s: float = 1.0) -> None:
        """All the time."""
        ends = time.time() + for_s
        while time.time() < ends:
            assert self.serving() >= servers
            time.sleep(0.05)

    def kept(self) -> int:
        """How many servers are not to leave."""
        status = self.status()
        routes = status.routes if status else ()
        return sum(one.state != "leaves" for route in routes for one in route.servers)

    def serving(self) -> int:
        """How many servers get requests, by the edge's own word."""
        status = self.status()
        return sum(one.serving for one in status.routes) if status else 0

    def scaled(self, replicas: int, by: Host | None = None) -> None:
        """A change that the edge is to see."""
        scale = ("service", "scale", "--detach", f"web={replicas}")
        host = by or self.hosts[0]
        eventually(lambda: host.try_docker(*scale).code == 0, "a manager takes the change")
        self.serves(replicas)

    @contextmanager
    def nothing_fails(self, what: str) -> Iterator[Counted]:
        """Of all GETs meanwhile."""
        with self.entry.load(WEB) as counted:
            yield counted
        print(
            f"{what}: {counted.done} GETs, {counted.said['failed']} failed, "
            f"the slowest {counted.slowest_s:.2f} s {counted.failures[:3]}",
            flush=True,
        )
        assert counted.failures == []
