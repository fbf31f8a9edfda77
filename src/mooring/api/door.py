"""The door of node agents: what they see of the store, and write to it. /mooring/v1/node/…

GET   documents  a page of what is there: model/door.py has the bodies
GET   watch      every change after a revision, as a stream
POST  commit     writes, all or none
POST  cut        what the agent has given up is not to be done any more
POST  events     notes of events, for the recorder
POST  renew      a new token in the place of the one that asks

An agent decides by the same objects as a server, with admission and all; here everything that it
wants to write is looked at once more: whether it may (rules/node_rights.py), and whether the
object is a valid one. Decision 0029.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import msgspec

from mooring.api.http import Request
from mooring.api.status import CODES, ApiError
from mooring.api.tokens import Token
from mooring.errors import Effect, MooringError
from mooring.model import door, task_container
from mooring.model.attachment import Attachment
from mooring.model.claim import Claim
from mooring.model.decoding import ViewDecoder
from mooring.model.names import HOME
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.node.attachments import attachment_name
from mooring.objects.cache import Shelf
from mooring.objects.documents import decoded, same_content, stored_form, unspliced
from mooring.objects.errors import Invalid
from mooring.objects.index import Index
from mooring.objects.kind import Doc, Kind
from mooring.objects.leases import SeenLeases, lease_key
from mooring.objects.objects import Objects
from mooring.objects.schema import SCHEMAS
from mooring.objects.uids import is_uid, uid_of
from mooring.rules.events import EventNote
from mooring.rules.fencing import holder_of, is_out_of_service, passing
from mooring.rules.node_rights import AgentHost, may_read, refusal
from mooring.store.interface import ABSENT, Changes, Check, Conflict, Expired, Page, Unavailable
from mooring.store.interface import Write as StoreWrite

T = TypeVar("T")
Good = Callable[[], bool]

log = logging.getLogger(__name__)

MSGPACK: Final = (b"content-type", b"application/msgpack")
PAGE_AT_MOST: Final = 5000  # documents of one answer
AHEAD_S: Final = 3.0  # that a server may be behind another
HELD_MS: Final = 500  # of what may wait, for an agent that does not say
HELD_MS_MOST: Final = 2000
_LEASES: Final = lease_key("")
NAME_DATA: Final = (Claim, Volume)  # kinds whose uids name what backends keep
_VOLUMES: Final = ViewDecoder(Volume)
_REMEDY: Final = "see docs/hosts.md for what an agent may do"
NOTES_AT_MOST: Final = 1000  # of events, in one request


class Door:
    """Answers by path."""

    def __init__(self, objects: Objects, tell: Callable[[EventNote], None]) -> None:
        """tell: takes notes for events"""
        self._objects, self._tell = objects, tell
        self.leases = SeenLeases(objects)
        self.leases.start()
        shelves = objects.cache.shelves
        self._uids = {one.resource: Index(shelves[one.resource], uid_of) for one in NAME_DATA}
        self._ends = asyncio.Event()

    def stop(self) -> None:
        """End the streams, and those that begin from now on."""
        self._ends.set()
        self.leases.stop()
        for index in self._uids.values():
            index.stop()

    async def serves(self, request: Request, token: Token, is_good: Good) -> bool:
        """Answer, if it is one of its paths. Errors are in the form that agents read.

        is_good  whether the token has not ended meanwhile
        """
        asked = request.path.removeprefix(f"{door.PATH}/")
        serves: dict[tuple[str, str], Callable[[Request, AgentHost], Awaitable[None]]] = {
            ("GET", "documents"): self._documents,
            ("GET", "watch"): partial(self._watch, is_good=is_good),
            ("POST", "commit"): self._commit,
            ("POST", "cut"): self._cut,
            ("POST", "events"): self._events,
        }
        serve = serves.get((request.method, asked))
        if serve is None:
            return False
        host = AgentHost(token.node, frozenset(token.namespaces))
        try:
            _compatible(request)
            await serve(request, host)
        except MooringError as error:
            if request.answered:
                raise
            body = msgspec.msgpack.encode(refused(error))
            await request.answer(CODES.get(error.code, 500), body, (MSGPACK,))
        return True

    # Reading

    async def _documents(self, request: Request, host: AgentHost) -> None:
        """A page ends with a document that is seen, so that its place tells of nothing else."""
        query, seen = request.query, list[door.Doc]()
        prefix, after = query.get("prefix", ""), query.get("after", "")
        limit = min(_number(query.get("limit", "")) or PAGE_AT_MOST, PAGE_AT_MOST)
        page = Page([], _number(query.get("revision", "")), more=True)
        wanted = limit
        while page.more and len(seen) < limit:
            page = await self._objects.store.list(
                prefix, limit=wanted, after=after, revision=page.revision
            )
            seen += [door.Doc(*one) for one in page.documents if self._sees(host, one.key)]
            after, wanted = page.documents[-1].key if page.documents else "", PAGE_AT_MOST
        more = page.more or len(seen) > limit
        answer = door.Documents(seen[:limit], page.revision, more)
        await request.answer(200, msgspec.msgpack.encode(answer), (MSGPACK,))

    async def _watch(self, request: Request, host: AgentHost, is_good: Good) -> None:
        query = request.query
        prefix, since = query.get("prefix", ""), _number(query.get("from", ""))
        batches = self._objects.store.watch(prefix, since).__aiter__()
        following = asyncio.ensure_future(anext(batches))
        gone = asyncio.create_task(request.hung_up())
        ends = asyncio.create_task(self._ends.wait())
        try:
            hold_ms = min(_number(query.get("hold", "")) or HELD_MS, HELD_MS_MOST)
            begun, held = False, _Held(since, hold_ms / 1000)
            while True:
                waited = {following, gone, ends}
                timeout_s = held.due_in_s() if begun else 0
                await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                hurries = False
                if following.done():
                    batch = self._batch(host, following.result())  # Expired before it begins
                    following = asyncio.ensure_future(anext(batches))
                    hurries = held.take(batch, host.node)
                if not begun:
                    begun = True
                    await request.begin((MSGPACK,))
                # Looked at before anything is told, and each time that it could have been.
                if gone.done() or ends.done() or not is_good():
                    break
                if hurries or held.due_in_s() <= 0:
                    await request.more(_framed(held.given()))
            await request.end()
        except Expired as expired:
            if not request.answered:
                raise
            await request.more(_framed(door.Batch(since, oldest=max(expired.oldest, 1))))
            await request.end()
        except StopAsyncIteration:  # the store is closed
            await request.end()
        finally:
            for task in (following, gone, ends):
                task.cancel()
            await asyncio.gather(following, gone, ends, return_exceptions=True)
            with suppress(RuntimeError):
                await batches.aclose()  # type: ignore[attr-defined]  # it is a generator

    def _batch(self, host: AgentHost, changes: Changes) -> door.Batch:
        seen = [door.Changed(*one) for one in changes if self._sees(host, one.key)]
        return door.Batch(changes[-1].revision, seen)

    def _sees(self, host: AgentHost, key: str) -> bool:
        resource, _, name = key.partition("/")
        shelf = self._objects.cache.shelves.get(resource)
        if shelf is None:
            return False  # of no kind that is served, as tokens are
        namespace = name.rpartition("/")[0] if shelf.kind.namespaced else ""
        return may_read(host, resource, namespace)

    # Writing

    async def _commit(self, request: Request, host: AgentHost) -> None:
        wanted = await _decoded(request, door.Commit)
        await self._objects.fresh()  # what the agent knows, it may have from another server
        for one in wanted.writes:
            if one.key != task_container.key_of(host.node) and not self._sees(host, one.key):
                what = f"node {host.node} may not write {one.key}: it does not see it"
                raise ApiError("Forbidden", what, _REMEDY)
        if wanted.again:  # what was done of it was done before the cut
            await self._objects.cache.caught_up(wanted.cut or 0)
        revision = self._done_before(wanted) if wanted.again else 0
        if not revision:
            checks = [Check(one.key, one.revision) for one in wanted.checks]
            writes = [await self._write(host, one, checks) for one in wanted.writes]
            for held in wanted.checks:
                if not self._sees(host, held.key):
                    raise ApiError("Forbidden", f"node {host.node} does not see {held.key}")
            if wanted.cut is not None:
                checks.append(Check(door.HOSTS + host.node, wanted.cut))
            revision = await self._objects.store.commit(writes, checks)
            with suppress(Unavailable):  # it is done; who asks next here is to see it
                await self._objects.cache.caught_up(revision)
        answer = msgspec.msgpack.encode(door.Committed(revision))
        await request.answer(200, answer, (MSGPACK,))

    async def _cut(self, request: Request, host: AgentHost) -> None:
        known = (await _decoded(request, door.Cut)).known
        mark = secrets.token_hex(8).encode()  # other than before
        write = StoreWrite(door.HOSTS + host.node, mark, known or ABSENT)
        answer = door.Committed(await self._objects.store.commit([write]))
        await request.answer(200, msgspec.msgpack.encode(answer), (MSGPACK,))

    def _done_before(self, wanted: door.Commit) -> int:
        """The revision, if all of it is as it was to be: an earlier try came to something."""
        revision = 0
        for one in wanted.writes:
            if one.key.startswith(task_container.PREFIX):
                return 0  # it compares revisions itself
            shelf, key = self._shelf(one.key)
            entry = shelf.get(key)
            if entry is None or one.value is None:
                if entry is not None or one.value is not None:
                    return 0
            elif not same_content(unspliced(entry.body, shelf.offset), one.value):
                return 0
            else:
                revision = max(revision, entry.revision)
        return revision or self._objects.cache.revision

    async def _write(self, host: AgentHost, wanted: door.Wanted, checks: list[Check]) -> StoreWrite:
        """What the store is to do, if the agent may. Raises Conflict, ApiError Forbidden, Invalid.

        checks  takes what has to be so still, for the agent to be allowed to

        What it was decided on is what is written on: the store sees to it that nothing came
        between.
        """
        if wanted.key == task_container.key_of(host.node):
            return _told_to_edges(host, wanted)
        shelf, key = self._shelf(wanted.key)
        if wanted.expected > self._objects.cache.revision:  # seen at a server that is ahead
            with suppress(TimeoutError):
                async with asyncio.timeout(AHEAD_S):
                    await self._objects.cache.caught_up(wanted.expected)
        entry = shelf.get(key)
        found = entry.revision if entry is not None else 0
        if found != wanted.expected:
            raise Conflict(wanted.key, wanted.expected or ABSENT, found)
        if entry is None and wanted.value is None:
            raise ApiError("BadRequest", f"{wanted.key} is not there, so it cannot go")
        before = decoded(entry.body) if entry is not None else None
        after = self._doc(shelf.kind, wanted, before)
        if why := refusal(host, shelf.kind.resource, key, before, after, self):
            what = f"node {host.node} may not write {wanted.key}: {why}"
            raise ApiError("Forbidden", what, _REMEDY)
        if shelf.kind.resource == Volume.resource and before is not None and after is not None:
            checks += self._still_held(key, before, after)
        # Not its bytes: all that reads them counts on the form that we give them.
        value = stored_form(shelf.kind, after) if after is not None else None
        return StoreWrite(wanted.key, value, wanted.expected or ABSENT)

    def _doc(self, kind: Kind, wanted: door.Wanted, before: Doc | None) -> Doc | None:
        """The object that is to be stored, if it is a valid one. None: it is to go."""
        if wanted.value is None:
            return None
        try:
            doc: Doc = msgspec.json.decode(wanted.value, type=dict)
            metadata = doc["metadata"]
            named = f"{metadata['namespace']}/{metadata['name']}" if kind.namespaced else None
            named = named or metadata["name"]
        except (msgspec.MsgspecError, KeyError, TypeError) as error:
            raise ApiError("BadRequest", f"{wanted.key}: it is no object: {error}") from error
        SCHEMAS.conform(kind, doc)
        if f"{kind.resource}/{named}" != wanted.key:
            raise ApiError("BadRequest", f"{wanted.key}: the object is {named!r}")
        if before is not None and before["metadata"].get("uid") != metadata.get("uid"):
            raise ApiError("BadRequest", f"{wanted.key}: its uid does not change")
        if before is None:
            self._require_new(kind, str(metadata.get("uid")))
        try:
            if before is None:
                causes = kind.validate_create(doc)
            else:
                causes = kind.validate_update(doc, _marked_alike(before, metadata))
        except KeyError as error:  # which an agent's own admission had given it
            raise ApiError("BadRequest", f"{wanted.key}: it has no {error}") from error
        if causes:
            raise Invalid(kind, metadata["name"], causes)
        return doc

    def _require_new(self, kind: Kind, uid: str) -> None:
        """Data is found by uids: one that is another object's would lead to that one's data."""
        if not is_uid(uid):
            raise ApiError("BadRequest", f"uid {uid[:64]!r} is no UUID in lower case")
        index = self._uids.get(kind.resource)
        if index is not None and index.keys(uid):
            raise ApiError("BadRequest", f"uid {uid} is another object's")

    def _shelf(self, key: str) -> tuple[Shelf, str]:
        resource, _, name = key.partition("/")
        shelf = self._objects.cache.shelves.get(resource)
        if shelf is None or not name:
            raise ApiError("Forbidden", f"{key!r} is no object that an agent writes")
        return shelf, name

    # What decisions ask of other objects

    def pool(self, name: str) -> Pool | None:
        return self._objects.view(Pool, name)

    def volume(self, name: str) -> Volume | None:
        return self._objects.view(Volume, name)

    def may_pass(self, node: str, *, has_promised: bool) -> bool:
        """By what this server has seen of the node's Lease, whatever an agent says."""
        late_s = self.leases.late_s(node)
        return passing(
            holder_of(self.leases.unheard_share(node), has_users=True),
            late_s,
            fences=has_promised,
            out_of_service=is_out_of_service(self._objects.view(Node, node)),
        ).may

    def holds(self, volume: str, node: str) -> bool:
        found = self._objects.view(Attachment, attachment_name(volume))
        return found is not None and found.volume == volume and found.node == node

    def _still_held(self, volume: str, before: Doc, after: Doc) -> list[Check]:
        """Who becomes the home of a volume has the right to use it, and has it when that is stored:
        whatever the agent says, nobody has taken it over meanwhile.

        Asked in the moment in which it was decided, so that it is the same right.
        """
        if all(HOME not in (one["metadata"].get("annotations") or {}) for one in (before, after)):
            return []
        was, new = (_VOLUMES.decode(msgspec.json.encode(one)) for one in (before, after))
        if was.home is None or was.home == new.home:
            return []
        held = self._objects.entry(Attachment.resource, attachment_name(volume))
        return [Check(f"{Attachment.resource}/{held.key}", held.revision)] if held else []

    # Events

    async def _events(self, request: Request, host: AgentHost) -> None:
        notes = await _decoded(request, list[EventNote])
        for note in notes[:NOTES_AT_MOST]:
            if not note.about.namespace or host.serves(note.about.namespace):
                self._tell(note)
        await request.answer(200, b"", (MSGPACK,))


