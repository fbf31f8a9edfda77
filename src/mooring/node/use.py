"""Who uses the volumes of this host, and what becomes of those that nobody uses. Docker volumes §3.

A user is given a path under an ID of its own and gives it back. IDs alone would lie, as Docker does
not give all of them back and sends some twice: a volume is let go only when the kernel and Docker
agree that nobody has it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from typing import Final, NamedTuple, Protocol
from weakref import WeakValueDictionary

from mooring.crashpoints import crash_point, passing
from mooring.engine.engine import Engine
from mooring.engine.errors import EngineAway
from mooring.errors import Effect, MooringError
from mooring.host.errors import HostStuck, MountBusy, MountFailed
from mooring.host.processes import Process
from mooring.model.claim import Claim
from mooring.model.names import ADOPTING, ONE_CONTAINER, USED
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.errors import BeingAdopted, DataOnOtherNode, ForOneContainer
from mooring.node.fence import Fence
from mooring.node.ids import ADOPTER, BY_HAND, OURS, Ids
from mooring.node.mounting import BOUND_WITHIN_S, Mounted, Mounting
from mooring.node.published import Publisher
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.events import WARNING, EventNote
from mooring.rules.use import KEPT_S, Verdict, verdict
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

# At a container that starts or stops: soon, as another host may wait for it, then less often.
LOOK_AGAIN_S: Final = 0.1
LOOK_AGAIN_AT_MOST_S: Final = 5.0
START_WITHIN_S: Final = 1.0  # Docker's answer at the start, when it may be waiting for ours
LET_GO_WITHIN_S: Final = 5.0  # at the start; what takes longer goes on while others are served
SWEEP_S: Final = 60.0  # at everything, for what no call tells; also after an unmount that failed
STARTING_S: Final = 600.0  # a container may wait for its other volumes, each up to 100 s
RUNNING: Final = frozenset({"running", "paused", "restarting", "removing"})

USED_NOTED: Final = crash_point("use.noted")
ID_STORED: Final = crash_point("use.id-stored")
ID_DROPPED: Final = crash_point("use.id-dropped")


class StillUsed(MooringError):
    """Who asked has given it back, others have not."""

    code, effect = "StillUsed", Effect.NONE

    def __init__(self, claim: str, node: str, users: Sequence[str]) -> None:
        self.what = f"claim {claim} is still used on {node}: {', '.join(users)}"
        self.remedy = "stop what uses it; it is taken away then"


class Docker(NamedTuple):
    """The Docker engine of this host, and what it calls a claim's volume."""

    engine: Engine
    name_of: Callable[[Claim], str | None]


class Survey(NamedTuple):
    """All volumes at one look.

    held     uids of those that other mount namespaces have
    running  names of those that running containers have, as Docker calls them; None: not known
    """

    held: Set[str]
    running: frozenset[str] | None


class Moves(Protocol):
    """How volumes come here from other hosts."""

    async def here(self, volume: Volume, within_s: float) -> None:
        """Have a volume, which this host may use, at home here. Raises MooringError."""

    def is_coming(self, uid: str) -> bool:
        """Whether it is on its way, for which its attachment is needed."""


