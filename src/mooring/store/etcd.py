"""The store that several servers share: a cluster of etcd, version 3.4 or later. Decision 0030.

ROOT + key      the document
ROOT + "~last"  written by every commit, so that its revision is that of the last one

A revision here is etcd's less one: a cluster that is only made for us begins with 0 then. Other
keys of the cluster make gaps in them, and nothing else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

import grpc
from aetcd import rpc
from grpc.aio import AioRpcError

from mooring.clock import Clock, SystemClock
from mooring.errors import Effect
from mooring.store.changes import changes_of, size_of
from mooring.store.etcd_calls import REMEDY, Access, Calls
from mooring.store.interface import (
    ABSENT,
    ANY,
    Change,
    Changes,
    Check,
    Conflict,
    Document,
    Expired,
    Page,
    Unavailable,
    Write,
)
from mooring.store.refusals import closed
from mooring.store.retention import Limits, Retention
from mooring.store.turns import Turns
from mooring.store.watchers import QUEUED_AT_MOST, Watchers

log = logging.getLogger(__name__)

LAST: Final = "~last"  # sorts behind all keys of documents
OFFSET: Final = 1  # between etcd's revisions and ours
PAGE: Final = 2000  # documents that are asked for at once
HISTORY_AT_ONCE: Final = 1000  # changes of it, or one commit
OPS_AT_MOST: Final = 128  # of a transaction, as etcd has it
COMPARED_AT_MOST: Final = 64 << 10  # bytes of a value; a larger one is read instead
TRIES: Final = 32  # of a commit that others get in the way of, without being in conflict
LATE_S: Final = 2.0  # that a change may be told after it was made, or another member is asked
LOOK_S: Final = 5.0  # whether we are told of everything, if nothing is written
RETRY_S: Final = (0.02, 1.0)
Ops = list[Any]
Waiting = list[tuple[int, int, asyncio.Future[None]]]

RANGE: Final = rpc.Compare.CompareTarget
RESULT: Final = rpc.Compare.CompareResult


class EtcdStore:
    """Documents in etcd. Everything that changes them is followed by one watch."""

    is_shared = True

    def __init__(
        self,
        access: Access,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        queued_at_most: int = QUEUED_AT_MOST,
    ) -> None:
        self._root = access.root
        self._calls = Calls(access)
        self._clock = clock or SystemClock()
        self._watchers = Watchers(self._history, 0, queued_at_most)
        self._limits = limits or Limits()
        self._retention = Retention(self._limits, 0, self._clock.monotonic_s())
        self._turns = Turns()
        self._waiting: Waiting = []  # a heap: for which revision, and in which order they came
        self._numbers = count()
        self._tasks: list[asyncio.Task[None]] = []
        self._compacting: asyncio.Task[None] | None = None
        self._oldest = 0
        self._feed: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    async def opened(cls, access: Access, **options: Any) -> "EtcdStore":
        """Raises Unavailable, StoreRefuses."""
        store = cls(access, **options)
        try:
            await store._open()
        except BaseException:
            await store._calls.close()
            raise
        return store

    async def _open(self) -> None:
        revision = await self._last()
        self._watchers.revision = revision
        self._retention = Retention(self._limits, revision, self._clock.monotonic_s())
        self._feed = asyncio.create_task(self._follow(), name="etcd")
        self._tasks = [self._feed, asyncio.create_task(self._look(), name="etcd looks")]

    # Reading

    async def get(self, key: str) -> Document | None:
        self._require_open()
        answer = await self._calls.kv("Range", rpc.RangeRequest(key=self._key(key)))
        return self._document(answer.kvs[0]) if answer.kvs else None

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        self._require_open()
        start, end = self._range(prefix)
        start = max(start, self._key(after) + b"\0") if after else start
        if start >= end:
            return Page([], revision or await self._last(), False)
        documents: list[Document] = []
        current = self._watchers.revision
        at = min(revision, max(current, await self._last())) if revision > current else revision
        while True:
            wanted = min(limit - len(documents), PAGE) if limit else PAGE
            answer, last = await self._page(start, end, wanted, at)
            at = at or last
            documents += (self._document(one) for one in answer.kvs)
            if not answer.more or (limit and len(documents) >= limit):
                return Page(documents, at, bool(answer.more))
            start = bytes(answer.kvs[-1].key) + b"\0"

    async def _page(self, start: bytes, end: bytes, limit: int, at: int) -> tuple[Any, int]:
        """Of one moment: documents, and the revision of the last commit. Raises Expired."""
        revision = at + OFFSET if at else 0
        page = rpc.RangeRequest(key=start, range_end=end, limit=limit, revision=revision)
        last = rpc.RangeRequest(key=self._key(LAST))
        ops = [rpc.RequestOp(request_range=one) for one in (page, last)]
        try:
            answer = await self._calls.kv("Txn", rpc.TxnRequest(success=ops))
        except AioRpcError as error:
            if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                raise Expired(at, max(self._oldest, at + 1)) from error
            raise Unavailable(f"etcd: {error.details()}", REMEDY) from error
        found, mark = (one.response_range for one in answer.responses)
        return found, self._revision(mark.kvs[0]) if mark.kvs else 0

    async def revision(self) -> int:
        self._require_open()
        return await self._last()

    async def _last(self) -> int:
        """By most of the members: no other can have made a later one before we asked."""
        answer = await self._calls.kv("Range", rpc.RangeRequest(key=self._key(LAST)))
        return self._revision(answer.kvs[0]) if answer.kvs else 0

    # Writing

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        self._require_open()
        size_bytes = size_of(writes, checks)
        # Commits of one moment see each other in order, and wait for none that they share no key
        # with.
        async with self._turns.having((one.key for one in writes), (one.key for one in checks)):
            revision = await asyncio.shield(self._committed(writes, checks))
        await self._reached(revision)
        self._retention.note(revision, size_bytes, self._clock.monotonic_s())
        await self._tidy()
        return revision

    async def _committed(self, writes: Sequence[Write], checks: Sequence[Check]) -> int:
        heads = None if _is_plain(writes) else await self._heads(writes, checks)
        may_be_done = False
        for _ in range(TRIES):
            if heads is not None:
                try:
                    wanted = changes_of(heads, writes, checks, 0)
                except Conflict as conflict:
                    if may_be_done:
                        return self._settled(conflict, heads, writes)
                    raise
                if not wanted:
                    return heads[LAST].revision if LAST in heads else 0
                request = self._exact(wanted, heads, checks)
            else:
                request = self._hopeful(writes, checks)
            answer, unsure = await self._sent(request)
            if answer.succeeded:
                return int(answer.header.revision) - OFFSET
            may_be_done = may_be_done or unsure
            heads = self._heads_in(answer) if answer.responses else None
            heads = heads if heads is not None else await self._heads(writes, checks)
        raise Unavailable("others write the same all the time", "try it again")

    async def _sent(self, request: Any) -> tuple[Any, bool]:
        try:
            return await self._calls.txn(request)
        except AioRpcError as error:
            raise Unavailable(f"etcd: {error.details()}", REMEDY) from error

    def _settled(
        self, conflict: Conflict, heads: dict[str, Document], writes: Sequence[Write]
    ) -> int:
        """The revision of a commit whose answer was lost, if it is still to be seen.

        raises  Conflict if a check alone does not hold; Unavailable of unknown effect
        """
        found = {heads[one.key].revision for one in writes if one.key in heads}
        is_ours = all(
            (heads[one.key].value if one.key in heads else None) == one.value for one in writes
        )
        if is_ours and len(found) == 1:
            return found.pop()
        what = "etcd did not answer in time, and others have written since"
        raise Unavailable(what, "read it again and see", Effect.UNKNOWN) from conflict

    def _hopeful(self, writes: Sequence[Write], checks: Sequence[Check]) -> Any:
        """All of it, if it is as expected and each write changes something; else what is there."""
        compares = [self._at(one.key, one.revision) for one in checks]
        for one in writes:
            expected = 0 if one.expected is ABSENT else one.expected
            assert isinstance(expected, int)
            compares.append(self._at(one.key, expected))
            if expected and one.value is not None:
                compares.append(
                    rpc.Compare(
                        key=self._key(one.key),
                        target=RANGE.VALUE,
                        result=RESULT.NOT_EQUAL,
                        value=one.value,
                    )
                )
        reads = [rpc.RangeRequest(key=self._key(key)) for key in _keys(writes, checks)]
        return rpc.TxnRequest(
            compare=compares,
            success=self._puts((one.key, one.value) for one in writes),
            failure=[rpc.RequestOp(request_range=one) for one in reads],
        )

    def _exact(
        self, wanted: Sequence[Change], heads: dict[str, Document], checks: Sequence[Check]
    ) -> Any:
        """What was decided on these heads, if they are so still."""
        seen = {one.key: one.previous_revision for one in wanted}
        seen |= {one.key: one.revision for one in checks}
        # Of what stays as it is, too: it was decided on.
        kept = {key: one.revision for key, one in heads.items() if key != LAST}
        seen = kept | seen
        return rpc.TxnRequest(
            compare=[self._at(key, revision) for key, revision in seen.items()],
            success=self._puts((one.key, one.after) for one in wanted),
        )

    def _puts(self, values: Iterable[tuple[str, bytes | None]]) -> Ops:
        ops = [
            rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=self._key(key)))
            if value is None
            else rpc.RequestOp(request_put=rpc.PutRequest(key=self._key(key), value=value))
            for key, value in values
        ]
        return [*ops, rpc.RequestOp(request_put=rpc.PutRequest(key=self._key(LAST)))]

    def _at(self, key: str, revision: int) -> Any:
        """That a document is of this revision; 0: that there is none."""
        return rpc.Compare(
            key=self._key(key),
            target=RANGE.MOD,
            result=RESULT.EQUAL,
            mod_revision=revision + OFFSET if revision else 0,
        )

    async def _heads(self, writes: Sequence[Write], checks: Sequence[Check]) -> dict[str, Document]:
        keys = _keys(writes, checks)
        found: dict[str, Document] = {}
        for begin in range(0, len(keys), OPS_AT_MOST):
            some = keys[begin : begin + OPS_AT_MOST]
            reads = [rpc.RangeRequest(key=self._key(key)) for key in some]
            ops = [rpc.RequestOp(request_range=one) for one in reads]
            found |= self._heads_in(await self._calls.kv("Txn", rpc.TxnRequest(success=ops)))
        return found

    def _heads_in(self, answer: Any) -> dict[str, Document]:
        documents = (
            self._document(kv) for one in answer.responses for kv in one.response_range.kvs
        )
        return {one.key: one for one in documents}

    # Following

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        return self._watchers.watch(prefix, from_revision)

    async def _history(self, prefix: str, after: int, until: int) -> Changes:
        if after < self._oldest:
            raise Expired(after, self._oldest)
        found: Changes = []
        async for changes, reached in self._stream(after):
            found += (one for one in changes if one.revision <= until and _is_of(one, prefix))
            if reached >= until or len(found) >= HISTORY_AT_ONCE:
                break
        return found

    async def _stream(self, after: int) -> AsyncIterator[tuple[Changes, int]]:
        """Changes after a revision, whole commits, and up to which; of one connection.

        raises  Expired; Unavailable when it is over
        """
        start, end = self._range("", with_last=True)
        create = rpc.WatchCreateRequest(
            key=start, range_end=end, start_revision=after + 1 + OFFSET, prev_kv=True
        )
        async for answer in self._calls.watch(rpc.WatchRequest(create_request=create)):
            if answer.compact_revision:
                self._oldest = max(self._oldest, answer.compact_revision - OFFSET)
                raise Expired(after, self._oldest)
            if not answer.events:
                continue
            for one in answer.events:
                if one.kv.version > 1 and not one.prev_kv.key:  # forgotten meanwhile
                    raise Expired(after, max(self._oldest, after + 1))
            changes = [
                self._change(one) for one in answer.events if not one.kv.key.endswith(b"/" + _LAST)
            ]
            yield changes, int(answer.events[-1].kv.mod_revision) - OFFSET
        raise Unavailable("etcd ended the stream", REMEDY)

    async def _follow(self) -> None:
        """Deliver what changes, for ever, at whichever member."""
        delay_s = RETRY_S[0]
        while not self._is_closed:
            try:
                async for changes, reached in self._stream(self._watchers.revision):
                    delay_s = RETRY_S[0]
                    self._watchers.deliver(changes)
                    self._advance(reached)
            except Unavailable as error:
                if not self._is_closed:
                    log.warning("changes are asked for anew: %s", error.what)
            except Expired as error:
                # Who watches has to list again. There is no way to tell what was forgotten.
                log.warning("changes up to %d are lost: %s", error.oldest, error)
                revision = await self._last()
                self._watchers.lose()
                self._advance(revision)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S[1])

    def _advance(self, revision: int) -> None:
        self._watchers.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            told = heappop(self._waiting)[2]
            if not told.done():
                told.set_result(None)

    async def _look(self) -> None:
        """Whether all is told that happens: a member may be cut off, or stand still."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._reached(await self._last())
            except Unavailable as error:
                log.warning("etcd is not asked with success: %s", error.what)
            await self._tidy()

    async def _reached(self, revision: int) -> None:
        """Wait until the watchers were handed all up to this revision."""
        while self._watchers.revision < revision and not self._is_closed:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (revision, next(self._numbers), told))
            try:
                async with asyncio.timeout(LATE_S):
                    await told
            except TimeoutError:
                await self._ask_another()

    async def _ask_another(self) -> None:
        """Follow at another member: this one tells of changes too late, or never."""
        if self._feed is not None and not self._is_closed:
            log.warning("etcd at %s does not tell of changes in time", self._calls.endpoint)
            self._calls.away(self._calls.endpoint)
            feed = self._feed
            self._tasks.remove(feed)
            self._feed = asyncio.create_task(self._follow(), name="etcd")
            self._tasks.append(self._feed)
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)

    # Forgetting

    async def _tidy(self) -> None:
        if self._compacting is not None:
            await asyncio.shield(self._compacting)
        oldest = self._retention.oldest(self._clock.monotonic_s())
        if oldest > self._oldest:
            self._compacting = asyncio.create_task(self._compact(oldest), name="etcd compacts")

    async def compact(self, before: int) -> None:
        self._require_open()
        await self._compact(min(before, await self._last()))

    async def _compact(self, before: int) -> None:
        if before <= self._oldest:
            return
        self._oldest = before
        try:
            await self._calls.kv("Compact", rpc.CompactionRequest(revision=before + OFFSET))
        except AioRpcError as error:  # another server has done it
            log.debug("compaction: %s", error.details())
        except Unavailable as error:
            log.warning("history is not forgotten for now: %s", error.what)

    async def close(self) -> None:
        if self._is_closed:
            return
        await self._turns.over()
        self._is_closed = True
        self._watchers.close()
        if self._compacting is not None:
            self._compacting.cancel()
            await asyncio.gather(self._compacting, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._calls.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise closed()

    # Names

    def _key(self, key: str) -> bytes:
        return (self._root + key).encode()

    def _range(self, prefix: str, *, with_last: bool = False) -> tuple[bytes, bytes]:
        start = self._key(prefix)
        if prefix:
            return start, _after_all(start)
        return start, _after_all(start) if with_last else self._key("~")

    def _document(self, kv: Any) -> Document:
        key = bytes(kv.key)[len(self._root.encode()) :].decode()
        return Document(key, bytes(kv.value), self._revision(kv))

    def _change(self, event: Any) -> Change:
        before = self._document(event.prev_kv) if event.prev_kv.key else None
        after = self._document(event.kv)
        is_gone = event.type == rpc.Event.EventType.DELETE
        return Change(
            after.key,
            before.value if before else None,
            None if is_gone else after.value,
            after.revision,
            before.revision if before else 0,
        )

    @staticmethod
    def _revision(kv: Any) -> int:
        return int(kv.mod_revision) - OFFSET


_LAST: Final = LAST.encode()


def _keys(writes: Sequence[Write], checks: Sequence[Check]) -> list[str]:
    """All that a commit hangs on, and the mark of the last one."""
    return [*sorted({one.key for one in writes} | {one.key for one in checks}), LAST]


def _is_of(change: Change, prefix: str) -> bool:
    return change.key.startswith(prefix)


def _is_plain(writes: Sequence[Write]) -> bool:
    """Whether a commit can be tried before anything is read."""
    return (
        all(
            one.expected is not ANY
            and not (one.value is None and one.expected is ABSENT)
            and len(one.value or b"") <= COMPARED_AT_MOST
            for one in writes
        )
        and 0 < len(writes) <= OPS_AT_MOST // 4
    )


def _after_all(prefix: bytes) -> bytes:
    """The first key behind all that begin like this."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
