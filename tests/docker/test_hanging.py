"""A backend that hangs, as a server that is away would let it: nobody else notices."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.hangs import Hangs
from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.docker.writer import Writer

pytestmark = [pytest.mark.system, needs_hosts]
ROOT = Path(__file__).parents[2]
WITH = ("--volume-driver", DRIVER)
GRACE_S = 15.0  # in which Mooring ends by itself; systemd kills after 90 s
ENDS_S = 110.0  # a call of Docker's takes 100 s at most
AT_ONCE = 4  # calls into one pool
BEGUN = "begun.log"  # what commands said that went on beside a test
AWAY = """
apiVersion: mooring.dev/v1
kind: Pool
metadata: {name: away}
spec: {driver: directory.mooring.dev, node: NODE, root: ROOT}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: away}
provisioner: directory.mooring.dev
parameters: {pool: away}
"""


class HangingMooring(Mooring):
    """Whose pools hang when they are told to."""

    program = "testbed.hanging"

    def start(self, **environment: str) -> Mooring:
        return super().start(PYTHONPATH=str(ROOT), **environment)

    @property
    def hangs(self) -> Hangs:
        """Of the pool `local`."""
        return Hangs(self.pool)

    def asset(self, claim: str) -> str:
        handle: str = self.volume(claim)["spec"]["csi"]["volumeHandle"]
        return handle


@pytest.fixture(scope="module")
def hanging(bed: Bed) -> HangingMooring:
    host = bed.host("hanging")
    host.up()
    mooring = HangingMooring(host)
    mooring.start()
    host.dockerd()
    images.load(host)
    return mooring


@pytest.fixture
def host(hanging: HangingMooring) -> Iterator[Host]:
    """Whatever runs on it after the test is taken away."""
    yield hanging.host
    if left := hanging.host.docker("ps", "--all", "--quiet").split():
        hanging.host.docker("rm", "--force", "--volumes", *left)


@pytest.fixture
def away(hanging: HangingMooring) -> Hangs:
    """A pool of its own, and a class of it, both called `away`."""
    root = hanging.host.place / "away"
    wanted = AWAY.replace("NODE", hanging.host.name).replace("ROOT", str(root))
    hanging.kubectl("apply", "--filename", "-", stdin=wanted)
    return Hangs(root)


def begun(host: Host, *command: str) -> subprocess.Popen[bytes]:
    """A docker command that goes on beside the test."""
    return host.popen("docker", *command, log=BEGUN, **host.environment)


def create(host: Host, name: str, *options: str) -> None:
    host.docker("volume", "create", "--driver", DRIVER, *options, name)


def others_go_on(host: Host, name: str) -> None:
    """The whole life of another volume."""
    create(host, name)
    writer = Writer(host, name, "-v", f"{name}:/data")
    assert name in host.docker("volume", "ls", "--quiet").split()
    writer.stop()
    writer.remove()
    host.docker("volume", "rm", name)


def test_others_go_on_while_a_volume_hangs_in_being_made(
    hanging: HangingMooring, host: Host, away: Hangs
) -> None:
    away.begin("create")
    creating = begun(host, "volume", "create", "-d", DRIVER, "-o", "class=away", "making")
    eventually(lambda: away.held("create") == 1, "making it hangs")
    others_go_on(host, "beside-create")
    assert away.held("create") == 1
    away.end("create")
    assert creating.wait(ENDS_S) == 0
    Writer(host, "making", "-v", "making:/data")


def test_others_go_on_while_a_volume_hangs_in_being_mounted(
    hanging: HangingMooring, host: Host
) -> None:
    create(host, "mounting")
    asset = hanging.asset("mounting")
    hanging.hangs.begin("publish", asset)
    starting = begun(host, "run", "--rm", "-v", "mounting:/data", SHELL, "touch", "/data/file")
    eventually(lambda: hanging.hangs.held("publish", asset) == 1, "mounting it hangs")
    others_go_on(host, "beside-mount")
    host.docker("volume", "inspect", "mounting")
    assert hanging.hangs.held("publish", asset) == 1
    hanging.hangs.end("publish", asset)
    assert starting.wait(ENDS_S) == 0
    assert host.docker("run", "--rm", "-v", "mounting:/data", SHELL, "ls", "/data") == "file"
    hanging.freed(hanging.volume("mounting"))


def test_others_go_on_while_a_volume_hangs_in_being_unmounted(
    hanging: HangingMooring, host: Host
) -> None:
    create(host, "leaving")
    writer = Writer(host, "leaving", "-v", "leaving:/data")
    volume, asset = hanging.volume("leaving"), hanging.asset("leaving")
    hanging.hangs.begin("unpublish", asset)
    writer.stop()
    eventually(lambda: hanging.hangs.held("unpublish", asset) == 1, "unmounting it hangs")
    others_go_on(host, "beside-unmount")
    assert hanging.hangs.held("unpublish", asset) == 1
    hanging.hangs.end("unpublish", asset)
    hanging.freed(volume)
    host.docker("start", "leaving")
    writer.goes_on()


def test_others_go_on_while_a_volume_hangs_in_being_deleted(
    hanging: HangingMooring, host: Host
) -> None:
    create(host, "going")
    asset = hanging.asset("going")
    hanging.hangs.begin("delete", asset)
    host.docker("volume", "rm", "going")
    eventually(lambda: hanging.hangs.held("delete", asset) == 1, "deleting it hangs")
    others_go_on(host, "beside-delete")
    create(host, "going")
    assert hanging.asset("going") != asset, "the name is free again"
    hanging.hangs.end("delete", asset)
    eventually(lambda: not (hanging.pool / asset).exists(), "its data are gone")
    eventually(lambda: asset not in hanging.names("persistentvolumes"), "the volume is gone")


@pytest.mark.parametrize("call", ["publish", "unpublish"])
def test_mooring_ends_and_starts_while_a_call_hangs(
    hanging: HangingMooring, host: Host, call: str
) -> None:
    name = f"through-{call}"
    create(host, name)
    asset, volume = hanging.asset(name), hanging.volume(name)
    if call == "unpublish":
        writer = Writer(host, name, "-v", f"{name}:/data")
        hanging.hangs.begin(call, asset)
        writer.stop()
    else:
        hanging.hangs.begin(call, asset)
        begun(host, "run", "-v", f"{name}:/data", SHELL)
    eventually(lambda: hanging.hangs.held(call, asset) == 1, "the call hangs")
    hanging.stop(signal.SIGTERM, GRACE_S)
    hanging.start()
    others_go_on(host, f"beside-{name}")
    hanging.hangs.end(call, asset)
    hanging.freed(volume)
    Writer(host, f"again-{name}", "-v", f"{name}:/data").goes_on()


def test_mooring_ends_and_starts_while_a_volume_hangs_in_being_made(
    hanging: HangingMooring, host: Host, away: Hangs
) -> None:
    away.begin("create")
    begun(host, "volume", "create", "-d", DRIVER, "-o", "class=away", "begun")
    eventually(lambda: away.held("create") == 1, "making it hangs")
    hanging.stop(signal.SIGTERM, GRACE_S)
    hanging.start()
    others_go_on(host, "beside-begun")
    away.end("create")
    create(host, "begun", "--opt", "class=away")
    Writer(host, "begun", "-v", "begun:/data")


@pytest.mark.slow
def test_a_container_whose_volume_hangs_is_told_so_and_is_in_nobodys_way_as_often_as_it_tries(
    hanging: HangingMooring, host: Host
) -> None:
    create(host, "dead")
    asset = hanging.asset("dead")
    hanging.hangs.begin("publish", asset)
    for _ in range(AT_ONCE + 1):
        done = host.try_docker("run", "--rm", "-v", "dead:/data", SHELL, "touch", "/data/file")
        assert done.code == 125
        for said in ("HostStuck: ", "dead", hanging.host.name, "took longer than", "; look for"):
            assert said in done.err
    others_go_on(host, "beside-dead")
    hanging.hangs.end("publish", asset)
    host.docker("run", "--rm", "-v", "dead:/data", SHELL, "touch", "/data/file")


@pytest.mark.slow
def test_a_volume_that_is_not_let_go_in_time_is_told_and_tried_again(
    hanging: HangingMooring, host: Host
) -> None:
    create(host, "stays")
    writer = Writer(host, "stays", "-v", "stays:/data")
    volume, asset = hanging.volume("stays"), hanging.asset("stays")
    hanging.hangs.begin("unpublish", asset)
    writer.stop()
    about = f"involvedObject.name={volume['metadata']['name']}"

    def told() -> list[str]:
        events = hanging.get("events", "--field-selector", about)["items"]
        return [one["reason"] for one in events if one["type"] == "Warning"]

    eventually(lambda: told() == ["UnmountFailed"], "it is told")
    assert not hanging.is_free(volume)
    hanging.hangs.end("unpublish", asset)
    hanging.freed(volume)


@pytest.mark.slow
def test_a_volume_that_is_not_made_in_time_is_pending_and_a_container_is_told_why(
    hanging: HangingMooring, host: Host, away: Hangs
) -> None:
    away.begin("create")
    create(host, "late", "--opt", "class=away")
    assert hanging.get("persistentvolumeclaims", "late")["status"]["phase"] == "Pending"
    starting = begun(host, "run", "-v", "late:/data", SHELL)
    assert starting.wait(ENDS_S) == 125
    said = (host.place / BEGUN).read_text().splitlines()
    assert any("HostStuck: " in line and "late" in line for line in said), said
    others_go_on(host, "beside-late")
    away.end("create")
    host.docker("run", "--rm", "-v", "late:/data", SHELL, "touch", "/data/file")
