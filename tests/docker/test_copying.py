"""What Docker copies: an image's directory into a new volume, and files with `docker cp`."""

import pytest

from tests.docker.images import DATA, IN_DATA, SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import eventually, needs_hosts
from tests.docker.writer import Writer

pytestmark = [pytest.mark.system, needs_hosts]
WITH = ("--volume-driver", DRIVER)
OWNERS = ["stat", "-c", "%a %u %g", *(f"/{path}" for path in IN_DATA)]


def test_a_new_volume_gets_what_the_image_has_there_with_owners_and_modes(moored: Mooring) -> None:
    shown = moored.host.docker("run", "--rm", *WITH, "-v", "copied:/data", DATA, *OWNERS)
    assert shown.splitlines() == [owned.shown for owned in IN_DATA.values()]
    # Again from an image that has nothing there: it is the volume that has them.
    shown = moored.host.docker("run", "--rm", "-v", "copied:/data", SHELL, *OWNERS)
    assert shown.splitlines() == [owned.shown for owned in IN_DATA.values()]
    moored.freed(moored.volume("copied"))


def test_a_container_that_was_only_created_has_its_copy_and_leaves_the_volume_free(
    moored: Mooring,
) -> None:
    moored.host.docker("create", "--name", "early", *WITH, "-v", "early:/data", DATA)
    volume = moored.volume("early")
    moored.freed(volume)
    data = moored.pool / volume["spec"]["csi"]["volumeHandle"] / "data"
    assert (data / "seed").read_text() == "seed"
    moored.host.docker("rm", "early")


def test_nothing_is_copied_where_that_is_not_wanted(moored: Mooring) -> None:
    listing = ("run", "--rm", *WITH, "-v", "bare:/data:nocopy", DATA, "ls", "-a", "/data")
    assert moored.host.docker(*listing) == ".\n.."


def test_nothing_is_copied_into_a_volume_that_has_something(moored: Mooring) -> None:
    moored.host.docker("run", "--rm", *WITH, "-v", "full:/data", SHELL, "touch", "/data/mine")
    assert moored.host.docker("run", "--rm", "-v", "full:/data", DATA, "ls", "/data") == "mine"


def test_copying_from_and_to_a_running_writer_does_not_disturb_it(moored: Mooring) -> None:
    host = moored.host
    writer = Writer(host, "copied-from", *WITH, "-v", "busy:/data")
    volume = moored.volume("busy")
    for _ in range(3):
        host.docker("cp", "copied-from:/data/log", str(host.place / "log"))
        assert (host.place / "log").read_text().startswith("1\n2\n")
    (host.place / "sent").write_text("sent")
    host.docker("cp", str(host.place / "sent"), "copied-from:/data/sent")
    assert host.docker("exec", "copied-from", "cat", "/data/sent") == "sent"
    writer.goes_on()
    assert moored.is_mounted(volume)
    numbers = [int(line) for line in writer.lines()]
    assert numbers == list(range(1, len(numbers) + 1)), "nothing that it wrote is lost"
    writer.remove()
    moored.freed(volume)


def test_copying_from_a_stopped_container_leaves_its_volume_free(moored: Mooring) -> None:
    host = moored.host
    writer = Writer(host, "stopped", *WITH, "-v", "resting:/data")
    writer.stop()
    host.docker("cp", "stopped:/data/log", str(host.place / "log"))
    assert (host.place / "log").read_text().startswith("1\n2\n")
    moored.freed(moored.volume("resting"))
    writer.remove()


def test_a_volume_whose_mount_failed_under_a_copy_is_freed_after_its_container(
    moored: Mooring,
) -> None:
    host = moored.host
    writer = Writer(host, "robbed", *WITH, "-v", "robbed:/data")
    volume = moored.volume("robbed")
    mark, away = moored.pool / ".mooring-pool", moored.pool / ".mooring-pool-away"
    mark.rename(away)
    try:
        done = host.try_docker("cp", "robbed:/data/log", str(host.place / "log"))
        assert (done.code, "PoolMissing: " in done.err) == (1, True), done.err
    finally:
        away.rename(mark)
    # Docker has sent an Unmount that belongs to no Mount, and sends none any more.
    writer.goes_on()
    assert moored.is_mounted(volume)
    writer.stop()
    moored.freed(volume)
    host.docker("start", "robbed")
    writer.goes_on()
    writer.remove()
    moored.freed(volume)
    eventually(lambda: host.try_docker("volume", "rm", "robbed").code == 0, "it can be removed")
