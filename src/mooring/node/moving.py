"""Has the data of a volume come to this host, and deletes what this host has no more use for.

Who may have the volume is decided by its attachment, as for every other; where its data is, by its
home, which passes in one commit once all of it is here, compared and on disk. Until then it is
where it was, whatever happens here. Decision 0033.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.drivers.errors import PoolFull
from mooring.drivers.interface import AssetName, Driver, asset_name
from mooring.errors import Effect, MooringError
from mooring.host import files, rsync
from mooring.host.blocking import Blocking
from mooring.host.errors import DiskFull, HostStuck, ProgramMissing
from mooring.model.attachment import Attachment
from mooring.model.home import Copy, CopyState, Elsewhere, Home
from mooring.model.metadata import ObjectReference
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.attachments import AttachedElsewhere, Attachments, attachment_name
from mooring.node.errors import AssetOfAnother
from mooring.node.moving_errors import HomeUnreachable, HostRefuses, MovesNowhere, Moving, NotEqual
from mooring.node.peers import PeerRefuses, Peers, PeerUnreachable
from mooring.node.pools import Pools
from mooring.node.sending import ASK, TREE, Wanted
from mooring.node.telling import Telling
from mooring.objects.errors import Forbidden
from mooring.objects.objects import Objects
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.filling import Amount
from mooring.rules.moving import expecting, is_charged, is_to_be_deleted, may_come, moved
from mooring.store.interface import Check, Conflict

log = logging.getLogger(__name__)

COMPONENT: Final = "mooring"
LOOKS_AT_MOST: Final = 3  # at all content, until nothing differed
REACHED_WITHIN_S: Final = 8.0  # a home that is alive
GIVE_UP_S: Final = 120.0  # without getting any further
RETRY_S: Final = (0.5, 15.0)  # first and longest
GOING: Final = "it is deleted"  # told of a copy, once nothing but that becomes of it
LEFT_WITHIN_S: Final = 30.0  # that an earlier process of ours needs to end

EXPECTED: Final = crash_point("move.expected")
MADE: Final = crash_point("move.made")
FILLED: Final = crash_point("move.filled")
COMPARED: Final = crash_point("move.compared")
HOME_PASSED: Final = crash_point("move.home-passed")
LEFT_DELETED: Final = crash_point("move.left-deleted")
LEFT_FORGOTTEN: Final = crash_point("move.left-forgotten")


class _Job:
    """One volume on its way here."""

    def __init__(self, volume: Volume, task: "asyncio.Task[None]") -> None:
        self.name, self.uid, self.task = volume.name, volume.uid, task
        self.told = "it begins"
        self.error: MooringError | None = None  # of the last try
        self.tries = 0


class Mover:
    """Of one host."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        attachments: Attachments,
        peers: Peers,
        node: str,
        state_dir: Path,
        tell: Callable[[EventNote], None],
    ) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._attachments, self._peers, self._tell = attachments, peers, tell
        self._locks = state_dir / "moving"
        self._blocking = Blocking("volumes that move")
        self._jobs: dict[str, _Job] = {}
        self.ended: Callable[[Volume, bool], None] = lambda *_: None  # is told whether it came

    def may_come(self, volume: Volume) -> bool:
        """Whether a volume that is not here can be used here after a move."""
        return may_come(volume, self._node) and volume.elsewhere is Elsewhere.MOVE

    def is_coming(self, uid: str) -> bool:
        """Whether it is on its way here: its attachment is needed for that."""
        return uid in self._jobs

    def held_by_others(self, volume: Volume) -> list[str]:
        """Hosts that have it now, whether anybody there uses it or not."""
        return self._attachments.elsewhere(volume.name)

    async def here(self, volume: Volume, within_s: float) -> None:
        """Have a volume that this host may use at home here.

        raises  Moving: it goes on, and is there later. HomeUnreachable, PoolFull, and what else
                kept it from coming
        """
        job = self.begin(volume)
        await asyncio.wait({job.task}, timeout=within_s)
        if not job.task.done():
            assert volume.home is not None
            raise Moving(volume, volume.home.node, job.told, job.error)
        job.task.result()

    def begin(self, volume: Volume) -> _Job:
        """Have it on its way here, unless it is."""
        if (job := self._jobs.get(volume.uid)) is None:
            task = asyncio.create_task(self._come(volume), name=f"move {volume.name}")
            job = self._jobs[volume.uid] = _Job(volume, task)
            task.add_done_callback(partial(self._ended, volume))
        return job

    async def stop(self) -> None:
        """What has not come goes on after the next start."""
        tasks = [one.task for one in self._jobs.values()]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, volume: Volume, task: "asyncio.Task[None]") -> None:
        self._jobs.pop(volume.uid, None)
        if not task.cancelled():
            if (error := task.exception()) is not None and not isinstance(error, MooringError):
                log.error("volume=%s a move ended by an error", volume.name, exc_info=error)
            self.ended(volume, error is None)

    # One move

    async def _come(self, volume: Volume) -> None:
        """Try until it is here, or gets no further. Raises MooringError then: it is given up."""
        loop = asyncio.get_running_loop()
        until, delay_s, before = loop.time() + GIVE_UP_S, RETRY_S[0], ""
        home = volume.home
        assert home is not None
        await self._taken(volume)
        self._note(volume, NORMAL, "Moving", f"it moves from {home.node} to {self._node}")
        while True:
            try:
                await self._tried(volume.name, volume.uid)
                break
            except Conflict:
                continue
            except MooringError as error:
                job = self._jobs[volume.uid]
                job.error = error
                log.info("volume=%s does not come: %s", volume.name, error)
                if job.told != before:
                    until, before = loop.time() + GIVE_UP_S, job.told
                if not _may_pass(error) or loop.time() >= until:
                    self._note(volume, WARNING, "MoveFailed", str(error))
                    await self._given_up(volume)
                    raise
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S[1])
        self._note(volume, NORMAL, "Moved", f"it is on {self._node} now, and not on {home.node}")

    async def _taken(self, volume: Volume) -> None:
        """Have the right to use it. Raises AttachedElsewhere, HolderUnreachable."""
        try:
            await self._attachments.intend(volume)
        except MooringError:
            if volume.copy_on(self._node) is not None:  # of a move that was cut off
                await self._given_up(volume)
            raise

    async def _tried(self, name: str, uid: str) -> None:
        """Alone from its first byte here until its home has passed: nothing deletes it meanwhile,
        and what an earlier process of ours had begun has ended."""
        with self._usable(name), self._alone(uid) as lock:
            await self._until_alone(lock)
            volume = self._now(name, uid)
            await self._attachments.intend(volume)
            volume = await self._surely_now(name, uid)  # nobody else moves it from now on
            if volume.home is not None and volume.home.node != self._node:
                await self._brought_here(volume, lock)

    async def _brought_here(self, volume: Volume, lock: int) -> None:
        node = self._objects.view(Node, self._node)
        if volume.copy_on(self._node) is None and node is not None and node.spec.unschedulable:
            why = f"{self._node} is cordoned, see `mooring node uncordon {self._node}`"
            raise MovesNowhere(volume.name, why)
        if volume.copy_on(self._node) is None:
            rsync.refuse_without()
            await self._asked(volume)
        pool = self.place(volume)
        driver, asset = await self._pools.driver(pool), asset_name(volume.handle)
        await self._refuse_anothers(volume, pool, driver)
        volume = await self._expected(volume, pool)
        passing(EXPECTED)
        size_bytes = max(volume.takes.bytes(), driver.features.min_size_bytes)
        if any(one.name == asset for one in await driver.assets()):
            await driver.expand(asset, size_bytes)
        else:
            await driver.create(asset, size_bytes)
        passing(MADE)
        await self._filled(volume, driver, asset, lock)
        passing(COMPARED)
        await self._passed(volume.name, volume.uid)
        passing(HOME_PASSED)

    def _now(self, name: str, uid: str) -> Volume:
        """Raises MovesNowhere."""
        volume = self._objects.view(Volume, name)
        if volume is None or volume.uid != uid or volume.being_deleted:
            raise MovesNowhere(name, "it is gone, or being deleted")
        return volume

    async def _surely_now(self, name: str, uid: str) -> Volume:
        """Not at home here already, which may be stored though its answer was lost.

        Else what is used here by then would be overwritten.
        """
        volume, job = self._now(name, uid), self._jobs[uid]
        job.tries += 1
        copy = volume.copy_on(self._node)
        is_unsure = job.tries == 1 or (job.error is not None and job.error.effect != Effect.NONE)
        if copy is not None and is_unsure:
            told = copy.as_(copy.state, copy.at, f"try {job.tries}")
            await self._objects.commit([(volume, volume.with_copy(told))])
        return self._now(name, uid)

    async def _asked(self, volume: Volume) -> None:
        """Whether its home answers at all: it has all there is. Raises HomeUnreachable.

        An agent that starts again is waited for.
        """
        home = volume.home
        assert home is not None
        if self._objects.view(Node, home.node) is None:
            raise HomeUnreachable(volume, home.node, "it is no Node any more")
        until = asyncio.get_running_loop().time() + REACHED_WITHIN_S
        while True:
            try:
                async with self._peers.call(home.node, ASK, Wanted(volume.name, volume.uid)):
                    return
            except PeerUnreachable as error:
                is_late = asyncio.get_running_loop().time() >= until
                if is_late or self._attachments.is_silent(home.node):
                    raise HomeUnreachable(volume, home.node, error.what) from error
            await asyncio.sleep(RETRY_S[0])

    def place(self, volume: Volume) -> Pool:
        """Where it is to be: in the pool that its class takes from here. Raises MovesNowhere."""
        if (copy := volume.copy_on(self._node)) is not None:
            pool = self._objects.view(Pool, copy.pool)
            if pool is not None and pool.node == self._node:
                return pool
        class_ = self._objects.view(StorageClass, volume.spec.storage_class_name)
        if class_ is None:  # what it said is known; any pool of the driver is as good
            class_ = StorageClass(provisioner=volume.driver)
        found = self._pools.for_class(class_)
        if isinstance(found, str) or found.node != self._node:
            why = found if isinstance(found, str) and found else f"no pool of {self._node} is"
            raise MovesNowhere(volume.name, f"{why}, which class {class_.name or '-'} could take")
        return found

    async def _refuse_anothers(self, volume: Volume, pool: Pool, driver: Driver) -> None:
        """What lies in the pool under its name is its own if it has a copy there: that is noted
        before anything is made. Raises MovesNowhere."""
        if other := self._other_of(volume, pool.name):
            raise MovesNowhere(volume.name, f"its data would be that of volume {other}")
        copy = volume.copy_on(self._node)
        if (copy is None or copy.pool != pool.name) and any(
            one.name == volume.handle for one in await driver.assets()
        ):
            why = (
                f"data of that name is there, and nobody's: see `mooring pool orphans {pool.name}`"
            )
            raise MovesNowhere(volume.name, why)

    def _other_of(self, volume: Volume, pool: str) -> str:
        """Another volume whose data lies in a pool of this host under the same name."""
        for one in self._objects.views(Volume):
            if one.uid != volume.uid and one.handle == volume.handle and pool in one.charges:
                return one.name
        return ""

    async def _expected(self, volume: Volume, pool: Pool) -> Volume:
        """With what comes noted, and charged to the pool. Raises PoolFull."""
        wanted = expecting(volume, Home(self._node, pool.name))
        try:
            if wanted is not volume:
                await self._objects.commit([(volume, wanted)])
        except Forbidden as error:
            free = pool.place_total.bytes() if pool.place_total is not None else 0
            raise _NoRoom(pool.name, volume.takes.bytes(), free, str(error)) from error
        return self._now(volume.name, volume.uid)

    async def _filled(self, volume: Volume, driver: Driver, asset: AssetName, lock: int) -> None:
        """All of it is here, compared, and on disk."""
        root = await driver.publish(asset)
        try:
            tree = await self._blocking.run(partial(os.open, root, files.DIRECTORY))
            try:
                await self._copied(volume, tree, lock)
            finally:
                os.close(tree)
        finally:
            with suppress(MooringError):
                await driver.unpublish(asset)

    async def _copied(self, volume: Volume, tree: int, lock: int) -> None:
        job = self._jobs[volume.uid]
        telling = Telling(partial(self._tell_progress, volume))

        def heard(percent: int) -> None:
            job.told = f"{percent} %"
            telling(Amount(percent, 100))

        try:
            await self._brought(volume, tree, lock, compares=False, heard=heard)
            passing(FILLED)
            job.told = "it is compared"
            for _ in range(LOOKS_AT_MOST):
                found = await self._brought(volume, tree, lock, compares=True)
                if not found.changes:
                    break
                log.warning("volume=%s differed after it was copied: %s", volume.name, found)
            else:
                raise NotEqual(volume.name, found.changes)
            sync = partial(files.file_system_synced, tree)
            await self._blocking.run(sync, rsync.SILENT_S)
        finally:
            await telling.stop()

    async def _brought(
        self,
        volume: Volume,
        tree: int,
        lock: int,
        *,
        compares: bool,
        heard: Callable[[int], None] = lambda _: None,
    ) -> rsync.Brought:
        home = volume.home
        assert home is not None
        wanted = Wanted(volume.name, volume.uid)
        async with self._peers.call(home.node, TREE, wanted) as (stream, _):
            channel = rsync.Channel(stream.read, stream.write)
            return await rsync.brought(tree, channel, compares=compares, lock=lock, heard=heard)

    async def _passed(self, name: str, uid: str) -> None:
        """It is at home here. Raises Conflict: it is another, or has been taken over meanwhile."""
        volume = self._now(name, uid)
        held = self._objects.entry(Attachment.resource, attachment_name(name))
        if not is_charged(volume, self._node) or held is None:
            raise Conflict(name, 0, 0)  # it was grown meanwhile, for one
        checks = [Check(f"{Attachment.resource}/{held.key}", held.revision)]
        if self._node not in [one.node for one in self._attachments.of(name)]:
            raise AttachedElsewhere(volume, "another host")
        await self._objects.commit([(volume, moved(volume, self._node))], checks)

    async def _tell_progress(self, volume: Volume, amount: Amount, elapsed_s: float) -> None:
        now = self._objects.view(Volume, volume.name)
        copy = now.copy_on(self._node) if now is not None and now.uid == volume.uid else None
        if now is not None and copy is not None:
            told = f"{amount.percent} %"
            with suppress(Conflict):
                await self._objects.commit([(now, now.with_copy(copy.as_(copy.state, told=told)))])
            await asyncio.sleep(TOLD_EACH_S)

    async def _given_up(self, volume: Volume) -> None:
        """Nothing of it stays here."""
        try:
            await self.forget(volume.name, gives_up=True)
        except (MooringError, Conflict) as error:
            log.warning("volume=%s what has come of it stays for now: %s", volume.name, error)

    def _note(self, volume: Volume, type_: str, reason: str, message: str) -> None:
        about: ObjectReference = volume.claim_ref or volume.reference()
        self._tell(EventNote(about, type_, reason, message, COMPONENT))

    # What is left

    async def forget(self, name: str, *, gives_up: bool = False) -> None:
        """Delete what this host has of a volume whose home it is not, and that nobody wants.

        gives_up  also if it was to be the home
        raises    Conflict, InUse, and what else keeps it from that
        """
        if (found := self._objects.view(Volume, name)) is None:
            return
        with self._usable(name), self._alone(found.uid) as lock:
            await self._until_alone(lock)
            volume = self._objects.view(Volume, name)  # a move may have come between
            copy = volume.copy_on(self._node) if volume is not None else None
            if volume is None or copy is None or volume.hosts == (self._node,):
                return
            if gives_up or is_to_be_deleted(volume, copy):
                await self._leaves(volume, copy)
                await self._deleted(volume.name, volume.uid)

    async def _leaves(self, volume: Volume, copy: Copy) -> None:
        """From now on it does not become the home, and it has not become it either, though this
        host may have heard of nothing for a while. Raises Conflict: it has."""
        going = copy.as_(CopyState.LEAVING, told=GOING)
        if copy != going:
            await self._objects.commit([(volume, volume.with_copy(going))])

    async def _deleted(self, name: str, uid: str) -> None:
        volume = self._objects.view(Volume, name)
        copy = volume.copy_on(self._node) if volume is not None and volume.uid == uid else None
        if volume is None or copy is None or copy.told != GOING:
            raise Conflict(name, 0, 0)
        pool = self._objects.view(Pool, copy.pool)
        if pool is not None and pool.node == self._node:
            if other := self._other_of(volume, pool.name):
                raise AssetOfAnother(volume.handle, other)
            driver, asset = await self._pools.driver(pool), asset_name(volume.handle)
            with suppress(MooringError):
                await driver.unpublish(asset)
            await driver.delete(asset)
        passing(LEFT_DELETED)
        await self._objects.commit([(volume, volume.without_copy(self._node))])
        passing(LEFT_FORGOTTEN)

    @contextmanager
    def _usable(self, volume: str) -> Iterator[None]:
        """What the host's own disk refuses is told like all else. Raises HostRefuses."""
        try:
            yield
        except OSError as error:
            raise HostRefuses(volume, error) from error

    # An rsync of an earlier process, that was killed, may run on for a moment.

    @contextmanager
    def _alone(self, uid: str) -> Iterator[int]:
        """A file that is open here and in all that works at the data of a volume."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._locks / uid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)

    async def _until_alone(self, lock: int) -> None:
        """Raises HostStuck."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LEFT_WITHIN_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if loop.time() >= until:
                    raise HostStuck("an earlier copy", LEFT_WITHIN_S) from error
            await asyncio.sleep(0.1)


TOLD_EACH_S: Final = 3.0  # at most: each is a write that all hosts hear of


class _NoRoom(PoolFull):
    """In the words of the pool's account."""

    def __init__(self, pool: str, need_bytes: int, free_bytes: int, why: str) -> None:
        super().__init__(pool, need_bytes, free_bytes)
        self.what = why


def _may_pass(error: MooringError) -> bool:
    """Whether it is of use to try once more."""
    if isinstance(error, PeerRefuses):
        return error.code in ("NotGiven", "HostStuck", "TooManyCalls")
    final = (PoolFull, DiskFull, AttachedElsewhere, HomeUnreachable, MovesNowhere, NotEqual)
    return not isinstance(error, (*final, ProgramMissing))
