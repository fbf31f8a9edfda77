"""Two entries to one swarm whose hosts have agents: one hears them, the other goes by managers."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import yaml

from testbed import images
from testbed.hosts import SLOWNESS
from tests.docker.joined import PORT, JoinedHost, ServerHost
from tests.docker.testbed import Bed, Host, eventually
from tests.edge.entry import Entry

NAMES: Final = ("h1", "h2", "h3")
ETCD: Final = 2379
ENDS_BY_TERM: Final = ("--stop-signal", "TERM")
# It ends only when it is killed, 3 s after it is told to, and answers until then.
STOP_S: Final = 3


class Hearing:
    """Hosts in a swarm, the first with the server and the manager; agents on all.

    several  an etcd on the first host, and a second server on a host of its own
    """

    def __init__(self, bed: Bed, names: Sequence[str] = NAMES, *, several: bool = False) -> None:
        self.hosts = [powered(bed, name) for name in names]
        self.manager = self.hosts[0]
        store = f"etcd://{self.manager.ip}:{ETCD}/mooring"
        if several:
            self._etcd()
        self.server = ServerHost(self.manager, *(("--store", store) if several else ()))
        self.server.start()
        self.urls = [f"https://{self.manager.ip}:{PORT}"]
        if several:
            self._second(powered(bed, "s2"), store)
        self.joined = [self._joined(one) for one in self.hosts[1:]]
        self._swarm()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The first server does nothing any more, meanwhile, and does not end."""
        process = self.server._process
        assert process is not None
        pid = self.manager.pid_of(process)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in (pid, process.pid):  # whoever started it was stopped with it
                os.kill(one, signal.SIGCONT)

    def _etcd(self) -> None:
        own, peer = (f"http://{self.manager.ip}:{one}" for one in (ETCD, ETCD + 1))
        self.manager.popen(
            *("etcd", "--data-dir", str(self.manager.place / "etcd"), "--name", "one"),
            *("--listen-client-urls", own, "--advertise-client-urls", own),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"one={peer}"),
            log="etcd.log",
        )
        listens(self.manager, ETCD)

    def _second(self, host: Host, store: str) -> None:
        where = ("--listen", f"{host.ip}:{PORT}", "--data-dir", str(host.place / "mooring"))
        command = (sys.executable, "-m", "mooring.cli.main", "server", "--store", store, *where)
        host.popen(*command, log="server.log")
        listens(host, PORT)
        self.urls.append(f"https://{host.ip}:{PORT}")

    def _joined(self, host: Host) -> JoinedHost:
        made = JoinedHost(host, self.server)
        node, join, url, *more = self.server.joining()
        words = (node, join, url, *self.urls[1:], *more, "--data-dir", str(made.data_dir))
        done = host.run(sys.executable, "-m", "mooring.cli.main", *words)
        assert done.code == 0, done.err
        return made.start()

    def _swarm(self) -> None:
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
        return {**found, "urls": self.urls}

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


def listens(host: Host, port: int) -> None:
    """Wait until somebody takes connections at the host's address."""

    def look() -> bool:
        with host.connected(host.ip, port):
            return True

    eventually(look, f"{host.name}:{port} takes connections")


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
