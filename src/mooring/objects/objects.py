"""The one way to read and write nouns: the cache, admission, and commits to the store."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from mooring.clock import Clock, SystemClock, timestamp
from mooring.crashpoints import crash_point, passing
from mooring.errors import Effect
from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.volume import Volume
from mooring.objects.account import Account, Charged, pooled
from mooring.objects.admission import admitted_create, admitted_subresource, admitted_update
from mooring.objects.cache import Cache, Entry, Shelf
from mooring.objects.documents import decoded, same_content, spliced, stored_form, unspliced
from mooring.objects.errors import AlreadyExists, Forbidden, NotFound, Stale
from mooring.objects.fenced import Fenced
from mooring.objects.freshness import Freshness
from mooring.objects.kind import Doc, Kind, Stamp, nothing
from mooring.objects.quotas import Quotas
from mooring.objects.uids import uids
from mooring.objects.views import overlaid, view
from mooring.rules.garbage import Propagation, deletion_finalizers
from mooring.store.interface import ABSENT, Check, Conflict, Store, Unavailable, Write

V = TypeVar("V", bound=View)

BEFORE_COMMIT: Final = crash_point("objects.before-commit")
AFTER_COMMIT: Final = crash_point("objects.after-commit")
SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes: no words come out
GENERATED_BASE_MAX: Final = 58  # of a generated name, so that it stays a label with its suffix
ANY_VERSION: Final = ("", "0")  # what a write says that does not care
NAME_TRIES: Final = 8  # to find a name that is free, as kube-apiserver
TRIES: Final = 16  # of a change that others' writes get in the way of


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What the object must be for a write to happen; empty is not asked for."""

    uid: str = ""
    resource_version: str = ""

    def refuse(self, kind: Kind, doc: Doc) -> None:
        """Raises Stale if this is not the object that was meant."""
        metadata = doc["metadata"]
        for wanted, found, name in (
            (self.uid, metadata.get("uid"), "UID"),
            (self.resource_version, metadata.get("resourceVersion"), "ResourceVersion"),
        ):
            if wanted and wanted != found:
                why = f"Precondition failed: {name} in precondition: {wanted}, {name} in object "
                raise Stale(kind, metadata["name"], f"{why}meta: {found}")


ANY_OBJECT: Final = Preconditions()
Change = Callable[[Doc], Doc]  # from a copy of the object as it is to the one that is wanted
Beside = Callable[[Doc], Sequence[tuple[View, View]]]  # what changes with a new object


def _alone(_new: Doc) -> Sequence[tuple[View, View]]:
    return ()


