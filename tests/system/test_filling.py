"""The whole server killed at each step of filling a volume: none is ever seen half filled."""

import json
import os
import signal
import tarfile
from pathlib import Path

import pytest

from tests.system.server import Server, claim, eventually

pytestmark = pytest.mark.system

POINTS = ("fill.left-deleted", "fill.empty-made", "fill.filled", "fill.noted")
FILES = 300


@pytest.fixture
def server(tmp_path: Path) -> Server:
    (tmp_path / "import").mkdir()
    with tarfile.open(tmp_path / "import/a.tar.gz", "w:gz") as tar:
        for number in range(FILES):
            path = tmp_path / "one"
            path.write_bytes(os.urandom(5000))
            tar.add(path, f"d/{number}")
    return Server(tmp_path, options=("--import-dir", str(tmp_path / "import")))


def archive(path: Path) -> str:
    return (
        "apiVersion: mooring.dev/v1\nkind: VolumeArchive\nmetadata: {name: old}\n"
        f"spec: {{tar: {path}}}\n---\n"
    )


def filled_claim() -> str:
    source = "  dataSourceRef: {apiGroup: mooring.dev, kind: VolumeArchive, name: old}\n---\n"
    return claim("db").removesuffix("---\n") + source


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_it_is_filled_leaves_a_whole_volume_or_none(
    server: Server, point: str
) -> None:
    server.start(MOORING_CRASH_AT=point)
    eventually(server.is_ready, "it serves")
    server.apply(archive(server.place / "import/a.tar.gz"))
    server.run("apply", "--validate=false", "-f", "-", stdin=filled_claim())
    assert server.process is not None
    assert server.process.wait(60) == -signal.SIGKILL
    server.start()
    try:
        eventually(lambda: server.phase("pvc", "db") == "Bound", "it is bound")
        (volume,) = server.get("pv")["items"]
        data = server.place / "pool" / volume["metadata"]["name"] / "data/d"
        assert len(list(data.iterdir())) == FILES
        assert [one.name for one in (server.place / "pool").glob("pvc-*")] == [
            volume["metadata"]["name"]
        ]
        intents = server.place / "data/provisioning"
        eventually(lambda: not list(intents.iterdir()), "nothing is in the making")
    finally:
        server.stop()


def test_a_claim_deleted_while_it_is_filled_leaves_nothing(server: Server) -> None:
    server.start(MOORING_CRASH_AT="fill.filled")
    eventually(server.is_ready, "it serves")
    server.apply(archive(server.place / "import/a.tar.gz"))
    server.run("apply", "--validate=false", "-f", "-", stdin=filled_claim())
    assert server.process is not None
    assert server.process.wait(60) == -signal.SIGKILL
    (server.place / "import/a.tar.gz").unlink()  # it cannot be filled any more
    server.start()
    try:
        server.kubectl("delete", "pvc", "db")
        eventually(lambda: not list((server.place / "pool").glob("pvc-*")), "its asset is gone")
        assert json.loads(server.kubectl("get", "pv", "-o", "json"))["items"] == []
    finally:
        server.stop()
