"""A store that lives as long as its process, for tests and trials."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile

from sortedcontainers import SortedDict

from mooring.clock import Clock, SystemClock
from mooring.store.changes import changes_of, size_of
from mooring.store.interface import Change, Changes, Check, Document, Expired, Page, Write
from mooring.store.refusals import closed
from mooring.store.retention import Limits, Retention
from mooring.store.watchers import QUEUED_AT_MOST, Watchers

Documents = list[Document]


class MemoryStore:
    """Everything in a sorted dictionary, and the latest changes in a row for looking back."""

    is_shared = False

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        queued_at_most: int = QUEUED_AT_MOST,
    ) -> None:
        self._clock = clock or SystemClock()
        self._heads: SortedDict = SortedDict()
        self._past: deque[Change] = deque()
        self._oldest = 0
        self._retention = Retention(limits or Limits(), 0, self._clock.monotonic_s())
        self._watchers = Watchers(self._history, 0, queued_at_most)
        self._closed = False

    async def get(self, key: str) -> Document | None:
        self._require_open()
        found: Document | None = self._heads.get(key)
        return found

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        self._require_open()
        documents = self._now(prefix)
        if revision:
            self._require_history(revision)
            documents = self._then(prefix, revision, documents)
        documents = [document for document in documents if document.key > after]
        more = 0 < limit < len(documents)
        return Page(
            documents[:limit] if more else documents,
            min(revision or self._watchers.revision, self._watchers.revision),
            more,
        )

    def _now(self, prefix: str) -> Documents:
        keys = takewhile(lambda key: key.startswith(prefix), self._heads.irange(minimum=prefix))
        return [self._heads[key] for key in keys]

    def _then(self, prefix: str, revision: int, now: Documents) -> Documents:
        """The documents as they were, by undoing what came after."""
        then = {document.key: document for document in now}
        for change in reversed(self._past):
            if change.revision <= revision:
                break
            if change.key.startswith(prefix):
                if change.before is None:
                    then.pop(change.key, None)
                else:
                    then[change.key] = Document(change.key, change.before, change.previous_revision)
        return sorted(then.values())

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        self._require_open()
        size_bytes = size_of(writes, checks)
        changes = changes_of(self._heads, writes, checks, self._watchers.revision + 1)
        for key, _, value, revision, _ in changes:
            if value is None:
                del self._heads[key]
            else:
                self._heads[key] = Document(key, value, revision)
        if changes:
            self._past.extend(changes)
            self._watchers.deliver(changes)
            now_s = self._clock.monotonic_s()
            self._retention.note(self._watchers.revision, size_bytes, now_s)
            self._forget(self._retention.oldest(now_s))
        return self._watchers.revision

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        return self._watchers.watch(prefix, from_revision)

    async def _history(self, prefix: str, after: int, until: int) -> Changes:
        self._require_history(after)
        return [
            change
            for change in self._past
            if after < change.revision <= until and change.key.startswith(prefix)
        ]

    async def revision(self) -> int:
        self._require_open()
        return self._watchers.revision

    async def compact(self, before: int) -> None:
        self._require_open()
        self._forget(min(before, self._watchers.revision))

    def _forget(self, before: int) -> None:
        self._oldest = max(self._oldest, before)
        while self._past and self._past[0].revision <= self._oldest:
            self._past.popleft()

    async def close(self) -> None:
        self._closed = True
        self._watchers.close()

    def _require_open(self) -> None:
        if self._closed:
            raise closed()

    def _require_history(self, revision: int) -> None:
        if revision < self._oldest:
            raise Expired(revision, self._oldest)
