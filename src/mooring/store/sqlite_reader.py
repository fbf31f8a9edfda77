"""What is read from the file of a SQLite store."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mooring.store.interface import Change, Changes, Document, Expired, Page
from mooring.store.sqlite_file import PLACES, read_mark

REPLAYED_AT_ONCE: Final = 1_000  # changes; bounds what a watcher that catches up holds in memory

GET = "SELECT value, head.id FROM head JOIN version USING (id) WHERE head.key = ?"
LIST_NOW = (
    "SELECT head.key, value, head.id FROM head CROSS JOIN version USING (id)"
    " WHERE {range} ORDER BY head.key"
)
LIST_THEN = (
    "SELECT then_.key, value, version.id FROM"
    " (SELECT key, max(id) AS id FROM version WHERE {range} AND id < :end GROUP BY key) AS then_"
    " CROSS JOIN version USING (id) WHERE value IS NOT NULL ORDER BY then_.key"
)
REPLAY = (
    "SELECT version.key, past.value, version.value, version.id, version.previous FROM version"
    " LEFT JOIN version AS past ON past.id = version.previous"
    " WHERE version.id >= :first AND version.id < :end AND {range} ORDER BY version.id"
)


def document(connection: sqlite3.Connection, key: str) -> Document | None:
    """As Store.get says."""
    row = connection.execute(GET, (key,)).fetchone()
    return Document(key, row[0], row[1] >> PLACES) if row else None


def page(
    connection: sqlite3.Connection, prefix: str, limit: int, after: str, revision: int
) -> Page:
    """As Store.list says."""
    condition, bounds = _range("key", prefix, after)
    with _snapshot(connection):
        now = last_revision(connection)
        at = min(revision or now, now)
        if at == now:
            query = LIST_NOW.format(range=condition.replace("key", "head.key"))
        else:
            _require_history(connection, at)
            query = LIST_THEN.format(range=condition)
            bounds["end"] = at + 1 << PLACES
        if limit:
            query, bounds["limit"] = f"{query} LIMIT :limit", limit + 1
        rows = connection.execute(query, bounds).fetchall()
    more = 0 < limit < len(rows)
    documents = [Document(key, value, id_ >> PLACES) for key, value, id_ in rows]
    return Page(documents[:limit] if more else documents, at, more)


def replay(connection: sqlite3.Connection, prefix: str, after: int, until: int) -> Changes:
    """As watchers.History says."""
    condition, bounds = _range("version.key", prefix, "")
    bounds |= {"first": after + 1 << PLACES, "end": until + 1 << PLACES}
    changes: Changes = []
    with _snapshot(connection):
        _require_history(connection, after)
        for key, before, value, id_, previous in connection.execute(
            REPLAY.format(range=condition), bounds
        ):
            revision = id_ >> PLACES
            if len(changes) >= REPLAYED_AT_ONCE and changes[-1].revision != revision:
                break
            changes.append(Change(key, before, value, revision, previous >> PLACES))
    return changes


def last_revision(connection: sqlite3.Connection) -> int:
    """Of the last commit: its version is never swept."""
    return (connection.execute("SELECT max(id) FROM version").fetchone()[0] or 0) >> PLACES


def _require_history(connection: sqlite3.Connection, revision: int) -> None:
    if revision < (oldest := read_mark(connection, "oldest")):
        raise Expired(revision, oldest)


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything read inside is of one moment."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _range(column: str, prefix: str, after: str) -> tuple[str, dict[str, str | int]]:
    """A condition on the key column that its index can answer, and its parameters."""
    condition, bounds = f"{column} >= :prefix", dict[str, str | int](prefix=prefix)
    if after >= prefix and after:
        condition, bounds = f"{column} > :after", {"after": after}
    if end := _end(prefix):
        condition, bounds["prefix_end"] = f"{condition} AND {column} < :prefix_end", end
    return condition, bounds


def _end(prefix: str) -> str:
    """The first string that sorts after all that start with this; "" if there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return ""
    following = ord(stem[-1]) + 1
    # The code points of surrogates are no characters: UTF-8 goes on after them.
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)
