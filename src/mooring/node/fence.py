"""Keeps this host from writing to what another may have by now. Docker volumes §9.

A host lives, for all others, as long as its Lease. It stops by itself earlier: counted from when
the last renewal that was acknowledged had been sent, no volume is mounted any more that others
could have, and whoever has one of them is killed. The watchdog, a process of its own, does that, so
it happens as well if the agent hangs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from mooring.errors import Effect, MooringError
from mooring.host.blocking import Blocking
from mooring.host.errors import HostStuck, MountFailed
from mooring.model.attachment import Attachment
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.published import Publisher
from mooring.node.watch import Watch
from mooring.node.watchdog import fence
from mooring.objects.objects import Objects
from mooring.rules.events import WARNING, EventNote
from mooring.rules.fencing import (
    LEASE_S,
    RENEW_SHARE,
    STOP_SHARE,
    has_promised,
    is_of_one_of_several,
)

log = logging.getLogger(__name__)

CALL_S: Final = 2.0
ENDED_WITHIN_S: Final = 3.0  # of one volume; longer than the watchdog's code tries to kill


class Times(NamedTuple):
    """Of a host's Lease, in seconds. stop_s: after the last renewal its writers are stopped."""

    lease_s: float = LEASE_S

    @property
    def renew_s(self) -> float:
        return self.lease_s * RENEW_SHARE

    @property
    def call_s(self) -> float:
        """That one server has to take in a renewal: then there is time for others."""
        return min(CALL_S, self.stop_s / 4)

    @property
    def stop_s(self) -> float:
        return self.lease_s * STOP_SHARE


USUAL: Final = Times()


class _Held(NamedTuple):
    """A volume of this host that others could have.

    lock         uid of its attachment; "" if it is another's
    is_promised  it may pass to another host once this one is silent
    """

    name: str
    lock: str
    is_promised: bool


class LeaseLost(MooringError):
    code, effect = "ControlPlaneAway", Effect.NONE

    def __init__(self, volume: Volume, why: str) -> None:
        claim = volume.claim_ref.key if volume.claim_ref is not None else f"volume {volume.name}"
        self.what = f"{claim} may be another host's by now: {why}"
        self.remedy = "it is mounted again once a server answers; see `mooring node` and its log"
        super().__init__(self.what)


