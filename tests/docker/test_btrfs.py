"""Volumes of a btrfs pool, from a class to the file system's own tables."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import Mooring
from tests.docker.refusals import a_class, a_pool, applied, creating, running
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
MIB: Final = 1 << 20
SIZE_BYTES: Final = 64 * MIB
FILL: Final = "dd if=/dev/zero of=/data/file bs=64k; stat -c %s /data/file"
DRIVER: Final = "btrfs.mooring.dev"


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """With a pool `fast` on a btrfs of its own, and a class of that name."""
    if shutil.which("mkfs.btrfs") is None:
        pytest.skip("needs the program mkfs.btrfs")
    host = bed.host("here")
    host.up()
    disk = host.place / "disk"
    disk.mkdir()
    with (host.place / "image").open("wb") as image:
        image.truncate(1 << 30)
    for command in (("mkfs.btrfs", "-q", image.name), ("mount", "-o", "loop", image.name, disk)):
        done = host.run(*map(str, command))
        if done.code:
            pytest.skip(f"this host has no btrfs: {done.err}")
    mooring = Mooring(host).start()
    host.dockerd()
    images.load(host)
    class_ = a_class("fast", "fast") | {"provisioner": DRIVER}
    applied(mooring, a_pool("fast", str(disk / "pool"), driver=DRIVER), class_)
    return mooring


def pool(mooring: Mooring) -> Path:
    return mooring.host.place / "disk" / "pool"


def said(mooring: Mooring, *command: str) -> str:
    """By the program `btrfs` on the host, of the pool's file system."""
    done = mooring.host.run("btrfs", *command, str(mooring.host.place / "disk"))
    assert done.code == 0, done.err
    return done.out


def subvolumes(mooring: Mooring) -> list[str]:
    return said(mooring, "subvolume", "list").splitlines()


def quota_groups(mooring: Mooring) -> list[str]:
    """But that of the file system's top."""
    lines = said(mooring, "qgroup", "show", "--raw").splitlines()[2:]
    return [line.split()[0] for line in lines if line.split()[0] != "0/5"]


def filled(mooring: Mooring, name: str) -> int:
    """What a container wrote until that was refused."""
    done = mooring.host.try_docker(*running(name, "sh", "-c", FILL))
    assert "Disk quota exceeded" in done.err, done
    return int(done.out)


def removed(mooring: Mooring, *names: str) -> None:
    mooring.host.docker("volume", "rm", *names)
    eventually(lambda: not subvolumes(mooring), "no subvolume is left")
    eventually(lambda: not quota_groups(mooring), "nothing counts them any more", 90)


def test_a_container_that_writes_too_much_is_refused_and_its_neighbour_writes_on(
    moored: Mooring,
) -> None:
    host = moored.host
    for name in ("greedy", "neighbour"):
        host.docker(*creating(name, "class=fast", "size=64Mi"))
    host.docker("run", "-d", "--name", "user", "-v", "neighbour:/data", SHELL, "sleep", "1000")
    assert 0.9 * SIZE_BYTES <= filled(moored, "greedy") <= SIZE_BYTES
    write = "dd if=/dev/zero of=/data/file bs=1M count=32 && sync && stat -c %s /data/file"
    assert int(host.docker("exec", "user", "sh", "-c", write)) == 32 * MIB
    host.docker("rm", "--force", "user")
    host.docker(*running("greedy", "rm", "/data/file"))
    assert filled(moored, "greedy") >= 0.9 * SIZE_BYTES
    removed(moored, "greedy", "neighbour")


def test_a_volume_has_owner_and_mode_as_asked_and_begins_empty(moored: Mooring) -> None:
    options = ("class=fast", "size=64Mi", "uid=1000", "gid=2000", "mode=2750")
    moored.host.docker(*creating("owned", *options))
    assert moored.host.docker(*running("owned", "stat", "-c", "%a %u %g", "/data")) == (
        "2750 1000 2000"
    )
    assert moored.host.docker(*running("owned", "ls", "-A", "/data")) == ""
    removed(moored, "owned")


def test_what_was_written_is_there_after_mooring_was_killed(moored: Mooring) -> None:
    moored.host.docker(*creating("kept", "class=fast", "size=64Mi"))
    moored.host.docker(*running("kept", "sh", "-c", "echo data >/data/file"))
    moored.restart()
    assert moored.host.docker(*running("kept", "cat", "/data/file")) == "data"
    removed(moored, "kept")
