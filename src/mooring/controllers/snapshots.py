"""Brings snapshots and their contents to where they belong: the part of snapshot-controller.

What a content is made of lies on hosts: their agents cut and delete that (node/snapshotting.py).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from mooring.clock import timestamp
from mooring.controllers.recorder import Recorder
from mooring.crashpoints import crash_point, passing
from mooring.model.claim import Claim
from mooring.model.names import CLAIM_AS_SOURCE, CLONING_PROTECTION
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot, SnapshotClass, SnapshotContent
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.index import Index
from mooring.objects.objects import Objects, Preconditions
from mooring.objects.sourced import Waiting
from mooring.objects.views import view
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.snapshots import (
    Decision,
    content_decision,
    content_document,
    snapshot_decision,
    source_decision,
)
from mooring.rules.sources import source_mark

CONTENT_MADE: Final = crash_point("snapshots.content-made")
CONTENT_DELETED: Final = crash_point("snapshots.content-deleted")
UNBOUND: Final = "unbound"  # the mark of snapshots without content


class Snapshots:
    """Answers rules.snapshots.World. Three loops: snapshots, contents, and claims as sources."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder
        self.snapshots = Queue("snapshots", self._look_at_snapshot)
        self.contents = Queue("snapshot contents", self._look_at_content)
        self.sources = Queue("claims as sources", self._look_at_source)
        self.queues = (self.snapshots, self.contents, self.sources)
        self._backoff = Backoff(objects.clock)
        shelves = objects.cache.shelves
        self._index = Index(shelves[Snapshot.resource], _marks)
        self._waiting = Waiting(objects)
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Wake all there is, and follow. The queues are started by whoever has them."""
        follow = (
            (Snapshot, self._snapshot_changed),
            (SnapshotContent, self._content_changed),
            (SnapshotClass, self._class_changed),
            (Claim, self._claim_changed),
        )
        for type_, changed in follow:
            shelf = self._objects.cache.shelves[type_.resource]
            for entry in shelf.entries():
                changed(Event(None, entry, entry.revision, shelf.offset))
            self._unfollow.append(shelf.follow(changed))

    def stop(self) -> None:
        """Follow no longer."""
        for unfollow in self._unfollow:
            unfollow()
        self._index.stop()
        self._waiting.stop()

    # Answers

    def content(self, name: str) -> SnapshotContent | None:
        return self._objects.view(SnapshotContent, name)

    def claim(self, key: str) -> Claim | None:
        return self._objects.view(Claim, key)

    def volume(self, name: str) -> Volume | None:
        return self._objects.view(Volume, name)

    def pool(self, name: str) -> Pool | None:
        return self._objects.view(Pool, name)

    def snapshot_classes(self) -> Sequence[SnapshotClass]:
        return self._objects.views(SnapshotClass)

    def restoring(self, snapshot: Snapshot) -> Sequence[Claim]:
        return self._waiting.claims(Snapshot.kind_name, snapshot.key)

    # Loops

    async def _look_at_snapshot(self, key: str) -> Outcome:
        snapshot = self._objects.view(Snapshot, key)
        if snapshot is None:
            self._backoff.forget(key)
            return Done("the snapshot is gone")
        decision = snapshot_decision(snapshot, self, timestamp(self._objects.clock.now()))
        left_s = self._backoff.left_s(key, snapshot.uid)
        if decision.failed and not decision.writes and left_s > 0:
            return Again(left_s, "it failed, and is tried again later")
        await self._carry_out(snapshot, decision)
        for note in decision.events:
            self._recorder.note(note)
        if decision.failed:
            return Again(self._backoff.failed(key, snapshot.uid), decision.why)
        self._backoff.forget(key)
        return Done(decision.why)

    async def _carry_out(self, snapshot: Snapshot, decision: Decision) -> None:
        if decision.delete is not None:
            await self._delete(decision.delete)
        if decision.making is None:
            if decision.writes:
                await self._objects.commit(decision.writes)
            return
        kind = self._objects.kinds[SnapshotContent.resource]
        doc = content_document(snapshot, decision.making)
        with suppress(AlreadyExists):  # it was made in this moment: it is seen when this is
            await self._objects.create(kind, "", doc, beside=lambda _: decision.writes)
            passing(CONTENT_MADE)

    async def _look_at_content(self, name: str) -> Outcome:
        content = self._objects.view(SnapshotContent, name)
        if content is None:
            return Done("the content is gone")
        snapshot = self._objects.view(Snapshot, content.snapshot_key)
        handle = content.spec.source.volume_handle
        decision = content_decision(content, snapshot, self.volume(handle) if handle else None)
        if decision.writes:
            await self._objects.commit(decision.writes)
        if decision.delete is not None:
            await self._delete(decision.delete)
        return Done(decision.why)

    async def _look_at_source(self, key: str) -> Outcome:
        claim = self._objects.view(Claim, key)
        if claim is None:
            return Done("the claim is gone")
        found = (self._objects.view(Snapshot, one) for one in self._index.keys(f"claim {key}"))
        snapshots = [one for one in found if one is not None]
        clones = self._waiting.claims(Claim.kind_name, key)
        decision = source_decision(claim, snapshots, clones)
        if decision.writes:
            await self._objects.commit(decision.writes)
        return Done(decision.why)

    async def _delete(self, content: SnapshotContent) -> None:
        kind, same = self._objects.kinds[SnapshotContent.resource], Preconditions(uid=content.uid)
        with suppress(NotFound):
            await self._objects.delete(kind, content.name, preconditions=same)
        passing(CONTENT_DELETED)

    # What wakes them

    def _snapshot_changed(self, event: Event) -> None:
        self.snapshots.add(event.key)
        entry = event.after or event.before
        assert entry is not None
        snapshot = view(Snapshot, entry)
        if snapshot.claim_key:
            self.sources.add(snapshot.claim_key)
        if event.after is None:
            for name in {snapshot.content_name, snapshot.named_content, snapshot.made_content_name}:
                if name:
                    self.contents.add(name)

    def _content_changed(self, event: Event) -> None:
        self.contents.add(event.key)
        for entry in (event.before, event.after):
            if entry is not None:
                self._try(view(SnapshotContent, entry).snapshot_key)
        for key in self._index.keys(f"content {event.key}"):
            self._try(key)

    def _class_changed(self, _: Event) -> None:
        for key in self._index.keys(UNBOUND):
            self._try(key)

    def _claim_changed(self, event: Event) -> None:
        for entry in (event.before, event.after):
            if entry is None:
                continue
            claim = view(Claim, entry)
            if claim.has_finalizer(CLAIM_AS_SOURCE) or claim.has_finalizer(CLONING_PROTECTION):
                self.sources.add(event.key)
            kind, _, key = source_mark(claim).partition(" ")
            if kind == Claim.kind_name:
                self.sources.add(key)
            elif kind == Snapshot.kind_name:
                self._try(key)
        for key in self._index.keys(f"claim {event.key}"):
            if _is_unbound(self._objects.entry(Snapshot.resource, key)):
                self._try(key)

    def _try(self, snapshot_key: str) -> None:
        """What it failed for may be different now."""
        self._backoff.forget(snapshot_key)
        self.snapshots.add(snapshot_key)


def _is_unbound(entry: Entry | None) -> bool:
    return entry is not None and not view(Snapshot, entry).content_name


def _marks(entry: Entry) -> Iterable[str]:
    snapshot = view(Snapshot, entry)
    if snapshot.claim_key:
        yield f"claim {snapshot.claim_key}"
    for name in {snapshot.named_content, snapshot.content_name} - {""}:
        yield f"content {name}"
    if not snapshot.content_name:
        yield UNBOUND
