"""A service of a swarm with a volume that has replicas: its host dies, and it goes on elsewhere."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple

import pytest

from testbed.debian import POSTGRES, POSTGRES_UID, NoPackages, load_postgres
from tests.docker import images
from tests.docker.mooring import DRIVER
from tests.docker.test_fencing import is_one_after_the_other
from tests.docker.test_replicas import Hosts, KeptHost
from tests.docker.test_replicas import pytestmark as needs
from tests.docker.testbed import Bed, eventually

pytestmark = [*needs, pytest.mark.slow]
LONG_S: Final = 180.0
# Each record says when it was begun, in seconds since the boot that all hosts have in common.
WRITING: Final = (
    "while read -r up rest </proc/uptime; do echo $up $NODE >>/data/log; sleep 0.02; done"
)
DATA: Final = "/var/lib/postgresql"
DATABASE: Final = (
    f"test -e {DATA}/d/PG_VERSION || initdb --no-locale -E UTF8 -D {DATA}/d >/dev/null; "
    f"rm -f {DATA}/d/postmaster.pid; exec postgres -D {DATA}/d -c min_wal_size=32MB "
    "-c max_wal_size=64MB -c shared_buffers=32MB"
)
TOLD: Final = re.compile(r"as of (\S+); what was written there up to ([0-9.]+) s ago may be lost")


class Record(NamedTuple):
    """at_s: since the boot."""

    at_s: float
    node: str


def uptime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Swarm(Hosts):
    """The server's host is the manager."""

    def __init__(self, bed: Bed) -> None:
        super().__init__(bed)
        self.manager = self.server.host
        self.manager.dockerd()
        images.load(self.manager)
        address = ("--advertise-addr", self.manager.ip, "--dispatcher-heartbeat", "1s")
        self.manager.docker("swarm", "init", *address)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        for one in (self.a, self.b):
            words = ("--token", token, "--advertise-addr", one.host.ip)
            one.host.docker("swarm", "join", *words, f"{self.manager.ip}:2377")

    def begin(self, volume: str, size: str, owner: str = "0") -> None:
        """A volume on a, with a replica on b, of which the swarm knows."""
        options = ("--opt", f"size={size}", "--opt", "class=kept")
        self.a.host.docker("volume", "create", "--driver", DRIVER, *options, volume)
        made = self.run(self.a, volume, f"chown {owner} /data")
        assert made.code == 0, made.err
        for node in ("a", "b"):
            eventually(lambda node=node: self._is_labelled(node, volume), f"{node} has a label")  # type: ignore[misc]

    def _is_labelled(self, node: str, volume: str) -> bool:
        look = "{{range $k, $v := .Spec.Labels}}{{$k}} {{end}}"
        said = self.manager.docker("node", "inspect", "--format", look, node)
        return f"mooring.vol.default.{volume}" in said.split()

    def service(self, volume: str, target: str, *what: str) -> None:
        mount = f"type=volume,source={volume},target={target},volume-driver={DRIVER}"
        self.manager.docker(
            *("service", "create", "--name", volume, "--detach", "--no-resolve-image"),
            *("--endpoint-mode", "dnsrr", "--restart-delay", "0s"),
            *("--constraint", f"node.labels.mooring.vol.default.{volume}==true"),
            *("--env", "NODE={{.Node.Hostname}}", "--mount", mount, *what),
        )

    def log(self, joined: KeptHost, volume: str) -> list[Record]:
        """What writers have written, as a host has it."""
        name = self.server.volume(volume)["metadata"]["name"]
        path = joined.host.seen(joined.host.place / "disk" / "pool" / name / "data" / "log")
        lines = path.read_text().splitlines() if path.exists() else []
        return [Record(float(at), node) for at, node in (line.split() for line in lines[:-1])]

    def promotion(self, volume: str) -> tuple[float, float]:
        """What the event tells: as of when its data is, since the boot, and how old that was."""
        events = [
            one
            for one in self.server.get("events")["items"]
            if one["reason"] == "ReplicaPromoted" and one["involvedObject"]["name"] == volume
        ]
        assert len(events) == 1, events
        found = TOLD.search(events[0]["message"])
        assert found is not None, events
        as_of = datetime.fromisoformat(found[1]).timestamp()
        return as_of - time.time() + uptime_s(), float(found[2])


@pytest.fixture(scope="module")
def swarm(bed: Bed) -> Swarm:
    return Swarm(bed)


def has_written(swarm: Swarm, joined: KeptHost, volume: str) -> Callable[[], bool]:
    name = joined.host.name
    return lambda: any(one.node == name for one in swarm.log(joined, volume))


