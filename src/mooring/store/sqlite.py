"""The store in one SQLite file: the default, no other service needed."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from mooring.clock import Clock, SystemClock
from mooring.store.changes import size_of
from mooring.store.interface import Changes, Check, Document, Page, Unavailable, Write
from mooring.store.refusals import closed
from mooring.store.retention import Limits, Retention
from mooring.store.sqlite_batch import Answer, Pending
from mooring.store.sqlite_file import STEPS, Step, StoreFile
from mooring.store.sqlite_reader import document, last_revision, page, replay
from mooring.store.sqlite_writer import Order, Requests, Writer
from mooring.store.watchers import QUEUED_AT_MOST, Watchers

GROUP_COMMITS: Final = 256  # what one fsync may cover; more only delays the first of them
GROUP_BYTES: Final = 8 * 1024 * 1024
READERS: Final = 2  # so that a long list does not hold up a watch that starts

T = TypeVar("T")
Answers = list[Answer]


class SqliteStore:
    """Made by `opened`. To be used on the event loop that opened it."""

    is_shared = False

    def __init__(
        self,
        file: StoreFile,
        connection: sqlite3.Connection,
        limits: Limits,
        clock: Clock,
        queued_at_most: int,
        steps: Sequence[Step] = STEPS,
    ) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        revision = last_revision(connection)
        self._watchers = Watchers(self._history, revision, queued_at_most)
        self._getter = file.connect(read_only=True)
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for _ in range(READERS):
            self._readers.put(file.connect(read_only=True))
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        retention = Retention(limits, revision, clock.monotonic_s())
        self._writer = Writer(connection, self._hand_over, retention, clock, steps)
        self._waiting: deque[Pending | Order] = deque()
        self._handing = False  # a group is with the writer, or will be in this turn of the loop
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def opened(
        cls,
        path: Path,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        queued_at_most: int = QUEUED_AT_MOST,
        steps: Sequence[Step] = STEPS,
        base: int = 0,
    ) -> "SqliteStore":
        """The store in this file, which is made if it does not exist, and then counts from `base`.

        Raises StoreInUse, StoreNewer, StoreForeign, StoreDamaged, StoreNotAccessible.
        """

        def prepared() -> tuple[StoreFile, sqlite3.Connection]:
            file = StoreFile(path)
            try:
                return file, file.prepare(steps, base)
            except BaseException:
                file.release()
                raise

        file, connection = await asyncio.to_thread(prepared)
        clock = clock or SystemClock()
        return cls(file, connection, limits or Limits(), clock, queued_at_most, steps)

    async def get(self, key: str) -> Document | None:
        # Right here: some 10 µs, less than handing it to a thread takes from the loop.
        self._require_open()
        try:
            return document(self._getter, key)
        except sqlite3.Error as error:
            raise _unreadable(error) from error

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        self._require_open()
        return await self._read(lambda reader: page(reader, prefix, limit, after, revision))

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> asyncio.Future[int]:
        self._require_open()
        size_bytes = size_of(writes, checks)
        answer: asyncio.Future[int] = self._loop.create_future()
        self._submit(Pending(writes, checks, size_bytes, answer))
        return answer

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        return self._watchers.watch(prefix, from_revision)

    async def revision(self) -> int:
        self._require_open()
        return self._watchers.revision

    async def compact(self, before: int) -> None:
        self._require_open()
        answer: asyncio.Future[int] = self._loop.create_future()
        self._submit(Order(before, answer))
        await answer

    def _submit(self, request: Pending | Order) -> None:
        """Once a turn of the loop, so that all that comes in it shares an fsync, and the writer's
        thread, which takes Python's lock when it wakes, wakes once for all."""
        self._waiting.append(request)
        if not self._handing:
            self._handing = True
            self._loop.call_soon(self._hand)

    def _hand(self) -> None:
        self._handing = bool(self._waiting)
        if self._waiting:
            self._writer.submit(self._group())

    def _group(self) -> Requests:
        """As much of what waits as one transaction should hold."""
        requests: Requests = []
        size_bytes = 0
        while self._waiting and len(requests) < GROUP_COMMITS and size_bytes < GROUP_BYTES:
            request = self._waiting.popleft()
            requests.append(request)
            size_bytes += request.size_bytes if isinstance(request, Pending) else 0
        return requests

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        while self._waiting:
            self._writer.submit(self._group())
        await asyncio.to_thread(self._writer.stop)
        # What the writer handed over last is in the loop's queue, before what wakes us here.
        self._watchers.close()
        await asyncio.to_thread(self._threads.shutdown)
        for connection in (self._getter, *(self._readers.get() for _ in range(READERS))):
            connection.close()
        self._file.release()

    def _hand_over(self, answers: Answers, changes: Changes) -> None:
        """In the writer's thread."""
        self._loop.call_soon_threadsafe(self._handed_over, answers, changes)

    def _handed_over(self, answers: Answers, changes: Changes) -> None:
        self._watchers.deliver(changes)
        for future, result in answers:
            if future.done():  # cancelled
                continue
            if isinstance(result, int):
                future.set_result(result)
            else:
                future.set_exception(result)
        # After what the answers set going has had its turn: it may want to commit, too.
        self._loop.call_soon(self._hand)

    async def _history(self, prefix: str, after: int, until: int) -> Changes:
        return await self._read(lambda reader: replay(reader, prefix, after, until))

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """In a thread: it may be long."""

        def run() -> T:
            reader = self._readers.get()
            try:
                return query(reader)
            except sqlite3.Error as error:
                raise _unreadable(error) from error
            finally:
                self._readers.put(reader)

        return await self._loop.run_in_executor(self._threads, run)

    def _require_open(self) -> None:
        if self._closing is not None:
            raise closed()


def _unreadable(error: sqlite3.Error) -> Unavailable:
    return Unavailable(str(error), "see that the disk of the data directory works, then restart")
