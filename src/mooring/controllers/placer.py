"""Says which host makes the volume of a claim that waits for no consumer: the one with most room.

It writes the host's name to the claim (`mooring.dev/maker`). A host that cannot make it takes its
name away again, and another one is chosen.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from mooring.controllers.recorder import Recorder
from mooring.model.backup import BackupRepository, VolumeArchive, VolumeBackup
from mooring.model.claim import Claim
from mooring.model.names import MAKER
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Error, Outcome, Queue, Step
from mooring.rules.events import WARNING, EventNote
from mooring.rules.filling import own_source
from mooring.rules.placing import Place, Rooms, takes
from mooring.rules.pool_room import has_news
from mooring.rules.sources import source_of

LOOK_AGAIN_S: Final = 300.0  # at a claim that no host can make, if nothing is heard before
TOGETHER_S: Final = 0.2  # pools change in numbers: those that wait are looked at once for all
ANYTHING: Final = ("", 0)  # what a claim waits for of which no room is known to be lacking


class Placer:
    """Knows what it has promised of each pool, until that is in the pool's own account."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder
        self.queue = Queue("placer", self.reconcile, objects.commit_each)
        self._rooms = Rooms()
        self._promised: dict[str, tuple[str, Quantity]] = {}  # claim → pool, how much of it
        # Claims without a volume that no host is to make: a driver, and the room that is lacking.
        self._waiting: dict[str, tuple[str, int]] = {}
        self._told: dict[str, str] = {}  # claim → why no host can make it
        self._refused: dict[str, set[str]] = {}  # claim → hosts that tried
        self._hurry: asyncio.TimerHandle | None = None
        self._all_of_them = False  # are in a hurry, not only those for which there may be room
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Look at all claims without a volume, then at each that changes."""
        shelves = self._objects.cache.shelves
        for entry in shelves[Node.resource].entries():
            self._rooms.put_node(entry.key, view(Node, entry))
        for entry in shelves[Pool.resource].entries():
            self._rooms.put_pool(entry.key, view(Pool, entry))
        for entry in shelves[Claim.resource].entries():
            self._look(entry)
        follow = {
            Claim.resource: self._claim_changed,
            Volume.resource: self._volume_changed,
            Pool.resource: self._pool_changed,
            Node.resource: self._node_changed,
            StorageClass.resource: lambda _: self._hurries(all_of_them=True),
        }
        self._unfollow = [shelves[name].follow(changed) for name, changed in follow.items()]

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        if self._hurry is not None:
            self._hurry.cancel()

    # What wakes it

    def _look(self, entry: Entry) -> None:
        claim = view(Claim, entry)
        if claim.provisioner and not claim.volume_name:
            self.queue.add(entry.key)

    def _claim_changed(self, event: Event) -> None:
        if event.after is None or view(Claim, event.after).volume_name:
            self._forget(event.key)
            return
        before = view(Claim, event.before) if event.before is not None else None
        host = before.annotations.get(MAKER, "") if before is not None else ""
        if host and MAKER not in view(Claim, event.after).annotations:
            self._refused.setdefault(event.key, set()).add(host)
        self._look(event.after)

    def _volume_changed(self, event: Event) -> None:
        """What is made is in its pool's account from then on."""
        if event.before is None and event.after is not None:
            ref = view(Volume, event.after).claim_ref
            if ref is not None:
                self._settle(ref.key)

    def _pool_changed(self, event: Event) -> None:
        before = view(Pool, event.before) if event.before is not None else None
        after = view(Pool, event.after) if event.after is not None else None
        self._rooms.put_pool(event.key, after)
        was_bad, is_bad = (one is not None and one.is_known_bad for one in (before, after))
        if after is None or (is_bad and not was_bad):
            self._placed_anew(event.key)
        if before is None or after is None or before.spec != after.spec or was_bad:
            self._hurries(all_of_them=True)
        elif has_news(before, after):
            self._hurries()

    def _node_changed(self, event: Event) -> None:
        before, after = (
            view(Node, one) if one is not None else None for one in (event.before, event.after)
        )
        self._rooms.put_node(event.key, after)
        if takes(before) and not takes(after):  # others may have to make what it was to make
            for pool in self._objects.views(Pool):
                if pool.node == event.key:
                    self._placed_anew(pool.name)
        labels = before.labels if before is not None else None
        if takes(after) and after is not None and not (takes(before) and labels == after.labels):
            self._hurries(all_of_them=True)

    def _placed_anew(self, pool: str) -> None:
        """Another host may have to make what one was to make from this pool."""
        for key, (promised, _) in self._promised.items():
            if promised == pool:
                self.queue.add(key)

    def _hurries(self, *, all_of_them: bool = False) -> None:
        self._all_of_them |= all_of_them
        if self._hurry is None and self._waiting:
            loop = asyncio.get_running_loop()
            self._hurry = loop.call_later(TOGETHER_S, self._look_at_waiting)

    def _look_at_waiting(self) -> None:
        self._hurry, all_of_them = None, self._all_of_them
        self._all_of_them = False
        for key, (driver, lacking) in self._waiting.items():
            if all_of_them or (driver and self._rooms.may_have(driver, lacking)):
                self.queue.add(key)

    # What it decides

    def reconcile(self, key: str) -> Outcome | Step:
        """Choose a host for one claim, if that is to be chosen."""
        claim = self._objects.view(Claim, key)
        if claim is None or claim.volume_name or claim.was_bound or claim.being_deleted:
            self._forget(key)
            return Done("nothing to place")
        self._waiting[key] = ANYTHING
        class_ = self._objects.view(StorageClass, claim.class_name)
        if why := self._of_no_matter(claim, class_):
            self._settle(key)
            return Done(why)
        assert class_ is not None
        maker = claim.annotations.get(MAKER, "")
        if maker and (pool := self._rooms.pool_at(maker, class_.provisioner)) is not None:
            self._promise(claim, pool.name)
            return Done(f"{maker} makes it")
        self._settle(key)
        refused = self._refused.get(key, frozenset[str]())
        found = self._rooms.best(claim, class_, refused, self._only(claim))
        if not found.node:
            return self._none(claim, found)
        self._promise(claim, found.pool)
        chosen = claim.annotated(**{MAKER: found.node})
        return Step(f"{found.node} is to make it", [(claim, chosen)], partial(self._written, key))

    def _of_no_matter(self, claim: Claim, class_: StorageClass | None) -> str:
        """Why no host is to be chosen for it, "" if one is."""
        if class_ is None or claim.provisioner != class_.provisioner:
            return "not ours"
        if class_.waits_for_consumer or class_.pool:
            return "its consumer chooses, or its class"
        if not self._rooms.has_several(class_.provisioner):
            return "there is one host that can make it"
        if source_of(claim) is not None and own_source(claim) is None:
            return "it is made where its source is"
        return ""

    def _only(self, claim: Claim) -> str:
        """The host on which what it is to be filled from lies, "" if any can read it."""
        if (source := own_source(claim)) is None:
            return ""
        key = f"{claim.namespace}/{source.name}"
        if source.kind == VolumeArchive.kind_name:
            archive = self._objects.view(VolumeArchive, key)
            return archive.spec.node if archive is not None else ""
        backup = self._objects.view(VolumeBackup, key)
        kept = self._objects.view(BackupRepository, backup.repository_key) if backup else None
        return kept.spec.node if kept is not None else ""

    def _none(self, claim: Claim, found: Place) -> Outcome:
        self._waiting[claim.key] = claim.provisioner, claim.request.nanos
        why = f"no host can make the volume: {found.why}"
        if self._told.get(claim.key) != why:
            self._told[claim.key] = why
            about, component = claim.reference(), claim.provisioner
            note = EventNote(about, WARNING, "ProvisioningFailed", why, component)
            self._recorder.note(note)
        return Again(LOOK_AGAIN_S, why)

    def _written(self, key: str, error: Error) -> None:
        if error is not None:
            self._settle(key)

    # What is promised

    def _promise(self, claim: Claim, pool: str) -> None:
        self._settle(claim.key)
        self._promised[claim.key] = pool, claim.request
        self._rooms.promise(pool, claim.request)
        self._waiting.pop(claim.key, None)

    def _settle(self, key: str) -> None:
        """It is taken by now, or never will be."""
        if (promise := self._promised.pop(key, None)) is not None:
            pool, size = promise
            self._rooms.promise(pool, Quantity(-size.nanos))
            self._hurries()

    def _forget(self, key: str) -> None:
        self._settle(key)
        self._waiting.pop(key, None)
        self._told.pop(key, None)
        self._refused.pop(key, None)
