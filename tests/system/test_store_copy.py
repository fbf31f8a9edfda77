"""`mooring store copy`, as a user has it: into etcd, killed and begun again, and back."""

import asyncio
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.daemon.settings import StoreSettings
from mooring.daemon.stores import store_at
from mooring.store.copying import HOLD
from mooring.store.interface import Write
from mooring.store.schema import SCHEMA, SERVERS
from testbed.etcd import Member, lacking
from testbed.hosts import eventually
from tests.system.server import Server, claim

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    made = Member(tmp_path / "etcd")
    made.start()
    yield made
    made.stop()


def words(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mooring.cli.main", "store", *map(str, arguments)]


def said(*arguments: object) -> str:
    """What it printed, and its code."""
    done = subprocess.run(words(*arguments), capture_output=True, text=True, timeout=60)
    return f"{done.returncode}: {done.stdout}{done.stderr}"


async def contents(place: str | Path) -> dict[str, bytes]:
    url = place if isinstance(place, str) else ""
    store = await store_at(StoreSettings(url), place if isinstance(place, Path) else Path())
    found = {one.key: one.value for one in (await store.list("")).documents}
    await store.close()
    return found


async def fill(place: Path, documents: int) -> None:
    store = await store_at(StoreSettings(), place)
    await asyncio.gather(
        *(
            store.commit([Write(f"configmaps/default/{number}", secrets.token_bytes(2000))])
            for number in range(documents)
        )
    )
    await store.close()


def test_a_server_goes_on_where_its_documents_were_moved_to(tmp_path: Path, member: Member) -> None:
    url = f"etcd://{member.endpoint}/mooring"
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server").start()
    data = server.place / "data"
    server.apply(claim("data"))
    eventually(lambda: server.phase("pvc", "data") == "Bound", "it is bound")
    before = int(server.get("pvc", "data")["metadata"]["resourceVersion"])
    assert "[StoreInUse]" in said("copy", data, url)
    server.stop()
    assert "copied to etcd://" in said("copy", data, url)
    moved = Server(server.place, options=("--store", url)).start()
    assert moved.phase("pvc", "data") == "Bound"
    assert int(moved.get("pvc", "data")["metadata"]["resourceVersion"]) > before
    assert "[StoreServed]" in said("copy", url, tmp_path / "back")
    moved.stop()
    assert f"copied to {tmp_path / 'back'}" in said("copy", url, tmp_path / "back")
    ours = asyncio.run(contents(url))
    assert ours[SCHEMA] == b"2"
    ours.pop(SERVERS, None)
    assert asyncio.run(contents(tmp_path / "back")) == ours


def test_a_copy_that_is_killed_goes_on_when_it_is_run_again(tmp_path: Path, member: Member) -> None:
    url, data = f"etcd://{member.endpoint}/mooring", tmp_path / "data"
    asyncio.run(fill(data, 4000))
    working = subprocess.Popen(words("copy", data, url))
    count = ("get", "/mooring/", "--prefix", "--limit=200", "--keys-only")
    eventually(lambda: member.ctl(*count).count("/mooring/") > 100, "some of it is copied")
    working.send_signal(signal.SIGKILL)
    working.wait(20)
    held = Server(tmp_path / "server", options=("--store", url))
    done = subprocess.run(held.launched(), capture_output=True, text=True, timeout=60)
    assert "[StoreHeld]" in done.stderr
    assert "4001 documents" in said("copy", data, url)
    ours = asyncio.run(contents(data))
    assert len(ours) == 4001  # and the one that says of which schema it is
    assert HOLD not in ours
    assert asyncio.run(contents(url)) == ours
    assert "was not held" in said("release", url)


def test_there_is_nothing_to_copy(tmp_path: Path, member: Member) -> None:
    url = f"etcd://{member.endpoint}/empty"
    assert "[NoStore]" in said("copy", tmp_path / "none", url)
    assert "[NoStore]" in said("copy", url, tmp_path / "none")
    assert not (tmp_path / "none").exists()
