"""A store of the version before, served by this one: both may be started until it is finalized."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mooring.crashpoints import POINTS
from mooring.daemon.settings import StoreSettings
from mooring.daemon.stores import store_at
from mooring.store.refusals import StoreNewer
from mooring.store.schema import (
    FIRST,
    Known,
    announce,
    finalize,
    require_known,
    schema_of,
    withdraw,
)
from mooring.store.sqlite import SqliteStore
from mooring.store.sqlite_file import STEPS
from testbed.etcd import Member, lacking
from tests.system.server import Server, claim, eventually
from tests.system.servers import OneOfSeveral, started

pytestmark = pytest.mark.system

LEFT = Path(__file__).parent / "data/store-of-schema-1.sql"
SHARED = """
apiVersion: mooring.dev/v1
kind: Pool
metadata: {name: shared}
spec: {driver: directory.mooring.dev, root: %s, directory: {shared: true}}
"""
FENCING = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fenced}
provisioner: directory.mooring.dev
parameters: {fencing: lease}
"""


def left_by_the_version_before(place: Path) -> None:
    """Its store, and the volume of its claim `data`."""
    file = place / "data/mooring.db"
    file.parent.mkdir(mode=0o700)
    (file.parent / "first-start-done").write_text("here")
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(LEFT.read_text().replace("@PLACE@", str(place)))
        query = "SELECT value FROM head JOIN version USING (id) WHERE head.key = ?"
        (pool,) = connection.execute(query, ("pools.mooring.dev/local",)).fetchone()
        (bound,) = connection.execute(query, ("persistentvolumeclaims/default/data",)).fetchone()
    asset = place / "pool" / json.loads(bound)["spec"]["volumeName"]
    (asset / "data").mkdir(parents=True)
    (asset / "size").write_text("1073741824")
    (asset / "data/f").write_text("precious\n")
    (place / "pool/.mooring-pool").write_text(json.loads(pool)["metadata"]["uid"])


def schema_in(place: Path) -> int:
    """As every version looks at it before anything else."""
    with closing(sqlite3.connect(place / "data/mooring.db")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def opened_by_the_version_before(place: Path) -> None:
    """As far as opening goes: by the steps that it knows."""
    store = await SqliteStore.opened(place / "data/mooring.db", steps=STEPS[:1])
    await store.close()


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Server]:
    left_by_the_version_before(tmp_path)
    server = Server(tmp_path).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


