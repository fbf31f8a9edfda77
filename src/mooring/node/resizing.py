"""Grows the volumes of this host's pools: Kubernetes' external-resizer and kubelet in one. §14.

Room is charged to the pool before the backend takes any of it, and given back only when the backend
was seen not to have taken it. Each step is one write; whatever a crash leaves says what is next.
Why in this order: docs/decisions/0015.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from mooring.crashpoints import crash_point, passing
from mooring.drivers.errors import CannotDo, GrowsLater, PoolFull
from mooring.drivers.interface import Driver, asset_name
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.home import Elsewhere
from mooring.model.names import DELETE, PRE_RESIZE_CAPACITY, Phase
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.volume import Volume
from mooring.node.errors import NoRoomToGrow
from mooring.node.pools import Pools
from mooring.node.steps import Steps
from mooring.objects.errors import Forbidden
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.using import claims_of
from mooring.reconcile.backoff import LONGEST_DELAY_S, Backoff
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules import resizing as rules
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.moving import on_its_way
from mooring.rules.pool_room import refusal
from mooring.store.interface import Conflict

MOVES_LOOK_S: Final = 2.0  # until it is looked at again whether a volume has moved
MARKED: Final = crash_point("resize.marked")
RESERVED: Final = crash_point("resize.reserved")
GROWN: Final = crash_point("resize.grown")
VOLUME_STORED: Final = crash_point("resize.volume-stored")
CLAIM_STORED: Final = crash_point("resize.claim-stored")
GIVEN_BACK: Final = crash_point("resize.given-back")
NODE_MARKED: Final = crash_point("resize.node-marked")
NODE_GROWN: Final = crash_point("resize.node-grown")
NODE_CLAIM_STORED: Final = crash_point("resize.node-claim-stored")

_ROOM: Final = (PoolFull, NoRoomToGrow)  # until the pool has got some
REFUSED_S: Final = 3600.0  # at most, after a backend refused: it takes writes to ask it once more
RETOLD_S: Final = 60.0  # at least, between words about the same refusal: they tell amounts
_CANNOT: Final = (PoolFull, CannotDo, NoRoomToGrow)  # until the pool or the request is another


class Resizer:
    """For the volumes whose pool is of this host. Its keys are names of volumes."""

    def __init__(
        self, objects: Objects, pools: Pools, node: str, is_mounted: Callable[[Volume], bool]
    ) -> None:
        """is_mounted  whether a volume has a path on this host"""
        self._objects, self._pools, self._node = objects, pools, node
        self._steps = Steps(objects, pools.tell)
        self._is_mounted = is_mounted
        self._users = Index(objects.cache.shelves[Pod.resource], claims_of)
        self.queue = Queue("resize", self.reconcile)
        self._backoff = Backoff(objects.clock)
        self._without_room: dict[str, str] = {}  # volume → the pool that had none for it
        self._told: dict[str, tuple[str, type[MooringError], float]] = {}  # volume → refusal, when
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def stop(self) -> None:
        self._users.stop()
        await self.queue.stop()

    def hurry(self, pool: str) -> None:
        """The pool of this name has got room: what it had none for may be tried.

        Not to be called for what a growth gives back that its backend refused: it would be tried,
        refused and given back for ever.
        """
        for name in [one for one, of in self._without_room.items() if of == pool]:
            self._backoff.allow(name)
            self.queue.add(name)

    async def reconcile(self, name: str) -> Outcome:
        """Bring one volume a step, or all steps, nearer to the size that its claim asks for."""
        async with self._turns.setdefault(name, asyncio.Lock()):
            return await self._reconcile(name)

    async def before_mount(self, volume: Volume) -> None:
        """What waits for the volume to be mounted nowhere is done now, if it is so."""
        if PRE_RESIZE_CAPACITY in volume.annotations:
            with suppress(Conflict):  # of somebody's write; the queue does it later
                self._forget(volume.name)
                await self.reconcile(volume.name)

    def after_unmount(self, volume: Volume) -> None:
        """The same, now that nobody mounts it."""
        now = self._objects.view(Volume, volume.name)  # it may have begun to wait meanwhile
        if now is not None and PRE_RESIZE_CAPACITY in now.annotations:
            self._forget(volume.name)
            self.queue.add(volume.name)

    async def _reconcile(self, name: str) -> Outcome:
        volume = self._objects.view(Volume, name)
        pool = self._pools.of_volume(volume) if volume is not None else None
        if volume is None or pool is None or pool.driver != volume.driver:
            self._forget(name)
            return Done("not ours")
        claim = self._claim_of(volume)
        target = rules.growth_target(claim) if claim is not None else None
        # A user who asks for another size need not wait for what that of before failed for.
        attempt = f"{volume.uid} {target}"
        if (left_s := self._backoff.left_s(name, attempt)) > 0:
            return Again(left_s, "it failed, and is tried again later")
        if (copy := on_its_way(volume)) is not None and volume.elsewhere is Elsewhere.MOVE:
            return Again(MOVES_LOOK_S, f"it is on its way to {copy.node}, and grows there")
        try:
            if claim is None or target is None:
                outcome = await self._settled(volume, pool, claim)
            elif rules.progress(claim) in rules.NODE_STEP:
                outcome = await self._grown_at_node(claim, volume, pool, target)
                if isinstance(outcome, Again) and outcome.after_s:
                    return outcome
            else:
                outcome = await self._grown(claim, volume, pool, target)
        except Conflict:
            raise
        except MooringError as error:
            self._without_room.pop(name, None)
            if isinstance(error, _ROOM):
                self._without_room[name] = pool.name
            longest_s = REFUSED_S if isinstance(error, PoolFull | CannotDo) else LONGEST_DELAY_S
            delay_s = self._backoff.failed(name, attempt, longest_s)
            await self._failed(claim, volume, attempt, error)
            return Again(delay_s, str(error))
        self._forget(name)
        return outcome

    def _forget(self, name: str) -> None:
        self._backoff.forget(name)
        self._without_room.pop(name, None)
        self._told.pop(name, None)

    def _claim_of(self, volume: Volume) -> Claim | None:
        ref = volume.claim_ref
        return rules.owner_of(volume, self._objects.view(Claim, ref.key)) if ref else None

    async def _grown(self, claim: Claim, volume: Volume, pool: Pool, target: Quantity) -> Outcome:
        """From the claim's wish to the backend's size, and to the end if nothing is left to do."""
        resizer = pool.driver
        if rules.progress(claim) in rules.INFEASIBLE and rules.allocated(claim) == target:
            # The mark stays until the backend does it: else each try would be four writes.
            self._refuse_without_room(volume, pool, target)
        else:
            claim = await self._begun(claim, volume, target)
        await self._driver(pool)
        volume = await self._charged(volume, pool, target)
        passing(RESERVED)
        try:
            size = await self._expanded(volume, pool, target)
        except GrowsLater:
            return await self._left_to_node(claim, volume, target)
        except _CANNOT:
            await self._steps.stored(volume, rules.unreserved(volume))
            passing(GIVEN_BACK)
            raise
        passing(GROWN)
        await self._steps.stored(volume, rules.enlarged(volume, size))
        passing(VOLUME_STORED)
        claim = await self._steps.stored(claim, rules.grown(claim, size))
        passing(CLAIM_STORED)
        self._steps.tell(
            claim, NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded", resizer
        )
        return self._once_more(claim, f"grown to {size}")

    async def _begun(self, claim: Claim, volume: Volume, target: Quantity) -> Claim:
        marked = rules.begun(claim, target, volume.driver, self._steps.now())
        if marked is not claim:
            claim = await self._steps.stored(claim, marked)
            told = f"External resizer is resizing volume {volume.name}"
            self._steps.tell(claim, NORMAL, "Resizing", told, volume.driver)
        passing(MARKED)
        return claim

    async def _left_to_node(self, claim: Claim, volume: Volume, size: Quantity) -> Outcome:
        """The backend has the size; the file system in it is mounted, and does not grow so."""
        passing(GROWN)
        await self._steps.stored(volume, rules.enlarged(volume, size, claim.capacity))
        passing(VOLUME_STORED)
        claim = await self._steps.stored(claim, rules.waiting_for_node(claim, self._steps.now()))
        passing(CLAIM_STORED)
        told = "Require file system resize of volume on node"
        self._steps.tell(claim, NORMAL, "FileSystemResizeRequired", told, volume.driver)
        return Done("its file system grows when it is mounted next")

    async def _grown_at_node(
        self, claim: Claim, volume: Volume, pool: Pool, target: Quantity
    ) -> Outcome:
        """What was left to do where it is used: its file system."""
        if volume.capacity < target:  # somebody wrote so; the backend may not have it
            return await self._grown(claim, volume, pool, target)
        is_mounted = self._is_mounted(volume)
        if not is_mounted:
            claim = await self._steps.stored(claim, rules.begun_at_node(claim))
            passing(NODE_MARKED)
        try:
            size = await self._expanded(volume, pool, target)
        except GrowsLater:
            if is_mounted:  # and was not grown by the mount itself
                return Done("its file system grows when it is mounted next")
            await self._steps.stored(claim, rules.waiting_for_node(claim, self._steps.now()))
            delay_s = self._backoff.failed(volume.name, f"{volume.uid} {target}")
            return Again(delay_s, "something outside of Mooring has it mounted")
        passing(NODE_GROWN)
        claim = await self._steps.stored(claim, rules.grown(claim, size))
        passing(NODE_CLAIM_STORED)
        # Told now: the leader takes the note off the volume too, and may be faster than we are.
        told = f"MountVolume.NodeExpandVolume succeeded for volume {volume.name!r} {self._node}"
        self._tell_at_node(claim, NORMAL, "FileSystemResizeSuccessful", told)
        await self._steps.stored(volume, rules.enlarged(volume, size))
        return self._once_more(claim, f"its file system grew to {size}")

    async def _settled(self, volume: Volume, pool: Pool, claim: Claim | None) -> Outcome:
        """Finish what was begun and nobody asks for any more, so that no room is charged for
        nothing: the claim is gone, or has what it wants."""
        if claim is not None and rules.progress(claim):
            await self._steps.stored(claim, rules.grown(claim, claim.capacity))
        if not rules.is_unfinished(volume):
            return Done("large enough")
        if volume.phase == Phase.RELEASED and volume.reclaim_policy == DELETE:
            return Done("it goes, with all that it takes")
        try:
            size = await self._expanded(volume, pool, volume.takes)
        except GrowsLater:
            await self._steps.stored(volume, rules.enlarged(volume, volume.takes, volume.capacity))
            return Done("its file system grows when it is mounted next")
        except _CANNOT:
            await self._steps.stored(volume, rules.unreserved(volume))
            return Done("its backend did not grow")
        await self._steps.stored(volume, rules.enlarged(volume, size))
        return Done(f"grown to {size}, though nobody asks for it any more")

    async def _expanded(self, volume: Volume, pool: Pool, target: Quantity) -> Quantity:
        """Have the backend grow. Raises what the driver raises."""
        driver = await self._driver(pool)
        asset = await driver.expand(asset_name(volume.handle), target.bytes())
        return max(Quantity.of_bytes(asset.size_bytes), target)

    async def _driver(self, pool: Pool) -> Driver:
        """Raises CannotDo, and what starting it raises."""
        driver = await self._pools.driver(pool)
        if not driver.features.expands:
            raise CannotDo("growth of its volumes", pool.name)
        return driver

    async def _charged(self, volume: Volume, pool: Pool, target: Quantity) -> Volume:
        """Take the room from the pool, in one commit with the note of it. Raises NoRoomToGrow."""
        try:
            return await self._steps.stored(volume, rules.reserved(volume, target))
        except Forbidden as error:
            self._refuse_without_room(volume, pool, target)
            raise NoRoomToGrow(volume, error.what) from error

    def _refuse_without_room(self, volume: Volume, pool: Pool, target: Quantity) -> None:
        """Raises NoRoomToGrow."""
        namespace = volume.claim_ref.namespace if volume.claim_ref else ""
        now = self._objects.view(Pool, pool.name) or pool
        more = target.minus(volume.takes)
        if more.nanos > 0 and (why := refusal(now, namespace, more)):
            raise NoRoomToGrow(volume, why)

    async def _failed(
        self, claim: Claim | None, volume: Volume, attempt: str, error: MooringError
    ) -> None:
        """Say so, on the claim too if it is no use to try the same again."""
        claim = self._claim_of(volume) if claim is not None else None
        if claim is None:
            return
        if isinstance(error, _CANNOT):
            marked = rules.infeasible(
                claim,
                str(error),
                self._steps.now(),
                at_node=rules.progress(claim) in rules.NODE_STEP,
            )
            now_s, about = self._objects.clock.monotonic_s(), (attempt, type(error))
            *before, at_s = self._told.get(volume.name, ("", MooringError, 0.0))
            is_same = tuple(before) == about and rules.progress(marked) == rules.progress(claim)
            if marked is claim or (is_same and now_s - at_s < RETOLD_S):
                return
            await self._steps.stored(claim, marked)
            self._told[volume.name] = (*about, now_s)
        if rules.progress(claim) in rules.NODE_STEP:
            self._tell_at_node(claim, WARNING, "FileSystemResizeFailed", str(error))
            return
        why = f'resize volume "{volume.name}" by resizer "{volume.driver}" failed: {error}'
        self._steps.tell(claim, WARNING, "VolumeResizeFailed", why, volume.driver)

    def _tell_at_node(self, claim: Claim, type_: str, reason: str, message: str) -> None:
        """Of the claim, and of the pods here that use it."""
        pods = (self._objects.view(Pod, key) for key in self._users.keys(claim.key))
        here = [pod for pod in pods if pod and pod.node_name == self._node and not pod.has_ended]
        for about in (claim, *here):
            reference = about.reference()
            self._pools.tell(EventNote(reference, type_, reason, message, rules.NODE_COMPONENT))

    def _once_more(self, claim: Claim, why: str) -> Outcome:
        """The user may have asked for another size meanwhile."""
        return Again(0, why) if rules.lacks_room(claim) else Done(why)
