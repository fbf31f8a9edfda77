"""Two Moorings with one state, as a copied data directory makes them, on one pool."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.server import Server, claim, eventually

pytestmark = pytest.mark.system


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Neither runs; what the first made is known to the second."""
    servers = first, second = Server(tmp_path / "first"), Server(tmp_path / "second")
    first.place.mkdir()
    first.start()
    first.apply(claim("made"))
    eventually(lambda: first.phase("pvc", "made") == "Bound", "bound")
    first.stop()
    shutil.copytree(first.place, second.place)  # its Pool names the root of the first
    yield servers
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_the_second_is_told_who_has_the_pool_and_serves_it_once_that_one_has_ended(
    both: tuple[Server, Server], end: int
) -> None:
    first, second = both
    first.start()
    first.apply(claim("more"))
    eventually(lambda: first.phase("pvc", "more") == "Bound", "bound")
    assert first.process is not None
    second.start()
    second.apply(claim("late"))
    told = f"is served by process {first.process.pid} on"
    eventually(lambda: told in second.kubectl("describe", "pvc", "late"), "told")
    assert second.phase("pvc", "late") == "Pending"
    first.stop(end)
    eventually(lambda: second.phase("pvc", "late") == "Bound", "served")


def test_the_root_of_a_pool_that_is_deleted_is_free_at_once(both: tuple[Server, Server]) -> None:
    first, second = both
    first.start()
    first.kubectl("delete", "pvc", "made")
    eventually(lambda: not first.get("pv")["items"], "deleted")
    first.kubectl("delete", "pool", "local")
    second.start()
    second.apply(claim("late"))
    eventually(lambda: second.phase("pvc", "late") == "Bound", "served")
