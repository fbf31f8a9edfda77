"""Volumes that grow while containers write to them, and what Docker is told of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from mooring.drivers.imagefs import can_have_xfs
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import Mooring
from tests.docker.refusals import a_class, a_pool, applied, creating, running
from tests.docker.testbed import Bed, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

MIB: Final = 1 << 20
SIZES: Final = {"xfs": (300, 600), "ext4": (64, 128), "btrfs": (64, 128)}  # MiB, by the class
# Goes on when there is no room: it says so, and tries again.
WRITE: Final = """
while :; do
  if dd if=/dev/zero of=/data/file bs=1M count=1 oflag=append conv=notrunc,fsync 2>/dev/null
  then :; else touch /tmp/full; sleep 0.05; fi
done
"""


@pytest.fixture(scope="module")
def moored(bed: Bed) -> Mooring:
    """With a pool and a class for each kind of file system."""
    host = bed.host("here")
    host.up()
    mooring = Mooring(host).start()
    host.dockerd()
    images.load(host)
    for kind in ("xfs", "ext4"):
        applied(mooring, *_pool(kind, "loopfile.mooring.dev", host.place / kind, fsType=kind))
    disk = host.place / "disk"
    disk.mkdir()
    with (host.place / "image").open("wb") as image:
        image.truncate(1 << 30)
    commands = (("mkfs.btrfs", "-q", image.name), ("mount", "-o", "loop", image.name, str(disk)))
    if all(host.run(*command).code == 0 for command in commands):
        applied(mooring, *_pool("btrfs", "btrfs.mooring.dev", disk / "pool"))
    return mooring


def _pool(name: str, driver: str, root: Path, **options: str) -> tuple[Any, Any]:
    spec = {"loopfile": options} if options else {}
    class_ = a_class(name, name) | {"provisioner": driver, "allowVolumeExpansion": True}
    return a_pool(name, str(root), driver=driver, **spec), class_


@pytest.fixture
def kind(moored: Mooring, request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if found == "xfs" and not can_have_xfs():
        pytest.skip("this host has no xfs, or no mkfs.xfs")
    if found == "btrfs" and "btrfs" not in moored.names("pools.mooring.dev"):
        pytest.skip("this host has no btrfs")
    return found


def made(mooring: Mooring, kind: str, name: str) -> None:
    mooring.host.docker(*creating(name, f"class={kind}", f"size={SIZES[kind][0]}Mi"))


def ask(mooring: Mooring, kind: str, name: str) -> str:
    size = f"{SIZES[kind][1]}Mi"
    patch = {"spec": {"resources": {"requests": {"storage": size}}}}
    mooring.kubectl("patch", "pvc", name, "-p", json.dumps(patch))
    return size


def capacity(mooring: Mooring, name: str) -> str:
    found: str = mooring.get("pvc", name)["status"]["capacity"]["storage"]
    return found


def inspected(mooring: Mooring, name: str) -> Any:
    """Status of a volume, as Docker shows it."""
    return json.loads(mooring.host.docker("volume", "inspect", name))[0]["Status"]


def has(mooring: Mooring, container: str, path: str) -> Callable[[], bool]:
    return lambda: mooring.host.try_docker("exec", container, "test", "-e", path).code == 0


@pytest.mark.parametrize("kind", ["xfs", "btrfs"], indirect=True)
def test_a_container_that_ran_out_of_room_writes_on_when_its_volume_grows(
    moored: Mooring, kind: str
) -> None:
    host, name = moored.host, f"grows-{kind}"
    made(moored, kind, name)
    shell = ("-d", "--name", name, "--stop-signal", "KILL", "-v", f"{name}:/data", SHELL)
    host.docker("run", *shell, "sh", "-c", WRITE)
    eventually(has(moored, name, "/tmp/full"), "it ran out of room", 60)
    before = int(host.docker("exec", name, "stat", "-c", "%s", "/data/file"))
    assert before <= SIZES[kind][0] * MIB
    size = ask(moored, kind, name)
    eventually(lambda: capacity(moored, name) == size, f"it has {size}")

    def written() -> int:
        return int(host.docker("exec", name, "stat", "-c", "%s", "/data/file"))

    eventually(lambda: written() > before + 16 * MIB, "it writes on, never restarted")
    assert inspected(moored, name)["capacity"] == size
    host.docker("rm", "--force", name)
    host.docker("volume", "rm", name)


@pytest.mark.parametrize("kind", ["ext4"], indirect=True)
def test_an_ext4_grows_between_two_containers(moored: Mooring, kind: str) -> None:
    host, name = moored.host, "later"
    made(moored, kind, name)
    host.docker("run", "-d", "--name", "user", "-v", f"{name}:/data", SHELL, "sleep", "1000")
    host.docker("exec", "user", "sh", "-c", "echo data >/data/file")
    size = ask(moored, kind, name)
    eventually(
        lambda: (
            capacity(moored, name) == size or inspected(moored, name).get("growing") is not None
        ),
        "it was begun",
    )
    if capacity(moored, name) != size:
        eventually(
            lambda: inspected(moored, name).get("growing") == "NodeResizePending", "it waits"
        )
        shown = inspected(moored, name)
        assert (shown["requested"], shown["capacity"]) == (size, f"{SIZES[kind][0]}Mi")
    host.docker("rm", "--force", "user")
    moored.freed(moored.volume(name))  # until then the next one has it as it is mounted
    # The next container is not kept waiting for a look of the agent: it grows before the mount.
    df = host.docker(*running(name, "sh", "-c", "df -m /data | tail -n 1; cat /data/file"))
    assert int(df.split()[1]) > 0.85 * SIZES[kind][1]
    assert df.split()[-1] == "data"
    eventually(lambda: capacity(moored, name) == size, f"it has {size}")
    assert "growing" not in inspected(moored, name)
    host.docker("volume", "rm", name)


def test_a_create_that_asks_for_more_says_how_to_grow(moored: Mooring) -> None:
    made(moored, "ext4", "small")
    # Docker asks whether it exists, and then answers itself; the plugin is asked by its socket.
    done = moored.host.run(
        *("curl", "-s", "--unix-socket", "/run/docker/plugins/mooring.sock"),
        *("-d", '{"Name": "small", "Opts": {"size": "1Gi"}}', "http://p/VolumeDriver.Create"),
    )
    assert "OptionsConflict" in done.out
    assert "to grow it: mooring resize small 1Gi -n default" in done.out
    kubeconfig = ("--kubeconfig", str(moored.data_dir / "kubeconfig"))
    assert moored.mooring("resize", "small", "128Mi", "--wait", *kubeconfig).code == 0
    assert capacity(moored, "small") == "128Mi"
    moored.host.docker("volume", "rm", "small")
