"""A hundred thousand requests through all that happens to a swarm, and how soon it is known."""

import statistics
import time
from datetime import datetime

import pytest

from tests.docker.testbed import Host, eventually, needs_hosts
from tests.edge.entry import Counted, Entry

pytestmark = [pytest.mark.system, pytest.mark.slow, needs_hosts]
REQUESTS = 100_000
WEB = "web.example.com"


def containers(hosts: list[Host]) -> dict[str, Host]:
    """Ids of those that run, as they answer them, and where."""
    found = {}
    for host in hosts:
        for name in host.docker("ps", "--quiet", "--filter", "name=web").split():
            found[name] = host
    return found


def started(host: Host, container: str) -> float:
    """In seconds since the epoch."""
    said = host.docker("inspect", "--format", "{{.State.StartedAt}}", container)
    return datetime.fromisoformat(said[:26] + "+00:00").timestamp()


class Storm:
    """What happens to one service, again and again, and when."""

    def __init__(self, entry: Entry, hosts: list[Host]) -> None:
        self.entry, self.hosts = entry, hosts
        self.started: dict[str, float] = {}
        self.killed: dict[str, float] = {}

    def look(self) -> None:
        for name, host in containers(self.hosts).items():
            if name not in self.started:
                self.started[name] = started(host, name)

    def settle(self, replicas: int) -> None:
        self.entry.runs("web", replicas)
        self.entry.serves("web", replicas)
        self.look()

    def scale(self, replicas: int) -> None:
        self.entry.manager.docker("service", "scale", "--detach", f"web={replicas}")
        self.settle(replicas)

    def kill(self) -> None:
        name, host = next(iter(containers(self.hosts).items()))
        host.docker("kill", name)
        self.killed[name] = time.time()
        self.settle(3)

    def update(self, number: int) -> None:
        self.entry.manager.docker("service", "update", "--quiet", "--env-add", f"A={number}", "web")
        self.settle(3)

    def drain(self) -> None:
        self.entry.manager.docker("node", "update", "--availability", "drain", "h2")
        eventually(lambda: not self.hosts[1].docker("ps", "--quiet"), "the node is empty")
        self.settle(3)
        self.entry.manager.docker("node", "update", "--availability", "active", "h2")

    def restart(self) -> None:
        self.entry.kill()
        self.entry.start()
        self.settle(3)

    def services(self) -> None:
        names = [f"x{number}" for number in range(10)]
        for name in names:
            self.entry.create(name, 1)
        for name in names:
            self.entry.answers(f"{name}.example.com")
        self.entry.manager.docker("service", "rm", *names)


def test_of_100_000_gets_none_fails(entry: Entry, swarm: list[Host]) -> None:
    entry.create("web", 3)
    entry.serves("web", 3)
    storm = Storm(entry, swarm)
    storm.look()
    known = set(storm.started)
    done, counts, number = 0, list[Counted](), 0
    while done < REQUESTS:
        number += 1
        with entry.load(WEB, "--pause", "0.001") as counted:
            storm.scale(6)
            storm.scale(1)
            storm.scale(3)
            storm.update(number)
            storm.kill()
            storm.drain()
            storm.restart()
            storm.services()
        assert counted.failures == []
        counts.append(counted)
        done += counted.done
    first = [
        one.seen(name)[0] - at
        for one in counts
        for name, at in storm.started.items()
        if name in one.answered and name not in known and at > one.began
    ]
    last = [
        max(one.seen(name)[1] - at, 0.0)
        for one in counts
        for name, at in storm.killed.items()
        if name in one.answered
    ]
    print(f"{done} GETs through {number} storms, none failed")
    for what, times in (("running to its first request", first), ("killed to its last", last)):
        print(
            f"task {what}: median {statistics.median(times):.3f} s, "
            f"most {max(times):.3f} s, of {len(times)}"
        )
