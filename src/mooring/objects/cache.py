"""What is served: every object's bytes, kept current by one watch of the store.

A shelf holds one resource. Applying a change tells its followers at once, in order, in the event
loop, so a controller's index and a client's watch never see the shelf and the event disagree.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from sortedcontainers import SortedDict

from mooring.model.metadata import View
from mooring.objects.documents import decoded, labels_of, respliced, splice_offset, spliced
from mooring.objects.following import followed
from mooring.objects.kind import Kind
from mooring.store.interface import Change, Changes, Document, Expired, Store, Unavailable
from mooring.store.schema import LATEST, SCHEMA

log = logging.getLogger(__name__)

# Events kept in memory for watches that resume; older ones are read from the store's history.
RECENT_EVENTS: Final = 2048
CAUGHT_UP_S: Final = 10.0  # that a store may take to tell of what it has
RECENT_BYTES: Final = 1024 * 1024  # of their objects, of a resource: there are some thirty
NO_LABELS: Final[dict[str, str]] = {}  # one for all objects that have none


class Entry:
    """One object as it is served: its bytes with the revision in them."""

    __slots__ = ("_labels", "body", "key", "revision", "seen")

    def __init__(self, key: str, body: bytes, revision: int) -> None:
        self.key = key  # "name" or "ns/name"
        self.body = body
        self.revision = revision
        self._labels: dict[str, str] | None = None  # not looked for yet
        self.seen: View | None = None  # the view that was last asked for; see views.view

    @property
    def namespace(self) -> str:
        """Empty for objects of cluster scope."""
        return self.key.partition("/")[0] if "/" in self.key else ""

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def labels(self) -> dict[str, str]:
        """Decoded when first asked for: only selectors ask. Not to be changed."""
        if self._labels is None:
            self._labels = labels_of(self.body) or NO_LABELS
        return self._labels


class Event:
    """One change of one object: before None is a creation, after None a deletion.

    `gone` is the object as a watch shows it when it leaves: the old state, the new revision.
    """

    __slots__ = ("_frames", "_gone", "after", "before", "offset", "revision")

    def __init__(
        self, before: Entry | None, after: Entry | None, revision: int, offset: int
    ) -> None:
        self.before = before
        self.after = after
        self.revision = revision
        self.offset = offset
        self._gone: Entry | None = None
        self._frames: dict[str, bytes] | None = None

    @property
    def key(self) -> str:
        entry = self.after or self.before
        assert entry is not None
        return entry.key

    @property
    def size_bytes(self) -> int:
        """Of the object; one that is changed has its state before in common with another event."""
        entry = self.after or self.before
        assert entry is not None
        return len(entry.body)

    @property
    def gone(self) -> Entry:
        if self._gone is None:
            assert self.before is not None
            old = self.before
            body = respliced(old.body, self.offset, self.revision)
            self._gone = Entry(old.key, body, self.revision)
        return self._gone

    def frame(self, type_: str) -> bytes:
        """The line of a watch stream; made once, shared by all watchers."""
        if self._frames is None:
            self._frames = {}
        frame = self._frames.get(type_)
        if frame is None:
            entry = self.gone if type_ == "DELETED" else self.after
            assert entry is not None
            frame = watch_frame(type_, entry.body)
            self._frames[type_] = frame
        return frame


def watch_frame(type_: str, body: bytes) -> bytes:
    """One line of a watch stream."""
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), body)


Follower = Callable[[Event], None]


class Shelf:
    """All objects of one resource."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.offset = splice_offset(kind)
        self.prefix = kind.resource + "/"
        self.revision = 0  # of the last event here
        self.recent: deque[Event] = deque()
        self.recent_from = 0  # events after this revision are all in `recent`
        self._recent_bytes = 0
        self._entries: SortedDict = SortedDict()
        self._followers: list[Follower] = []
        self._inside: dict[str, list[Follower]] = {}  # by the one namespace they follow

    def get(self, key: str) -> Entry | None:
        entry: Entry | None = self._entries.get(key)
        return entry

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self, namespace: str = "", after: str = "") -> Iterator[Entry]:
        """In key order; of one namespace, or all. Do not await while iterating."""
        if not self._entries:  # as with most kinds, which are asked for at each write of others
            return
        if not namespace and not after:
            yield from self._entries.values()
            return
        low = max(f"{namespace}/" if namespace else "", after)
        high = f"{namespace}0" if namespace else None  # "0" follows "/" in ASCII
        for key in self._entries.irange(low, high, inclusive=(not after, False)):
            yield self._entries[key]

    def snapshot(self) -> list[Entry]:
        """All entries as of now, in no order. Costs a hundredth of what `entries` does, so that a
        thread can look at them all while the loop goes on."""
        return list(dict.values(self._entries))

    def follow(self, follower: Follower, namespace: str = "") -> Callable[[], None]:
        """Call it for each event from now on, of one namespace or all. Returns what ends that.

        Those of one namespace cost nothing when something happens in another.
        """
        followers = self._inside.setdefault(namespace, []) if namespace else self._followers
        followers.append(follower)

        def unfollow() -> None:
            followers.remove(follower)
            if namespace and not followers:
                del self._inside[namespace]

        return unfollow

    def entry_of(self, key: str, stored: bytes, revision: int) -> Entry:
        """An entry for stored bytes; `key` is the store's."""
        body = spliced(stored, self.offset, revision)
        return Entry(key[len(self.prefix) :], body, revision)

    def written(self, key: str, stored: bytes, revision: int) -> Entry:
        """The entry of what was just written: the one here, if nobody wrote again since."""
        here = self.get(key)
        if here is not None and here.revision == revision:
            return here
        return self.entry_of(self.prefix + key, stored, revision)

    def fill(self, key: str, stored: bytes, revision: int) -> None:
        """At start: what was there before the watch."""
        entry = self.entry_of(key, stored, revision)
        self._entries[entry.key] = entry

    def started(self, revision: int) -> None:
        """All was filled as of this revision."""
        self.revision = self.recent_from = revision

    def event_of(self, change: Change) -> Event:
        """The event for a change read from the store's history."""
        before = after = None
        if change.before is not None:
            before = self.entry_of(change.key, change.before, change.previous_revision)
        if change.after is not None:
            after = self.entry_of(change.key, change.after, change.revision)
        return Event(before, after, change.revision, self.offset)

    def apply(self, change: Change) -> None:
        """Bring the shelf one change further and tell the followers."""
        key = change.key[len(self.prefix) :]
        before: Entry | None = self._entries.get(key)
        after = None
        if change.after is not None:
            after = Entry(key, spliced(change.after, self.offset, change.revision), change.revision)
            self._entries[key] = after
        else:
            self._entries.pop(key, None)
        event = Event(before, after, change.revision, self.offset)
        self._remember(event)
        self.revision = change.revision
        followers = tuple(self._followers)
        if self._inside:
            followers += tuple(self._inside.get(key.partition("/")[0], ()))
        for follower in followers:
            follower(event)

    def replace(self, documents: Mapping[str, Document], revision: int) -> None:
        """Bring the shelf to these, by key, and tell the followers; of this revision is all that
        went. What came between is not known, so no watch goes on from before."""
        for key, entry in list(self._entries.items()):
            new = documents.get(key)
            if new is None or (
                new.revision != entry.revision and _uid(new.value) != _uid(entry.body)
            ):
                self.apply(Change(self.prefix + key, None, None, revision, entry.revision))
        for key, (stored_key, value, written) in documents.items():
            here = self.get(key)
            if here is None or here.revision != written:
                before = here.revision if here is not None else 0
                self.apply(Change(stored_key, None, value, written, before))
        self.recent.clear()
        self._recent_bytes = 0
        self.revision = self.recent_from = revision

    def _remember(self, event: Event) -> None:
        self.recent.append(event)
        self._recent_bytes += event.size_bytes
        while len(self.recent) > RECENT_EVENTS or self._recent_bytes > RECENT_BYTES:
            gone = self.recent.popleft()
            self._recent_bytes -= gone.size_bytes
            self.recent_from = gone.revision


