"""Opening the file of a SQLite store: one process, the right version, nothing damaged."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from mooring.store.refusals import (
    StoreDamaged,
    StoreForeign,
    StoreInUse,
    StoreNewer,
    StoreNotAccessible,
)

APPLICATION_ID: Final = 0x4D4F4F52  # "MOOR", in the header of the file
BUSY_S: Final = 5.0  # only a person with the sqlite3 program makes us wait
STATEMENTS_CACHED: Final = 256
WAL_PAGES: Final = 4_000  # 16 MiB between checkpoints; a checkpoint costs two fsyncs more
CHECKED_ALWAYS_BYTES: Final = 64 * 1024 * 1024  # takes about 0.1 s

PLACES: Final = 10  # bits of a version's id below its revision: 1024 >= MAX_WRITES places

Step = Callable[[sqlite3.Connection], None]


def _first_schema(connection: sqlite3.Connection) -> None:
    """Versions are only ever added, so the bytes of a value are written once.

    version  one row a change. id = revision * 1024 + its place in the commit, so that order and
             revision need no column or index; `previous` is the id that it replaced, 0 if none;
             value NULL is a deletion
    head     the latest version of each key that exists
    mark     oldest: history before this revision is forgotten; swept: up to this id its rows are
             gone too; clean: the store was closed in good order
    """
    for statement in (
        "CREATE TABLE version (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB,"
        " previous INTEGER NOT NULL)",
        "CREATE INDEX version_by_key ON version (key)",  # and by id: it ends each entry
        "CREATE TABLE head (key TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE mark (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO mark VALUES ('oldest', 0), ('swept', 0), ('clean', 0)",
    ):
        connection.execute(statement)


def _many_hosts(_: sqlite3.Connection) -> None:
    """The same tables. Documents tell of several hosts, which a Mooring of one takes for its own.

    What hosts that share a volume agree on (attachments, leases, tokens) means nothing to it.
    """


# The n-th leads from schema version n to n + 1. Only the first is taken when a file is opened: what
# keeps an earlier Mooring from it is taken by the commit that writes the document SCHEMA.
STEPS: Final[Sequence[Step]] = (_first_schema, _many_hosts)


class StoreFile:
    """The file, held by this process alone until `release`."""

    def __init__(self, path: Path) -> None:
        """Take it, making it if it does not exist. Raises StoreInUse, StoreNotAccessible."""
        self.path = path
        with _accessible(path):
            self._lock = _locked(path)
            try:
                # Closed before SQLite opens it: closing it later would drop SQLite's own locks.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                os.chmod(path, 0o600)  # Secrets are in it; SQLite gives -wal and -shm the same mode
            except OSError:
                os.close(self._lock)
                raise

    def prepare(self, steps: Sequence[Step] = STEPS, base: int = 0) -> sqlite3.Connection:
        """The connection for writing, to a file that is whole and of a version that is known.

        base    the revision from which on a new one counts
        Raises StoreNewer, StoreForeign, StoreDamaged, StoreNotAccessible.
        """
        with _readable(self.path):
            connection = self.connect()
            try:
                self._prepare(connection, steps, base)
            except BaseException:
                connection.close()
                raise
            return connection

    def _prepare(self, connection: sqlite3.Connection, steps: Sequence[Step], base: int) -> None:
        version = _number(connection, "PRAGMA user_version")
        if version > len(steps):
            raise StoreNewer(self.path, version, len(steps))
        if _number(connection, "PRAGMA application_id") != APPLICATION_ID and (
            version or _number(connection, "SELECT count(*) FROM sqlite_schema")
        ):
            raise StoreForeign(self.path)
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreNotAccessible(self.path, f"its journal mode stays {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {4 * 4096 * WAL_PAGES}")
        if version:
            self._check(connection)
        if not version:
            with transaction(connection):
                take_steps(connection, steps, 1)
        if base and not version:
            _begin(connection, base)
        set_mark(connection, "clean", 0)

    def _check(self, connection: sqlite3.Connection) -> None:
        """Look for damage, unless the file is big and was closed in good order.

        The check reads the whole file. After kill -9 or a power cut the file is whole by SQLite's
        own journal if the disk kept its promises, and that is what has to be looked at. A file
        that was closed in order got its last pages flushed, so only the medium could have damaged
        it since, at a time that no start of ours is nearer to than any other.
        """
        clean = read_mark(connection, "clean")
        if clean and self.path.stat().st_size > CHECKED_ALWAYS_BYTES:
            return
        for (finding,) in connection.execute("PRAGMA quick_check(1)"):
            if finding != "ok":
                raise StoreDamaged(self.path, " ".join(str(finding).split()))
        headless = "SELECT count(*) FROM head LEFT JOIN version USING (id) WHERE version.id IS NULL"
        if lost := _number(connection, headless):
            raise StoreDamaged(self.path, f"{lost} documents have no value")

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """One more connection. Each is used by one thread at a time, not always the same."""
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
        )
        if read_only:
            connection.execute("PRAGMA query_only = 1")
        return connection

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._lock)


def read_mark(connection: sqlite3.Connection, name: str) -> int:
    """A number the store keeps about itself."""
    found: int = connection.execute("SELECT number FROM mark WHERE name = ?", (name,)).fetchone()[0]
    return found


def set_mark(connection: sqlite3.Connection, name: str, number: int) -> None:
    connection.execute("UPDATE mark SET number = ? WHERE name = ?", (number, name))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is done inside."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
            connection.execute("ROLLBACK")
        raise


def take_steps(connection: sqlite3.Connection, steps: Sequence[Step], until: int) -> None:
    """To schema version `until`, inside a transaction; nothing if it is reached already."""
    for number in range(_number(connection, "PRAGMA user_version"), until):
        steps[number](connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number + 1}")


def _begin(connection: sqlite3.Connection, base: int) -> None:
    """A deletion of nothing, which has that revision."""
    with transaction(connection):
        connection.execute("INSERT INTO version VALUES (?, '', NULL, 0)", (base << PLACES,))
        for name in ("oldest", "swept"):
            set_mark(connection, name, base)


def _number(connection: sqlite3.Connection, query: str) -> int:
    found: int = connection.execute(query).fetchone()[0]
    return found


def _locked(path: Path) -> int:
    """The lock beside the file, with our process id in it; the kernel frees it when we die."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with closing(os.fdopen(lock)) as held:
            raise StoreInUse(path, held.read(20).strip()) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


@contextmanager
def _accessible(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        if not path.parent.is_dir():
            reason = f"{path.parent} is no directory"
        raise StoreNotAccessible(path, reason) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """SQLite's own errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreNotAccessible(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(path, str(error)) from error
