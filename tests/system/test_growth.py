"""Claims that grow, on real backends, with a whole Mooring that is killed at each step of it."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import pytest

import mooring.daemon.up  # noqa: F401  brings in all that declares points
from mooring.crashpoints import POINTS
from mooring.drivers.imagefs import can_have_xfs
from tests.host.privileges import needs_mounts
from tests.system.growing import MIB, Growing, a_claim, a_class, a_pool, disk, size_of
from tests.system.server import OLD_KUBECTL, ROOT, SOME_KUBECTL, eventually

pytestmark = [pytest.mark.system, needs_mounts]

CURRENT: Final = "currentVolumeAttributesClassName"
POOL_POINTS: Final = sorted(one for one in POINTS if one.startswith("resize."))


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


def test_an_ext4_that_nobody_uses_grows_at_once(server: Growing) -> None:
    server.prepare()
    server.ask("128Mi")
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")


@pytest.mark.rule("2.9", "14.12", "14.13")
def test_an_ext4_that_is_used_grows_when_it_is_unmounted(server: Growing) -> None:
    server.prepare()
    path = server.mounted()
    before = size_of(path)
    server.ask("128Mi")
    eventually(
        lambda: "FileSystemResizePending" in server.conditions() or server.has() == "128Mi",
        "it waits, or has grown where the kernel lets it",
    )
    if server.has() != "128Mi":
        claim, volume = server.claim(), server.volume()
        assert claim["status"]["allocatedResourceStatuses"] == {"storage": "NodeResizePending"}
        assert server.conditions() == {"FileSystemResizePending": "True"}
        notes = volume["metadata"]["annotations"]
        assert notes["volume.alpha.kubernetes.io/pre-resize-capacity"] == "64Mi"
        assert (server.has(), volume["spec"]["capacity"]["storage"]) == ("64Mi", "128Mi")
        assert size_of(path) == before
        eventually(lambda: "FileSystemResizeRequired" in server.reasons(), "it is told")
    server.mooring("umount", "data")
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")


def _died(server: Growing, size: str, *, used: bool = False) -> bool:
    """Grow with a death on the way. False if its point was never passed.

    used  mounted, so that the file system is left to be grown where it is unmounted
    """
    if used:
        server.mounted()
    server.ask_mortal(size)
    if used:
        eventually(lambda: server.is_dead() or server.waits() or server.is_grown(size), "it waits")
        server.command("umount", "data")
    eventually(lambda: server.is_dead() or server.is_grown(size), "it died, or all was done")
    if not server.is_dead():
        return False
    assert server.process is not None
    assert server.process.wait(10) == -signal.SIGKILL
    server.start()
    if used:
        server.command("umount", "data")
    return True


@pytest.mark.rule("14.17")
@pytest.mark.parametrize("point", [one for one in POOL_POINTS if one != "resize.given-back"])
def test_killed_at_any_step_the_next_start_goes_on(server: Growing, point: str) -> None:
    server.prepare()
    passed = _died(server, "128Mi", used=point.startswith("resize.node-"))
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")
    if not passed:
        pytest.skip("this kernel grows an ext4 that is mounted, so there is no step at the node")


@pytest.mark.rule("11.23", "14.6", "14.16")
def test_a_disk_that_is_full_gives_the_room_back(server: Growing) -> None:
    """Its pool has no limit of its own: the disk says no, once the room was charged."""
    with disk(server.place, "ext4", 256 * MIB) as place:
        server.prepare(root=place / "pool", allocate=True)
        server.ask("1Gi")
        eventually(lambda: "ControllerResizeError" in server.conditions(), "it is told")
        eventually(lambda: server.account() == "64Mi", "the room is given back")
        eventually(lambda: not server.volume_notes(), "no note is left on the volume")
        assert server.has() == "64Mi"
        eventually(lambda: "VolumeResizeFailed" in server.reasons(), "it is told")
        assert "bytes free" in server.kubectl("describe", "pvc", "data")
        assert "cannot be done" in server.mooring("explain", "pvc", "data")
        server.ask("96Mi")
        server.grown_to("96Mi")
        assert 80 * MIB < size_of(server.mounted()) < 110 * MIB
        server.mooring("umount", "data")
        server.end()


@pytest.mark.parametrize("point", ["resize.given-back"])
def test_killed_while_room_is_given_back_nothing_is_lost(server: Growing) -> None:
    with disk(server.place, "ext4", 256 * MIB) as place:
        server.prepare(root=place / "pool", allocate=True)
        assert _died(server, "1Gi")
        eventually(lambda: "ControllerResizeError" in server.conditions(), "it is told")
        eventually(lambda: server.account() == "64Mi", "the room is given back")
        server.ask("96Mi")
        server.grown_to("96Mi")
        server.end()


def test_the_command_grows_and_says_what_keeps_it(server: Growing) -> None:
    server.prepare()
    assert "has 96Mi" in server.mooring("resize", "data", "96Mi", "--wait")
    refused = server.command("resize", "data", "1Mi")
    assert refused.returncode == 1
    assert "remedy: ask for more than the 96Mi that it has" in refused.stderr
    server.kubectl("patch", "sc", "images", "-p", '{"allowVolumeExpansion": false}')
    refused = server.command("resize", "data", "1Gi")
    assert "kubectl patch sc images -p" in refused.stderr


@pytest.mark.parametrize("kubectl", [OLD_KUBECTL, Path(SOME_KUBECTL)], ids=["1.20", "installed"])
def test_kubectl_edits_and_describes_a_growth(tmp_path: Path, kubectl: Path) -> None:
    if not kubectl.exists():
        pytest.skip(f"there is no {kubectl}")
    server = Growing(tmp_path, str(kubectl))
    server.start()
    try:
        server.prepare()
        server.kubectl(
            "patch", "pool", "images", "--type=merge", "-p", '{"spec":{"capacity":"1Gi"}}'
        )
        done = server.run("edit", "pvc", "data", editor="sed -i s/64Mi/2Gi/")
        assert done.returncode == 0, done.stderr
        eventually(lambda: "ControllerResizeError" in server.conditions(), "it is seen")
        eventually(lambda: "VolumeResizeFailed" in server.reasons(), "it is told")
        said = server.kubectl("describe", "pvc", "data")
        assert re.search(r"Conditions:\n  Type +Status ", said)
        assert re.search(r"\n  ControllerResizeError +True ", said)
        assert "pool images has 1Gi, 64Mi is taken, asked for 1984Mi" in said
        assert re.search(r"external-resizer loopfile.mooring.dev +resize volume", said)
        server.ask("128Mi")
        server.grown_to("128Mi")
        eventually(lambda: "VolumeResizeSuccessful" in server.reasons(), "it is told")
        said = server.kubectl("describe", "pvc", "data")
        assert "Conditions:" not in said
        assert re.search(r"Normal +VolumeResizeSuccessful", said)
    finally:
        server.end()


@pytest.mark.skipif(not can_have_xfs(), reason="this host has no xfs, or no mkfs.xfs")
def test_an_xfs_grows_while_it_is_used(server: Growing) -> None:
    server.prepare("300Mi", fsType="xfs")
    path = server.mounted()
    before = size_of(path)
    with (path / "file").open("wb") as file:
        with pytest.raises(OSError, match="No space left"):
            _written(file, 400 * MIB)
        server.ask("600Mi")
        server.grown_to("600Mi")
        _written(file, 200 * MIB)  # through the descriptor that was open all the time
    assert size_of(path) > before + 280 * MIB
    server.mooring("umount", "data")


@pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="needs mkfs.btrfs")
def test_a_btrfs_grows_while_it_is_used(server: Growing) -> None:
    driver = "btrfs.mooring.dev"
    with disk(server.place, "btrfs", 1 << 30) as place:
        claim = a_claim("fast", "64Mi")
        server.objects(a_pool("fast", driver, place / "pool"), a_class("fast", driver), claim)
        eventually(lambda: server.phase("pvc", "data") == "Bound", "it is Bound")
        with (server.mounted() / "file").open("wb") as file:
            with pytest.raises(OSError, match="quota"):
                _written(file, 100 * MIB)
            server.ask("256Mi")
            server.grown_to("256Mi", pool="fast")
            _written(file, 150 * MIB)
        server.mooring("umount", "data")
        server.end()


def _written(file: BinaryIO, count: int) -> None:
    for _ in range(count // MIB):
        file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())


def test_the_examples_do_what_they_say(server: Growing) -> None:
    for file, wanted in (
        ("01-claim", lambda: server.status().get("phase") == "Bound"),
        ("02-more", lambda: server.is_grown("600Mi")),
        ("03-too-much", lambda: "ControllerResizeError" in server.conditions()),
        ("04-less", lambda: server.is_grown("1Gi")),
        ("05-attributes", lambda: server.status().get(CURRENT) == "cached"),
    ):
        text = (ROOT / f"examples/grow/{file}.yaml").read_text()
        text = text.replace("${NODE}", "here").replace("${DEMO_DIR}", str(server.place))
        server.kubectl("apply", "-f", "-", stdin=text)
        eventually(wanted, file)
