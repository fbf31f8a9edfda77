"""What changes in a cluster of etcd, handed on in order whichever member tells of it."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from heapq import heappop, heappush
from itertools import count
from typing import Final

from mooring.errors import Effect, MooringError
from mooring.store.etcd_calls import REMEDY, Calls
from mooring.store.etcd_messages import CUT, LAST, Messages, Told, later_cut
from mooring.store.interface import Changes, Expired, Unavailable
from mooring.store.watchers import Watchers

log = logging.getLogger(__name__)

HISTORY_AT_ONCE: Final = 1000  # changes of it, or one commit
LATE_S: Final = 2.0  # that a change may be told after it was made, or another member is asked
NEVER_S: Final = 20.0  # after which who waits for a change is told that it does not come
LOOK_S: Final = 5.0  # whether we are told of everything, if nothing is written
RETRY_S: Final = (0.02, 1.0)
Waiting = list[tuple[int, int, asyncio.Future[None]]]


class Feed:
    """One watch of all keys of a root, for all who watch there.

    cut   the revision of the last cut that was told of, or asked for
    gaps  how often changes were forgotten before they were told
    """

    def __init__(self, calls: Calls, queued_at_most: int) -> None:
        self.messages = Messages("")
        self.watchers = Watchers(self._history, 0, queued_at_most)
        self.cut = 0
        self.gaps = 0
        self._calls = calls
        self._told_until = 0  # by etcd's revisions: there is nothing of ours up to there
        self._oldest = 0
        self._marks: dict[bytes, int] = {}  # that are looked out for; the revisions of those seen
        self._waiting: Waiting = []  # a heap: for which revision, and in which order they came
        self._numbers = count()
        self._follower: asyncio.Task[None] | None = None
        self._looks: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self, messages: Messages, revision: int, told_until: int, cut: int) -> None:
        """From a revision on; told_until: etcd's, at which that was the last one of ours."""
        self.messages, self.cut, self._told_until = messages, cut, told_until
        self.watchers.revision = revision
        self._follower = asyncio.create_task(self._follow(), name="etcd")
        self._looks = asyncio.create_task(self._look(), name="etcd looks")

    async def close(self) -> None:
        """End all watches."""
        self._is_closed = True
        self.watchers.close()
        tasks = [task for task in (self._follower, self._looks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._waiting:
            told = heappop(self._waiting)[2]
            if not told.done():
                told.set_result(None)

    # Marks of commits

    def expect(self, mark: bytes) -> None:
        """Look out for a commit, from before it is sent."""
        self._marks[mark] = 0

    def seen(self, mark: bytes) -> int:
        """The revision of a commit that was told of; 0: it was not."""
        return self._marks[mark]

    def forget(self, mark: bytes) -> None:
        del self._marks[mark]

    # Waiting for changes

    async def reached(self, revision: int) -> None:
        """Wait until the watchers were handed all up to this revision.

        raises  Unavailable of unknown effect if no member tells of it
        """
        if self.watchers.revision >= revision:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + NEVER_S
        while self.watchers.revision < revision and not self._is_closed:
            asked, told = self._follower, loop.create_future()
            heappush(self._waiting, (revision, next(self._numbers), told))
            try:
                async with asyncio.timeout(LATE_S):
                    await told
            except TimeoutError:
                if loop.time() > until:
                    what = "etcd tells of no changes, though it takes them"
                    raise Unavailable(what, REMEDY, Effect.UNKNOWN) from None
                if asked is self._follower:
                    self._ask_another()

    def _ask_another(self) -> None:
        """Follow at another member: this one tells of changes too late, or never. One that is cut
        off from its leader, or stopped, keeps its connections."""
        if self._follower is None or self._is_closed:
            return
        log.warning("etcd at %s does not tell of changes in time", self._calls.endpoint)
        self._calls.away(self._calls.endpoint)
        self._follower.cancel()
        self._follower = asyncio.create_task(self._follow(), name="etcd")

    async def last(self) -> int:
        """The revision of the last commit, by most of the members: no other can have made a later
        one before we asked. Raises Unavailable."""
        answer = await self._calls.kv("Txn", self.messages.reads([LAST]))
        return self.messages.last_in(answer)

    async def _newest(self) -> tuple[int, int]:
        """The revision of the last commit or cut, and etcd's own at that moment."""
        answer = await self._calls.kv("Txn", self.messages.reads([CUT, LAST]))
        cut = later_cut(self.messages.heads(answer), 0)
        return max(self.messages.last_in(answer), cut), int(answer.header.revision)

    async def _look(self) -> None:
        """Now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look_once()
            except MooringError as error:
                log.warning("etcd is not asked with success: %s", error.what)

    async def _look_once(self) -> None:
        """Whether all is told that happens: a member may be cut off, or stand still."""
        revision, etcds = await self._newest()
        await self.reached(revision)
        # Who else uses the cluster may have its history forgotten: ours goes on from here.
        self._told_until = max(self._told_until, etcds)

    # Following

    async def _follow(self) -> None:
        """Deliver what changes, for ever, at whichever member."""
        delay_s = RETRY_S[0]
        while not self._is_closed:
            try:
                async for told, until in self._stream(self._told_until):
                    delay_s = RETRY_S[0]
                    self._deliver(told, until)
            except Expired as error:
                # Who watches has to list again. There is no way to tell what was forgotten.
                log.warning("changes up to %d are lost", error.oldest)
                with suppress(MooringError):
                    self._skip(*await self._newest())
            except MooringError as error:
                log.warning("changes are asked for anew: %s", error.what)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S[1])

    def _deliver(self, told: Told, until: int) -> None:
        for mark, revision in told.marks:
            if mark in self._marks:
                self._marks[mark] = revision
        self.cut = max(self.cut, told.cut)
        self.watchers.deliver(told.changes)
        self._told_until = max(self._told_until, until)
        self._advance(told.reached)

    def _skip(self, revision: int, until: int) -> None:
        """Go on from here, without what was before."""
        self.gaps += 1
        self._oldest = max(self._oldest, revision)
        self.watchers.lose()
        self._told_until = until
        self._advance(revision)

    def _advance(self, revision: int) -> None:
        self.watchers.revision = max(self.watchers.revision, revision)
        while self._waiting and self._waiting[0][0] <= revision:
            told = heappop(self._waiting)[2]
            if not told.done():
                told.set_result(None)

    async def _stream(self, after: int) -> AsyncGenerator[tuple[Told, int], None]:
        """What was committed after one of etcd's revisions, and up to which; of one connection.

        raises  Expired; Unavailable when it is over
        """
        messages = self.messages
        async for answer in self._calls.watch(messages.watch(after)):
            if answer.compact_revision:
                self._oldest = max(self._oldest, messages.revision(answer.compact_revision))
                raise Expired(messages.revision(after), self._oldest)
            if not answer.events:
                continue
            told = messages.told(answer)
            if told is None:
                self._oldest = max(self._oldest, messages.revision(after) + 1)
                raise Expired(messages.revision(after), self._oldest)
            after = int(answer.events[-1].kv.mod_revision)
            yield told, after
        raise Unavailable("etcd ended the stream", REMEDY)

    # What is kept of the past

    @property
    def oldest(self) -> int:
        """History before this revision is forgotten."""
        return self._oldest

    def forgotten(self, before: int) -> None:
        self._oldest = max(self._oldest, before)

    async def _history(self, prefix: str, after: int, until: int) -> Changes:
        """As watchers.History says, however long no member answers."""
        while not self._is_closed:
            if after < self._oldest:
                raise Expired(after, self._oldest)
            with suppress(Unavailable):
                return await self._past(prefix, after, until)
            await asyncio.sleep(RETRY_S[1])
        return []

    async def _past(self, prefix: str, after: int, until: int) -> Changes:
        found: Changes = []
        async with aclosing(self._stream(self.messages.etcds(after))) as stream:
            async for told, _ in stream:
                found += (
                    one
                    for one in told.changes
                    if one.revision <= until and one.key.startswith(prefix)
                )
                if told.reached >= until or len(found) >= HISTORY_AT_ONCE:
                    break
        return found