class Fence:
    """Of one host."""

    def __init__(
        self,
        objects: Objects,
        publisher: Publisher,
        attachments: Attachments,
        node: str,
        watch: Watch,
        tell: Callable[[EventNote], None],
        times: Times,
        end: Callable[[Path], bool] | None = None,
    ) -> None:
        """end: who has the volume at a path, and its mount; whether that succeeded"""
        self._objects, self._publisher, self._attachments = objects, publisher, attachments
        self._node, self.watch, self._tell, self.times = node, watch, tell, times
        self._ended = end or self._fenced
        self._acknowledged_s = self._earlier_s()  # when the last renewal had been sent
        self._has_renewed = False  # since this process started
        self._held: dict[str, _Held] = {}  # by uid of the volume
        self._ending = Blocking("ending who uses lost volumes", deadline_s=ENDED_WITHIN_S)

    def _earlier_s(self) -> float:
        """As an earlier process of this agent has told, whose containers may run: starting is no
        renewal. Who has told nothing has a Lease that may have run out long ago."""
        until_s, now_s = self.watch.earlier_until_s(), self.now_s()
        return min(now_s, (now_s if until_s is None else until_s) - self.times.stop_s)

    async def renewed(self, sent_s: float) -> None:
        """A renewal that was sent at this time since the boot was acknowledged, so what others have
        done before is known. What another host has got meanwhile is ended first, since then the
        watchdog leaves all alone. A renewal that it is not told of does not count, as it would kill
        what is mounted from then on."""
        await self._end_lost()
        before, self._acknowledged_s = self._acknowledged_s, sent_s
        if self.told():
            self._has_renewed = True
        else:
            self._acknowledged_s = before

    def now_s(self) -> float:
        """Since the boot."""
        return self.watch.now_s()

    @property
    def silent_s(self) -> float:
        """For how long nobody has acknowledged that this host lives."""
        return self.now_s() - self._acknowledged_s

    @property
    def is_lost(self) -> bool:
        return self.silent_s >= self.times.stop_s

    def concerns(self, volume: Volume) -> bool:
        """Whether another host may have a volume once this one is silent: it has promised that."""
        lock = self._lock(volume)
        return lock is not None and has_promised(lock.annotations)

    def _lock(self, volume: Volume) -> Attachment | None:
        found = self._attachments.of(volume.name)
        return next((one for one in found if one.node == self._node), None)

    def refuse(self, volume: Volume) -> None:
        """Raises LeaseLost if this host must not take it, or mount it again, now."""
        if self.is_lost and (self.concerns(volume) or self._attachments.would_promise(volume)):
            raise LeaseLost(volume, self._why())

    def confirm(self, volume: Volume) -> None:
        """It was mounted, which may have taken long. Raises LeaseLost if it is another's now."""
        held = self._held.get(volume.uid)
        if held and ((self.is_lost and held.is_promised) or not self._is_ours(held)):
            raise LeaseLost(volume, self._why())

    def holds(self, volume: Volume) -> None:
        """It is about to be mounted: whoever writes to it is to be stopped in time, if that was
        promised, or once it is known that another host has it. Raises MountFailed if nobody would
        do that."""
        if is_of_one_of_several(volume):
            self._held[volume.uid] = self._as_held(volume)
            if not self.told():
                point = str(self._publisher.point(volume.uid))
                raise MountFailed("watch over", point, "the watchdog cannot be told of it")

    def _as_held(self, volume: Volume) -> "_Held":
        lock = self._lock(volume)
        if lock is None:  # lost: the watchdog is told of it as well, until it is ended
            return _Held(volume.name, "", is_promised=True)
        return _Held(volume.name, lock.uid, has_promised(lock.annotations))

    async def begin(self, published: Iterable[Volume]) -> None:
        """At the start: what is mounted here, and another host's by now, is ended before anything
        else; the rest is watched over again."""
        # Told all at once: a watchdog that knows of some alone would leave the others be.
        several = (one for one in published if is_of_one_of_several(one))
        self._held = {one.uid: self._as_held(one) for one in several}
        self.told()
        await self._end_lost()
        self.told()

    def let_go(self, uid: str) -> None:
        """Nobody has it mounted here."""
        if self._held.pop(uid, None) is not None:
            self.told()

    def _is_ours(self, held: "_Held") -> bool:
        return any(one.uid == held.lock for one in self._attachments.of(held.name))

    async def _end_lost(self) -> None:
        """Back again: whoever has what another host has taken meanwhile is killed. What cannot be
        unmounted then is tried again at each renewal."""
        lost = {uid: held for uid, held in self._held.items() if not self._is_ours(held)}
        await asyncio.gather(*(self._end(uid, held) for uid, held in lost.items()))

    async def _end(self, uid: str, held: "_Held") -> None:
        point = self._publisher.point(uid)
        try:
            # What hangs must not keep the host from the next renewal.
            within_s = min(ENDED_WITHIN_S, max(self.times.stop_s / 2, 1.0))
            work = partial(self._ended, point)
            has_ended = await self._ending.run(work, within_s, about=uid)
        except HostStuck as error:
            log.warning("%s: %s", point, error)
            return
        if not has_ended or self._held.get(uid) != held:  # or it was taken again meanwhile
            return
        del self._held[uid]
        if (volume := self._objects.view(Volume, held.name)) is not None:
            self._tell_fenced(volume)

    def _tell_fenced(self, volume: Volume) -> None:
        message = f"{self._node} was silent, and whoever used it there was stopped"
        self._tell(EventNote(volume.reference(), WARNING, "FencedOff", message, "mooring"))

    def _fenced(self, point: Path) -> bool:
        return not fence([point], self.watch.spared())

    def told(self) -> bool:
        """Tell the watchdog, and see that there is one. Whether it knows all that there is."""
        promised = [uid for uid, held in self._held.items() if held.is_promised]
        until_s = self._acknowledged_s + self.times.stop_s
        try:
            self.watch.tell(until_s, [self._publisher.point(uid) for uid in promised])
        except (OSError, MooringError) as error:
            log.error("the watchdog is not told what it is to know: %s", error)
            return False
        return True

    def _why(self) -> str:
        if not self._has_renewed:
            return f"no server has acknowledged that {self._node} lives since its agent started"
        if self.is_lost:
            return f"no server has answered {self._node} for {self.silent_s:.0f} s"
        return f"its attachment to {self._node} is gone"

    def stop(self) -> None:
        """The agent stops. What is mounted is the watchdog's then."""
        if not self._held:
            self.watch.end()
