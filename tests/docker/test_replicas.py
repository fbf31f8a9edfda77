"""Volumes with replicas: when their host dies, another goes on with what it was last sent."""

import json
import shutil
from typing import Any, Final

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.mooring import DRIVER
from tests.docker.refusals import a_pool
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts
from tests.docker.writer import Writer

pytestmark = [
    pytest.mark.system,
    needs_hosts,
    pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="needs the program mkfs.btrfs"),
]
LEASE: Final = ("--node-lease", "3")
CLASS: Final = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "kept"},
    "provisioner": "btrfs.mooring.dev",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
    "parameters": {"elsewhere": "replica", "replicaEvery": "1s"},
}


class KeptHost(JoinedHost):
    """With a btrfs of its own, which is there again after a crash."""

    def power_on(self) -> None:
        self.host.up()
        disk = self.host.place / "disk"
        if not disk.exists():
            disk.mkdir()
            with (self.host.place / "image").open("wb") as image:
                image.truncate(512 << 20)
            self._needs("mkfs.btrfs", "-q", str(self.host.place / "image"))
        self._needs("mount", "-o", "loop", str(self.host.place / "image"), str(disk))

    def _needs(self, *words: str) -> None:
        done = self.host.run(*words)
        if done.code:
            pytest.skip(f"this host has no btrfs: {done.err}")

    def begin(self) -> None:
        self.start(*LEASE)
        self.host.dockerd()


class Hosts:
    """A server, and two hosts with a Docker and a pool of btrfs."""

    def __init__(self, bed: Bed) -> None:
        powered = bed.host("s")
        powered.up()
        self.server = ServerHost(powered).start()
        self.a, self.b = (self._joined(bed.host(name)) for name in ("a", "b"))
        self.apply(CLASS)

    def apply(self, *docs: Any) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": docs})
        self.server.kubectl("apply", "--filename", "-", stdin=text)

    def _joined(self, host: Host) -> KeptHost:
        joined = KeptHost(host, self.server)
        joined.power_on()
        joined.join()
        spec = {"driver": "btrfs.mooring.dev", "node": host.name}
        self.apply(a_pool(f"btrfs-{host.name}", str(host.place / "disk" / "pool"), **spec))
        joined.begin()
        images.load(host)
        return joined

    def create(self, joined: KeptHost, volume: str) -> None:
        options = ("--opt", "size=64Mi", "--opt", "class=kept")
        joined.host.docker("volume", "create", "--driver", DRIVER, *options, volume)

    def run(self, joined: KeptHost, volume: str, command: str) -> Done:
        mount = ("--volume", f"{volume}:/data", "--rm")
        return joined.host.try_docker("run", *mount, images.SHELL, "sh", "-c", command)

    def eventually_run(self, joined: KeptHost, volume: str, command: str) -> str:
        """As a swarm does that tries again: a host that died a moment ago may live."""
        found: list[Done] = []

        def ran() -> bool:
            found[:] = [self.run(joined, volume, command)]
            return found[0].code == 0

        eventually(ran, f"a container has {volume}")
        return found[0].out

    def home(self, claim: str) -> str:
        return str(self.server.volume(claim)["metadata"]["annotations"]["mooring.dev/home"])

    def copies(self, claim: str) -> dict[str, str]:
        told = self.server.volume(claim)["metadata"]["annotations"].get("mooring.dev/copies", "[]")
        return {one["node"]: one.get("state", "arriving") for one in json.loads(told)}

    def charged(self, claim: str) -> dict[str, str]:
        """What pools are charged with for its copies, by node."""
        told = self.server.volume(claim)["metadata"]["annotations"].get("mooring.dev/copies", "[]")
        return {one["node"]: one["size"] for one in json.loads(told)}

    def volumes(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.server.get("persistentvolumes")["items"]]

    def reasons(self) -> list[str]:
        return [one["reason"] for one in self.server.get("events")["items"]]

    def has_been_sent(self, joined: KeptHost, claim: str, file: str) -> bool:
        pool = joined.host.seen(joined.host.place / "disk" / "pool")
        found = self.replicas_on(joined, claim)
        return bool(found) and (pool / found[-1] / "data" / file).exists()

    def replicas_on(self, joined: KeptHost, claim: str) -> list[str]:
        uid = self.server.volume(claim)["metadata"]["uid"]
        pool = joined.host.seen(joined.host.place / "disk" / "pool")
        return sorted(one.name for one in pool.glob(f".snapshot-replica-{uid}-*"))


