"""Volumes of a pool of images, from a class to the devices of the host."""

import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from mooring.drivers.imagefs import can_have_xfs
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import Mooring
from tests.docker.refusals import a_class, a_pool, applied, creating, running, told
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [
    pytest.mark.system,
    needs_hosts,
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs the program mkfs.ext4"),
]
MIB: Final = 1 << 20
DRIVER: Final = "loopfile.mooring.dev"
FILL: Final = "dd if=/dev/zero of=/data/file bs=64k; stat -c %s /data/file"
SIZES: Final = {"ext4": 64, "xfs": 300}  # MiB, by the class


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """With a pool for each kind of file system, and a class of that name."""
    host = bed.host("here")
    host.up()
    mooring = Mooring(host).start()
    host.dockerd()
    images.load(host)
    for kind in SIZES:
        class_ = a_class(kind, kind) | {"provisioner": DRIVER}
        options = {"fsType": kind}
        applied(mooring, a_pool(kind, str(pool(mooring, kind)), driver=DRIVER, loopfile=options))
        applied(mooring, class_)
    return mooring


@pytest.fixture(params=SIZES)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if found == "xfs" and not can_have_xfs():
        pytest.skip("this host has no xfs, or no mkfs.xfs")
    return found


def pool(mooring: Mooring, kind: str) -> Path:
    return mooring.host.place / f"pool-{kind}"


def devices(mooring: Mooring) -> list[str]:
    """The files of all loop devices that are attached, as far as they are of these pools."""
    files = [one.read_text().strip() for one in Path("/sys/block").glob("loop*/loop/backing_file")]
    return sorted(one for one in files if "/pool-" in one and str(mooring.host.place) in one)


def attached(mooring: Mooring, volume: Any) -> int:
    """How many devices an image has."""
    return sum(f"/{volume['metadata']['name']}/image" in one for one in devices(mooring))


def removed(mooring: Mooring, kind: str, *names: str) -> None:
    """Nothing of them is left: no file, no device, no mount."""
    mooring.host.docker("volume", "rm", *names)
    eventually(lambda: not list(pool(mooring, kind).glob("[!.]*")), "no image is left")
    assert [one for one in devices(mooring) if f"/pool-{kind}/" in one] == []
    table = mooring.host.seen("/proc/1/mountinfo").read_text()
    assert f"/pool-{kind}/" not in table


def test_a_container_that_writes_too_much_is_refused_and_its_neighbour_writes_on(
    moored: Mooring, kind: str
) -> None:
    host, size_bytes = moored.host, SIZES[kind] * MIB
    for name in ("greedy", "neighbour"):
        host.docker(*creating(name, f"class={kind}", f"size={SIZES[kind]}Mi"))
    host.docker("run", "-d", "--name", "user", "-v", "neighbour:/data", SHELL, "sleep", "1000")
    done = host.try_docker(*running("greedy", "sh", "-c", FILL))
    assert "No space left on device" in done.err, done
    assert 0.9 * size_bytes <= int(done.out) <= size_bytes
    write = "dd if=/dev/zero of=/data/file bs=1M count=32 && sync && stat -c %s /data/file"
    assert int(host.docker("exec", "user", "sh", "-c", write)) == 32 * MIB
    host.docker("rm", "--force", "user")
    removed(moored, kind, "greedy", "neighbour")


def test_a_volume_has_owner_and_mode_as_asked_and_begins_empty(moored: Mooring, kind: str) -> None:
    options = (f"class={kind}", f"size={SIZES[kind]}Mi", "uid=1000", "gid=2000", "mode=2750")
    moored.host.docker(*creating("owned", *options))
    assert attached(moored, moored.volume("owned")) == 0  # until it is used
    found = moored.host.docker(*running("owned", "stat", "-c", "%a %u %g", "/data"))
    assert found == "2750 1000 2000"
    assert moored.host.docker(*running("owned", "ls", "-A", "/data")) == ""
    removed(moored, kind, "owned")


@pytest.mark.rule("10.12")
def test_a_small_claim_is_rounded_up_and_its_volume_says_so(moored: Mooring) -> None:
    if not can_have_xfs():
        pytest.skip("this host has no xfs, or no mkfs.xfs")
    moored.host.docker(*creating("small", "class=xfs", "size=1Mi"))
    assert moored.volume("small")["spec"]["capacity"] == {"storage": "256Mi"}
    removed(moored, "xfs", "small")


def test_an_image_that_lost_its_file_system_is_not_replaced_by_an_empty_one(
    moored: Mooring, kind: str
) -> None:
    moored.host.docker(*creating("emptied", f"class={kind}", f"size={SIZES[kind]}Mi"))
    moored.host.docker(*running("emptied", "touch", "/data/file"))
    volume = moored.volume("emptied")
    moored.freed(volume)
    image = pool(moored, kind) / volume["metadata"]["name"] / "image"
    size_bytes = image.stat().st_size
    for end in (0, size_bytes):
        os.truncate(image, end)
    told(moored.host.try_docker(*running("emptied")), "DataMissing", volume["metadata"]["name"])
    assert image.stat().st_blocks == 0
    removed(moored, kind, "emptied")


def test_a_restart_of_mooring_disturbs_no_container_and_makes_no_second_device(
    moored: Mooring, kind: str
) -> None:
    host = moored.host
    host.docker(*creating("kept", f"class={kind}", f"size={SIZES[kind]}Mi"))
    write = "echo before >/data/file; while ! test -e /data/go; do sleep 0.1; done; cat /data/file"
    host.docker("run", "-d", "--name", "user", "-v", "kept:/data", SHELL, "sh", "-c", write)
    moored.restart()
    volume = moored.volume("kept")
    assert attached(moored, volume) == 1
    host.docker(*running("kept", "touch", "/data/go"))  # the same file system
    assert attached(moored, volume) == 1
    assert host.docker("wait", "user") == "0"
    assert host.docker("logs", "user") == "before"
    host.docker("rm", "user")
    moored.freed(volume)
    assert attached(moored, volume) == 0
    assert host.docker(*running("kept", "cat", "/data/file")) == "before"
    moored.freed(volume)
    removed(moored, kind, "kept")