class Objects:
    """Every write of an object passes here. Reads come from the cache, which a write waits for."""

    def __init__(
        self,
        store: Store,
        kinds: Iterable[Kind],
        clock: Clock | None = None,
        cache: Cache | None = None,
    ) -> None:
        """cache: of the same store, if there is one already"""
        self.store = store
        self.clock = clock or SystemClock()
        self.kinds = {kind.resource: kind for kind in kinds}
        self.cache = cache or Cache(store, self.kinds.values())
        self._freshness = Freshness(store, self.cache) if store.is_shared else None
        self._account = Account(self.cache, self.kinds, self._commit)
        self.quotas = Quotas(self)
        self._uids = uids()

    async def start(self) -> None:
        """Fill the cache."""
        await self.cache.start()

    async def close(self) -> None:
        """The store stays open; it has its own owner."""
        await self.cache.close()

    def under(self, fence: Check, lost: Callable[[], None]) -> "Objects":
        """The same objects; whatever is written by these holds only while the fence does.

        lost    is told when it does not any more; the write raises NotLeader then
        """
        fenced = Fenced(self.store, fence, lost)
        objects = Objects(fenced, self.kinds.values(), self.clock, self.cache)
        objects._account.take_turns_with(self._account)
        objects.quotas.take_turns_with(self.quotas)
        return objects

    # Reading

    @property
    def schema(self) -> int:
        return self.cache.schema

    async def fresh(self) -> None:
        """Wait until all that was committed by now, by others too, is in the cache.

        Costs nothing where no other writes. Raises Unavailable.
        """
        if self._freshness is not None:
            await self._freshness.reached()

    def shelf(self, kind: Kind) -> Shelf:
        """Where objects of this kind are; those of a second group lie with the first."""
        return self.cache.shelves[kind.stored_as or kind.resource]

    def entry(self, resource: str, key: str) -> Entry | None:
        return self.cache.shelves[resource].get(key)

    def one(self, resource: str, key: str) -> Doc | None:
        """Decoded, or None. A copy of its own."""
        entry = self.entry(resource, key)
        return decoded(entry.body) if entry else None

    def all(self, resource: str) -> list[Doc]:
        """Decoded; for kinds that are few."""
        return [decoded(entry.body) for entry in self.cache.shelves[resource].entries()]

    def inside(self, resource: str, namespace: str) -> list[Doc]:
        """Those of one namespace, decoded; for kinds that are few."""
        return [decoded(entry.body) for entry in self.cache.shelves[resource].entries(namespace)]

    def view(self, type_: type[V], key: str) -> V | None:
        """What Mooring decides on of one object."""
        entry = self.entry(type_.resource, key)
        return view(type_, entry) if entry else None

    def views(self, type_: type[V], namespace: str = "") -> list[V]:
        """Of a whole kind or namespace; not for hot paths."""
        shelf = self.cache.shelves[type_.resource]
        return [view(type_, entry) for entry in shelf.entries(namespace)]

    # Writing

    async def create(
        self,
        kind: Kind,
        namespace: str,
        doc: Doc,
        *,
        dry_run: bool = False,
        note: Stamp = nothing,
        beside: Beside = _alone,
    ) -> Entry:
        """Admit and store a new object. Raises AlreadyExists, Invalid, Forbidden, NotFound.

        doc     changed in place: name, namespace, uid and creationTimestamp are filled in
        note    notes the owners of its fields, see admission
        beside  what changes in the same commit, as `commit` has it, of other kinds; called with the
                new object. Raises Conflict if that is no longer as it was read
        """
        now = timestamp(self.clock.now())
        shelf = self.shelf(kind)
        metadata = doc.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generated_name(
                metadata["generateName"], lambda name: shelf.get(_key(kind, namespace, name))
            )
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
            metadata.pop(field, None)
        metadata["uid"] = next(self._uids)
        metadata["creationTimestamp"] = now
        if kind.namespaced:
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        doc = admitted_create(kind, kind.to_stored(doc), self, now, note)
        key = _key(kind, namespace, metadata["name"])
        if shelf.get(key) is not None:
            raise AlreadyExists(kind, metadata["name"])
        checks = self._home(kind, namespace, metadata["name"])
        stored = stored_form(shelf.kind, doc)
        write = Write(shelf.prefix + key, stored, ABSENT)
        if dry_run:
            self.quotas.refuse(kind, None, doc)
            return Entry(key, stored, 0)  # without a revision, since it has none
        others, unchanged = self._writes(beside(doc))
        try:
            if self._is_charged(kind, namespace):
                held = (*checks, *unchanged)
                revision = await self.quotas.commit(self._commit, [write, *others], held, None, doc)
            elif others or unchanged:
                revision = await self._commit([write, *others], [*checks, *unchanged])
            else:
                revision = await self._commit_charged(write, None, pooled(kind, doc), checks)
        except Conflict as conflict:
            if conflict.key == shelf.prefix + key:
                raise AlreadyExists(kind, metadata["name"]) from conflict
            if conflict.key in {one.key for one in others} | {one.key for one in unchanged}:
                raise
            raise NotFound(self.kinds["namespaces"], namespace) from conflict
        return shelf.written(key, stored, revision)

    def _home(self, kind: Kind, namespace: str, name: str) -> list[Check]:
        """What must hold of the namespace of a new object while it is stored."""
        if not kind.namespaced:
            return []
        home = self.entry("namespaces", namespace)
        if home is None:
            raise NotFound(self.kinds["namespaces"], namespace)
        if b'"deletionTimestamp"' in home.body:
            why = f"unable to create new content in namespace {namespace} because it is being"
            raise Forbidden(kind, name, f"{why} terminated")
        return [Check(f"namespaces/{namespace}", home.revision)]

    async def update(
        self,
        kind: Kind,
        key: str,
        change: Change,
        *,
        subresource: str = "",
        preconditions: Preconditions = ANY_OBJECT,
        dry_run: bool = False,
        note: Stamp = nothing,
    ) -> Entry:
        """Change an object; `change` is called anew when another write came between.

        If `change` returns metadata.resourceVersion, it must be the object's, else Stale.
        An object being deleted whose last finalizer this removes is gone afterwards.
        """
        shelf = self.shelf(kind)
        for _ in range(TRIES):
            entry = self._present(kind, shelf, key)
            old = decoded(entry.body)
            preconditions.refuse(kind, old)
            doc = change(decoded(entry.body))
            wanted = doc["metadata"].get("resourceVersion")
            if wanted not in (None, *ANY_VERSION, str(entry.revision)):
                raise Stale(kind, old["metadata"]["name"])
            now = timestamp(self.clock.now())
            _keep_fixed_metadata(doc, old)
            if subresource:
                doc = admitted_subresource(kind, subresource, doc, old, now, note)
            else:
                doc = admitted_update(kind, doc, old, self, now, note)
            stored = stored_form(shelf.kind, doc)
            if dry_run:
                self.quotas.refuse(kind, old, doc)
                return shelf.entry_of(shelf.prefix + key, stored, entry.revision)
            if same_content(stored, unspliced(entry.body, shelf.offset)):
                return entry
            with suppress(Conflict):
                return await self._replace(shelf, entry, doc, stored)
        raise Stale(kind, key.rpartition("/")[2])

    async def _replace(self, shelf: Shelf, entry: Entry, doc: Doc, stored: bytes) -> Entry:
        metadata = doc["metadata"]
        leaves = "deletionTimestamp" in metadata and not _held(doc)
        write = Write(shelf.prefix + entry.key, None if leaves else stored, entry.revision)
        if not leaves and self._is_charged(shelf.kind, metadata.get("namespace", "")):
            before = decoded(entry.body)
            revision = await self.quotas.commit(self._commit, [write], (), before, doc)
            return shelf.written(entry.key, stored, revision)
        old = pooled(shelf.kind, entry)
        new = None if leaves or old is None else pooled(shelf.kind, doc)
        revision = await self._commit_charged(write, old, new)
        return shelf.written(entry.key, stored, revision)

    async def delete(
        self,
        kind: Kind,
        key: str,
        *,
        preconditions: Preconditions = ANY_OBJECT,
        dry_run: bool = False,
        propagation: Propagation | None = None,
        checks: Sequence[Check] = (),
    ) -> tuple[Entry, bool]:
        """Remove an object, or mark it if finalizers hold it. Returns it, and whether it is gone.

        There is no grace period: Mooring runs no containers that would use it.

        propagation  what becomes of what it owns, see rules.garbage
        checks       what it depends on beside: Conflict if one is not as it was
        """
        if key in kind.kept:
            raise Forbidden(kind, key, f"this {kind.singular} may not be deleted")
        shelf = self.shelf(kind)
        for _ in range(TRIES):
            entry = self._present(kind, shelf, key)
            doc = decoded(entry.body)
            preconditions.refuse(kind, doc)
            metadata = doc["metadata"]
            had = metadata.get("finalizers") or []
            if (finalizers := deletion_finalizers(had, propagation)) != had:
                metadata["finalizers"] = finalizers
            held = _held(doc)
            if dry_run or (held and "deletionTimestamp" in metadata and finalizers == had):
                return entry, not held
            stored = None
            if held:
                if "deletionTimestamp" not in metadata:
                    metadata["deletionTimestamp"] = timestamp(self.clock.now())
                    if kind.generation:  # it is to behave differently from now on
                        metadata["generation"] = metadata.get("generation", 1) + 1
                metadata["deletionGracePeriodSeconds"] = 0
                stored = stored_form(shelf.kind, doc)
            try:
                write = Write(shelf.prefix + key, stored, entry.revision)
                old = pooled(shelf.kind, entry)
                new = old if held else None
                revision = await self._commit_charged(write, old, new, checks)
            except Conflict as conflict:
                if conflict.key in {one.key for one in checks}:
                    raise
                continue
            shown = stored or unspliced(entry.body, shelf.offset)
            body = spliced(shown, shelf.offset, revision)
            return Entry(key, body, revision), not held
        raise Stale(kind, key.rpartition("/")[2])

    async def commit(self, pairs: Sequence[tuple[View, View]], checks: Sequence[Check] = ()) -> int:
        """Store changed views, all or none: [(as read, as wanted)], at most one of a kind.

        What is wanted as it was read is not written, but has to be so still.

        raises  Conflict if an object is no longer as it was read: look at it anew
        """

        def charged() -> Charged:
            writes, unchanged = self._writes(pairs)
            return writes, [*checks, *unchanged]

        writes, held = charged()
        if any(self._account.is_of_pool(one) for one in writes):
            return await self._account.in_turn(charged)
        return await self._commit(writes, held)

    async def commit_each(
        self, several: Sequence[Sequence[tuple[View, View]]]
    ) -> list[Exception | None]:
        """Make commits of changed views, each for itself: what kept it from being stored, if any.

        All are on their way to the store at once, and waited for together. Only those that write
        the account of a pool take turns: else all but one would be in vain.
        """
        begun: list[asyncio.Future[int] | Exception] = []
        errors: list[Exception | None] = []
        in_turn: set[asyncio.Future[int]] = set()
        try:
            for pairs in several:
                try:
                    writes, held = self._writes(pairs)
                    if any(self._account.is_of_pool(one) for one in writes):
                        begun.append(task := asyncio.create_task(self.commit(pairs)))
                        in_turn.add(task)
                    else:
                        begun.append(asyncio.ensure_future(self._begun(writes, held)))
                except (
                    Exception
                ) as error:  # of ours, too: it must not keep others from being stored
                    begun.append(error)
            for one in begun:
                if isinstance(one, Exception):
                    errors.append(one)
                else:
                    errors.append(await self._error(one if one in in_turn else self._done(one)))
        finally:
            for one in begun[len(errors) :]:  # we were cancelled
                if not isinstance(one, Exception):
                    one.cancel()
        return errors

    async def _error(self, begun: Awaitable[int]) -> Exception | None:
        try:
            await begun
        except Exception as error:
            return error
        return None

    def _writes(self, pairs: Sequence[tuple[View, View]]) -> tuple[list[Write], list[Check]]:
        """What has to be written, and what has to be still as it was read. Raises Conflict."""
        writes, unchanged = [], []
        for old, new in pairs:
            shelf = self.cache.shelves[old.resource]
            read = int(old.metadata.resource_version)
            entry = shelf.get(old.key)
            if entry is None or entry.revision != read:
                raise Conflict(shelf.prefix + old.key, read, entry.revision if entry else 0)
            if new == old:
                unchanged.append(Check(shelf.prefix + old.key, read))
                continue
            leaves = new.being_deleted and not new.metadata.finalizers
            value = None if leaves else overlaid(unspliced(entry.body, shelf.offset), old, new)
            writes.append(Write(shelf.prefix + old.key, value, read))
            if isinstance(old, Volume) and old.pool:
                assert isinstance(new, Volume)
                writes += self._account.charge(old, None if leaves else new)
        return writes, unchanged

    def _is_charged(self, kind: Kind, namespace: str) -> bool:
        return kind.resource == Claim.resource and self.quotas.apply_in(namespace)

    async def _commit_charged(
        self, write: Write, old: Volume | None, new: Volume | None, checks: Sequence[Check] = ()
    ) -> int:
        """A write, with what it changes in the account of a pool in the same commit.

        old, new  the volume of a pool before and after the write, None if there is none
        """
        if old is new:
            return await self._commit([write], checks)
        known = self._account.pool_of(old, new) is not None

        def charged() -> Charged:
            if old is None and new is not None and known and not self._account.pool_of(old, new):
                why = f"pool {new.pool} was deleted at the same moment"
                raise Forbidden(self.kinds[Volume.resource], new.name, why)
            return [write, *self._account.charge(old, new)], checks

        return await self._account.in_turn(charged)

    async def _commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        return await self._done(self._begun(writes, checks))

    def _begun(self, writes: Sequence[Write], checks: Sequence[Check]) -> Awaitable[int]:
        passing(BEFORE_COMMIT)
        return self.store.commit(writes, checks)

    async def _done(self, begun: Awaitable[int]) -> int:
        """The revision of a commit once what it did, or what it ran into, is in the cache."""
        try:
            revision = await begun
        except Conflict as conflict:
            # Whoever looks at it anew must not see what just proved to be old.
            await self.cache.caught_up(conflict.found)
            raise
        passing(AFTER_COMMIT)
        try:
            await self.cache.caught_up(revision)
        except Unavailable as error:  # it was done, and nobody here sees what it came to
            error.effect = Effect.UNKNOWN
            raise
        return revision

    def _present(self, kind: Kind, shelf: Shelf, key: str) -> Entry:
        entry = shelf.get(key)
        if entry is None:
            raise NotFound(kind, key.rpartition("/")[2])
        return entry


def _key(kind: Kind, namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if kind.namespaced else name


def generated_name(base: str, taken: Callable[[str], object]) -> str:
    """A name that begins with `base` and is not taken, as far as a few tries can tell."""
    for _ in range(NAME_TRIES):
        suffix = "".join(random.choices(SUFFIX_LETTERS, k=5))
        name = base[:GENERATED_BASE_MAX] + suffix
        if not taken(name):
            break
    return name


def _held(doc: Doc) -> bool:
    """Whether a finalizer keeps it; namespaces have some in their spec."""
    spec = doc.get("spec")
    return bool(doc["metadata"].get("finalizers")) or bool(spec and spec.get("finalizers"))


def _keep_fixed_metadata(doc: Doc, old: Doc) -> None:
    """What a writer may leave out: it stays as it is. What it changes, validation refuses."""
    metadata, kept = doc.setdefault("metadata", {}), old["metadata"]
    if "generation" in kept:  # which only the server counts
        metadata["generation"] = kept["generation"]
    else:
        metadata.pop("generation", None)
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        if field in kept and not metadata.get(field):
            metadata[field] = kept[field]
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):  # nobody takes it back
        if field in kept:
            metadata[field] = kept[field]
