"""The one thread that writes the file of a SQLite store."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from mooring.clock import Clock
from mooring.crashpoints import crash_point, passing
from mooring.errors import Effect
from mooring.store.interface import Changes, Unavailable
from mooring.store.retention import Retention
from mooring.store.schema import SCHEMA
from mooring.store.sqlite_batch import Answer, Batch, Pending, decided
from mooring.store.sqlite_file import (
    PLACES,
    STEPS,
    Step,
    read_mark,
    set_mark,
    take_steps,
    transaction,
)
from mooring.store.sqlite_reader import last_revision

BEFORE_COMMIT = crash_point("sqlite.before-commit")
AFTER_COMMIT = crash_point("sqlite.after-commit")

SWEPT_AT_ONCE: Final = 256  # revisions; a few milliseconds in which commits wait
UNSWEPT_AT_MOST: Final = 8 * SWEPT_AT_ONCE  # beyond it sweeping no longer waits for a quiet moment
QUIET_S: Final = 0.005  # without work: time to sweep
RETRY_S: Final = 10.0  # of work that nobody waits for, after an error

Deliver = Callable[[list[Answer], Changes], None]  # called in the writer's thread, once a group


class Order(NamedTuple):
    """A compaction asked for; answered with the revision where history starts now."""

    before: int
    token: Any


Requests = list[Pending | Order]


class Writer:
    """Takes groups of commits, writes each group with one fsync and answers it.

    Sweeping, which deletes the rows of forgotten history, is done between them in small steps.
    Without work the thread sleeps until history is due to be forgotten, if there is any.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        deliver: Deliver,
        retention: Retention,
        clock: Clock,
        steps: Sequence[Step] = STEPS,
    ) -> None:
        """steps: that lead from one schema of the file to the next"""
        self._connection = connection
        self._deliver = deliver
        self._retention = retention
        self._clock = clock
        self._steps = steps
        self._queue: SimpleQueue[Requests | None] = SimpleQueue()  # None ends the thread
        self._revision = last_revision(connection)
        self._oldest = read_mark(connection, "oldest")
        self._swept = read_mark(connection, "swept")
        self._retry_at_s = 0.0
        # A daemon: a process that ends without closing the store has nothing to wait for.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, requests: Requests) -> None:
        """Have this group done after all that was submitted before."""
        self._queue.put(requests)

    def stop(self) -> None:
        """Finish what was submitted and close the connection. Blocks; nothing may follow."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                requests = self._queue.get(timeout=self._idle_s())
            except Empty:
                self._tidy(quiet=True)
                continue
            if requests is None:
                break
            self._do(requests)
            self._tidy(quiet=False)
        with suppress(sqlite3.Error):  # the next start looks for damage then, that is all
            set_mark(self._connection, "clean", 1)
        self._connection.close()

    def _do(self, requests: Requests) -> None:
        commits = [request for request in requests if isinstance(request, Pending)]
        answers, changes = self._committed(commits) if commits else ([], [])
        answers += [self._followed(order) for order in requests if isinstance(order, Order)]
        self._deliver(answers, changes)

    def _committed(self, commits: list[Pending]) -> tuple[list[Answer], Changes]:
        try:
            batch = decided(self._connection, commits, self._revision)
            if batch.changes:
                self._write(batch)
        except Exception as error:
            # Also what is our bug: the thread must live on, and nobody may wait for ever.
            failure = self._failure(error)
            return [Answer(commit.token, failure) for commit in commits], []
        if batch.changes:
            self._revision = batch.revision
            size_bytes = sum(commit.size_bytes for commit in commits)
            self._retention.note(batch.revision, size_bytes, self._clock.monotonic_s())
        return batch.answers, batch.changes

    def _write(self, batch: Batch) -> None:
        with transaction(self._connection):
            batch.write(self._connection)
            if (schema := batch.heads.get(SCHEMA)) is not None:  # written, or only looked at
                take_steps(self._connection, self._steps, int(schema.value))
            passing(BEFORE_COMMIT)
        passing(AFTER_COMMIT)

    def _failure(self, error: Exception) -> Exception:
        """The error to tell, with what is true about the effect.

        A commit whose fsync failed may be whole in the journal, and would come to life after a
        crash. The next transaction is written over it: once there is one, nothing has happened.
        """
        if not isinstance(error, sqlite3.Error):
            return error
        effect = Effect.NONE
        try:
            set_mark(self._connection, "clean", 0)
        except sqlite3.Error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                effect = Effect.UNKNOWN
        remedy = "see that the disk of the data directory has room and works, then repeat"
        return Unavailable(str(error), remedy, effect)

    def _followed(self, order: Order) -> Answer:
        try:
            self._forget(min(order.before, self._revision))
        except sqlite3.Error as error:
            return Answer(order.token, self._failure(error))
        return Answer(order.token, self._oldest)

    def _tidy(self, *, quiet: bool) -> None:
        """Forget what is old, and sweep a little of what is forgotten if nobody waits."""
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_at_s:
            return
        try:
            self._forget(self._retention.oldest(now_s))
            behind = self._oldest - self._swept
            if behind and (quiet or behind > UNSWEPT_AT_MOST):
                self._sweep()
        except sqlite3.Error:  # a full disk, which commits tell the user
            self._retry_at_s = now_s + RETRY_S

    def _forget(self, before: int) -> None:
        if before > self._oldest:
            set_mark(self._connection, "oldest", before)
            self._oldest = before

    def _sweep(self) -> None:
        """Delete the versions that a forgotten revision replaced, and forgotten deletions.

        The deletion of the revision where history starts stays: it may be the last version of
        all, which tells the revision.
        """
        until = min(self._swept + SWEPT_AT_ONCE, self._oldest)
        with transaction(self._connection):
            self._connection.execute(
                "DELETE FROM version WHERE id IN (SELECT previous FROM version WHERE id >= ?"
                " AND id < ? AND previous > 0)",
                (self._swept + 1 << PLACES, until + 1 << PLACES),
            )
            self._connection.execute(
                "DELETE FROM version WHERE id >= ? AND id < ? AND value IS NULL",
                (self._swept << PLACES, until << PLACES),
            )
            set_mark(self._connection, "swept", until)
        self._swept = until

    def _idle_s(self) -> float | None:
        """How long to wait for requests; None: as long as there are none."""
        now_s = self._clock.monotonic_s()
        due_s = QUIET_S if self._swept < self._oldest else self._retention.due_in_s(now_s)
        return due_s if due_s is None else max(due_s, self._retry_at_s - now_s)
