"""Volumes that move to the host where they are used, and lose nothing on the way."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.testbed import (
    COMMAND_S,
    DEADLINE_S,
    Bed,
    Done,
    Host,
    eventually,
    needs_hosts,
)

pytestmark = [pytest.mark.system, needs_hosts]
CLASSES = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: moves}
provisioner: directory.mooring.dev
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
parameters: {elsewhere: move}
"""


class Hosts:
    """A server, and two hosts with a Docker."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.server = ServerHost(self._powered("s")).start()
        self.server.kubectl("apply", "--filename", "-", stdin=CLASSES)
        self.a, self.b = (self._joined(name) for name in ("a", "b"))

    def _powered(self, name: str) -> Host:
        host = self.bed.host(name)
        host.up()
        return host

    def _joined(self, name: str) -> JoinedHost:
        joined = JoinedHost(self._powered(name), self.server).join().start()
        joined.host.dockerd()
        images.load(joined.host)
        return joined


@pytest.fixture(scope="module")
def hosts(bed: Bed) -> Hosts:
    return Hosts(bed)


def run(joined: JoinedHost, volume: str, command: str) -> Done:
    created = joined.create(volume, "moves")
    assert created.code == 0, created.err
    mount = ("--volume", f"{volume}:/data", "--rm")
    return joined.host.try_docker("run", *mount, images.SHELL, "sh", "-c", command)


def asset(joined: JoinedHost, claim: str) -> Path:
    return joined.pool / joined.server.volume(claim)["metadata"]["name"]


def home(server: ServerHost, claim: str) -> str:
    return str(server.volume(claim)["metadata"]["annotations"]["mooring.dev/home"])


def is_settled(hosts: Hosts, claim: str, node: str) -> bool:
    """Its home is there, and nothing of it anywhere else, nor charged."""
    told = hosts.server.volume(claim)["metadata"]["annotations"]
    at_home, other = (hosts.a, hosts.b) if node == "a" else (hosts.b, hosts.a)
    return (
        told["mooring.dev/home"] == f"{node}/local-{node}"
        and "mooring.dev/copies" not in told
        and asset(at_home, claim).exists()
        and not asset(other, claim).exists()
    )


def test_a_volume_moves_to_the_host_where_it_is_used_and_back(hosts: Hosts) -> None:
    wrote = run(hosts.a, "data", "echo precious >/data/f; ln -s /etc/passwd /data/l")
    assert wrote.code == 0, wrote.err
    assert home(hosts.server, "data") == "a/local-a"
    read = run(hosts.b, "data", "cat /data/f; readlink /data/l; echo more >>/data/f")
    assert (read.code, read.out) == (0, "precious\n/etc/passwd"), read.err
    assert home(hosts.server, "data") == "b/local-b"
    eventually(lambda: not asset(hosts.a, "data").exists(), "what a had of it is deleted")
    # That the container has ended, the other host may hear of a moment later.
    back = partial(run, hosts.a, "data", "cat /data/f")
    eventually(lambda: back().out == "precious\nmore", "it comes back")
    eventually(lambda: is_settled(hosts, "data", "a"), "what b had of it is deleted")
    pools = {one["metadata"]["name"]: one["status"] for one in hosts.server.get("pools")["items"]}
    assert pools["local-a"]["volumes"] == 1
    assert not pools["local-b"].get("volumes")
    reasons = [one["reason"] for one in hosts.server.get("events")["items"]]
    assert {"Moving", "Moved"} <= set(reasons)


AT_TARGET = ("move.expected", "move.made", "move.filled", "move.compared", "move.home-passed")
AT_HOME = ("move.sending", "move.sending:2", "move.left-deleted", "move.left-forgotten")
SLOW = pytest.mark.slow
SOME = ("move.filled", "move.left-deleted")


@pytest.mark.parametrize(
    "point",
    [one if one in SOME else pytest.param(one, marks=SLOW) for one in (*AT_TARGET, *AT_HOME)],
)
def test_killed_anywhere_a_move_ends_with_all_of_it_in_one_place(hosts: Hosts, point: str) -> None:
    """kill -9 of either agent, which is started again."""
    claim = point.replace(".", "-").replace(":", "-")
    wrote = run(
        hosts.a, claim, "for i in $(seq 50); do echo $i >/data/$i; done; ln /data/1 /data/l"
    )
    assert wrote.code == 0, wrote.err
    mortal = hosts.b if point in AT_TARGET else hosts.a
    mortal.stop()
    mortal.start(MOORING_CRASH_AT=point)
    hosts.b.create(claim, "moves")
    look = ("--volume", f"{claim}:/data", "--rm", images.SHELL, "sh", "-c", "cat /data/* | sort -n")

    deaths: list[str] = []

    def has_died() -> bool:
        if mortal.has_ended:
            deaths.append(point)
            mortal.start()
        return bool(deaths)

    with ThreadPoolExecutor(1) as apart:  # Docker waits meanwhile
        reading = apart.submit(hosts.b.host.try_docker, "run", *look)
        eventually(has_died, "it was killed")
        eventually(reading.done, "it is answered")
    if (read := reading.result()).code:  # Docker may have lost its answer
        read = hosts.b.host.try_docker("run", *look)
    assert read.out.split() == [str(one) for one in sorted([*range(1, 51), 1])], read.err
    eventually(lambda: is_settled(hosts, claim, "b"), "and nowhere else")


def mooring(hosts: Hosts, *words: str) -> Done:
    return hosts.server.mooring(
        *words, "--kubeconfig", str(hosts.server.data_dir / "kubeconfig"), deadline_s=2 * COMMAND_S
    )


def test_an_operator_moves_a_volume_and_is_told_of_one_that_may_not(hosts: Hosts) -> None:
    assert run(hosts.a, "sent", "echo 1 >/data/f").code == 0
    done = mooring(hosts, "move", "sent", "b", "--wait")
    assert (done.code, done.out) == (0, "default/sent is on b"), done.err
    eventually(lambda: is_settled(hosts, "sent", "b"), "it is there alone")
    assert "at home on b" in mooring(hosts, "explain", "pv", volume_of(hosts, "sent")).out
    label = f"volume\\.mooring\\.dev/{volume_of(hosts, 'sent')}"
    node = ("get", "node", "b", "--output", f"jsonpath={{.metadata.labels.{label}}}")
    eventually(lambda: hosts.server.kubectl(*node) == "true", "the Node's label says so")
    assert hosts.a.docker_run("fixed", "true").code == 0
    refused = mooring(hosts, "move", "fixed", "b")
    assert refused.code != 0
    assert "elsewhere: refuse" in refused.err


def volume_of(hosts: Hosts, claim: str) -> str:
    return str(hosts.server.volume(claim)["metadata"]["name"])


@pytest.mark.slow
def test_cut_off_in_the_middle_it_goes_on_where_it_was(hosts: Hosts) -> None:
    """The network is slow, then gone until both sides have found that out, then back."""
    plant = "for i in $(seq 40); do head -c 1000000 /dev/urandom >/data/$i; done; cat /data/*"
    planted = run(hosts.a, "cut", f"{plant} | sha256sum")
    assert planted.code == 0, planted.err
    limits = ["rate", "16mbit", "burst", "32kbit", "latency", "400ms"]
    slowed = hosts.a.host.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *limits)
    assert slowed.code == 0, slowed.err
    log = hosts.b.host.place / "agent.log"
    tries = log.read_text().count("does not come")
    try:
        assert mooring(hosts, "move", "cut", "b").code == 0
        eventually(lambda: " from a to b, " in mooring(hosts, "status").out, "status says so")
        data = asset(hosts.b, "cut") / "data"
        eventually(lambda: len(there(data)) > 5, "some of it has come")
        hosts.b.host.cut()
        come = there(data)
        eventually(
            lambda: log.read_text().count("does not come") > tries, "b finds out", 2 * DEADLINE_S
        )
    finally:
        hosts.b.host.heal()
        hosts.a.host.run("tc", "qdisc", "del", "dev", "eth0", "root")
    eventually(lambda: is_settled(hosts, "cut", "b"), "all of it is there", 2 * DEADLINE_S)
    after = there(data)
    assert all(after[name] == inode for name, inode in come.items())  # were not brought again
    read = partial(run, hosts.b, "cut", "cat /data/* | sha256sum")
    eventually(lambda: read().out == planted.out, "and is what it was")


def there(data: Path) -> dict[str, int]:
    """Files that are whole, as far as their size tells, and their inodes."""
    found = {one.name: one.stat() for one in data.glob("[0-9]*")} if data.exists() else {}
    return {name: stat.st_ino for name, stat in found.items() if stat.st_size == 1_000_000}