@pytest.fixture(scope="module")
def hosts(bed: Bed) -> Hosts:
    return Hosts(bed)


def test_the_host_dies_and_another_goes_on_with_what_it_was_sent(hosts: Hosts) -> None:
    a, b = hosts.a, hosts.b
    hosts.create(a, "data")
    writer = Writer(a.host, "writer", "--volume", "data:/data")
    eventually(lambda: hosts.copies("data") == {"b": "replica"}, "b has a replica")
    before = hosts.replicas_on(b, "data")
    eventually(lambda: hosts.replicas_on(b, "data") != before, "it is renewed")
    writer.goes_on()
    written = writer.lines()
    a.host.crash()

    hosts.create(b, "data")
    lines = hosts.eventually_run(b, "data", "cat /data/log").splitlines()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    assert len(lines) >= len(written) - 100  # five seconds of it at most
    assert hosts.home("data") == "b/btrfs-b"
    assert hosts.copies("data") == {"a": "stale"}
    assert "ReplicaPromoted" in hosts.reasons()

    added = hosts.run(b, "data", "echo later >/data/later")
    assert added.code == 0, added.err
    a.power_on()
    a.begin()
    eventually(lambda: hosts.copies("data") == {"a": "replica"}, "what a had is a replica")
    back = hosts.eventually_run(a, "data", "cat /data/later; wc -l </data/log")
    assert back.split() == ["later", str(len(lines))]
    assert hosts.home("data") == "a/btrfs-a"
    eventually(lambda: hosts.copies("data") == {"b": "replica"}, "b has a replica again")


def test_a_volume_moves_to_its_replica_at_an_operators_word(hosts: Hosts) -> None:
    hosts.create(hosts.a, "told")
    assert hosts.run(hosts.a, "told", "echo precious >/data/f").code == 0
    eventually(lambda: hosts.copies("told") == {"b": "replica"}, "b has a replica")
    name = hosts.server.volume("told")["metadata"]["name"]
    hosts.server.kubectl("annotate", "pv", name, "mooring.dev/move-to=b")
    eventually(lambda: hosts.home("told") == "b/btrfs-b", "it is on b")
    eventually(lambda: hosts.copies("told") == {"a": "replica"}, "and a has a replica")
    assert hosts.eventually_run(hosts.b, "told", "cat /data/f") == "precious"
    told = hosts.server.volume("told")["metadata"]["annotations"]
    assert "mooring.dev/move-to" not in told


@pytest.mark.slow
def test_what_was_the_home_is_not_used_while_the_newer_home_is_away(hosts: Hosts) -> None:
    """Both hosts die, one after the other: the first that is back has something older."""
    a, b = hosts.a, hosts.b
    hosts.create(a, "older")
    assert hosts.run(a, "older", "echo first >/data/f").code == 0
    eventually(lambda: hosts.has_been_sent(b, "older", "f"), "b has it")
    a.host.crash()
    hosts.create(b, "older")
    hosts.eventually_run(b, "older", "cat /data/f && echo second >>/data/f")
    b.host.crash()
    a.power_on()
    a.begin()
    said: list[str] = []

    def is_refused() -> bool:
        said[:] = [hosts.run(a, "older", "cat /data/f").err]
        return "none is on a" in said[0]

    eventually(is_refused, "it is refused on a once b is silent")
    assert "DataOnOtherNode" in said[0], said
    assert (hosts.home("older"), hosts.copies("older")) == ("b/btrfs-b", {"a": "stale"})
    name = hosts.server.volume("older")["metadata"]["name"]
    there = a.host.seen(a.host.place / "disk" / "pool" / name / "data" / "f")
    assert there.read_text() == "first\n", "what it has stays until it has all"
    b.power_on()
    b.begin()
    eventually(lambda: hosts.copies("older") == {"a": "replica"}, "it has all now")
    assert hosts.eventually_run(a, "older", "cat /data/f").split() == ["first", "second"]


