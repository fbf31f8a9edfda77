"""Keeps replicas on this host of volumes whose home is another, and has one become the home.

A replica is whole or not there: it is received beside the one before. It becomes the home where the
volume is used next: with all that the home has, if that answers; else, once the home is silent for
so long that it has stopped by itself, as of when it was last sent. Decision 0037.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import Source, asset_name
from mooring.errors import MooringError
from mooring.model.attachment import Attachment
from mooring.model.home import CopyState, replica_every_s
from mooring.model.names import EVERY_PARAMETER
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments, attachment_name
from mooring.node.kept_replicas import KeptReplicas
from mooring.node.moving_errors import MovesNowhere, Moving
from mooring.node.peers import PeerRefuses, Peers, PeerUnreachable
from mooring.node.pools import Pools
from mooring.node.replica_errors import HomeSilent, NewerReplica, NoReplicaHere
from mooring.node.replica_sending import NEWEST, PULL, Coming, Pull, frames
from mooring.objects.cache import Entry, Event
from mooring.objects.leases import SeenLeases
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.fencing import MARGIN_S, is_out_of_service
from mooring.rules.replicas import (
    SIGN,
    cut_at,
    cut_ms,
    is_kept_on,
    is_replicated,
    newest,
    promoted,
    received,
    replica_hosts,
)
from mooring.store.interface import Check, Conflict

T = TypeVar("T")

log = logging.getLogger(__name__)

COMPONENT: Final = "mooring"
RETRY_S: Final = 2.0
LOOK_S: Final = 0.2  # whether the home of what is being sent is silent
UNUSED_S: Final = 60.0  # a question costs some milliseconds of both hosts, and a sync of the disk
TOLD_EACH_S: Final = 60.0  # of when a replica is: each time is a write that all hosts hear of
SWEEP_S: Final = 300.0  # for what is left of volumes that have no replica here any more
AT_ONCE: Final = 4  # that are received
ASK_WITHIN_S: Final = 5.0  # others, for the newest that they have

RECEIVED: Final = crash_point("replica.received")
TOLD: Final = crash_point("replica.told")
BECOMING: Final = crash_point("replica.becoming")
BECAME: Final = crash_point("replica.became")


class Replicator:
    """Of one host."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        attachments: Attachments,
        peers: Peers,
        node: str,
        kept: KeptReplicas,
        tell: Callable[[EventNote], None],
    ) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._attachments, self._peers, self._tell = attachments, peers, tell
        self._kept = kept
        self.queue = Queue("replicas here", self._looked_at)
        self._sweeps = Queue("replicas left", self._swept)
        self._leases = SeenLeases(objects)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._seen_ms: dict[str, int] = {}  # volume → its home's clock when nothing was newer
        self._told_s: dict[str, float] = {}  # volume → when that was last told
        self._becoming: dict[str, asyncio.Task[None]] = {}  # by uid
        self._gone: set[str] = set()  # uids of volumes that were deleted while we looked
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        self._leases.start()
        shelf = self._objects.cache.shelves[Volume.resource]
        for entry in shelf.entries():
            self._look(entry)
        attachments = self._objects.cache.shelves[Attachment.resource]
        self._unfollow = [shelf.follow(self._changed), attachments.follow(self._use_changed)]
        self._sweep()
        self.queue.start()
        self._sweeps.start()

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        self._leases.stop()
        await self.queue.stop()
        await self._sweeps.stop()
        tasks = list(self._becoming.values())
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, event: Event) -> None:
        if (entry := event.after or event.before) is not None:
            self._look(entry)
        if event.after is None and event.before is not None and SIGN in event.before.body:
            self._gone.add(view(Volume, event.before).uid)
            self._sweep()

    def _use_changed(self, event: Event) -> None:
        """Whoever uses a volume has it attached before, and until it is unmounted."""
        if (entry := event.after or event.before) is not None:
            volume = self._objects.entry(Volume.resource, view(Attachment, entry).volume)
            if volume is not None:
                self._look(volume)

    def _sweep(self) -> None:
        for pool in self._objects.views(Pool):
            if self._pools.mine(pool) and pool.node == self._node:
                self._sweeps.add(pool.name)

    def _look(self, entry: Entry) -> None:
        if SIGN in entry.body:
            self.queue.add(entry.key)

    # Keeping a replica

    async def _looked_at(self, name: str) -> Outcome:
        """Have what is newer in one volume, if a replica of it is to be here."""
        volume = self._objects.view(Volume, name)
        if volume is None or not is_kept_on(volume, self._node):
            self._seen_ms.pop(name, None)
            self._told_s.pop(name, None)
            return Done("none is to be here")
        if volume.uid in self._becoming:
            return Again(RETRY_S, "it becomes the home")
        class_ = self._objects.view(StorageClass, volume.spec.storage_class_name)
        every = class_.parameters.get(EVERY_PARAMETER) if class_ is not None else None
        every_s = replica_every_s(every) or RETRY_S
        is_used = bool(self._attachments.of(name))
        try:
            async with self._turn(volume.uid), self._room:
                await self._while_heard(volume, self._pulled(name, volume.uid))
        except Conflict:
            return Again(0, "it is another by now")
        except (MooringError, OSError) as error:
            log.info("volume=%s its replica is not renewed: %s", name, error)
            return Again(min(every_s, RETRY_S), str(error))
        if is_used:
            return Again(every_s, "it is renewed now and then")
        return Again(max(every_s, UNUSED_S), "nobody writes to it until it is attached")

    def _turn(self, uid: str) -> asyncio.Lock:
        return self._turns.setdefault(uid, asyncio.Lock())

    async def _while_heard(self, volume: Volume, work: Coroutine[Any, Any, T]) -> T:
        """What is had from the home, while that is not silent: a connection to a host that has died
        takes long to end, and would be in the way of its replica. Raises HomeSilent.
        """
        home = volume.home.node if volume.home is not None else ""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                if self._is_silent(home):
                    raise HomeSilent(volume, home, "its Lease has run out")
                await asyncio.wait({task}, timeout=LOOK_S)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _now(self, name: str, uid: str) -> Volume:
        """Raises MovesNowhere."""
        volume = self._objects.view(Volume, name)
        if volume is None or volume.uid != uid or not is_replicated(volume):
            raise MovesNowhere(name, "it is gone, or being deleted")
        return volume

    def _pool(self, volume: Volume) -> Pool:
        """Where the replica is. Raises NoReplicaHere."""
        copy = volume.copy_on(self._node)
        pool = self._objects.view(Pool, copy.pool) if copy is not None else None
        if pool is None or pool.node != self._node or not is_kept_on(volume, self._node):
            raise NoReplicaHere(volume, self._node)
        return pool

    async def _pulled(self, name: str, uid: str, *, is_last: bool = False) -> str:
        """The name of the replica that is here then, with all that the home has."""
        volume = self._now(name, uid)
        if volume.home is None or volume.home.node == self._node:
            raise MovesNowhere(name, "its home is here")
        pool = self._pool(volume)
        have = await self._kept.of(pool, uid)
        wanted = Pull(name, uid, sorted(have), is_last)
        async with self._peers.call(volume.home.node, PULL, wanted) as (stream, told):
            coming = _coming(told, volume.home.node)
            if coming.name not in have:
                await self._received(pool, coming, frames(stream))
                passing(RECEIVED)
        for one in have - {coming.name}:
            await self._kept.drop(pool, one)
        self._seen_ms[name] = coming.seen_ms
        await self._tell_of(name, uid, coming)
        return coming.name

    async def _received(
        self, pool: Pool, coming: Coming, read: Callable[[], Awaitable[bytes]]
    ) -> None:
        driver, name = await self._kept.streaming(pool), asset_name(coming.name)
        await driver.receive(name, coming.size_bytes, read, cut_ms(name) * 1_000_000)
        await self._kept.came(pool, coming.name)

    async def _tell_of(self, name: str, uid: str, coming: Coming) -> None:
        """That it is whole, once; of when it is, now and then. What the host had as a former home
        goes before that."""
        volume = self._now(name, uid)
        copy = volume.copy_on(self._node)
        if copy is None or volume.home is None or volume.home.node == self._node:
            return
        now_s, is_whole = self._objects.clock.monotonic_s(), copy.state is CopyState.REPLICA
        since_s = now_s - self._told_s.get(name, -TOLD_EACH_S)
        is_charged = copy.takes == volume.takes
        if is_whole and is_charged and (since_s < TOLD_EACH_S or copy.at == cut_at(coming.name)):
            return
        if not is_whole:
            driver = await self._kept.driver(self._pool(volume))
            await driver.delete(asset_name(volume.handle))
        await self._objects.commit([(volume, received(volume, self._node, coming.name))])
        passing(TOLD)
        self._told_s[name] = now_s

    # Becoming the home

    def may_come(self, volume: Volume) -> bool:
        """Whether a volume that is not here can be used here, of which there are replicas."""
        home = volume.home
        return is_replicated(volume) and home is not None and home.node != self._node

    def is_coming(self, uid: str) -> bool:
        return uid in self._becoming

    async def here(self, volume: Volume, within_s: float) -> None:
        """Have a volume that this host may use at home here.

        raises  Moving: it goes on, and is there later. NoReplicaHere, NewerReplica, HomeSilent,
                AttachedElsewhere
        """
        task = self.begin(volume, within_s)
        await asyncio.wait({task}, timeout=within_s)
        if not task.done():
            home = volume.home.node if volume.home is not None else ""
            raise Moving(volume, home, "the last of it is sent", None)
        task.result()

    def begin(
        self,
        volume: Volume,
        within_s: float,
        ended: Callable[[Volume, bool], None] = lambda *_: None,
    ) -> "asyncio.Task[None]":
        """Have it become the home, unless that goes on. ended: is told whether it came."""
        if (task := self._becoming.get(volume.uid)) is None:
            work = self._become(volume.name, volume.uid, within_s)
            task = self._becoming[volume.uid] = asyncio.create_task(work)
            task.add_done_callback(partial(self._ended, volume, ended))
        return task

    def _ended(
        self, volume: Volume, ended: Callable[[Volume, bool], None], task: "asyncio.Task[None]"
    ) -> None:
        self._becoming.pop(volume.uid, None)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                log.info("volume=%s does not become at home here: %s", volume.name, error)
            ended(volume, error is None)

    async def _become(self, name: str, uid: str, within_s: float) -> None:
        """Try until it is decided; a home that is silent is waited for."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while True:
            try:
                async with self._turn(uid):
                    await self._became(name, uid)
                return
            except Conflict:
                await asyncio.sleep(0)
            except HomeSilent:
                if loop.time() + RETRY_S / 4 >= until:
                    raise
                await asyncio.sleep(RETRY_S / 4)

    async def _became(self, name: str, uid: str) -> None:
        volume = self._now(name, uid)
        home = volume.home
        if home is None or home.node == self._node:
            return
        pool = self._pool(volume)
        await self._attachments.intend(volume)
        checks, is_silent = [], self._is_silent(home.node)
        if is_silent:
            checks.append(self._leases.unrenewed(home.node))
            if self._node not in replica_hosts(volume):  # it may be what was here as a former home
                raise NoReplicaHere(volume, self._node)
            await self._kept.looked_at(pool)
            have = newest(await self._kept.of(pool, uid))
            await self._refuse_older(volume, have)
        else:
            have = await self._last_of(volume)
            volume = self._now(name, uid)
        if not have:
            raise NoReplicaHere(volume, self._node)
        if (copy := volume.copy_on(self._node)) is None or copy.takes != volume.takes:
            await self._tell_of(name, uid, Coming(have))  # it was grown: charged before it is home
            raise Conflict(name, 0, 0)
        held = self._objects.entry(Attachment.resource, attachment_name(name))
        if held is None or self._node not in [one.node for one in self._attachments.of(name)]:
            raise MovesNowhere(name, "another host has taken it meanwhile")
        checks.append(Check(f"{Attachment.resource}/{held.key}", held.revision))
        driver, asset = await self._kept.driver(pool), asset_name(volume.handle)
        await driver.delete(asset)  # what an earlier try has made, or an earlier time as its home
        size_bytes = max(volume.takes.bytes(), driver.features.min_size_bytes)
        await driver.create(asset, size_bytes, Source(snapshot=asset_name(have)))
        passing(BECOMING)
        await self._objects.commit([(volume, promoted(volume, self._node))], checks)
        passing(BECAME)
        self._note_became(volume, home.node, have, is_silent=is_silent)

    def _is_silent(self, node: str) -> bool:
        """Whether a host has stopped by itself what it had, or somebody vouches that it is off."""
        late_s = self._leases.late_s(node)  # also of a Node that somebody deleted: it may live
        return late_s >= (0 if self._is_vouched_for(node) else MARGIN_S)

    def _is_vouched_for(self, node: str) -> bool:
        """Whether somebody says that it is off."""
        return is_out_of_service(self._objects.view(Node, node))

    async def _last_of(self, volume: Volume) -> str:
        """All that its home has, which nobody uses there any more. Raises HomeSilent."""
        assert volume.home is not None
        try:
            last = self._pulled(volume.name, volume.uid, is_last=True)
            return await self._while_heard(volume, last)
        except PeerUnreachable as error:
            raise HomeSilent(volume, volume.home.node, error.what) from error
        except PeerRefuses as error:
            if error.code != "NotGiven":
                raise
            raise HomeSilent(volume, volume.home.node, error.what) from error

    async def _refuse_older(self, volume: Volume, have: str) -> None:
        """Raises NewerReplica, if another host has a newer one: as it answers, or as it was told
        of one that does not and that nobody says is off."""
        others = [
            one
            for one in volume.copies
            if one.node != self._node
            and one.state is CopyState.REPLICA
            and not self._is_vouched_for(one.node)
        ]
        asked = [one.node for one in others if not self._is_silent(one.node)]
        found = await asyncio.gather(*(self._newest_on(one, volume) for one in asked))
        answers = dict(zip(asked, found, strict=True))
        for one in others:
            name = answers.get(one.node, "")
            newer = cut_ms(name) > cut_ms(have) if name else one.at > cut_at(have)
            if newer:
                raise NewerReplica(volume, self._node, one.node)

    async def _newest_on(self, node: str, volume: Volume) -> str:
        """ "" if it does not answer."""
        wanted = Pull(volume.name, volume.uid)
        with suppress(MooringError, TimeoutError):
            async with asyncio.timeout(ASK_WITHIN_S):
                async with self._peers.call(node, NEWEST, wanted) as (_, told):
                    return _coming(told, node).name
        return ""

    def _note_became(self, volume: Volume, home: str, have: str, *, is_silent: bool) -> None:
        about = volume.claim_ref or volume.reference()
        if not is_silent:
            message = f"it is on {self._node} now, and not on {home}, with all it had there"
            self._tell(EventNote(about, NORMAL, "Moved", message, COMPONENT))
            return
        as_of_ms = max(cut_ms(have), self._seen_ms.get(volume.name, 0))
        lag_s = max(self._objects.clock.now().timestamp() - as_of_ms / 1000, 0)
        message = (
            f"{home} is silent: the replica on {self._node} is the volume now, as of "
            f"{cut_at(have)}; what was written there up to {lag_s:.1f} s ago may be lost"
        )
        self._tell(EventNote(about, WARNING, "ReplicaPromoted", message, COMPONENT))

    # What is left

    async def _swept(self, name: str) -> Outcome:
        """Delete the replicas in one pool of volumes that have none here any more."""
        pool = self._objects.view(Pool, name)
        if pool is None:
            return Done("the pool is gone")
        try:
            driver = await self._pools.driver(pool)
            if not driver.features.streams:
                return Done("it has none")
            shelf = self._objects.cache.shelves[Volume.resource]
            for uid in await self._kept.uids(pool):
                for one in await self._kept.of(pool, uid):
                    if not self._is_left(uid, shelf.snapshot()):
                        break  # it has come meanwhile, or nobody knows of it: an orphan
                    await self._kept.drop(pool, one)
        except MooringError as error:
            return Again(SWEEP_S, str(error))
        return Again(SWEEP_S, "swept")

    def _is_left(self, uid: str, entries: Iterable[Entry]) -> bool:
        """Whether the volume is known to have nothing here any more, or to be gone."""
        if uid in self._gone:
            return True
        found = (view(Volume, one) for one in entries if SIGN in one.body)
        volume = next((one for one in found if one.uid == uid), None)
        return (
            volume is not None and self._node not in volume.hosts and not volume.copy_on(self._node)
        )


def _coming(told: msgspec.Raw, node: str) -> Coming:
    try:
        return msgspec.json.decode(told, type=Coming)
    except msgspec.MsgspecError as error:
        raise PeerUnreachable(node, f"it says nothing sensible: {error}") from error
