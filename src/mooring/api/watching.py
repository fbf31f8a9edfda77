"""WATCH: a stream of events from a revision on, without a gap."""

import asyncio
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mooring.api.http import JSON, Request
from mooring.api.list_options import check_watch
from mooring.api.routes import Route
from mooring.api.selectors import Match, matcher
from mooring.api.shapes import Shape, shape_of
from mooring.api.status import ApiError, failure
from mooring.objects.cache import Entry, Event, watch_frame
from mooring.objects.documents import encoded
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.store.interface import Expired

BOOKMARK_EVERY_S: Final = 60.0  # as kube-apiserver: often enough that a resume stays short
LONGEST_S: Final = (1800.0, 3600.0)  # a watch without a limit ends between these, at random
QUEUED_AT_MOST: Final = 20_000  # events; a reader further behind is told to list again
QUEUED_BYTES: Final = 32 * 1024 * 1024  # likewise
TOO_NEW: Final = "Too large resource version"
FOREVER_S: Final = 10**9  # timers take no longer ones
TOO_NEW_WAIT_S: Final = 3.0  # for a revision that this server has not reached yet
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")


class Stream:
    """The events of one watch that wait to be sent."""

    def __init__(self, request: Request, route: Route, shape: Shape, match: Match | None) -> None:
        self.request, self.shape, self.match = request, shape, match
        self.namespace = route.namespace
        self.name = route.name
        self.queue: list[bytes] = []
        self._queued_bytes = 0
        self.overflowed = False
        self.ready = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Take an event from the shelf, if this watch shows it."""
        frame = self.frame(event)
        if frame is None or self.overflowed:
            return
        if len(self.queue) >= QUEUED_AT_MOST or self._queued_bytes >= QUEUED_BYTES:
            self.overflowed = True
        else:
            self.queue.append(frame)
            self._queued_bytes += len(frame)
        self.ready.set()

    def taken(self) -> bytes:
        """What waits, which is no longer kept here then."""
        chunk = b"".join(self.queue)
        self.queue.clear()
        self._queued_bytes = 0
        return chunk

    def selects(self, entry: Entry | None) -> bool:
        if entry is None or (self.namespace and entry.namespace != self.namespace):
            return False
        if self.name and entry.name != self.name:
            return False
        return self.match is None or self.match(entry)

    def frame(self, event: Event) -> bytes | None:
        """What a selector makes of it: coming into view is ADDED, leaving it DELETED."""
        before, after = self.selects(event.before), self.selects(event.after)
        if not before and not after:
            return None
        type_ = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        if self.shape.plain:
            return event.frame(type_)
        entry = event.gone if type_ == "DELETED" else event.after
        assert entry is not None
        return watch_frame(type_, self.shape.one(entry))


class OpenWatches:
    """Those that are being served, so that a server that stops can end them in good order."""

    def __init__(self) -> None:
        self.ended = False
        self._streams: set[Stream] = set()

    @contextmanager
    def having(self, stream: Stream) -> Iterator[None]:
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    def end(self) -> None:
        """End all of them, and those that begin from now on."""
        self.ended = True
        for stream in self._streams:
            stream.ready.set()


async def watch(request: Request, route: Route, objects: Objects, watches: OpenWatches) -> None:
    """Serve it until the client goes, the time is over, the reader is too slow, or we stop."""
    query = request.query
    check_watch(query)
    include = query.get("includeObject", "")
    shape = shape_of(route.kind, request.header(b"accept"), include, objects.clock)
    match = matcher(route.kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    shelf = objects.shelf(route.kind)
    limit_s = _limit_s(query.get("timeoutSeconds", ""))
    since = await _since(request, objects)
    said = "sendInitialEvents" in query
    initial = request.flag("sendInitialEvents") if said else since is None
    stream = Stream(request, route, shape, match)
    seen = shelf.revision
    start_revision = objects.cache.revision
    unfollow = shelf.follow(stream.offer, route.namespace)
    try:
        first: list[bytes] = []
        if initial:
            entries = [e for e in shelf.entries(route.namespace) if stream.selects(e)]
            first = [watch_frame("ADDED", shape.one(entry)) for entry in entries]
            if request.flag("sendInitialEvents"):
                first.append(_bookmark(shape, start_revision, initial_end=True))
        elif since is not None:
            try:
                missed = await objects.cache.history(shelf, since, seen)
            except Expired as expired:
                await request.begin((JSON,))
                await request.more(watch_frame("ERROR", encoded(failure(expired))))
                await request.end()
                return
            first = [frame for event in missed if (frame := stream.frame(event))]
        await request.begin((JSON,))
        await request.more(b"".join(first))
        with watches.having(stream):
            await _pump(request, objects, stream, limit_s, watches)
        await request.end()
    finally:
        unfollow()


async def _since(request: Request, objects: Objects) -> int | None:
    """The revision to go on from; None: begin with what is there. Raises ApiError."""
    text = request.query.get("resourceVersion", "")
    if text in ("", "0"):
        return None
    revision = parsed_revision(text)
    await reach(objects, revision)
    return revision


def parsed_revision(text: str) -> int:
    """Raises ApiError BadRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ApiError("BadRequest", f'invalid resource version "{text}"', "use one from a list")
    return int(text)