def test_its_host_dies_and_it_goes_on_at_another_with_what_was_told(swarm: Swarm) -> None:
    a, b = swarm.a, swarm.b
    swarm.begin("data", "64Mi")
    swarm.manager.docker("node", "update", "--availability", "pause", "b")
    swarm.service("data", "/data", "--stop-signal", "KILL", images.SHELL, "sh", "-c", WRITING)
    eventually(has_written(swarm, a, "data"), "it writes on a")
    swarm.manager.docker("node", "update", "--availability", "active", "b")
    before = swarm.replicas_on(b, "data")
    eventually(lambda: swarm.replicas_on(b, "data") != before, "its replica is renewed")
    killed_s = uptime_s()
    a.host.halt()
    eventually(has_written(swarm, b, "data"), "it writes on b")
    went_on = swarm.log(b, "data")
    first_s = next(one.at_s for one in went_on if one.node == "b")
    as_of_s, lag_s = swarm.promotion("data")

    a.power_on()
    wrote = [one for one in swarm.log(a, "data") if one.node == "a"]
    kept = list(takewhile(lambda one: one.node == "a", went_on))
    assert kept, "it began with nothing"
    assert kept == wrote[: len(kept)], "what was there, from the beginning, and nothing else"
    lost = wrote[len(kept) :]
    lost_s = wrote[-1].at_s - lost[0].at_s if lost else 0.0
    assert lost_s <= lag_s
    assert not [one for one in lost if one.at_s < as_of_s - 1], "what was before that is there"
    assert max(one.at_s for one in wrote) < first_s, "they did not write at the same time"
    a.begin()
    eventually(lambda: swarm.copies("data") == {"a": "replica"}, "what a had is a replica")
    swarm_log = swarm.log(b, "data")
    assert is_one_after_the_other([one.node for one in swarm_log])
    print(f"wrote again after {first_s - killed_s:.1f} s; told {lag_s} s, lost {lost_s:.2f} s")


class Database:
    """PostgreSQL as a service."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        swarm.begin("db", "256Mi", f"{POSTGRES_UID}:{POSTGRES_UID}")
        swarm.manager.docker("node", "update", "--availability", "pause", "b")
        words = ("--user", str(POSTGRES_UID), "--stop-signal", "INT", POSTGRES)
        swarm.service("db", DATA, *words, "sh", "-c", DATABASE)

    def asked(self, joined: KeptHost, sql: str) -> str | None:
        """The answer; None if none can be had there now."""
        look = ("--filter", "label=com.docker.swarm.service.name=db", "--format", "{{.ID}}")
        name = joined.host.try_docker("ps", *look).out.split()
        if not name:
            return None
        psql = ("psql", "-XAtc", sql, "postgres")
        done = joined.host.try_docker("exec", "-e", "PGHOST=/run/postgresql", name[0], *psql)
        return done.out if done.code == 0 else None


def loaded(swarm: Swarm) -> None:
    try:
        for one in (swarm.a, swarm.b):
            load_postgres(one.host)
    except NoPackages as why:
        pytest.skip(str(why))


def test_a_database_goes_on_at_another_host_within_seconds(swarm: Swarm) -> None:
    """And has every row that was committed before what its event says."""
    a, b = swarm.a, swarm.b
    loaded(swarm)
    database = Database(swarm)
    made = "create table rows (id serial primary key, at_s float8)"
    eventually(lambda: database.asked(a, made) is not None, "it answers on a", LONG_S)
    swarm.manager.docker("node", "update", "--availability", "active", "b")
    acknowledged: list[float] = []

    def adds() -> bool:
        at_s = uptime_s()
        if database.asked(a, f"insert into rows (at_s) values ({at_s})") is not None:
            acknowledged.append(uptime_s())
        return len(acknowledged) >= 40

    eventually(adds, "rows are added", LONG_S)
    killed_s = uptime_s()
    a.host.halt()
    rows: list[str] = []

    def answers() -> bool:
        said = database.asked(b, "select count(*) from rows")
        rows.extend([said] if said is not None else [])
        return bool(rows)

    eventually(answers, "it answers on b", LONG_S)
    failover_s = uptime_s() - killed_s
    as_of_s, lag_s = swarm.promotion("db")
    has = int(rows[0])
    lost = acknowledged[has:]
    assert has, "it did not begin with nothing"
    assert not [one for one in lost if one < as_of_s], "what was committed before that is there"
    lost_s = killed_s - lost[0] if lost else 0.0
    assert lost_s <= lag_s
    assert database.asked(b, "insert into rows (at_s) values (0)") is not None
    print(f"answered after {failover_s:.1f} s; told {lag_s} s, lost {lost_s:.2f} s of rows")
    assert swarm.home("db") == "b/btrfs-b"
    a.power_on()
    a.begin()
    eventually(lambda: swarm.copies("db") == {"a": "replica"}, "what a had is a replica", LONG_S)
    assert database.asked(a, "select 1") is None, "it runs on b alone"
    assert database.asked(b, "select count(*) from rows") == str(has + 1)
