"""What only the store in a file has to show: restarts, versions of the schema, refusals."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from mooring.store.interface import Change, Check, Document, Expired, Unavailable, Write
from mooring.store.refusals import (
    StoreDamaged,
    StoreForeign,
    StoreInUse,
    StoreNewer,
    StoreNotAccessible,
)
from mooring.store.retention import Limits
from mooring.store.schema import SCHEMA
from mooring.store.sqlite import SqliteStore
from mooring.store.sqlite_file import STEPS
from tests.conformance.stores import taken, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.opened(path, **options)
    try:
        yield store
    finally:
        await store.close()


def rows(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(query).fetchone()[0])


async def test_a_restart_keeps_documents_history_and_revision(path: Path) -> None:
    async with opened(path) as store:
        for value in (b"1", b"2", None, b"3"):
            await store.commit([Write("a/x", value)])
        before = await taken(store.watch("", 0), 4)
    async with opened(path) as store:
        assert await store.revision() == 4
        assert await store.get("a/x") == Document("a/x", b"3", 4)
        assert (await store.list("", revision=2)).documents == [Document("a/x", b"2", 2)]
        assert await taken(store.watch("", 0), 4) == before
        watch = store.watch("", 4)
        assert await store.commit([Write("a/x", b"5", 4)]) == 5
        assert await taken(watch, 1) == [Change("a/x", b"3", b"5", 5, 4)]


async def test_a_restart_keeps_what_compaction_forgot(path: Path) -> None:
    async with opened(path) as store:
        for n in range(5):
            await store.commit([Write("a/x", b"%d" % n)])
        await store.commit([Write("a/x", None)])
        await store.compact(6)
    async with opened(path) as store:
        assert await store.revision() == 6
        with pytest.raises(Expired):
            await store.list("", revision=5)
        assert await store.commit([Write("a/y", b"")]) == 7


async def test_sweeping_leaves_the_rows_that_are_needed(path: Path) -> None:
    async with opened(path) as store:
        commits = []
        for n in range(2_000):
            value = None if n % 7 == 0 else b"%d" % n
            writes = [Write(f"a/{n % 5}", value), Write("b/always", b"%d" % n)]
            commits.append(store.commit(writes))
        await asyncio.gather(*commits)
        documents = (await store.list("")).documents
        await store.compact(1_900)

        async def swept() -> bool:
            with closing(sqlite3.connect(path)) as other:
                return other.execute("SELECT number FROM mark WHERE name = 'swept'").fetchone() == (
                    1_900,
                )

        await until(swept)
        assert (await store.list("")).documents == documents
        assert (await store.list("", revision=1_900)).documents[-1].revision == 1_900
        last = await taken(store.watch("b/", 1_900), 100)
        assert [int(change.after or b"") for change in last] == list(range(1_900, 2_000))
        assert all(change.before for change in last)
    assert rows(path, "SELECT count(*) FROM version") <= 2 * 100 + 6


async def test_history_is_swept_while_the_store_is_busy(path: Path) -> None:
    async with opened(path, limits=Limits(revisions=64)) as store:
        for _ in range(40):
            await asyncio.gather(*(store.commit([Write("a/x", os.urandom(8))]) for _ in range(200)))
        async with opened(path.with_name("other.db")):  # a second store is no second process
            pass
    assert rows(path, "SELECT count(*) FROM version") < 4_000


async def test_the_file_and_its_companions_are_for_this_user_alone(path: Path) -> None:
    path.touch(0o644)
    async with opened(path) as store:
        await store.commit([Write("secrets/x", b"")])
        for name in path.parent.iterdir():
            assert stat.S_IMODE(name.stat().st_mode) == 0o600, name
        assert len(list(path.parent.iterdir())) == 4


async def test_a_later_schema_is_refused_and_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(StoreNewer, match=f"schema version {len(STEPS) + 1}, .* knows {len(STEPS)}"):
        await SqliteStore.opened(path)
    assert rows(path, "PRAGMA user_version") == len(STEPS) + 1


async def test_an_earlier_schema_is_brought_forward_step_by_step(path: Path) -> None:
    def one_more(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE version ADD COLUMN note TEXT DEFAULT 'stepped'")

    async with opened(path) as store:
        await store.commit([Write("a/x", b"1")])
    file_steps = (*STEPS, one_more)
    async with opened(path, steps=file_steps) as store:
        assert rows(path, "PRAGMA user_version") == 1
        await store.commit([Write(SCHEMA, b"%d" % len(file_steps))])
        assert rows(path, "PRAGMA user_version") == len(file_steps)
    assert rows(path, "SELECT count(*) FROM version WHERE note = 'stepped'") == 2
    with pytest.raises(StoreNewer):
        await SqliteStore.opened(path)


async def test_a_file_that_is_finalized_is_refused_by_the_mooring_before(path: Path) -> None:
    async with opened(path) as store:
        await store.commit([Write("a/x", b"1")])
    async with opened(path, steps=STEPS[:1]) as store:  # as the one before is
        await store.commit([Write("a/x", b"2")])
    async with opened(path) as store:
        await store.commit([Write(SCHEMA, b"%d" % len(STEPS))])
        await store.commit([Write("a/x", b"3")], [Check(SCHEMA, 3)])  # looked at, and taken already
    with pytest.raises(StoreNewer, match="schema version 2, this Mooring knows 1 at most"):
        await SqliteStore.opened(path, steps=STEPS[:1])
    async with opened(path) as store:
        found = await store.get("a/x")
        assert found is not None
        assert found.value == b"3"


async def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE head")
        raise RuntimeError("cut off")

    async with opened(path) as store:
        await store.commit([Write("a/x", b"1")])
    async with opened(path, steps=(*STEPS, half)) as store:
        with pytest.raises(RuntimeError, match="cut off"):
            await store.commit([Write(SCHEMA, b"%d" % (len(STEPS) + 1))])
    async with opened(path) as store:
        assert (await store.get("a/x")) is not None
        assert (await store.get(SCHEMA)) is None
    assert rows(path, "PRAGMA user_version") == 1


async def test_a_second_opening_is_refused_with_the_process_that_has_it(path: Path) -> None:
    async with opened(path):
        with pytest.raises(StoreInUse, match=f"in use by process {os.getpid()}"):
            await SqliteStore.opened(path)
    async with opened(path):
        pass


async def test_a_damaged_file_is_refused(path: Path) -> None:
    async with opened(path) as store:
        await store.commit([Write(f"a/{n}", bytes(6000)) for n in range(50)])
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[:4096] + b"\xff" * 8192 + whole[12288:],
        b"no database at all" * 1000,
    ):
        path.write_bytes(damaged)
        with pytest.raises(StoreDamaged) as refused:
            await SqliteStore.opened(path)
        assert "backup" in refused.value.remedy
    path.write_bytes(whole)
    async with opened(path) as store:
        assert len((await store.list("a/")).documents) == 50


async def test_a_document_without_its_value_is_damage(path: Path) -> None:
    async with opened(path) as store:
        await store.commit([Write("a/x", b"1")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM version")
        connection.commit()
    with pytest.raises(StoreDamaged, match="1 documents have no value"):
        await SqliteStore.opened(path)


async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreForeign):
        await SqliteStore.opened(path)
    assert rows(path, "SELECT count(*) FROM sqlite_schema") == 1


async def test_a_place_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StoreNotAccessible, match="missing is no directory"):
        await SqliteStore.opened(tmp_path / "missing" / "store.db")
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreNotAccessible, match="Is a directory"):
        await SqliteStore.opened(tmp_path / "store.db")


async def test_an_empty_file_of_a_first_start_cut_off_becomes_a_store(path: Path) -> None:
    path.touch()
    async with opened(path) as store:
        assert await store.commit([Write("a/x", b"1")]) == 1


async def test_a_commit_that_finds_the_disk_full_did_nothing_and_the_next_may_succeed(
    path: Path,
) -> None:
    async with opened(path) as store:
        await store.commit([Write("a/x", b"1")])
    assert await _with_a_limit_on_file_size(path) == ["none", "none", "2"]
    async with opened(path) as store:
        assert [d.key for d in (await store.list("")).documents] == ["a/after", "a/x"]


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from mooring.store.interface import Unavailable, Write
from mooring.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.opened(Path(sys.argv[1]))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    for size in (400_000, 900_000):
        try:
            await store.commit([Write("a/big", bytes(size))])
        except Unavailable as error:
            print(error.effect.value)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(await store.commit([Write("a/after", b"")]))
    await store.close()

asyncio.run(main())
"""


