"""The store that several servers share: a cluster of etcd, version 3.4 or later. Decision 0030."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any, Final

from aetcd import rpc

from mooring.clock import Clock, SystemClock
from mooring.errors import Effect
from mooring.store.changes import changes_of, size_of
from mooring.store.etcd_calls import Access, Calls, Forgotten, Oversized, Unsure
from mooring.store.etcd_feed import Feed
from mooring.store.etcd_messages import (
    BASE,
    CUT,
    LAST,
    Heads,
    Messages,
    is_plain,
    keys_of,
    later_cut,
)
from mooring.store.interface import (
    Changes,
    Check,
    Document,
    Expired,
    Page,
    TooLarge,
    Unavailable,
    Write,
)
from mooring.store.refusals import closed
from mooring.store.retention import Limits, Retention
from mooring.store.turns import Turns
from mooring.store.watchers import QUEUED_AT_MOST

log = logging.getLogger(__name__)

PAGE: Final = 2000  # documents that are asked for at once
TRIES: Final = 32  # of a commit that others get in the way of, without being in conflict


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
        self._access = access
        self._calls = Calls(access)
        self._messages = Messages(access.root)
        self._clock = clock or SystemClock()
        self._feed = Feed(self._calls, queued_at_most)
        self._limits = limits or Limits()
        self._begun = (0, self._clock.monotonic_s())  # where it was opened, and when
        self._retention = Retention(self._limits, *self._begun)
        self._turns = Turns()
        self._cutting = asyncio.Lock()
        self._life = secrets.token_hex(6)  # of this store in this process
        self._numbers = count()
        self._compacting: asyncio.Task[None] | None = None
        self._is_closed = False

    @classmethod
    async def opened(cls, access: Access, *, base: int = 0, **options: Any) -> "EtcdStore":
        """base: from which revision on an empty one counts. Raises Unavailable."""
        store = cls(access, **options)
        try:
            await store._open(base)
        except BaseException:
            await store._calls.close()
            raise
        return store

    async def _open(self, base: int) -> None:
        begun = await self._calls.kv("Txn", self._messages.reads([BASE, CUT, LAST]))
        heads = self._messages.heads(begun)
        if base and BASE not in heads:
            offset = int(begun.header.revision) + 1 - base
            put = rpc.PutRequest(key=self._messages.key(BASE), value=b"%d" % offset)
            await self._calls.kv("Put", put)
            return await self._open(base)
        if BASE in heads:
            offset = int(heads[BASE].value)
            first = self._messages.etcds(heads[BASE].revision) - offset
            self._messages = Messages(self._access.root, offset, first)
        cut = self._messages.heads(begun).get(CUT)
        revision = self._messages.last_in(begun)
        self._begun = (revision, self._clock.monotonic_s())
        self._retention = Retention(self._limits, *self._begun)
        until = int(begun.header.revision)
        self._feed.start(self._messages, revision, until, cut.revision if cut else 0)

    # Reading

    async def get(self, key: str) -> Document | None:
        self._require_open()
        answer = await self._calls.kv("Range", rpc.RangeRequest(key=self._messages.key(key)))
        return self._messages.document(answer.kvs[0]) if answer.kvs else None

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        self._require_open()
        start, end = self._messages.range(prefix)
        start = max(start, self._messages.key(after) + b"\0") if after else start
        if start >= end:
            return Page([], revision or await self._feed.last(), False)
        documents: list[Document] = []
        at, etcds = await self._moment(revision)
        while True:
            wanted = min(limit - len(documents), PAGE) if limit else PAGE
            last, etcds, found = await self._page(start, end, wanted, etcds)
            at = at or last
            documents += map(self._messages.document, found.kvs)
            if not found.more or (limit and len(documents) >= limit):
                return Page(documents, at, bool(found.more))
            start = bytes(found.kvs[-1].key) + b"\0"

    async def _moment(self, revision: int) -> tuple[int, int]:
        """A revision that there is, and etcd's; 0: now."""
        if revision > self._feed.watchers.revision:
            revision = min(revision, await self._feed.last())
        return revision, self._messages.etcds(revision)

    async def _page(self, start: bytes, end: bytes, limit: int, at: int) -> tuple[int, int, Any]:
        """Of one moment: the revision of the last commit, etcd's, and documents.

        at      etcd's revision; 0: now
        raises  Expired
        """
        page = rpc.RangeRequest(key=start, range_end=end, limit=limit, revision=at)
        last = rpc.RangeRequest(key=self._messages.key(LAST))
        ops = [rpc.RequestOp(request_range=one) for one in (page, last)]
        try:
            answer = await self._calls.kv("Txn", rpc.TxnRequest(success=ops))
        except Forgotten as error:
            asked = self._messages.revision(at)
            raise Expired(asked, max(self._feed.oldest, asked + 1)) from error
        found, mark = (one.response_range for one in answer.responses)
        revision = self._messages.document(mark.kvs[0]).revision if mark.kvs else 0
        return max(revision, self._messages.begun), at or int(answer.header.revision), found

    async def revision(self) -> int:
        self._require_open()
        revision = await self._feed.last()
        # Whoever asks waits for it to be told. If the member that tells stands still, another does.
        await self._feed.reached(revision)
        return revision

    # Writing

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        self._require_open()
        size_bytes = size_of(writes, checks)
        # Commits of one moment see each other in order, and wait for none that they share no key
        # with.
        async with self._turns.having((one.key for one in writes), (one.key for one in checks)):
            committing = asyncio.ensure_future(self._committed(writes, checks))
            committing.add_done_callback(_looked_at)
            revision = await asyncio.shield(committing)
        await self._feed.reached(revision)
        self._retention.note(revision, size_bytes, self._clock.monotonic_s())
        await self._tidy()
        return revision

    async def _committed(self, writes: Sequence[Write], checks: Sequence[Check]) -> int:
        mark = f"{self._life}-{next(self._numbers)}".encode()
        self._feed.expect(mark)
        try:
            return await self._tried(mark, writes, checks)
        except Oversized as error:
            largest = max(writes, key=lambda one: len(one.value or b""))
            raise TooLarge(largest.key, len(largest.value or b"")) from error
        finally:
            self._feed.forget(mark)

    async def _tried(self, mark: bytes, writes: Sequence[Write], checks: Sequence[Check]) -> int:
        hopes, gaps = is_plain(writes, checks), self._feed.gaps
        heads = None if hopes else await self._heads(writes, checks)
        for _ in range(TRIES):
            cut = self._feed.cut
            if heads is None:
                request = self._messages.hopeful(writes, checks, cut, mark)
            else:
                cut = self._feed.cut = later_cut(heads, cut)
                wanted = changes_of(heads, writes, checks, 0)
                if not wanted:
                    return heads[LAST].revision if LAST in heads else self._messages.begun
                request = self._messages.exact(wanted, keys_of(writes, checks), heads, mark)
            try:
                answer = await self._calls.once(request)
            except Unsure as error:
                if revision := await self._found_out(mark, cut, gaps, error):
                    return revision
                heads = None if hopes else await self._heads(writes, checks)
                continue
            if answer.succeeded:
                return self._messages.revision(answer.header.revision)
            heads = self._messages.heads(answer) or await self._heads(writes, checks)
        raise Unavailable("others write the same all the time", "try it again")

    async def _heads(self, writes: Sequence[Write], checks: Sequence[Check]) -> Heads:
        reads = self._messages.reads(keys_of(writes, checks))
        return self._messages.heads(await self._calls.kv("Txn", reads))

    async def _found_out(self, mark: bytes, cut: int, gaps: int, error: Unsure) -> int:
        """The revision of a commit whose answer was lost; 0: it was not done and never will be.

        cut     that it was sent with
        gaps    of the feed, before it was sent
        raises  Unavailable of unknown effect
        """
        try:
            await self._cut_off(cut)
            await self._feed.reached(self._feed.cut)
        except Unavailable as away:
            raise Unavailable(away.what, away.remedy, Effect.UNKNOWN) from error
        if self._feed.gaps != gaps:  # it may be among what we were not told of
            raise error
        return self._feed.seen(mark)

    async def _cut_off(self, cut: int) -> None:
        """Have nothing done any more that was sent with this cut, or an earlier one."""
        async with self._cutting:
            if self._feed.cut <= cut:
                put = await self._calls.kv("Put", rpc.PutRequest(key=self._messages.key(CUT)))
                revision = self._messages.revision(put.header.revision)
                self._feed.cut = max(self._feed.cut, revision)

    # Following

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        return self._feed.watchers.watch(prefix, from_revision)

    # Forgetting

    async def _tidy(self) -> None:
        if self._compacting is not None:
            await asyncio.shield(self._compacting)
        now_s = self._clock.monotonic_s()
        oldest, (revision, at_s) = self._retention.oldest(now_s), self._begun
        # What others have made is kept for as long as if it were made when we came.
        is_young = oldest <= revision and now_s - at_s < self._limits.age_s
        if oldest > self._feed.oldest and not is_young:
            self._compacting = asyncio.create_task(self._compact(oldest), name="etcd compacts")

    async def compact(self, before: int) -> None:
        self._require_open()
        await self._compact(min(before, await self._feed.last()))

    async def _compact(self, before: int) -> None:
        if before <= self._feed.oldest:
            return
        self._feed.forgotten(before)
        request = rpc.CompactionRequest(revision=self._messages.etcds(before))
        try:
            await self._calls.kv("Compact", request)
        except Forgotten as error:  # another server has done it
            log.debug("compaction: %s", error.what)
        except Unavailable as error:
            log.warning("history is not forgotten for now: %s", error.what)

    async def close(self) -> None:
        if self._is_closed:
            return
        await self._turns.over()
        self._is_closed = True
        if self._compacting is not None:
            self._compacting.cancel()
            await asyncio.gather(self._compacting, return_exceptions=True)
        await self._feed.close()
        await self._calls.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise closed()


def _looked_at(committing: asyncio.Future[int]) -> None:
    """How it ended is no matter to anybody if who waited was cancelled."""
    if not committing.cancelled():
        committing.exception()
