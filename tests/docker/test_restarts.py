"""Mooring, Docker and the whole host come and go: data and containers outlive it."""

import signal
from collections.abc import Iterator

import pytest

from tests.docker import images
from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, FREED_S, Mooring
from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.docker.writer import LOG, Writer

pytestmark = [pytest.mark.system, needs_hosts]
WITH = ("--volume-driver", DRIVER)
KEPT_S = 150.0  # how long a Mount counts whose container nobody has seen yet


@pytest.fixture
def host(moored: Mooring) -> Iterator[Host]:
    """Whatever runs on it after the test is taken away."""
    yield moored.host
    if left := moored.host.docker("ps", "--all", "--quiet").split():
        moored.host.docker("rm", "--force", "--volumes", *left)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_container_writes_on_while_mooring_is_started_again(
    moored: Mooring, host: Host, number: signal.Signals
) -> None:
    writer = Writer(host, "on", *WITH, "-v", f"through-{number}:/data")
    volume = moored.volume(f"through-{number}")
    moored.stop(number)
    writer.goes_on()
    moored.start()
    writer.goes_on()
    assert moored.is_mounted(volume)
    listing = host.docker("run", "--rm", "-v", f"through-{number}:/data", SHELL, "ls", "/data")
    assert listing == "log"
    numbers = [int(line) for line in writer.lines()]
    assert numbers == list(range(1, len(numbers) + 1)), "nothing that it wrote is lost"
    writer.stop()
    moored.freed(volume)


def test_a_volume_is_freed_whose_container_ends_while_mooring_is_away(
    moored: Mooring, host: Host
) -> None:
    Writer(host, "ends", *WITH, "-v", "left:/data")
    volume = moored.volume("left")
    process = host.docker("inspect", "--format", "/proc/{{.State.Pid}}", "ends")
    moored.kill9()
    client = host.popen("docker", "kill", "ends", log="client.log", **host.environment)
    # Docker says so only once it is done with its volumes.
    eventually(lambda: host.run("test", "-e", process).code != 0, "the container has ended")
    moored.start()
    assert client.wait(60) == 0
    moored.freed(volume)


def test_a_call_made_while_mooring_is_away_is_answered_when_it_is_back(
    moored: Mooring, host: Host
) -> None:
    moored.kill9()
    client = host.popen(
        *("docker", "volume", "create", "--driver", DRIVER, "patient"),
        log="client.log",
        **host.environment,
    )
    moored.start()
    assert client.wait(60) == 0
    assert "patient" in moored.names("persistentvolumeclaims")


def test_a_volume_of_a_pool_that_is_missing_is_refused_and_not_empty(
    moored: Mooring, host: Host
) -> None:
    listing = ("run", "--rm", *WITH, "-v", "moved:/data", SHELL, "ls", "/data")
    host.docker("run", "--rm", *WITH, "-v", "moved:/data", SHELL, "touch", "/data/file")
    moored.freed(moored.volume("moved"))
    away = moored.pool.with_name("away")
    moored.pool.rename(away)
    try:
        moored.pool.mkdir()
        done = host.try_docker(*listing)
        moored.pool.rmdir()
    finally:
        away.rename(moored.pool)
    assert (done.code, "PoolMissing: " in done.err) == (125, True), done.err
    assert host.docker(*listing) == "file"


def test_after_a_crash_of_the_host_containers_that_always_run_have_their_data(
    moored: Mooring, host: Host
) -> None:
    writer = Writer(host, "always", "--restart", "always", *WITH, "-v", "crashed:/data")
    writer.goes_on()
    before = writer.lines()
    host.crash()
    host.up()
    moored.start()
    host.dockerd()
    writer.goes_on()
    assert writer.lines()[: len(before)] == before
    volume = moored.volume("crashed")
    writer.stop()
    moored.freed(volume)


def test_docker_may_be_there_before_mooring(bed: Bed) -> None:
    host = bed.host("docker-first")
    host.up()
    host.dockerd()
    images.load(host)
    mooring = Mooring(host).start()
    writer = Writer(host, "on", *WITH, "-v", "data:/data")
    volume = mooring.volume("data")
    writer.stop()
    mooring.freed(volume)


def test_a_docker_that_does_not_see_mounts_is_given_none(bed: Bed) -> None:
    host = bed.host("blind")
    host.up()
    mooring = Mooring(host).start()
    host.dockerd(within=("unshare", "--mount", "--propagation", "private"))
    images.load(host)
    done = host.try_docker("run", "--rm", *WITH, "-v", "data:/data", SHELL, "touch", "/data/file")
    assert (done.code, "MountsNotVisible: " in done.err) == (125, True), done.err
    host.stop_dockerd()
    # What is mounted outside comes in here: good enough.
    host.dockerd(within=("unshare", "--mount", "--propagation", "slave"))
    writer = Writer(host, "on", "-v", "data:/data")
    volume = mooring.volume("data")
    assert (mooring.pool / volume["spec"]["csi"]["volumeHandle"] / "data/log").exists()
    writer.stop()
    mooring.freed(volume)


@pytest.mark.slow
def test_a_volume_is_freed_whose_unmount_docker_gave_up(moored: Mooring, host: Host) -> None:
    Writer(host, "ends", *WITH, "-v", "dropped:/data")
    volume = moored.volume("dropped")
    moored.kill9()
    host.docker("kill", "ends")  # answers once its Unmount has failed for long enough
    moored.start()
    moored.freed(volume, KEPT_S + FREED_S)


@pytest.mark.slow
def test_a_volume_is_freed_whose_container_was_removed_after_docker_was_killed(
    moored: Mooring, host: Host
) -> None:
    """Docker never sends the Unmount of this Mount; it counts as one whose container is to come."""
    writer = Writer(host, "removed", *WITH, "-v", "forgotten:/data")
    volume = moored.volume("forgotten")
    host.stop_dockerd(signal.SIGKILL)
    host.dockerd()
    writer.remove()
    host.docker("run", "--rm", "-v", "forgotten:/data", SHELL, "test", "-s", LOG)
    moored.freed(volume, KEPT_S + FREED_S)