def command(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mooring.cli.main", *words, "--kubeconfig", str(server.kubeconfig)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def store_of(server: Server) -> Any:
    done = command(server, "store", "status", "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_version_before_may_go_on_until_it_is_finalized(upgraded: Server) -> None:
    place = upgraded.place
    assert upgraded.phase("pvc", "data") == "Bound"
    upgraded.apply(claim("new"))
    eventually(lambda: upgraded.phase("pvc", "new") == "Bound", "a claim of this version is bound")
    state = store_of(upgraded)
    assert (state["schema"], state["latest"]) == (1, 2)
    assert [(one["knows"], one["isThis"]) for one in state["servers"]] == [(2, True)]
    for text in (SHARED % (place / "other"), FENCING):
        refused = upgraded.run("apply", "--validate=false", "-f", "-", stdin=text)
        assert "mooring store finalize" in refused.stderr
    assert "mooring store finalize" in command(upgraded, "node", "token").stderr
    shown = command(upgraded, "store", "finalize", "--dry-run").stdout
    assert "hosts may join" in shown
    assert upgraded.stop() == 0
    assert schema_in(place) == 1
    asyncio.run(opened_by_the_version_before(place))
    upgraded.start()
    assert upgraded.phase("pvc", "new") == "Bound"
    done = command(upgraded, "store", "finalize", "--yes")
    assert "the store has schema 2" in done.stdout, done.stderr
    assert "nothing is left" in command(upgraded, "store", "finalize", "--yes").stdout
    assert command(upgraded, "node", "token").returncode == 0
    upgraded.apply(FENCING)
    upgraded.apply(SHARED % (place / "other"))
    assert upgraded.stop() == 0
    before = (place / "data/mooring.db").read_bytes()
    with pytest.raises(StoreNewer, match="schema version 2, this Mooring knows 1 at most"):
        asyncio.run(opened_by_the_version_before(place))
    assert (place / "data/mooring.db").read_bytes() == before
    upgraded.start()
    assert store_of(upgraded)["changes"] == []
    assert next((place / "pool").glob("pvc-*/data/f")).read_text() == "precious\n"


# Where it is killed, and the schema that is there then.
KILLED = {
    "finalize.checked": 1,
    "sqlite.before-commit": 1,
    "sqlite.after-commit": 2,
    "finalize.written": 2,
}
ALONE = """
import asyncio, sys
from pathlib import Path
from mooring.store.schema import finalize
from mooring.store.schema import (
    FIRST,
    Known,
    announce,
    finalize,
    require_known,
    schema_of,
    withdraw,
)
from mooring.store.sqlite import SqliteStore

async def main():
    await finalize(await SqliteStore.opened(Path(sys.argv[1])))

asyncio.run(main())
"""


@pytest.mark.parametrize(("point", "schema"), KILLED.items())
def test_killed_while_it_is_finalized_it_is_or_is_not(
    point: str, schema: int, tmp_path: Path
) -> None:
    assert {one for one in POINTS if one.startswith("finalize.")} <= set(KILLED)
    left_by_the_version_before(tmp_path)
    file = tmp_path / "data/mooring.db"
    asyncio.run(said_of_it(file))
    environment = {**os.environ, "MOORING_CRASH_AT": point}
    done = subprocess.run([sys.executable, "-c", ALONE, str(file)], env=environment, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert schema_in(tmp_path) == schema
    asyncio.run(is_whole_and_can_be_finalized(file, schema))
    assert schema_in(tmp_path) == 2


async def said_of_it(file: Path) -> None:
    """As a server does that starts there."""
    store = await SqliteStore.opened(file)
    await require_known(store, str(file))
    await store.close()


async def is_whole_and_can_be_finalized(file: Path, schema: int) -> None:
    store = await SqliteStore.opened(file)
    assert (await schema_of(store)).version == schema
    assert await finalize(store) == schema
    assert await store.get("persistentvolumeclaims/default/data") is not None
    await store.close()


def test_a_server_that_is_killed_while_it_finalizes_goes_on(upgraded: Server) -> None:
    upgraded.stop()
    upgraded.start(MOORING_CRASH_AT="finalize.written")
    eventually(upgraded.is_ready, "it serves")
    assert command(upgraded, "store", "finalize", "--yes").returncode != 0
    assert upgraded.process is not None
    assert upgraded.process.wait(20) == -signal.SIGKILL
    upgraded.start()
    assert upgraded.phase("pvc", "data") == "Bound"
    assert store_of(upgraded)["schema"] == 2


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_servers_of_one_store_wait_for_one_that_knows_less(tmp_path: Path) -> None:
    member = Member(tmp_path / "etcd")
    member.start()
    url = f"etcd://{member.endpoint}/mooring"
    servers = []
    try:
        member.ctl("put", "/mooring/format/schema", "1")
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            servers.append(OneOfSeveral(tmp_path / name, options=("--store", url)))
        a, b = started(servers)
        older = asyncio.run(announced(url, FIRST))
        refused = command(a, "store", "finalize", "--yes")
        assert refused.returncode == 1
        assert "these servers know an earlier schema alone: older" in refused.stderr
        assert "It waits for servers that know less: older" in refused.stdout
        assert len(store_of(b)["servers"]) == 3
        assert b.stop() == 0
        asyncio.run(withdrawn(url, older))
        assert len(store_of(a)["servers"]) == 1
        assert command(a, "store", "finalize", "--yes").returncode == 0
        with pytest.raises(StoreNewer):
            asyncio.run(announced(url, FIRST))
    finally:
        for one in servers:
            if one.process is not None and one.process.poll() is None:
                one.stop()
        member.stop()


async def announced(url: str, knows: int) -> str:
    store = await store_at(StoreSettings(url), Path())
    try:
        await announce(store, "older", Known("0.1.0", knows), url)
    finally:
        await store.close()
    return "older"


async def withdrawn(url: str, name: str) -> None:
    store = await store_at(StoreSettings(url), Path())
    await withdraw(store, name)
    await store.close()