def _uid(body: bytes) -> str:
    return str(decoded(body)["metadata"].get("uid", ""))


class Cache:
    """A shelf per kind, and the revision up to which all of them are current."""

    def __init__(self, store: Store, kinds: Iterable[Kind]) -> None:
        self._store = store
        self.shelves: dict[str, Shelf] = {k.resource: Shelf(k) for k in kinds if not k.stored_as}
        self.revision = 0
        self.schema = LATEST  # of the store; an agent is told of nothing else
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = 0
        self._feed: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fill the shelves and follow the store from there."""
        page = await self._store.list("")
        for key, value, revision in page.documents:
            shelf = self.shelves.get(key.partition("/")[0])
            if shelf is not None:
                shelf.fill(key, value, revision)
            elif key == SCHEMA:
                self.schema = int(value)
        for shelf in self.shelves.values():
            shelf.started(page.revision)
        self.revision = page.revision
        following = followed(self._store, "", page.revision, self._told, self._list_again)
        self._feed = asyncio.create_task(following, name="cache")

    def _told(self, batch: Changes) -> None:
        for change in batch:
            shelf = self.shelves.get(change.key.partition("/")[0])
            if shelf is not None:
                shelf.apply(change)
            elif change.key == SCHEMA and change.after is not None:
                self.schema = int(change.after)
        self._advance(batch[-1].revision)

    async def _list_again(self) -> int:
        """Bring the shelves to what is there now, without what was in between."""
        page = await self._store.list("")
        found: dict[str, dict[str, Document]] = {name: {} for name in self.shelves}
        for document in page.documents:
            resource, _, key = document.key.partition("/")
            if resource in found:
                found[resource][key] = document
            elif document.key == SCHEMA:
                self.schema = int(document.value)
        for resource, shelf in self.shelves.items():
            shelf.replace(found[resource], page.revision)
        self._advance(page.revision)
        return page.revision

    def _advance(self, revision: int) -> None:
        self.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def caught_up(self, revision: int) -> None:
        """Wait until everything up to this revision is on the shelves.

        Raises Unavailable if that takes so long that what tells of changes must be hanging.
        """
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tickets += 1
        heapq.heappush(self._waiting, (revision, self._tickets, future))
        try:
            async with asyncio.timeout(CAUGHT_UP_S):
                await future
        except TimeoutError as error:
            why = f"revision {revision} was not told within {CAUGHT_UP_S:.0f} s"
            raise Unavailable(why, "try it again; see its log for what is hanging") from error

    def feed_task(self) -> asyncio.Task[None]:
        """The task that must never end while the server runs; the daemon watches it."""
        assert self._feed is not None
        return self._feed

    async def history(self, shelf: Shelf, since: int, until: int) -> list[Event]:
        """Events of a shelf after `since` up to `until`, from memory or the store's history.

        Raises Expired if the store has forgotten them.
        """
        if since >= until:
            return []
        if since >= shelf.recent_from:
            return [event for event in shelf.recent if since < event.revision <= until]
        events: list[Event] = []
        async for batch in self._store.watch(shelf.prefix, since):
            events.extend(shelf.event_of(c) for c in batch if c.revision <= until)
            if len(events) > 20 * RECENT_EVENTS:
                raise Expired(since, events[-1].revision)
            if batch[-1].revision >= until:
                break
        return events

    async def close(self) -> None:
        """Stop following."""
        if self._feed is not None:
            self._feed.cancel()
            await asyncio.gather(self._feed, return_exceptions=True)
