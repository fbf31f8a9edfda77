"""Claims that grow, on real backends, with a whole Mooring that is killed at each step of it."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import mooring.daemon  # noqa: F401  brings in all that declares points
from mooring.crashpoints import POINTS
from tests.host.privileges import needs_mounts
from tests.system.growing import MIB, Growing, size_of
from tests.system.server import eventually

pytestmark = [pytest.mark.system, needs_mounts]

POOL_POINTS: Final = sorted(one for one in POINTS if one.startswith("resize."))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Growing]:
    made = Growing(tmp_path)
    made.start()
    yield made
    made.end()


def test_an_ext4_that_nobody_uses_grows_at_once(server: Growing) -> None:
    server.prepare()
    server.ask("128Mi")
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")


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
        assert "FileSystemResizeRequired" in server.reasons()
    server.mooring("umount", "data")
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")


def _died(server: Growing, point: str, size: str, *, used: bool = False) -> bool:
    """Grow with a death at the point. False if it was never passed.

    used  mounted, so that the file system is left to be grown where it is unmounted
    """
    if used:
        server.mounted()
    server.stop()
    server.start(MOORING_CRASH_AT=point)
    eventually(server.is_ready, "it serves")
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


@pytest.mark.parametrize("point", [one for one in POOL_POINTS if one != "resize.given-back"])
def test_killed_at_any_step_the_next_start_goes_on(server: Growing, point: str) -> None:
    server.prepare()
    passed = _died(server, point, "128Mi", used=point.startswith("resize.node-"))
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")
    if not passed:
        pytest.skip("this kernel grows an ext4 that is mounted, so there is no step at the node")
