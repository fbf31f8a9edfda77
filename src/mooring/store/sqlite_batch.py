"""Commits that reach a SQLite store together: decided one by one, written as one."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mooring.store.changes import changes_of
from mooring.store.interface import Changes, Check, Conflict, Document, Write
from mooring.store.sqlite_file import PLACES

ROWS_A_STATEMENT: Final = 64  # a power of two; longer statements gain nothing
COLUMNS: Final = 4


class Pending(NamedTuple):
    """A commit on its way. `token` comes back with its answer."""

    writes: Sequence[Write]
    checks: Sequence[Check]
    size_bytes: int
    token: Any


class Answer(NamedTuple):
    """The revision of a commit, or why there is none."""

    token: Any
    result: int | Exception


@dataclass(slots=True)
class Batch:
    """What a transaction has to do, so that every commit of it is whole and none sees another's
    half. There are no savepoints: a commit that is refused is found out before anything is written.
    """

    revision: int  # of the last commit accepted
    heads: dict[str, Document]
    ids: dict[str, int]  # of the versions that `heads` are
    answers: list[Answer] = field(default_factory=list)
    changes: Changes = field(default_factory=list)
    _rows: list[int | str | bytes | None] = field(default_factory=list)  # id, key, value, previous
    _gone: set[str] = field(default_factory=set)

    def decide(self, pending: Pending) -> None:
        """Accept or refuse this commit, as if those before it were done."""
        try:
            made = changes_of(self.heads, pending.writes, pending.checks, self.revision + 1)
        except Conflict as conflict:
            self.answers.append(Answer(pending.token, conflict))
            return
        if made:
            self.revision += 1
            self.changes += made
            self._apply(made)
        self.answers.append(Answer(pending.token, self.revision))

    def _apply(self, made: Changes) -> None:
        id_ = self.revision << PLACES
        for key, _, value, revision, _ in made:
            self._rows += (id_, key, value, self.ids.pop(key, 0))
            if value is None:
                del self.heads[key]
                self._gone.add(key)
            else:
                self.heads[key] = Document(key, value, revision)
                self.ids[key] = id_
                self._gone.discard(key)
            id_ += 1

    def write(self, connection: sqlite3.Connection) -> None:
        """Inside a transaction.

        Few long statements: at each one the thread gives Python's lock away, and has to wait for
        it while the event loop is busy.
        """
        rows, done = self._rows, 0
        for count in _powers(len(rows) // COLUMNS):
            width = count * COLUMNS
            connection.execute(_insert(count), rows[done : done + width])
            done += width
        # In the order of ids, so that the last version of a key remains its head.
        connection.execute(
            "INSERT INTO head SELECT key, id FROM version WHERE id >= ? AND value IS NOT NULL"
            " ORDER BY id ON CONFLICT (key) DO UPDATE SET id = excluded.id",
            (rows[0],),
        )
        if self._gone:
            connection.executemany("DELETE FROM head WHERE key = ?", [(key,) for key in self._gone])


def decided(connection: sqlite3.Connection, commits: Sequence[Pending], revision: int) -> Batch:
    """These commits in this order, with `revision` the last one before them."""
    written = {write.key for commit in commits for write in commit.writes}
    keys = list(written.union(check.key for commit in commits for check in commit.checks))
    batch = Batch(revision, {}, {})
    done = 0
    for count in _powers(len(keys)):
        for key, value, id_ in connection.execute(_heads(count), keys[done : done + count]):
            batch.heads[key] = Document(key, value, id_ >> PLACES)
            batch.ids[key] = id_
        done += count
    for commit in commits:
        batch.decide(commit)
    return batch


def _powers(count: int) -> Iterator[int]:
    """Powers of two of this sum: few different statements, so that all stay prepared."""
    size = ROWS_A_STATEMENT
    while count:
        if size <= count:
            count -= size
            yield size
        else:
            size //= 2


def _insert(count: int) -> str:
    return f"INSERT INTO version VALUES {', '.join(['(?, ?, ?, ?)'] * count)}"


def _heads(count: int) -> str:
    return (
        "SELECT head.key, value, head.id FROM head CROSS JOIN version USING (id)"
        f" WHERE head.key IN ({', '.join('?' * count)})"
    )
