"""Docker's containers of this host, mirrored as Pods of the claims they use. Docker volumes §11.

So kubectl shows who uses a claim, and a claim that is deleted stays until its containers are gone.
The engine is asked anew whenever it tells of a change; what it says then is what counts.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Final, NamedTuple

from mooring.clock import timestamp
from mooring.engine.connection import DEADLINE_S
from mooring.engine.container import Container
from mooring.engine.engine import Engine
from mooring.engine.errors import EngineAway
from mooring.model.pod import MIRROR, Pod
from mooring.node.mirrors import (
    CONTAINER_ID,
    MOUNT_ID,
    Mirrored,
    dated,
    mirror_of_id,
    mirrors_of,
)
from mooring.objects.cache import Entry
from mooring.objects.errors import NotFound, ObjectError
from mooring.objects.index import Index
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.use import KEPT_S

log = logging.getLogger(__name__)

SETTLE_S: Final = 0.05  # after a change: starting a container is several of them
EVERY_S: Final = 60.0  # all containers, whether anything told of them or not
LATE_S: Final = 0.25  # when a list says what was before a change that was told already
RETRY_S: Final = 5.0  # when the engine did not answer
START_WITHIN_S: Final = 1.0  # of the first look; an engine that starts later is found then
CHANGED_AT_MOST: Final = 100  # containers to be asked for by their ids; beyond that all are
AT_ONCE: Final = 64  # writes, which share a commit to disk

# States that a container cannot be in any more after what was told of it last.
OUTDATED: Final[Mapping[str, tuple[str, ...]]] = {
    "die": ("running", "paused"),
    "stop": ("running", "paused", "restarting"),
    "pause": ("running",),
    "unpause": ("paused",),
}

ALL: Final = "all containers"  # the keys of the queue
CHANGED: Final = "changed containers"
# What mirrors are found by: with the key of a claim, or the id of a container.
ANY, OF_CLAIM, OF_CONTAINER = "any", "claim ", "container "


class User(NamedTuple):
    """A container that has a claim, running or not."""

    container: str  # its name
    path: str  # in the container
    read_only: bool
    state: str  # created, running, paused, restarting, removing, exited, dead


class Mirror:
    """Keeps the Pods of one node's containers, and only those.

    Where the engine never answered, each ID that was given a volume has a Pod instead.
    """

    def __init__(
        self,
        objects: Objects,
        engine: Engine | None,
        node: str,
        key_of: Callable[[str], str | None],
        ids: Callable[[], Iterable[tuple[str, str]]] | None = None,
        changed: Callable[[str], None] = lambda claim: None,
    ) -> None:
        """
        key_of  the claim, "namespace/name", of what Docker calls a volume; None if it is none
        ids     (claim, ID) of all that have a volume now; without it an ID counts until `taken`
        changed is told of each claim of a container that came, went, or is in another state
        """
        self._objects, self._engine, self._node = objects, engine, node
        self._key_of, self._ids = key_of, ids
        self._known, self._tell = _Known(key_of), changed
        self._index = Index(objects.cache.shelves[Pod.resource], self._marks)
        self._changed: dict[str, str] = {}  # what was told last, by the id of a container
        self._given: dict[tuple[str, str], float] = {}  # (claim, ID): when, by the monotonic clock
        self._refused: dict[str, str] = {}  # Pods that could not be written, and why
        self._sees = False  # whether the engine answered last, and tells of changes
        self._has_seen = False
        # What was asked of the engine later must not be overwritten by what was asked before.
        self._turn = asyncio.Lock()
        self.queue = Queue("containers", self._looked_at)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The Pods are in line with the containers when this returns, if the engine answers."""
        try:
            async with asyncio.timeout(START_WITHIN_S):
                found = await self._engine.containers() if self._engine else None
        except (EngineAway, TimeoutError) as error:
            log.warning("containers are mirrored once the engine answers: %s", error)
            found = None
        await (self._mirror_ids() if found is None else self._mirror_all(found))
        self.queue.start()
        self.queue.add_after(ALL, EVERY_S)
        if self._engine is not None:
            self._following = asyncio.create_task(self._engine.follow(self), name="containers")

    async def stop(self) -> None:
        """Pods stay, as containers do. Whoever made the engine stops it."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.queue.stop()
        self._index.stop()

    def users_of(self, claim_key: str) -> list[User]:
        """The containers of this host that have a claim, as they were last seen."""
        return self._known.users_of(claim_key)

    def refused(self) -> dict[str, str]:
        """Pods that a container ought to have, by key, and why each could not be written."""
        return dict(self._refused)

    async def refresh(self, volume: str, *, tries: int = 1, within_s: float = DEADLINE_S) -> bool:
        """Ask for the containers of one volume anew; their Pods are in line when this returns.

        volume    as Docker calls it
        tries     how often to ask, and within_s for how long each time, until it answers
        returns   whether the engine answered; if not, what was known stays
        """
        for _ in range(tries if self._engine is not None else 0):
            try:
                await self._refresh(volume, within_s)
            except EngineAway as error:
                log.warning("containers of volume %r are as they were: %s", volume, error)
            else:
                return True
        return False

    async def _refresh(self, volume: str, within_s: float) -> None:
        assert self._engine is not None
        async with self._turn:
            found = await self._engine.containers(volume, within_s=within_s)
            key = self._key_of(volume)
            ids = {one.id for one in found} | self._known.ids_of(key or "")
            ids |= {_container_of(pod) for pod in self._mirrors(f"{OF_CLAIM}{key}")}
            await self._bring(found, ids - {""})

    async def given(self, claim_key: str, id_: str) -> None:
        """An ID is given a claim: a Pod stands for it unless its container can be seen."""
        if self._sees:
            return
        self._given[claim_key, id_] = self._objects.clock.monotonic_s()
        await self._put(mirror_of_id(claim_key, id_, self._node))
        if self._sees:  # since a moment ago, and what removes such Pods has looked before
            await self.taken(claim_key, id_)

    async def taken(self, claim_key: str, id_: str) -> None:
        """An ID gave a claim back. May be repeated."""
        self._given.pop((claim_key, id_), None)
        mirrored = mirror_of_id(claim_key, id_, self._node)
        if self._objects.entry(Pod.resource, mirrored.key) is not None:
            await self._remove(mirrored.key)

    # What the engine tells

    def connected(self) -> None:
        self._changed.clear()
        self.queue.add(ALL)

    def changed(self, container_id: str, action: str) -> None:
        self._changed[container_id] = action
        self.queue.add_after(CHANGED, SETTLE_S)

    def lost(self) -> None:
        self._sees = False

    # What is looked at

    async def _looked_at(self, key: str) -> Outcome:
        if self._engine is None:
            await self._mirror_ids()
            return Again(EVERY_S, "there is no engine to ask")
        told, self._changed = self._changed, {}
        try:
            async with self._turn:
                if key == ALL or len(told) > CHANGED_AT_MOST:
                    found = await self._engine.containers()
                    await self._mirror_all(found)
                elif told:
                    found = await self._engine.containers(ids=told)
                    await self._bring(found, told.keys())
                else:
                    return Done("looked at already")
        except EngineAway as error:
            self._changed = told | self._changed
            self._sees = False
            if not self._has_seen:
                await self._mirror_ids()
            self.queue.add_after(ALL, RETRY_S)
            return Done(str(error))
        except BaseException:  # it is tried again, and must find what it was told of
            self._changed = told | self._changed
            raise
        self._wait_for_late(found, told)
        return Again(EVERY_S, "looked at") if key == ALL else Done("looked at")

    def _wait_for_late(self, found: list[Container], told: Mapping[str, str]) -> None:
        """Have those looked at again that were listed as they were before a change."""
        late = {
            one.id: told[one.id]
            for one in found
            if one.state in OUTDATED.get(told.get(one.id, ""), ())
        }
        if late:
            self._changed = late | self._changed  # what was told meanwhile counts more
            self.queue.add_after(CHANGED, LATE_S)

    async def _mirror_all(self, found: list[Container]) -> None:
        self._sees = self._has_seen = True
        self._given.clear()
        for key in self._known.replaced_by(found):  # perhaps while nobody told of it
            self._tell(key)
        wanted = self._wanted(found)
        await self._write(wanted, {pod.key for pod in self._mirrors()})
        keys = {one.key for one in wanted}
        self._refused = {key: why for key, why in self._refused.items() if key in keys}

    async def _bring(self, found: list[Container], ids: Set[str]) -> None:
        """Take in what became of these containers: those found, the others are gone."""
        claims = {key for id_ in ids for key in self._known.claims_of(id_)}
        for id_ in ids:
            self._known.drop(id_)
        for one in found:
            self._known.put(one)
        for key in claims.union(*(self._known.claims_of(one.id) for one in found)):
            self._tell(key)
        there = {pod.key for id_ in ids for pod in self._mirrors(f"{OF_CONTAINER}{id_}")}
        await self._write(self._wanted(found), there)

    async def _mirror_ids(self) -> None:
        """For want of containers. With no engine at all nobody will ever see those of before."""
        if self._ids is None:
            return
        now_s = self._objects.clock.monotonic_s()
        self._given = {
            pair: since_s for pair, since_s in self._given.items() if now_s - since_s < KEPT_S
        }
        pairs = {*self._ids(), *self._given}
        wanted = [mirror_of_id(key, id_, self._node) for key, id_ in sorted(pairs)]
        there = {
            pod.key
            for pod in self._mirrors()
            if self._engine is None or MOUNT_ID in pod.annotations
        }
        await self._write(wanted, there)

    def _wanted(self, containers: Iterable[Container]) -> list[Mirrored]:
        return [
            mirrored
            for container in containers
            for mirrored in mirrors_of(container, self._node, self._key_of)
        ]

    def _mirrors(self, mark: str = ANY) -> list[Pod]:
        """Of this node, as they are now."""
        found = (self._objects.view(Pod, key) for key in self._index.keys(mark))
        return [pod for pod in found if pod is not None]

    def _marks(self, entry: Entry) -> list[str]:
        """What a mirror of this node is found by."""
        if MIRROR not in entry.labels:
            return []
        pod = view(Pod, entry)
        if pod.node_name != self._node:
            return []
        of_claims = (f"{OF_CLAIM}{pod.namespace}/{name}" for name in pod.named_claims)
        return [ANY, f"{OF_CONTAINER}{_container_of(pod)}", *of_claims]

    # What is written

    async def _write(self, wanted: list[Mirrored], there: set[str]) -> None:
        """Have these Pods, and none of those there beside them.

        New ones first: a container that was renamed must not let go of its claims in between.
        """
        for start in range(0, len(wanted), AT_ONCE):
            await asyncio.gather(*map(self._put, wanted[start : start + AT_ONCE]))
        gone = sorted(there - {one.key for one in wanted})
        for start in range(0, len(gone), AT_ONCE):
            await asyncio.gather(*map(self._remove, gone[start : start + AT_ONCE]))

    async def _put(self, wanted: Mirrored) -> None:
        """Write what differs. What is refused is tried again at the next look at all."""
        kind = self._objects.kinds[Pod.resource]
        try:
            doc = self._objects.one(Pod.resource, wanted.key)
            if doc is None:
                new = {part: dict(wanted.doc[part]) for part in wanted.doc}
                await self._objects.create(kind, wanted.namespace, new)
                doc = {"status": {"phase": "Pending"}}
            elif MIRROR not in (doc["metadata"].get("labels") or {}):
                self._note_refusal(wanted.key, "a Pod of that name is there, which is no mirror")
                return
            elif not _is_like(doc, wanted.doc):
                await self._objects.update(
                    kind, wanted.key, lambda old: _made_like(old, wanted.doc)
                )
            now = timestamp(self._objects.clock.now())
            status = dated(wanted.status, doc.get("status") or {}, now)
            if doc.get("status") != status:
                change = {"status": status}
                await self._objects.update(
                    kind, wanted.key, lambda old: old | change, subresource="status"
                )
        except ObjectError as error:  # its namespace is being deleted, or was never made
            self._note_refusal(wanted.key, str(error))
        else:
            self._refused.pop(wanted.key, None)

    async def _remove(self, key: str) -> None:
        try:
            await self._objects.delete(self._objects.kinds[Pod.resource], key)
        except NotFound:
            log.debug("pod %s is gone already", key)
        self._refused.pop(key, None)

    def _note_refusal(self, key: str, why: str) -> None:
        """Once, not at each look."""
        if self._refused.get(key) != why:
            self._refused[key] = why
            log.warning("a container has no pod %s: %s", key, why)


class _Known:
    """Containers as they were last seen, found by the claims they have."""

    def __init__(self, key_of: Callable[[str], str | None]) -> None:
        self._key_of = key_of
        self._users: dict[str, dict[str, list[User]]] = {}  # by claim, by id of a container
        self._claims: dict[str, set[str]] = {}  # by id of a container

    def put(self, container: Container) -> None:
        for mount in container.mounts:
            if key := self._key_of(mount.volume):
                user = User(container.name, mount.target, mount.read_only, container.state)
                self._users.setdefault(key, {}).setdefault(container.id, []).append(user)
                self._claims.setdefault(container.id, set()).add(key)

    def claims_of(self, id_: str) -> Set[str]:
        return self._claims.get(id_, frozenset())

    def drop(self, id_: str) -> None:
        for key in self._claims.pop(id_, ()):
            del self._users[key][id_]
            if not self._users[key]:
                del self._users[key]

    def replaced_by(self, all_: Iterable[Container]) -> list[str]:
        """Take in that these are all there are. Returns the claims of those that changed."""
        before, self._users, self._claims = self._users, {}, {}
        for one in all_:
            self.put(one)
        keys = before.keys() | self._users.keys()
        return [key for key in keys if before.get(key) != self._users.get(key)]

    def ids_of(self, claim_key: str) -> set[str]:
        return set(self._users.get(claim_key, ()))

    def users_of(self, claim_key: str) -> list[User]:
        return [user for users in self._users.get(claim_key, {}).values() for user in users]


def _container_of(pod: Pod) -> str:
    """The id of its container, "" if it mirrors an ID."""
    return pod.annotations.get(CONTAINER_ID, "")


def _is_like(doc: Doc, wanted: Doc) -> bool:
    """Whether a stored Pod has all that is wanted of it; it may have more."""
    has, wants = doc["metadata"], wanted["metadata"]
    parts = ("labels", "annotations")
    metadata_is = all((has.get(part) or {}).items() >= wants[part].items() for part in parts)
    return metadata_is and doc["spec"].items() >= wanted["spec"].items()


def _made_like(doc: Doc, wanted: Doc) -> Doc:
    """The same with what is wanted of it, in place."""
    for part in ("labels", "annotations"):
        doc["metadata"][part] = {**(doc["metadata"].get(part) or {}), **wanted["metadata"][part]}
    doc["spec"].update(wanted["spec"])
    return doc
