"""Two entries to one swarm whose hosts have agents: one hears them, the other goes by managers."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import yaml

from testbed import images
from testbed.hosts import SLOWNESS
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.testbed import Bed, Host, eventually
from tests.edge.entry import Entry

NAMES: Final = ("h1", "h2", "h3")
ENDS_BY_TERM: Final = ("--stop-signal", "TERM")
# It ends only when it is killed, 3 s after it is told to, and answers until then.
STOP_S: Final = 3


class Hearing:
    """Three hosts in a swarm, the first with the server and the manager; agents on all."""

    def __init__(self, bed: Bed) -> None:
        self.hosts = [powered(bed, name) for name in NAMES]
        self.manager = self.hosts[0]
        self.server = ServerHost(self.manager)
        self.server.start()
        self.joined = [JoinedHost(one, self.server).join().start() for one in self.hosts[1:]]
        for host in self.hosts:
            host.dockerd()
            images.load(host)
        heartbeat = ("--dispatcher-heartbeat", f"{SLOWNESS:.0f}s")
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.ip, *heartbeat)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        for host in self.hosts[1:]:
            known = ("--token", token, "--advertise-addr", host.ip)
            host.docker("swarm", "join", *known, f"{self.manager.ip}:2377")

    def entry(self, host: Host) -> Entry:
        """One that hears agents."""
        return Entry(host, self.manager, agents=self.agents(host))

    def agents(self, host: Host) -> dict[str, Any]:
        """What the edge file of an entry on this host says of them."""
        kubeconfig = ("--kubeconfig", str(self.server.data_dir / "kubeconfig"))
        where = ("--directory", str(host.place))
        done = self.server.mooring("edge", "token", host.name, *kubeconfig, *where)
        assert done.code == 0, done.err
        found: dict[str, Any] = yaml.safe_load(done.out)["agents"]
        return found

    def containers(self, service: str) -> list["Running"]:
        """Those that run now."""
        found = []
        for host in self.hosts:
            label = json.dumps({"label": [f"com.docker.swarm.service.name={service}"]})
            for one in host.api("GET", f"/containers/json?filters={label.replace(' ', '')}")[1]:
                port = next(it["PublicPort"] for it in one["Ports"] if it.get("PublicPort"))
                task = one["Labels"]["com.docker.swarm.task.id"]
                found.append(Running(one["Id"], host, f"{host.ip}:{port}", task))
        return found


class Running(NamedTuple):
    """A container of a task. address: with its port"""

    id: str
    host: Host
    address: str
    task: str

    def stop(self) -> float:
        """Tell it to end, and return; when that was, in seconds since the epoch."""
        at = time.time()
        path = f"/containers/{self.id}/stop?t={STOP_S}"
        threading.Thread(target=self.host.api, args=("POST", path)).start()
        return at

    def kill(self) -> float:
        """kill -9 of its process, from outside of Docker. When that was."""
        pid = self._look()["State"]["Pid"]
        at = time.time()
        assert self.host.run("kill", "-9", str(pid)).code == 0
        return at

    @property
    def began(self) -> str:
        """As its engine says it."""
        found: str = self._look()["State"]["StartedAt"]
        return found

    @property
    def runs(self) -> bool:
        status, said = self.host.api("GET", f"/containers/{self.id}/json")
        return status == 200 and said["State"]["Running"]

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = self.host.api("GET", f"/containers/{self.id}/json")[1]
        return found


def powered(bed: Bed, name: str) -> Host:
    host = bed.host(name)
    host.up()
    return host


def state_of(entry: Entry, task: str) -> str:
    """Of the server of a task, as the entry tells it; empty if it has none."""
    return states(entry).get(task, "")


def states(entry: Entry) -> dict[str, str]:
    """Of all servers, by task. Read as `mooring edge status` does, and sooner."""
    said = json.loads((entry.directory / "status.json").read_bytes())
    return {it["key"]: it["state"] for one in said["routes"] for it in one["servers"]}


def hears(entry: Entry, hosts: Sequence[str]) -> None:
    """Wait until agents of these hosts have told something."""

    def look() -> bool:
        said = entry.mooring("status", "-o", "json").out
        told = json.loads(said).get("agents", {}) if said.startswith("{") else {}
        return bool(told.get("server")) and set(hosts) <= set(told["hosts"])

    eventually(look, f"{entry.host.name} hears {', '.join(hosts)}")


def settled(
    hearing: Hearing, entries: Sequence[Entry], replicas: int, without: Running | None = None
) -> list[Running]:
    """Wait until so many run, and each entry sends requests to these and no others.

    without  one that was among them, and is to be gone
    """
    found: list[Running] = []

    def look() -> bool:
        found[:] = hearing.containers("web")
        serve = {one.task: "serves" for one in found}
        has_gone = without is None or without.task not in serve
        return has_gone and len(found) == replicas and all(states(one) == serve for one in entries)

    eventually(look, f"{replicas} of web serve")
    return found
