"""VolumeAttributesClass on real backends, and killed at each step of a change."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import mooring.daemon.up  # noqa: F401  brings in all that declares points
from mooring.crashpoints import POINTS
from tests.host.privileges import needs_mounts
from tests.system.growing import Growing, a_claim, a_class, a_pool, disk
from tests.system.server import eventually

pytestmark = [pytest.mark.system, needs_mounts]

MODIFY_POINTS: Final = sorted(one for one in POINTS if one.startswith("modify."))
LOOPFILE: Final = "loopfile.mooring.dev"


def a_vac(name: str, driver: str, **parameters: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttributesClass",
        "metadata": {"name": name},
        "driverName": driver,
        "parameters": parameters,
    }


@pytest.fixture
def point() -> str:
    """Where the server is killed; tests of that say where."""
    return ""


@pytest.fixture
def server(tmp_path: Path, point: str) -> Iterator[Growing]:
    made = Growing(tmp_path)
    made.start(**({"MOORING_CRASH_AT": point} if point else {}))
    eventually(made.is_ready, "it serves")
    yield made
    made.end()


def name_class(server: Growing, vac: str) -> None:
    """Of a server that may die of it."""
    server.run(
        "patch", "pvc", "data", "-p", f'{{"spec": {{"volumeAttributesClassName": "{vac}"}}}}'
    )


def direct_io(server: Growing) -> bool:
    """Of the device of the claim's image, which is mounted."""
    for one in Path("/sys/block").glob("loop*/loop"):
        if (one / "backing_file").read_text().startswith(str(server.place / "images")):
            return (one / "dio").read_text().strip() == "1"
    raise AssertionError("no device")


def is_of(server: Growing, vac: str) -> bool:
    """The claim, its volume and nothing else say so."""
    status = server.status()
    done = status.get("currentVolumeAttributesClassName") == vac
    return done and "modifyVolumeStatus" not in status


@pytest.mark.rule("15.5", "15.8", "15.9")
def test_a_class_is_changed_while_the_volume_is_used(server: Growing) -> None:
    for name, wanted in (("direct", "true"), ("cached", "false")):
        server.objects(a_vac(name, LOOPFILE, directIO=wanted))
    server.prepare(vac="direct")
    assert server.claim()["status"]["currentVolumeAttributesClassName"] == "direct"
    assert server.volume()["spec"]["volumeAttributesClassName"] == "direct"
    (server.mounted() / "file").write_text("data")
    assert direct_io(server)
    name_class(server, "cached")
    eventually(lambda: is_of(server, "cached"), "it is of the other class")
    assert not direct_io(server)
    assert server.volume()["spec"]["volumeAttributesClassName"] == "cached"
    told = {"VolumeModify", "VolumeModifySuccessful"}
    eventually(lambda: told <= server.reasons(), "both are told")
    server.mooring("umount", "data")
    assert (server.mounted() / "file").read_text() == "data"
    assert not direct_io(server)  # it is remembered
    server.objects(a_vac("odd", LOOPFILE, directIO="perhaps"))
    name_class(server, "odd")
    eventually(lambda: "ModifyVolumeError" in server.conditions(), "it is told that it cannot be")
    assert "directIO: true or false" in server.kubectl("describe", "pvc", "data")
    name_class(server, "cached")
    eventually(lambda: is_of(server, "cached"), "it was taken back")
    assert server.conditions() == {}
    server.mooring("umount", "data")


@pytest.mark.rule("15.9")
@pytest.mark.parametrize("point", MODIFY_POINTS)
def test_killed_at_any_step_the_next_start_goes_on(server: Growing) -> None:
    server.objects(a_vac("cached", LOOPFILE, directIO="false"))
    server.prepare()
    name_class(server, "cached")
    eventually(server.is_dead, "it died")
    assert server.process is not None
    assert server.process.wait(10) == -signal.SIGKILL
    server.start()
    eventually(lambda: is_of(server, "cached"), "it is of the class")
    assert server.volume()["spec"]["volumeAttributesClassName"] == "cached"
    server.mounted()
    assert not direct_io(server)
    server.mooring("umount", "data")


@pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="needs mkfs.btrfs")
def test_files_that_come_after_a_change_are_compressed(server: Growing) -> None:
    driver = "btrfs.mooring.dev"
    with disk(server.place, "btrfs", 1 << 30) as place:
        server.objects(
            a_pool("fast", driver, place / "pool"),
            a_class("fast", driver),
            a_vac("small", driver, compression="zstd"),
            a_claim("fast", "512Mi"),
        )
        eventually(lambda: server.phase("pvc", "data") == "Bound", "it is Bound")
        path = server.mounted()
        name_class(server, "small")
        eventually(lambda: is_of(server, "small"), "it is of the class")
        assert os.getxattr(path, "btrfs.compression") == b"zstd"
        with (path / "zeros").open("wb") as file:
            file.write(b"all alike " * (1 << 20))
            os.fsync(file.fileno())
        used = subprocess.run(
            ["btrfs", "filesystem", "usage", "-b", str(place)], capture_output=True, text=True
        ).stdout
        assert next(int(line.split()[1]) for line in used.splitlines() if "Used:" in line) < 5 << 20
        server.mooring("umount", "data")
        server.end()