async def _decoded(request: Request, type_: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(await request.body(), type=type_)
    except msgspec.MsgspecError as error:
        raise ApiError("BadRequest", f"the body of the request: {error}") from error


def _told_to_edges(host: AgentHost, wanted: door.Wanted) -> StoreWrite:
    """Of the containers on this host, and no other."""
    try:
        told = task_container.host_tasks_of(wanted.value or b"")
    except msgspec.MsgspecError as error:
        raise ApiError("BadRequest", f"{wanted.key}: {error}") from error
    if told.host != host.node:
        raise ApiError("Forbidden", f"node {host.node} tells of its own containers alone")
    return StoreWrite(wanted.key, msgspec.json.encode(told), wanted.expected or ABSENT)


def _marked_alike(before: Doc, metadata: Doc) -> Doc:
    """An object, marked as deleted if it is to be: that is no change of a field that stays."""
    old = before["metadata"]
    if "deletionTimestamp" in old or "deletionTimestamp" not in metadata:
        return before
    marks = ("deletionTimestamp", "deletionGracePeriodSeconds", "generation")
    return {**before, "metadata": {**old, **{k: metadata[k] for k in marks if k in metadata}}}


class _Held:
    """What one agent has yet to be told.

    That other hosts live, and what it does not see, may wait a moment and go together: of many
    hosts each would else wake all others all the time. What nobody has heard of for a while is
    heard of again: it is alive.
    """

    def __init__(self, revision: int, hold_s: float) -> None:
        self._batch, self._since_s, self._told_s = door.Batch(revision), 0.0, time.monotonic()
        self._hold_s = hold_s

    def take(self, batch: door.Batch, node: str) -> bool:
        """Keep it. Whether it is to be told at once."""
        self._since_s = self._since_s or time.monotonic()
        self._batch = door.Batch(batch.revision, [*self._batch.changes, *batch.changes])
        own = lease_key(node)
        return any(not one.key.startswith(_LEASES) or one.key == own for one in batch.changes)

    def due_in_s(self) -> float:
        if self._since_s:
            return max(self._since_s + self._hold_s - time.monotonic(), 0.0)
        return max(self._told_s + door.PROGRESS_EVERY_S - time.monotonic(), 0.0)

    def given(self) -> door.Batch:
        """All of it, which is then told."""
        batch, self._batch = self._batch, door.Batch(self._batch.revision)
        self._since_s, self._told_s = 0.0, time.monotonic()
        return batch


def refused(error: MooringError) -> door.Refusal:
    """An error as agents read it."""
    said = door.Refusal(error.code, error.what, error.remedy)
    if isinstance(error, Conflict):
        said.key, said.found = error.key, error.found
        said.expected = error.expected if isinstance(error.expected, int) else 0
    elif isinstance(error, Expired):
        said.expected, said.found = error.revision, error.oldest
    elif isinstance(error, Unavailable) and error.effect is Effect.NONE:
        said.code = "Away"
    return said


def _compatible(request: Request) -> None:
    """Agents are taken that are one version older or newer than this server, or as it."""
    said = request.header(door.VERSION_HEADER.encode())
    if not said.isdecimal() or abs(int(said) - door.VERSION) > 1:
        what = f"this server speaks version {door.VERSION} with agents, this one {said or 'none'!r}"
        raise ApiError("BadRequest", what, "upgrade the agent, or the servers, a version at a time")


def _framed(batch: door.Batch) -> bytes:
    body = msgspec.msgpack.encode(batch)
    return len(body).to_bytes(door.LENGTH_BYTES) + body


def _number(text: str) -> int:
    if text and (not text.isdecimal() or len(text) > 18):
        raise ApiError("BadRequest", f"{text[:20]!r} is no number")
    return int(text or 0)