def test_a_volume_grows_with_its_replica_and_leaves_nothing_when_it_is_deleted(
    hosts: Hosts,
) -> None:
    a, b = hosts.a, hosts.b
    hosts.create(a, "grown")
    assert hosts.run(a, "grown", "seq 1000 >/data/f").code == 0
    eventually(lambda: hosts.copies("grown") == {"b": "replica"}, "b has a replica")
    size = json.dumps({"spec": {"resources": {"requests": {"storage": "96Mi"}}}})
    hosts.server.kubectl("patch", "pvc", "grown", "--patch", size)
    eventually(lambda: hosts.charged("grown") == {"b": "96Mi"}, "b is charged with more")
    read = hosts.eventually_run(
        b, "grown", "dd if=/dev/zero of=/data/more bs=1M count=80; wc -l /data/f"
    )
    assert read.startswith("1000"), read
    assert hosts.home("grown") == "b/btrfs-b"
    pv = hosts.server.volume("grown")["metadata"]
    hosts.server.kubectl("delete", "pvc", "grown", "--wait=false")

    def left() -> list[str]:
        pools = [one.host.seen(one.host.place / "disk" / "pool") for one in (a, b)]
        return [
            p.name
            for pool in pools
            for p in pool.iterdir()
            if pv["uid"] in p.name or pv["name"] in p.name
        ]

    eventually(lambda: not left(), "nothing of it is left on any host")
    eventually(lambda: pv["name"] not in hosts.volumes(), "nor in the store")


AT_HOLDER: Final = ("replica.received", "replica.told", "replica.becoming", "replica.became")
AT_HOME: Final = ("replica.cut", "replica.cut:2")
SOME: Final = ("replica.becoming",)


@pytest.mark.parametrize(
    "point",
    [
        one if one in SOME else pytest.param(one, marks=pytest.mark.slow)
        for one in (*AT_HOLDER, *AT_HOME)
    ],
)
def test_killed_anywhere_the_volume_is_whole_in_one_place(hosts: Hosts, point: str) -> None:
    """kill -9 of either agent, which is started again."""
    a, b, claim = hosts.a, hosts.b, point.replace(".", "-").replace(":", "-")
    mortal = b if point in AT_HOLDER else a
    mortal.stop()
    mortal.start(*LEASE, MOORING_CRASH_AT=point)
    hosts.create(a, claim)
    wrote = hosts.run(a, claim, "seq 1000 >/data/f")
    deaths: list[str] = []

    def lives() -> bool:
        if mortal.has_ended:
            deaths.append(point)
            mortal.start(*LEASE)
        return bool(deaths)

    if point.startswith(("replica.becom", "replica.becam")):
        eventually(lambda: hosts.copies(claim) == {"b": "replica"}, "b has a replica")
        hosts.run(b, claim, "true")
    if point == "replica.cut:2":
        eventually(lambda: lives() or hosts.has_been_sent(b, claim, "f"), "b has it")
        if not deaths:
            hosts.run(a, claim, "touch /data/f")
    assert wrote.code == 0, wrote.err
    eventually(lives, "it was killed")
    eventually(lambda: "stale" not in hosts.copies(claim).values(), "it is settled")
    read = hosts.eventually_run(b, claim, "cat /data/f")
    assert read.split() == [str(number) for number in range(1, 1001)]
    assert hosts.home(claim) == "b/btrfs-b"
    eventually(lambda: hosts.copies(claim) == {"a": "replica"}, "a has a replica")
