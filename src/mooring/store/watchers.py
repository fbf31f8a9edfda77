"""Who watches a store, and what each of them has yet to see. Used on the event loop only."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from mooring.store.interface import Changes

QUEUED_AT_MOST: Final = 10_000  # changes a watcher; a second of the fastest writing

# (prefix, after, until) → the next changes of after < revision <= until, whole commits, some of
# them or all; none: there are no more. Raises Expired.
History = Callable[[str, int, int], Awaitable[Changes]]


class _Watcher:
    __slots__ = ("behind", "prefix", "queue", "seen", "waiter")

    def __init__(self, prefix: str, seen: int, behind: bool) -> None:
        self.prefix = prefix
        self.seen = seen  # everything up to this revision was handed out
        self.behind = behind  # what comes next is in the history, not in the queue
        self.queue: Changes = []
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Watchers:
    """Hands each change to those whose prefix it has.

    A watcher that reads too slowly loses its queue, and is served from the history until it
    has caught up: its queue is bounded and it sees no gap. Only when the history it needs is
    gone does it get Expired.
    """

    def __init__(
        self, history: History, revision: int, queued_at_most: int = QUEUED_AT_MOST
    ) -> None:
        self.revision = revision  # the last one delivered
        self._history = history
        self._queued_at_most = queued_at_most
        # By the resource they watch, so that a change is not compared with every prefix.
        self._by_resource: dict[str, list[_Watcher]] = {}
        self._closed = False

    def deliver(self, changes: Changes) -> None:
        """Put committed changes, whole commits in order, into the queues they belong to."""
        if not changes:
            return
        touched: set[_Watcher] = set()
        by_resource = self._by_resource
        broad = by_resource.get("", ())
        for change in changes:
            key = change.key
            for watchers in (by_resource.get(_resource(key), ()), broad):
                for watcher in watchers:
                    if key.startswith(watcher.prefix) and not watcher.behind:
                        watcher.queue.append(change)
                        touched.add(watcher)
        self.revision = changes[-1].revision
        for watcher in touched:
            self._bound(watcher)
            watcher.wake()

    def _bound(self, watcher: _Watcher) -> None:
        if len(watcher.queue) > self._queued_at_most:
            watcher.seen = max(watcher.seen, watcher.queue[0].revision - 1)
            watcher.behind = True
            watcher.queue.clear()

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        """As Store.watch says."""
        watcher = _Watcher(prefix, from_revision, behind=from_revision < self.revision)
        peers = self._by_resource.setdefault(_resource(prefix), [])
        peers.append(watcher)
        try:
            while True:
                if watcher.behind and not self._closed:
                    async for batch in self._caught_up(watcher):
                        yield batch
                elif batch := self._taken(watcher):
                    yield batch
                elif self._closed:
                    return
                else:
                    watcher.waiter = asyncio.get_running_loop().create_future()
                    await watcher.waiter
        finally:
            peers.remove(watcher)

    async def _caught_up(self, watcher: _Watcher) -> AsyncIterator[Changes]:
        """Out of the history, up to where the queue takes over."""
        watcher.behind, after, until = False, watcher.seen, self.revision
        watcher.seen = until
        while after < until and not self._closed:
            batch = await self._history(watcher.prefix, after, until)
            if not batch:
                break
            after = batch[-1].revision
            yield batch
        if self._closed:  # perhaps before the history was told: the queue would follow a gap
            watcher.queue.clear()

    def _taken(self, watcher: _Watcher) -> Changes:
        batch = watcher.queue
        if not batch:
            return batch
        watcher.queue = []
        if batch[0].revision <= watcher.seen:  # its reader saw a commit before we delivered it
            batch = [change for change in batch if change.revision > watcher.seen]
        watcher.seen = max(watcher.seen, self.revision)
        return batch

    def lose(self) -> None:
        """Some changes were never told, and are forgotten: each watch finds that out from the
        history, unless it has seen all that it has."""
        for watchers in self._by_resource.values():
            for watcher in watchers:
                if watcher.queue:
                    watcher.seen = max(watcher.seen, watcher.queue[0].revision - 1)
                watcher.behind = True
                watcher.queue.clear()
                watcher.wake()

    def close(self) -> None:
        """Let each watch end, once it has handed out what is in its queue."""
        self._closed = True
        for watchers in self._by_resource.values():
            for watcher in watchers:
                watcher.wake()


def _resource(key: str) -> str:
    """ "pods/" of "pods/default/web", "" of what is no whole resource."""
    return key[: key.find("/") + 1]
