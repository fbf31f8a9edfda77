"""Volumes of each kind of pool move there and back with all that is in them, or stay as is."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.mooring import DRIVER
from tests.docker.refusals import a_pool
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts

pytestmark = [
    pytest.mark.system,
    needs_hosts,
    pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="needs the program mkfs.btrfs"),
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs the program mkfs.ext4"),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="needs the program rsync"),
]
KINDS: Final = ("directory", "loopfile", "btrfs")
DISKS: Final = {"a": 1 << 30, "b": 128 << 20}  # of btrfs
# All that a container can make.
PLANT: Final = """\
set -e; cd /data
head -c 3000000 /dev/urandom >large; dd if=/dev/urandom of=sparse bs=1k count=1 seek=30000
ln large again; ln -s /etc/passwd out; ln -s ../.. up; mknod null c 1 3; mkfifo fifo
chown 4711:4712 large; chmod 6751 large; touch -d '2001-02-03 04:05:06' sparse
p=deep; for i in $(seq 300); do p=$p/d; done; mkdir -p $p; echo bottom >$p/f
touch "$(printf 'new\\nline')" -- '-rf' '*'; chmod 0711 .; chown 33:44 .
"""
DIGEST: Final = "cd /data; find . | sort | tar -c -T - -f - | sha256sum; stat -c '%a %u %g' ."


def pool_name(kind: str, node: str) -> str:
    return f"local-{node}" if kind == "directory" else f"{kind}-{node}"


class Hosts:
    """Two hosts with a pool of each kind, and a class for each that moves."""

    def __init__(self, bed: Bed) -> None:
        self.server = ServerHost(self._powered(bed, "s")).start()
        self.joined = {name: self._joined(bed, name) for name in DISKS}
        for kind in KINDS:
            parameters = {"elsewhere": "move"}
            class_ = {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": kind},
                "provisioner": f"{kind}.mooring.dev",
                "volumeBindingMode": "WaitForFirstConsumer",
                "parameters": parameters,
            }
            self.apply(class_)

    def apply(self, *docs: Any) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": docs})
        self.server.kubectl("apply", "--filename", "-", stdin=text)

    def _powered(self, bed: Bed, name: str) -> Host:
        host = bed.host(name)
        host.up()
        return host

    def _joined(self, bed: Bed, name: str) -> JoinedHost:
        host = self._powered(bed, name)
        disk = host.place / "disk"
        disk.mkdir()
        with (host.place / "image").open("wb") as image:
            image.truncate(DISKS[name])
        for words in (("mkfs.btrfs", "-q", image.name), ("mount", "-o", "loop", image.name, disk)):
            done = host.run(*map(str, words))
            if done.code:
                pytest.skip(f"this host has no btrfs: {done.err}")
        joined = JoinedHost(host, self.server).join().start()
        for kind in ("loopfile", "btrfs"):  # of the third there is one since it joined
            options = {"loopfile": {"fsType": "ext4"}} if kind == "loopfile" else {}
            spec = {"driver": f"{kind}.mooring.dev", "node": name, **options}
            self.apply(a_pool(pool_name(kind, name), str(self.pool(host, kind)), **spec))
        host.dockerd()
        images.load(host)
        return joined

    def pool(self, host: Host, kind: str) -> Path:
        if kind == "directory":
            return host.place / "mooring" / "pool"
        return host.place / ("disk" if kind == "btrfs" else ".") / f"pool-{kind}"

    def run(self, node: str, volume: str, kind: str, command: str, size: str = "64Mi") -> Done:
        host = self.joined[node].host
        options = ("--opt", f"size={size}", "--opt", f"class={kind}")
        created = host.try_docker("volume", "create", "--driver", DRIVER, *options, volume)
        assert created.code == 0, created.err
        mount = ("--volume", f"{volume}:/data", "--rm")
        return host.try_docker("run", *mount, images.SHELL, "sh", "-c", command)

    def annotations(self, claim: str) -> dict[str, str]:
        found: dict[str, str] = self.server.volume(claim)["metadata"]["annotations"]
        return found

    def lies(self, node: str, claim: str, kind: str) -> bool:
        name = self.server.volume(claim)["metadata"]["name"]
        return bool(list(self.pool(self.joined[node].host, kind).glob(f"*{name}*")))

    def is_settled(self, claim: str, kind: str, node: str, other: str) -> bool:
        told = self.annotations(claim)
        is_alone = "mooring.dev/copies" not in told and not self.lies(other, claim, kind)
        return told["mooring.dev/home"] == f"{node}/{pool_name(kind, node)}" and is_alone

    def charged(self, pool: str) -> int:
        found = self.server.get("pools", pool)
        return int(found.get("status", {}).get("volumes", 0))


@pytest.fixture(scope="module")
def hosts(bed: Bed) -> Iterator[Hosts]:
    made = Hosts(bed)
    yield made
    for one in made.joined.values():  # while the server lives: nobody waits for its answers then
        one.stop()


@pytest.mark.parametrize(
    "kind", [one if one == "btrfs" else pytest.param(one, marks=pytest.mark.slow) for one in KINDS]
)
def test_all_of_it_comes_and_comes_back(hosts: Hosts, kind: str) -> None:
    planted = hosts.run("a", kind, kind, f"{PLANT}\n{DIGEST}")
    assert planted.code == 0, planted.err
    for here, there in (("b", "a"), ("a", "b")):
        found: list[str] = []

        def came(here: str = here, found: list[str] = found) -> bool:
            done = hosts.run(here, kind, kind, DIGEST)
            found[:] = [done.out, done.err]
            return done.code == 0

        eventually(came, f"it is used on {here}")
        assert found[0] == planted.out, found
        eventually(
            lambda here=here, there=there: hosts.is_settled(kind, kind, here, there),
            f"it is on {here} alone",
        )
        charged = [hosts.charged(pool_name(kind, one)) for one in (here, there)]
        assert charged == [1, 0]
    hosts.joined["a"].host.docker("volume", "rm", kind)
    eventually(lambda: not hosts.charged(pool_name(kind, "a")), "it is gone")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loopfile", "btrfs"])
def test_its_size_is_held_where_it_has_come_to(hosts: Hosts, kind: str) -> None:
    name = f"held-{kind}"
    assert hosts.run("a", name, kind, "echo 1 >/data/f", "24Mi").code == 0
    fill = "dd if=/dev/zero of=/data/file bs=64k; stat -c %s /data/file"
    done = hosts.run("b", name, kind, fill, "24Mi")
    assert "Disk quota exceeded" in done.err or "No space left" in done.err, done.err
    assert 8 << 20 < int(done.out) <= 24 << 20
    hosts.joined["b"].host.docker("volume", "rm", name)


def test_where_the_pool_has_no_room_it_stays_as_it_is(hosts: Hosts) -> None:
    assert hosts.run("a", "large", "directory", "echo kept >/data/f").code == 0
    limit = '{"spec":{"capacity":"32Mi"}}'
    hosts.server.kubectl("patch", "pool", "local-b", "--type=merge", "--patch", limit)
    said = hosts.run("b", "large", "directory", "cat /data/f")
    assert "PoolFull" in said.err, said.err
    assert "pool local-b has 32Mi" in said.err
    assert hosts.is_settled("large", "directory", "a", "b")
    assert hosts.charged("local-b") == 0
    eventually(
        lambda: hosts.run("a", "large", "directory", "cat /data/f").out == "kept",
        "it is used where it is",
    )
    more = '{"spec":{"capacity":"1Gi"}}'
    hosts.server.kubectl("patch", "pool", "local-b", "--type=merge", "--patch", more)
    eventually(
        lambda: hosts.run("b", "large", "directory", "cat /data/f").out == "kept", "it comes"
    )
    hosts.joined["b"].host.docker("volume", "rm", "large")


@pytest.mark.slow
def test_where_the_disk_is_full_before_all_is_there_it_stays_as_it_is(hosts: Hosts) -> None:
    """Its pool promises more than it has."""
    write = "head -c 120000000 /dev/urandom >/data/f && sync && sha256sum /data/f"
    wrote = hosts.run("a", "much", "btrfs", write, "300Mi")
    assert wrote.code == 0, wrote.err
    said = hosts.run("b", "much", "btrfs", "cat /data/f", "300Mi")
    assert "DiskFull" in said.err, said.err
    eventually(lambda: hosts.is_settled("much", "btrfs", "a", "b"), "what had come is deleted")
    events = partial(hosts.server.get, "events")
    eventually(
        lambda: "MoveFailed" in {one["reason"] for one in events()["items"]}, "it is told of it"
    )
    eventually(
        lambda: hosts.run("a", "much", "btrfs", "sha256sum /data/f", "300Mi").out == wrote.out,
        "it is used where it is",
    )
    hosts.joined["a"].host.docker("volume", "rm", "much")
