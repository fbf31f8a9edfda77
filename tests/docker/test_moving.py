"""Volumes that move to the host where they are used, and lose nothing on the way."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts

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
