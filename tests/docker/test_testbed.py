"""The hosts that the other tests stand on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker import images, testbed
from tests.docker.images import DATA, IN_DATA, SHELL
from tests.docker.testbed import RUNS, Bed, Host, checked, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
ROOT = Path(__file__).parents[2]
A_RUN_THAT_IS_KILLED = """
import os, signal
from tests.docker.testbed import Bed
bed = Bed()
host = bed.host("left")
host.up()
host.dockerd()
print(bed.prefix, bed.place, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_host_has_a_name_and_processes_of_its_own(plain_host: Host) -> None:
    assert plain_host.run("hostname").out == "plain"
    assert plain_host.run("sh", "-c", "readlink /proc/self").out.isdigit()
    assert plain_host.docker("info", "--format", "{{.Name}}") == "plain"


def test_an_image_has_its_owners_and_modes(plain_host: Host) -> None:
    look = ["stat", "-c", "%a %u %g", *(f"/{path}" for path in IN_DATA)]
    shown = plain_host.docker("run", "--rm", DATA, *look)
    assert shown.splitlines() == [owned.shown for owned in IN_DATA.values()]


def test_a_local_volume_keeps_what_a_container_wrote(plain_host: Host) -> None:
    plain_host.docker("run", "--rm", "-v", "kept:/data", SHELL, "sh", "-c", "echo text >/data/file")
    assert (
        plain_host.docker("run", "--rm", "-v", "kept:/data", SHELL, "cat", "/data/file") == "text"
    )


def test_a_host_that_crashed_has_its_files_and_nothing_that_ran(bed: Bed) -> None:
    host = bed.host("crashing")
    host.up()
    host.dockerd()
    images.load(host)
    host.docker("run", "-d", "--name", "on", "-v", "kept:/data", SHELL, "sh", "-c",
                "echo text >/data/file; sync; exec sleep 1000")  # fmt: skip
    eventually(lambda: host.docker("exec", "on", "cat", "/data/file") == "text", "it is written")
    host.crash()
    host.up()
    host.dockerd()
    assert host.docker("ps", "--quiet") == ""
    assert host.docker("run", "--rm", "-v", "kept:/data", SHELL, "cat", "/data/file") == "text"


def test_containers_outlive_a_killed_dockerd(bed: Bed) -> None:
    host = bed.host("headless")
    host.up()
    host.dockerd("--live-restore")
    images.load(host)
    host.docker("run", "-d", "--name", "on", SHELL, "sleep", "1000")
    host.stop_dockerd(signal.SIGKILL)
    assert "sleep" in host.run("busybox", "ps", "-o", "comm").out.split()
    host.dockerd("--live-restore")
    assert host.docker("ps", "--format", "{{.Names}}") == "on"


def test_hosts_reach_each_other_until_the_network_is_cut(bed: Bed) -> None:
    left, right = bed.host("left"), bed.host("right")
    for host in (left, right):
        host.up()
    ping = ("busybox", "ping", "-c", "1", "-W", "1", right.ip)
    assert left.run(*ping).code == 0
    right.cut()
    assert left.run(*ping).code == 1
    right.heal()
    assert left.run(*ping).code == 0


def test_what_a_killed_run_left_is_taken_away_and_what_others_have_is_not(bed: Bed) -> None:
    run = subprocess.run(
        [sys.executable, "-c", A_RUN_THAT_IS_KILLED], cwd=ROOT, capture_output=True, timeout=60
    )
    left, _, place = run.stdout.decode().strip().partition(" ")
    assert (run.returncode, Path(place).name) == (-signal.SIGKILL, left), run.stderr
    assert left in checked(["ip", "netns", "list"])
    testbed.clean_leftovers()
    nets = checked(["ip", "netns", "list"])
    groups = [str(path) for path in testbed.CGROUPS.glob("*/mbed-*")]
    assert left not in f"{nets} {groups} {list(RUNS.iterdir())}"
    assert not Path(place).exists()
    assert bed.switch in nets
    assert bed.place.exists()
