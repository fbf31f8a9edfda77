"""Deletes what has lost all its owners, and lets owners go in the order they were told to.

Source: Kubernetes' garbage collector. An object is looked at when it has owners or is an owner that
is being deleted; nothing is kept of all others.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from mooring.model.metadata import ObjectReference, OwnerReference, View
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import NotFound, Stale
from mooring.objects.kind import Doc, Kind
from mooring.objects.objects import Change, Objects, Preconditions
from mooring.objects.views import view
from mooring.reconcile.queue import Done, Outcome
from mooring.rules.events import WARNING, EventNote
from mooring.rules.garbage import FOREGROUND, ORPHAN, Propagation, Standing, verdict

OWNED: Final = b'"ownerReferences"'  # in the bytes of what has owners
GOING: Final = b'"deletionTimestamp"'  # in the bytes of what is being deleted
COMPONENT: Final = "garbage-collector-controller"
SEPARATOR: Final = "|"  # of resource and key, which have none


class _Dependent(NamedTuple):
    resource: str
    key: str

    @property
    def text(self) -> str:
        return f"{self.resource}{SEPARATOR}{self.key}"


class Garbage:
    """Looks at one object at a time, by its resource and key."""

    def __init__(
        self, objects: Objects, wake: Callable[[str], None], tell: Callable[[EventNote], None]
    ) -> None:
        self._objects, self._wake, self._tell = objects, wake, tell
        self._dependents: defaultdict[str, set[_Dependent]] = defaultdict(set)  # by owner's uid
        self._kinds = {
            (kind.group, kind.kind): kind for kind in objects.kinds.values() if not kind.stored_as
        }
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Take in what is there, and follow."""
        for kind in self._kinds.values():
            shelf = self._objects.cache.shelves[kind.resource]
            changed = partial(self._changed, kind.resource)
            for entry in shelf.entries():
                changed(Event(None, entry, entry.revision, shelf.offset))
            self._unfollow.append(shelf.follow(changed))

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()

    # Events

    def _changed(self, resource: str, event: Event) -> None:
        before, after = event.before, event.after
        if before is not None and (owners := _owners(before)):
            for owner in owners:
                self._file(owner.uid, _Dependent(resource, event.key), there=False)
            if after is not None:
                self._let_go_of(before, after)
        if after is None:
            self._gone(before)
            return
        for owner in _owners(after):
            self._file(owner.uid, _Dependent(resource, event.key), there=True)
        self.look(resource, after)

    def look(self, resource: str, entry: Entry) -> None:
        """Have it looked at, if it is of any concern."""
        if _owners(entry) or _waits_for_dependents(entry):
            self._wake(_Dependent(resource, entry.key).text)

    def _let_go_of(self, before: Entry, after: Entry) -> None:
        """Owners that it does not hold up any longer may have waited for that."""
        holds = {one.uid for one in _owners(after) if one.block_owner_deletion is True}
        for owner in _owners(before):
            if owner.uid not in holds:
                self._wake_owner(owner, _metadata(before).namespace)

    def _file(self, uid: str, dependent: _Dependent, *, there: bool) -> None:
        if there:
            self._dependents[uid].add(dependent)
        else:
            self._dependents[uid].discard(dependent)
            if not self._dependents[uid]:
                del self._dependents[uid]

    def _gone(self, before: Entry | None) -> None:
        """Its dependents may have to go too, and its owners may have waited for it."""
        if before is None:
            return
        if self._dependents:
            for dependent in self._dependents.get(_metadata(before).metadata.uid, ()):
                self._wake(dependent.text)
        for owner in _owners(before):
            self._wake_owner(owner, _metadata(before).namespace)

    def _wake_owner(self, owner: OwnerReference, namespace: str) -> None:
        kind = self._kind_of(owner)
        if kind is not None:
            key = f"{namespace}/{owner.name}" if kind.namespaced else owner.name
            self._wake(_Dependent(kind.resource, key).text)

    # Looks

    async def reconcile(self, text: str) -> Outcome:
        """Let an owner that is being deleted go, or delete what has lost its owners."""
        resource, _, key = text.partition(SEPARATOR)
        entry = self._objects.entry(resource, key)
        if entry is None:
            return Done("it is gone")
        seen = _metadata(entry)
        if seen.being_deleted:
            if seen.has_finalizer(ORPHAN):
                return await self._orphaned(resource, entry)
            if seen.has_finalizer(FOREGROUND):
                return await self._after_its_dependents(resource, entry)
            return Done("it is being deleted")
        return await self._judged(resource, entry)

    async def _judged(self, resource: str, entry: Entry) -> Outcome:
        seen, kind = _metadata(entry), self._objects.kinds[resource]
        owners = [(one, self._standing(one, seen.namespace)) for one in _owners(entry)]
        for owner, how in owners:
            if how is Standing.UNKNOWN and self._kind_of(owner) is not None:
                self._say_out_of_place(kind, seen, owner)
        decided = verdict(owners, has_dependents=bool(self._dependents.get(seen.uid)))
        if decided.foreground and self._in_a_circle(seen.uid):
            await self._unblocked(kind, entry.key, seen.uid)
        if decided.delete:
            policy = Propagation.FOREGROUND if decided.foreground else None
            same = Preconditions(uid=seen.uid)
            with suppress(NotFound, Stale):  # another of this name is looked at on its own
                await self._objects.delete(kind, entry.key, preconditions=same, propagation=policy)
            return Done("deleted: its owners are gone")
        if decided.drop:
            await self._without_owners(kind, entry.key, seen.uid, decided.drop)
            return Done("forgot owners that are gone")
        return Done("it has an owner")

    async def _orphaned(self, resource: str, entry: Entry) -> Outcome:
        """Its dependents lose it as their owner, then it goes."""
        uid = _metadata(entry).uid
        for dependent in list(self._dependents.get(uid, ())):
            found = self._objects.entry(*dependent)
            if found is not None:
                kind, of = self._objects.kinds[dependent.resource], _metadata(found).uid
                await self._without_owners(kind, dependent.key, of, frozenset({uid}))
        await self._let_go(resource, entry, ORPHAN)
        return Done("its dependents stay without it")

    async def _after_its_dependents(self, resource: str, entry: Entry) -> Outcome:
        uid, blocking = _metadata(entry).uid, 0
        for dependent in list(self._dependents.get(uid, ())):
            found = self._objects.entry(*dependent)
            if found is None:
                continue
            blocking += any(
                one.uid == uid and one.block_owner_deletion is True for one in _owners(found)
            )
            if not _metadata(found).being_deleted:
                self._wake(dependent.text)
        if blocking:
            return Done(f"waits for {blocking} dependents")
        await self._let_go(resource, entry, FOREGROUND)
        return Done("its dependents are gone")

    async def _let_go(self, resource: str, entry: Entry, finalizer: str) -> None:
        uid = _metadata(entry).uid

        def freed(doc: Doc) -> Doc:
            finalizers = doc["metadata"].get("finalizers") or []
            doc["metadata"]["finalizers"] = [one for one in finalizers if one != finalizer]
            return doc

        await self._changed_as(self._objects.kinds[resource], entry.key, uid, freed)

    def _in_a_circle(self, uid: str) -> bool:
        """Whether one of its dependents waits for its own dependents, as it would wait itself."""
        found = (self._objects.entry(*one) for one in self._dependents.get(uid, ()))
        seen = (_metadata(one) for one in found if one is not None)
        return any(one.being_deleted and one.has_finalizer(FOREGROUND) for one in seen)

    async def _unblocked(self, kind: Kind, key: str, uid: str) -> None:
        """It holds up no owner any longer."""

        def changed(doc: Doc) -> Doc:
            for owner in doc["metadata"].get("ownerReferences") or ():
                owner["blockOwnerDeletion"] = False
            return doc

        await self._changed_as(kind, key, uid, changed)

    async def _changed_as(self, kind: Kind, key: str, uid: str, change: Change) -> None:
        """Change an object if it is the one that is meant. Raises Stale if others are faster."""
        try:
            await self._objects.update(kind, key, change, preconditions=Preconditions(uid=uid))
        except NotFound:
            return
        except Stale:
            left = self._objects.entry(kind.resource, key)
            if left is not None and _metadata(left).uid == uid:
                raise

    async def _without_owners(self, kind: Kind, key: str, uid: str, lost: frozenset[str]) -> None:
        def changed(doc: Doc) -> Doc:
            owners = doc["metadata"].get("ownerReferences") or []
            kept = [one for one in owners if one.get("uid") not in lost]
            doc["metadata"]["ownerReferences"] = kept
            if not kept:
                del doc["metadata"]["ownerReferences"]
            return doc

        await self._changed_as(kind, key, uid, changed)

    # Owners

    def _standing(self, owner: OwnerReference, namespace: str) -> Standing:
        kind = self._kind_of(owner)
        if kind is None or (kind.namespaced and not namespace):
            return Standing.UNKNOWN
        key = f"{namespace}/{owner.name}" if kind.namespaced else owner.name
        entry = self._objects.entry(kind.resource, key)
        found = _metadata(entry) if entry is not None else None
        if found is None or found.uid != owner.uid:
            return Standing.ABSENT
        if found.being_deleted and found.has_finalizer(FOREGROUND):
            return Standing.WAITING
        return Standing.SOLID

    def _kind_of(self, owner: OwnerReference) -> Kind | None:
        group = owner.api_version.rpartition("/")[0]
        return self._kinds.get((group, owner.kind))

    def _say_out_of_place(self, kind: Kind, seen: View, owner: OwnerReference) -> None:
        about = ObjectReference(
            kind=kind.kind,
            api_version=kind.api_version,
            namespace=seen.namespace,
            name=seen.name,
            uid=seen.uid,
        )
        named = f"{owner.api_version}/{owner.kind}, name: {owner.name}, uid: {owner.uid}"
        message = f'ownerRef [{named}] does not exist in namespace "{seen.namespace}"'
        self._tell(EventNote(about, WARNING, "OwnerRefInvalidNamespace", message, COMPONENT))


class _Any(View, frozen=True):
    """What every object has."""


def _metadata(entry: Entry) -> View:
    """By whatever view of it is at hand."""
    return entry.seen if entry.seen is not None else view(_Any, entry)


def _owners(entry: Entry) -> tuple[OwnerReference, ...]:
    """Most have none. What is not decoded yet need not be for that."""
    if entry.seen is None and OWNED not in entry.body:
        return ()
    return _metadata(entry).metadata.owner_references


def _waits_for_dependents(entry: Entry) -> bool:
    if entry.seen is None and GOING not in entry.body:
        return False
    seen = _metadata(entry)
    return seen.being_deleted and (seen.has_finalizer(FOREGROUND) or seen.has_finalizer(ORPHAN))