async def reach(objects: Objects, revision: int) -> None:
    """Wait a little for a revision that another server has made. Raises ApiError Timeout."""
    try:
        async with asyncio.timeout(TOO_NEW_WAIT_S):
            await objects.cache.caught_up(revision)
    except TimeoutError as error:
        what = f"Timeout: {TOO_NEW}: {revision}, current: {objects.cache.revision}"
        # By this, clients know that the server has lost what they saw, and list anew.
        causes = [{"reason": "ResourceVersionTooLarge", "message": TOO_NEW}]
        details = {"causes": causes, "retryAfterSeconds": 1}
        raise ApiError("Timeout", what, details=details) from error


def _limit_s(text: str) -> float:
    """How long a watch goes on; one below zero ends at once. Raises ApiError BadRequest."""
    if text and not _INTEGER.fullmatch(text):
        raise ApiError("BadRequest", f"invalid timeoutSeconds {text[:64]!r}", "give a whole number")
    return float(min(int(text or 0), FOREVER_S)) or random.uniform(*LONGEST_S)


async def _pump(
    request: Request, objects: Objects, stream: Stream, limit_s: float, watches: OpenWatches
) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + limit_s
    bookmarks = request.flag("allowWatchBookmarks")
    bookmark_at = loop.time() + BOOKMARK_EVERY_S
    gone = asyncio.ensure_future(request.hung_up())
    gone.add_done_callback(lambda _: stream.ready.set())
    try:
        while not (gone.done() or watches.ended) and loop.time() < ends:
            until = min(ends, bookmark_at) if bookmarks else ends
            timer = loop.call_at(until, stream.ready.set)
            await stream.ready.wait()
            timer.cancel()
            stream.ready.clear()
            # Taken together with the queue: more may come while this is sent, and a client goes on
            # from a bookmark as if it had seen all before it.
            revision = objects.cache.revision
            if chunk := stream.taken():
                await request.more(chunk)
            if stream.overflowed:
                expired = Expired(objects.cache.revision, objects.cache.revision)
                await request.more(watch_frame("ERROR", encoded(failure(expired))))
                return
            if bookmarks and loop.time() >= min(bookmark_at, ends):
                await request.more(_bookmark(stream.shape, revision))
                bookmark_at = loop.time() + BOOKMARK_EVERY_S
    finally:
        gone.cancel()


def _bookmark(shape: Shape, revision: int, *, initial_end: bool = False) -> bytes:
    metadata: Doc = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return watch_frame("BOOKMARK", shape.none(metadata))