async def _with_a_limit_on_file_size(path: Path) -> list[str]:
    """What a process prints whose files cannot grow for a while: the kernel refuses the writes."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.system  # it waits for the other program as long as a commit may
async def test_a_file_locked_by_another_program_makes_commits_unavailable(path: Path) -> None:
    async with opened(path) as store:
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA busy_timeout = 0")
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(Unavailable, match="locked"):
                await store.commit([Write("a/x", b"1")])
            other.execute("ROLLBACK")
        assert await store.commit([Write("a/x", b"1")]) == 1


async def test_a_copy_taken_while_it_is_closed_is_a_backup(path: Path, tmp_path: Path) -> None:
    async with opened(path) as store:
        await store.commit([Write("a/x", b"1")])
    shutil.copy(path, tmp_path / "copy.db")
    async with opened(tmp_path / "copy.db") as store:
        assert (await store.get("a/x")) is not None


async def test_history_goes_by_age_though_nothing_more_is_written(path: Path) -> None:
    async with opened(path, limits=Limits(age_s=0.05)) as store:
        await store.commit([Write("a/x", b"1")])
        await store.commit([Write("a/x", b"2")])

        async def gone() -> bool:
            try:
                await store.list("", revision=1)
            except Expired:
                return True
            return False

        await until(gone)