class Users:
    """Of the volumes of one host. Every call may be repeated, also after a crash."""

    def __init__(
        self,
        objects: Objects,
        mounting: Mounting,
        publisher: Publisher,
        ids: Ids,
        attachments: Attachments,
        node: str,
        docker: Docker | None,
        tell: Callable[[EventNote], None],
        fence: Fence | None = None,
    ) -> None:
        """fence: None where no other host can have a volume of this one"""
        self._fence = fence
        self._objects, self.mounting, self._publisher = objects, mounting, publisher
        self.ids, self.attachments = ids, attachments
        self._node, self._docker, self._tell = node, docker, tell
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.queue = Queue("use", self._looked_at)  # by uid of a volume
        self._looks: dict[str, float] = {}  # uid of a volume to be looked at again → after when
        self._first_survey: Survey | None = None  # of the start, while nothing can change
        self.engine: Process | None = None
        self.moves: Moves | None = None  # how volumes of other hosts come here
        self._sweep_now = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what an earlier process left: what is used stays, the rest is let go."""
        published = await self._publisher.start()
        await self.mounting.remotes.start({one.uid for one in published})
        await self.ids.start(self._publisher.host_is_new, self._publisher.lent)
        for attachment in self.attachments.here():
            volume = self._objects.view(Volume, attachment.volume)
            if volume is None or not await self._is_known(volume.uid):
                await self.attachments.detach(attachment.volume)
        if self._fence is not None:
            at_hand = (volume for volume, _ in await self.mounting.at_hand())
            await self._fence.begin([one for one in at_hand if one is not None])
        self._first_survey = await self._survey(START_WITHIN_S)
        for uid in await self._uids():
            self.queue.add(uid)
        self.queue.start()
        with suppress(TimeoutError):  # before anybody is answered, but for a backend that hangs
            async with asyncio.timeout(LET_GO_WITHIN_S):
                await self.queue.until_idle()
        self._first_survey = None
        self._sweeping = asyncio.create_task(self._sweep_again_and_again(), name="use sweep")

    async def stop(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await self.queue.stop()
        self.attachments.stop()

    def look_at_all(self, engine: int | None) -> None:
        """Have every volume of this host looked at soon.

        engine  process id of Docker's engine, None if this process does not see it
        """
        self.engine = Process.of(engine) if engine is not None else None
        if self._fence is not None:
            self._fence.watch.engine = self.engine
        self._sweep_now.set()

    def look_at(self, key: str) -> None:
        """Have the volume of a claim looked at soon: something happened to a container of it."""
        for uid in self._at_hand_of(key):
            self.queue.add(uid)

    def forget(self, uid: str) -> None:
        """A volume was deleted: its path goes as soon as nobody uses it."""
        if self._publisher.may_have(uid):
            self.queue.add(uid)

    async def give(self, key: str, user: str, within_s: float = BOUND_WITHIN_S) -> Mounted:
        """Have a claim at its path for a user; the same again for a user that has it.

        key       "namespace/name"
        user      its ID
        within_s  how long to wait for what ends by itself
        raises    BeingAdopted, ForOneContainer, AttachedElsewhere, and as Mounting.bound and
                  Mounting.stage
        """
        claim = self._objects.view(Claim, key)
        if claim is not None and ADOPTING in claim.annotations and user != ADOPTER:
            raise BeingAdopted(claim)
        if claim is not None and claim.being_deleted and (has := await self._has(key, user)):
            return has
        uid = (await self.mounting.bound(key, within_s)).uid
        try:
            async with self._turn(uid):
                volume = self.mounting.bound_now(key)
                await self._refuse_second(key, user, volume.uid)
                if self._fence is not None:
                    self._fence.refuse(volume)
                await self.attachments.intend(volume, within_s)
                # Where its data is may have changed until the right to use it was had, not since.
                volume = self.mounting.bound_now(key)
                if not self.mounting.reaches(volume):
                    await self._come(volume, within_s)
                    volume = self.mounting.bound_now(key)
                if self._fence is not None:
                    self._fence.holds(volume)
                published = await self.mounting.stage(volume)
                await self._noted(key, user, volume)
                if self._fence is not None:
                    self._fence.confirm(volume)
        except BaseException:
            self.queue.add(uid)  # what was begun is undone unless somebody needs it
            raise
        return Mounted(key, volume.name, published.path, published.note)

    async def _come(self, volume: Volume, within_s: float) -> None:
        """Raises DataOnOtherNode, and what keeps it from coming."""
        if self.moves is None:
            raise DataOnOtherNode(_claim_of(volume), volume, self._node)
        await self.moves.here(volume, within_s)

    async def _has(self, key: str, user: str) -> Mounted | None:
        """What a user has already: it is his until he gives it back, though nobody else gets it."""
        for uid in self._at_hand_of(key):
            async with self._turn(uid):
                path, volume = self._publisher.published_path(uid), self.mounting.known(uid)
                users = [one.id for one in self.ids.of(uid)]
                if path is not None and volume is not None and user in users:
                    if self._fence is not None:
                        self._fence.refuse(volume)
                        self._fence.confirm(volume)
                    published = await self.mounting.stage(volume)  # the watchdog may have ended it
                    await self.ids.add(uid, user, key)
                    return Mounted(key, volume.name, published.path, published.note)
        return None

    async def _refuse_second(self, key: str, user: str, uid: str) -> None:
        """Raises ForOneContainer if that is for people and a container, or one of ours, at once.
        Which container an ID is of, who speaks with Docker knows."""
        claim = self._objects.view(Claim, key)
        ids = {one.id for one in self.ids.of(uid)}
        if claim is None or claim.modes != ONE_CONTAINER or user in ids:
            return
        others = await self.users(uid) if user in OURS else sorted(ids & OURS)
        if others:
            raise ForOneContainer(key, self._node, others)

    async def _noted(self, key: str, user: str, volume: Volume) -> None:
        """All that is to be on disk before anybody is told; these three do not need each other."""
        ways = (
            self._note_use(key),
            self._store_id(key, user, volume),
            self.attachments.confirm(volume),
        )
        ends = await asyncio.gather(*ways, return_exceptions=True)
        if failed := next((one for one in ends if one is not None), None):
            await self.ids.drop(volume.uid, user)  # he is not given it
            raise failed

    async def _store_id(self, key: str, user: str, volume: Volume) -> None:
        await self.ids.add(volume.uid, user, key)
        passing(ID_STORED)

    async def _note_use(self, key: str) -> None:
        """Before anybody can write: from now on it is never made anew. Nor was it deleted."""
        while USED not in (volume := self.mounting.bound_now(key)).annotations:
            with suppress(Conflict):
                await self._objects.commit([(volume, volume.annotated(**{USED: "true"}))])
        passing(USED_NOTED)

    async def take(self, key: str, user: str) -> None:
        """A user is done with a claim, or never got it.

        Whether it is free is looked at afterwards: Docker lists the container as running until this
        is answered, and a backend that hangs need not hold up the end of a container.
        """
        for uid in {*self.ids.uids_of(key), *self._at_hand_of(key)}:
            await self.ids.drop(uid, user)
            passing(ID_DROPPED)
            self.queue.add(uid)

    async def take_away(self, key: str) -> Mounted | None:
        """Take the path away that people were given; None if it was not there.

        raises  StillUsed: others use it. MountBusy: a process has files open in it.
        """
        mounted = next((one for one in await self.mounting.mounts() if one.claim == key), None)
        if mounted is None:
            return None
        volume = self._objects.view(Volume, mounted.volume)
        assert volume is not None
        async with self._turn(volume.uid):
            await self.ids.drop(volume.uid, BY_HAND)
            if users := await self.users(volume.uid):
                raise StillUsed(key, self._node, users)
            await self._let_go(volume.uid)
        return mounted

    async def release(self, volume: Volume) -> None:
        """Its data is to be deleted: take the path away. Raises MountBusy, StillUsed."""
        async with self._turn(volume.uid):
            if nodes := self.attachments.elsewhere(volume.name):
                raise StillUsed(_claim_of(volume), nodes[0], ["it is attached there"])
            if held := await self._publisher.held_by(volume.uid, engine=self._engine_pid):
                raise StillUsed(_claim_of(volume), self._node, held)
            if (age_s := self.ids.youngest_s(volume.uid)) < KEPT_S:
                # Docker has the path, and the kernel does not know of its container yet.
                given = f"a container that was given it {age_s:.0f} s ago"
                raise StillUsed(_claim_of(volume), self._node, [given])
            await self._let_go(volume.uid)

    async def settle(self, volume: Volume, *, docker_has_none: bool = False) -> list[str]:
        """Look at one volume now, and let it go if it is free.

        docker_has_none  by its own word Docker has no container of it, nor makes one: whatever IDs
                         it was given, it will never give them back
        returns          who uses it, for people
        """
        async with self._turn(volume.uid):
            if docker_has_none:
                for one in self.ids.of(volume.uid):
                    if one.id not in OURS:
                        await self.ids.drop(volume.uid, one.id)
            await self._judged(volume.uid)
            return await self.users(volume.uid) if await self._is_known(volume.uid) else []

    async def users(self, uid: str) -> list[str]:
        """Who has it: mounts of containers as the kernel knows them, else IDs."""
        held = await self._publisher.held_by(uid, engine=self._engine_pid)
        return held or [f"ID {one.id[:64]}" for one in self.ids.of(uid)]

    # How it is decided

    async def _looked_at(self, uid: str) -> Outcome:
        survey = self._first_survey
        async with self._turn(uid):
            return await self._judged(uid, survey)

    async def _judged(self, uid: str, survey: Survey | None = None) -> Outcome:
        """Let go what is free. Without a survey it is looked at anew."""
        if self.moves is not None and self.moves.is_coming(uid):
            return Done("it is on its way here")
        if survey is None:
            held = bool(await self._publisher.held_by(uid, engine=self._engine_pid))
        else:
            held = uid in survey.held
        if not held and not await self.mounting.volumes({uid}):
            self._looks.pop(uid, None)
            return await self._freed(uid)  # the volume was deleted: there is nothing to give back
        ages_s = self.ids.ages_s(uid)
        running = None if held else await self._running(uid, survey)
        found = verdict(held, running, ages_s)
        if found is Verdict.LOOK_AGAIN:
            delay_s = self._looks.get(uid, LOOK_AGAIN_S)
            self._looks[uid] = min(delay_s * 2, LOOK_AGAIN_AT_MOST_S)
            return Again(delay_s, "a container starts or stops")
        self._looks.pop(uid, None)
        if found is Verdict.IN_USE:
            return Done("in use")
        if found is Verdict.KEEP:
            return Again(max(KEPT_S - min(ages_s), 1.0), "it was given just now")
        return await self._freed(uid)

    async def _freed(self, uid: str) -> Outcome:
        try:
            await self._let_go(uid)
        except (MountBusy, MountFailed, HostStuck) as error:
            self._warn(uid, error)
            return Again(SWEEP_S, str(error))
        return Done("let go")

    async def _let_go(self, uid: str) -> None:
        await self.ids.drop_all(uid)
        name = await self.mounting.release_uid(uid)  # raises if somebody may write to it still
        if self._fence is not None:
            self._fence.let_go(uid)
        if name:
            await self.attachments.detach(name)

    def _warn(self, uid: str, error: MooringError) -> None:
        log.warning("volume uid=%s cannot be unmounted: %s", uid, error)
        if (volume := self.mounting.known(uid)) is not None:
            note = EventNote(volume.reference(), WARNING, "UnmountFailed", str(error), "mooring")
            self._tell(note)

    async def _running(self, uid: str, survey: Survey | None) -> bool | None:
        """Whether Docker runs a container with the volume; None if it cannot be asked."""
        volume = self.mounting.known(uid)
        if self._docker is None or volume is None or volume.claim_ref is None:
            return None
        claim = self._objects.view(Claim, volume.claim_ref.key)
        name = self._docker.name_of(claim) if claim is not None else None
        if name is None:
            return None
        if survey is not None:
            return None if survey.running is None else name in survey.running
        # One that is being started is "created" until the last of its volumes is mounted.
        is_starting = self.ids.youngest_s(uid) < STARTING_S
        running = await self._run(name, RUNNING | {"created"} if is_starting else RUNNING)
        return None if running is None else name in running

    async def _run(
        self, volume: str | None = None, states: Set[str] = RUNNING
    ) -> frozenset[str] | None:
        """Names of volumes that containers in these states have, all or one; None: not known."""
        if self._docker is None:
            return None
        try:
            containers = await self._docker.engine.containers(volume)
        except EngineAway:
            return None
        running = (one for one in containers if one.state in states)
        return frozenset(mount.volume for one in running for mount in one.mounts)

    async def _survey(self, within_s: float) -> Survey:
        held = await self._publisher.held(engine=self._engine_pid)
        running = None
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):  # it may be starting, and waiting for us
                running = await self._run()
        return Survey(held.keys(), running)

    @property
    def _engine_pid(self) -> int | None:
        """Of Docker's engine while it lives: afterwards the number may be a container's."""
        return self.engine.pid if self.engine is not None and self.engine.lives else None

    # What there is

    async def _uids(self) -> list[str]:
        published = [found.uid for _, found in await self.mounting.at_hand()]
        attached = (self._objects.view(Volume, one.volume) for one in self.attachments.here())
        uids = [volume.uid for volume in attached if volume is not None]
        return sorted({*published, *uids, *self.ids.uids()})

    def _at_hand_of(self, key: str) -> list[str]:
        """The volume of a claim, by uid, if it has a path; from memory."""
        claim = self._objects.view(Claim, key)
        volume = self._objects.view(Volume, claim.volume_name) if claim is not None else None
        if volume is None or self._publisher.published_path(volume.uid) is None:
            return []
        return [volume.uid]

    async def _is_known(self, uid: str) -> bool:
        return self._publisher.may_have(uid) or bool(self.ids.of(uid))

    def _turn(self, uid: str) -> asyncio.Lock:
        """One decision at a time about one volume."""
        return self._turns.setdefault(uid, asyncio.Lock())

    async def _sweep_again_and_again(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            try:
                await self.sweep()
            except MooringError as error:
                log.warning("the volumes in use are looked at again later: %s", error)

    async def sweep(self) -> None:
        """Those that seem free are looked at one by one: a lot may happen since the survey."""
        held = await self._publisher.held(engine=self._engine_pid)
        for uid in await self._uids():
            if uid not in held:
                self.queue.add(uid)


def _claim_of(volume: Volume) -> str:
    return volume.claim_ref.key if volume.claim_ref is not None else f"of volume {volume.name}"
