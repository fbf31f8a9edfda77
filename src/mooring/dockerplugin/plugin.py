"""What Docker asks of a volume plugin, answered from claims. Docker volumes §2, §6, §7, §11."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from mooring.dockerplugin.catalogue import Catalogue, Shown
from mooring.dockerplugin.creating import NONE, Creator
from mooring.dockerplugin.errors import (
    BadRequest,
    NoSuchCall,
    StillDeleting,
    UnknownVolume,
    VolumeInUse,
    said,
)
from mooring.dockerplugin.names import DockerName, Namespaces, claim_named
from mooring.dockerplugin.options import Options, raise_all, read
from mooring.dockerplugin.status import status
from mooring.dockerplugin.transport import Request
from mooring.dockerplugin.unanswered import Unanswered
from mooring.engine.engine import Engine
from mooring.errors import MooringError
from mooring.host.processes import Process
from mooring.model.claim import Claim
from mooring.model.names import ONE_CONTAINER, RECLAIM, UNANSWERED, Phase
from mooring.model.node import Node
from mooring.model.volume import Volume
from mooring.node.containers import Mirror
from mooring.node.errors import MountsNotVisible
from mooring.node.ids import OURS
from mooring.node.published import Publisher
from mooring.node.usage import Usages
from mooring.node.use import Users
from mooring.node.waiting import Waiting
from mooring.objects.cache import Event
from mooring.objects.errors import NotFound
from mooring.objects.objects import Objects, Preconditions
from mooring.objects.views import view
from mooring.reconcile.queue import Done, Outcome, Queue
from mooring.rules.protection import holders

log = logging.getLogger(__name__)

Answer = dict[str, object]
MOUNT_WITHIN_S: Final = 90.0  # of the 100 s that a Mount may take here; dockerd waits for 120 s
GONE_WITHIN_S: Final = 40.0  # likewise of 45 s and 60 s; what was waited for before is of it
ENGINE_WITHIN_S: Final = 15.0  # a Remove, each time it asks Docker who has the volume
LONGEST_ID: Final = 4096
HAS_IT: Final = frozenset({"running", "paused"})  # not one that restarts: it may be it who asks


class Plugin:
    """One host's. Calls for one volume come in parallel; what must not is kept apart by locks."""

    gone_within_s = GONE_WITHIN_S

    def __init__(
        self,
        objects: Objects,
        users: Users,
        publisher: Publisher,
        waiting: Waiting,
        mirror: Mirror,
        namespaces: Namespaces,
        node: str,
        engine: Engine | None = None,
        usages: Usages | None = None,
    ) -> None:
        self._usages = usages
        self._objects, self._users, self._publisher = objects, users, publisher
        self._waiting, self._mirror = waiting, mirror
        self._namespaces, self._node = namespaces, node
        self.catalogue = Catalogue(objects, namespaces)
        self._creator = Creator(objects, self.catalogue, waiting, namespaces, node)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by claim
        # Of Mounts alone, which may take long: nobody else is to wait for them.
        self._mounting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.unanswered = Unanswered(objects, engine, namespaces, node)
        self.reclaims = Queue("docker reclaim", self._reclaimed)  # by claim
        self._seeing: dict[int, bool] = {}  # processes that were asked whether they see our mounts
        # IDs of who has what one container may have, by claim; and which of them are his for want
        # of another.
        self._had: dict[str, set[str]] = {}
        self._supposed: dict[str, set[str]] = {}
        self._unfollow: Callable[[], None] | None = None
        self._calls = {
            "Create": self._create,
            "Get": self._get,
            "List": self._list,
            "Remove": self._remove,
            "Mount": self._mount,
            "Unmount": self._unmount,
            "Path": self._path,
            "Capabilities": self._capabilities,
        }

    async def start(self) -> None:
        """Know all claims; nothing is answered before."""
        self.catalogue.start()
        shelf = self._objects.cache.shelves[Claim.resource]
        for entry in shelf.entries():
            self._look_for_reclaim(Event(None, entry, entry.revision, shelf.offset))
        self._unfollow = shelf.follow(self._look_for_reclaim)
        self.reclaims.start()
        self.unanswered.start()

    async def stop(self) -> None:
        if self._unfollow is not None:
            self._unfollow()
        await self._creator.stop()
        await self.unanswered.stop()
        await self.reclaims.stop()
        self.catalogue.stop()

    async def activated(self, peer_pid: int | None) -> None:
        """A dockerd is new here: what the one before it was given is looked at again."""
        self._seeing.clear()
        try:
            await self._users.ids.new_epoch()
        except MooringError as error:  # a full disk: Docker must not lose its volumes for a number
            log.warning("a new dockerd is not noted: %s", error)
        self._users.look_at_all(peer_pid)
        self.unanswered.look()
        if peer_pid is not None and not await self._sees(peer_pid):
            log.warning("dockerd pid=%d does not see mounts made here", peer_pid)

    async def answer(self, call: str, request: Request, peer_pid: int | None) -> Answer:
        """One call. Raises MooringError, which becomes its Err."""
        if call not in self._calls:
            raise NoSuchCall(call)
        if peer_pid is not None and self._users.engine is None:  # Mooring is new, and not dockerd
            self._users.engine = Process.of(peer_pid)
        if call == "Mount" and peer_pid is not None and not await self._sees(peer_pid):
            root = str(self._publisher.root)
            raise MountsNotVisible(said(request.name), root, self._node, peer_pid)
        return await self._calls[call](request)

    def delivered(self, call: str, request: Request) -> None:
        """Docker knows of what was made for it."""
        if (wanted := self._created_unnamed(call, request)) is not None:
            self.unanswered.answered(wanted.key)

    async def undelivered(self, call: str, request: Request) -> None:
        """Docker does not know of this answer: what it was given is taken back.

        A claim that has a name stays. It is found by that when it is asked for again.
        """
        if call == "Mount":
            await self._unmount(request)
        elif (wanted := self._created_unnamed(call, request)) is not None:
            await self.unanswered.lost(wanted.key)

    def _created_unnamed(self, call: str, request: Request) -> DockerName | None:
        with suppress(MooringError):
            if call == "Create" and (wanted := claim_named(request.name, self._namespaces)):
                return wanted if wanted.is_anonymous else None
        return None

    # The calls

    async def _create(self, request: Request) -> Answer:
        options, errors = read(request.options)
        try:
            wanted = claim_named(request.name, self._namespaces)
        except MooringError as error:
            raise_all([error, *errors])
            raise
        if errors:  # what is wrong with the others by what there is, is said as well
            errors += self._creator.refusals(wanted, options, errors)
            raise_all(errors)
        await self.create(wanted, options, {UNANSWERED: "true"} if wanted.is_anonymous else NONE)
        return {}

    async def create(
        self, wanted: DockerName, options: Options, annotations: Mapping[str, str] = NONE
    ) -> None:
        """Make a claim, as Creator.create; one call at a time about one name."""
        async with self._turn(wanted.key):
            await self._creator.create(wanted, options, annotations)

    async def _get(self, request: Request) -> Answer:
        shown = self._shown(request.name)
        described = self._described(shown, self._mountpoint(shown))
        described["Status"] = self._status(shown)
        return {"Volume": described}

    async def _list(self, request: Request) -> Answer:
        """Without those that are being created or removed here: `docker volume ls`, and dockerd's
        start, would wait for that call."""
        paths = self._users.mounting.paths()
        return {
            "Volumes": [
                self._described(shown, str(paths.get(shown.volume, "")))
                for shown in self.catalogue.all()
                if not self._is_changing(shown.key)
            ]
        }

    async def _path(self, request: Request) -> Answer:
        return {"Mountpoint": self._mountpoint(self._shown(request.name))}

    async def _mount(self, request: Request) -> Answer:
        shown, user = self._shown(request.name), _id_of(request)
        claim = self._objects.view(Claim, shown.key)
        if claim is None or claim.modes != ONE_CONTAINER:
            return await self._given(shown, user)
        async with self._mounting.setdefault(shown.key, asyncio.Lock()):
            await self._refuse_second(shown, user)
            return await self._given(shown, user)

    async def _given(self, shown: Shown, user: str) -> Answer:
        await self._mirror.given(shown.key, user)
        try:
            mounted = await self._users.give(shown.key, user, MOUNT_WITHIN_S)
        except MooringError:
            await self._mirror.taken(shown.key, user)
            raise
        return {"Mountpoint": str(mounted.path)}

    async def _unmount(self, request: Request) -> Answer:
        """Success also for a claim that is gone: its mount is found by the name it had."""
        wanted, user = claim_named(request.name, self._namespaces), _id_of(request)
        await self._users.take(wanted.key, user)
        await self._mirror.taken(wanted.key, user)
        return {}

    async def _remove(self, request: Request) -> Answer:
        wanted = claim_named(request.name, self._namespaces)
        until = asyncio.get_running_loop().time() + self.gone_within_s
        async with self._turn(wanted.key):
            claim = self._objects.view(Claim, wanted.key)
            shown = self.catalogue.get(wanted.key)
            if claim is None or shown is None or shown.name != wanted.shown:
                return {}
            if not claim.being_deleted:
                await self._refuse_used(wanted, claim)
            try:
                kind, same = self._objects.kinds[Claim.resource], Preconditions(uid=claim.uid)
                await self._objects.delete(kind, wanted.key, preconditions=same)
            except NotFound:
                return {}
            left_s = max(until - asyncio.get_running_loop().time(), self.gone_within_s / 8)
            if not await self._waiting.until_gone(wanted.key, claim.uid, left_s):
                left = self._objects.view(Claim, wanted.key) or claim
                why = self.catalogue.keeps(left)
                raise StillDeleting(wanted.shown, wanted.key, self.gone_within_s, why)
        return {}

    async def _capabilities(self, request: Request) -> Answer:
        hosts = len(self._objects.cache.shelves[Node.resource])
        return {"Capabilities": {"Scope": "global" if hosts > 1 else "local"}}

    # Who uses it

    async def _refuse_used(self, wanted: DockerName, claim: Claim) -> None:
        """Raises VolumeInUse, naming who and where.

        Docker removes a volume before it says that the container is gone, so this host's containers
        are asked for anew. It never does so while it makes one: then IDs that nobody gave back, as
        a crash came between, are no users.
        """
        # It may be busy. A Remove that is refused for that leaks a volume without a name for ever.
        answered = await self._mirror.refresh(wanted.shown, tries=2, within_s=ENGINE_WITHIN_S)
        containers = self._mirror.users_of(wanted.key)
        used = [f"container {one.container} on {self._node}" for one in containers]
        volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
        if volume is not None and not used:
            held = await self._users.settle(volume, docker_has_none=answered)
            used += [f"{holder} on {self._node}" for holder in held]
            attached = self._users.attachments.of(volume.name)
            used += [f"{one.node}" for one in attached if one.node != self._node]
        pods = holders(claim, self.catalogue.pods_of(wanted.key))
        mirrored = {self._node} if containers else set()  # of which the containers are said
        used += [
            f"pod {pod.name} on {pod.node_name}"
            for pod in pods
            if not (pod.is_mirror and pod.node_name in mirrored)
        ]
        if used:
            raise VolumeInUse(wanted.shown, used)

    async def _refuse_second(self, shown: Shown, user: str) -> None:
        """Raises VolumeInUse: one container may have the volume, and another has it.

        Docker does not say which container a Mount is for. It is none that runs, but for `docker
        cp`, which comes with an ID that the container had before; and of one that has the volume
        at two paths there is no other. Nor is there another if nothing is known of before, as
        Mooring is new, and one container alone refers to the volume.
        """
        await self._mirror.refresh(shown.name)
        volume = self._objects.view(Volume, shown.volume) if shown.volume else None
        given = {one.id for one in self._users.ids.of(volume.uid)} if volume else set()
        had = self._had.setdefault(shown.key, set())
        if user in given | had:
            had.add(user)  # `docker cp` gives it back, and comes again
            return
        containers = {one.container: one.state for one in self._mirror.users_of(shown.key)}
        used = [f"container {name}" for name, state in containers.items() if state in HAS_IT]
        supposed = self._supposed.setdefault(shown.key, set())
        is_alone = len(containers) == 1 and given <= supposed and had == supposed
        is_his = is_alone and (bool(given) or not had)
        if given - OURS and not used and len(containers) > 1:
            used.append("a container that starts, or ended a moment ago,")
        if used and not is_his:
            raise VolumeInUse(shown.name, [f"{one} on {self._node}" for one in used])
        if not given:
            had.clear()
            supposed.clear()
        if used:
            supposed.add(user)
        had.add(user)

    async def _sees(self, pid: int) -> bool:
        """Whether dockerd sees what is mounted here, else containers would write past it."""
        if pid not in self._seeing:
            self._seeing[pid] = await self._publisher.visible_to(pid)
        return self._seeing[pid]

    # What is shown

    def _shown(self, name: str) -> Shown:
        """Raises BadName, NamespaceNotAllowed, UnknownVolume."""
        wanted = claim_named(name, self._namespaces)
        shown = self.catalogue.get(wanted.key)
        if shown is None or shown.name != wanted.shown:
            raise UnknownVolume(name)
        return shown

    def _described(self, shown: Shown, mountpoint: str) -> dict[str, Any]:
        return {"Name": shown.name, "Mountpoint": mountpoint, "CreatedAt": shown.created}

    def _mountpoint(self, shown: Shown) -> str:
        """ "" when it is not mounted."""
        volume = self._objects.view(Volume, shown.volume) if shown.volume else None
        path = self._publisher.published_path(volume.uid) if volume is not None else None
        return str(path) if path is not None else ""

    def _status(self, shown: Shown) -> dict[str, object]:
        claim = self._objects.view(Claim, shown.key)
        if claim is None:
            return {}
        volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
        attached = self._users.attachments.of(volume.name) if volume is not None else []
        return status(
            claim,
            volume,
            attached=[one.node for one in attached],
            users=self._mirror.users_of(shown.key),
            snapshots=self.catalogue.snapshots_of(shown.key),
            reason=self.catalogue.last_warning(shown.key),
            node=self._node,
            mounts_ok=all(self._seeing.values()),
            usage=self._usages.of(volume.name) if self._usages and volume is not None else None,
        )

    # Reclaim policies that were asked for and are not set yet: a crash came between, or the claim
    # waited for its first consumer.

    def _look_for_reclaim(self, event: Event) -> None:
        if event.after is None:
            self._had.pop(event.key, None)
            self._supposed.pop(event.key, None)
        if event.after is not None and RECLAIM.encode() in event.after.body:
            claim = view(Claim, event.after)
            if claim.phase == Phase.BOUND and RECLAIM in claim.annotations:
                self.reclaims.add(claim.key)

    async def _reclaimed(self, key: str) -> Outcome:
        await self._creator.reclaim_as_asked(key)
        return Done("its volume has the policy that was asked for")

    def _turn(self, key: str) -> asyncio.Lock:
        return self._turns.setdefault(key, asyncio.Lock())

    def _is_changing(self, key: str) -> bool:
        turn = self._turns.get(key)
        return turn is not None and turn.locked()


def _id_of(request: Request) -> str:
    if not request.id or len(request.id) > LONGEST_ID:
        raise BadRequest(f"an ID of {len(request.id)} characters")
    return request.id
