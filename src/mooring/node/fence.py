"""Keeps this host from writing to what another may have by now. Docker volumes §9.

STATE/fence  for the watchdog: {"agent": PID, "until": monotonic seconds, "volumes": [PATH, ...]}

A host lives, for all others, as long as its Lease. It stops by itself earlier: counted from when
the last renewal that was acknowledged had been sent, no volume is mounted any more that others
could have, and whoever has one of them is killed. The watchdog, a process of its own, does that, so
it happens as well if the agent hangs.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from mooring.errors import Effect, MooringError
from mooring.host.processes import detached, own
from mooring.model.attachment import Attachment
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.published import Publisher
from mooring.node.watchdog import fence, is_there, read
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

FILE: Final = "fence"
CALL_S: Final = 2.0


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


class LeaseLost(MooringError):
    code, effect = "ControlPlaneAway", Effect.NONE

    def __init__(self, volume: Volume, node: str, silent_s: float) -> None:
        claim = volume.claim_ref.key if volume.claim_ref is not None else f"volume {volume.name}"
        self.what = (
            f"{claim} may be another host's by now: no server has answered {node} for "
            f"{silent_s:.0f} s"
        )
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
        state_dir: Path,
        tell: Callable[[EventNote], None],
        times: Times,
    ) -> None:
        self._objects, self._publisher, self._attachments = objects, publisher, attachments
        self._node, self._file, self._tell, self.times = node, state_dir / FILE, tell, times
        self._acknowledged_s = self._earlier_s()  # when the last renewal had been sent
        self._held: dict[str, tuple[str, str]] = {}  # uid → name of the volume, uid of the lock

    def _earlier_s(self) -> float:
        """As an earlier process of this agent has told, whose containers may run: starting is no
        renewal. The clock goes on through a restart, and begins anew with the host."""
        now_s, told = time.monotonic(), read(self._file)
        if not told.get("volumes"):
            return now_s
        return min(now_s, float(told.get("until") or 0) - self.times.stop_s)

    async def renewed(self, sent_s: float) -> None:
        """A renewal that was sent at this monotonic time was acknowledged. What another host has
        got meanwhile is ended first, since then the watchdog leaves all alone."""
        if self.is_lost:
            await self._end_lost()
        self._acknowledged_s = sent_s
        self.write()

    @property
    def silent_s(self) -> float:
        """For how long nobody has acknowledged that this host lives."""
        return time.monotonic() - self._acknowledged_s

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
            raise LeaseLost(volume, self._node, self.silent_s)

    def confirm(self, volume: Volume) -> None:
        """It was mounted, which may have taken long. Raises LeaseLost if it is another's now."""
        if volume.uid in self._held and (self.is_lost or not self._is_ours(volume.uid)):
            raise LeaseLost(volume, self._node, self.silent_s)

    def holds(self, volume: Volume) -> None:
        """It is about to be mounted: whoever writes to it is to be stopped in time."""
        lock = self._lock(volume)
        if lock is not None and has_promised(lock.annotations):
            self._held[volume.uid] = volume.name, lock.uid
            self.write()

    async def begin(self, published: Iterable[Volume]) -> None:
        """At the start: what is mounted here, and another host's by now, is ended before anything
        else; the rest is watched over again."""
        lost = []
        for volume in published:
            if self._lock(volume) is not None:
                self.holds(volume)
            elif is_of_one_of_several(volume):
                lost.append(volume)
        if lost:
            points = [self._publisher.point(one.uid) for one in lost]
            await asyncio.to_thread(fence, points)
            for volume in lost:
                self._tell_fenced(volume)

    def let_go(self, uid: str) -> None:
        """Nobody has it mounted here."""
        if self._held.pop(uid, None) is not None:
            self.write()

    def _is_ours(self, uid: str) -> bool:
        name, lock = self._held.get(uid, ("", ""))
        return any(one.uid == lock for one in self._attachments.of(name))

    async def _end_lost(self) -> None:
        """Back again: whoever has what another host has taken meanwhile is killed."""
        lost = {uid: self._held[uid][0] for uid in self._held if not self._is_ours(uid)}
        await asyncio.to_thread(fence, [self._publisher.point(uid) for uid in lost])
        for uid, name in lost.items():
            self._held.pop(uid, None)
            if (volume := self._objects.view(Volume, name)) is not None:
                self._tell_fenced(volume)

    def _tell_fenced(self, volume: Volume) -> None:
        message = f"{self._node} was silent, and whoever used it there was stopped"
        self._tell(EventNote(volume.reference(), WARNING, "FencedOff", message, "mooring"))

    def write(self) -> None:
        """Tell the watchdog. It is told by the renewals, so in a file that is replaced at once."""
        paths = sorted(str(self._publisher.point(uid)) for uid in self._held)
        told = {
            "agent": os.getpid(),
            "until": self._acknowledged_s + self.times.stop_s,
            "volumes": paths,
        }
        new = self._file.with_name(f".{FILE}.new")
        new.write_text(json.dumps(told))
        os.replace(new, self._file)
        if self._held:
            self._watch()

    def _watch(self) -> None:
        """Have a watchdog; one that is there already stays the only one."""
        if is_there(self._file):
            return
        log_file = self._file.with_name("watchdog.log")
        detached(*own("mooring.node.watchdog"), str(self._file), log=log_file)
