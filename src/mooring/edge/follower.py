"""The swarm as it is, from one manager or the next. Edge §4.

Events say where to look, lists say what is: of a task that fails or moves no event tells.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from mooring.edge.errors import SwarmChanged, SwarmOlder
from mooring.edge.hints import Hints
from mooring.engine.errors import EngineAway
from mooring.engine.manager import Manager
from mooring.engine.swarm import Service, Swarm, Task
from mooring.model.task_container import HostTasks

log = logging.getLogger(__name__)

POLL_S: Final = 2.0  # all lists
HOT_POLL_S: Final = 0.2  # tasks of services that change
HOT_S: Final = 60.0  # after its last event, one that never settles is looked at like all others
AFTER_NODE_S: Final = 10.0  # all lists more often, after a node changed: its tasks move
NODE_POLL_S: Final = 0.5
FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 5.0
CONFIRMED: Final = 3  # looks, before it is believed that all is gone
# A leader that was cut off listed what it knew for 14 to 19 s (measured: dockerd 20.10, 3 times).
# Who tells of an older swarm for longer is believed: what was changed last may be gone since.
OLDER_S: Final = 30.0


class Follower:
    """Looks at a swarm for as long as it is open, and has the newest look."""

    def __init__(self, managers: Sequence[Manager], older_s: float = OLDER_S) -> None:
        """older_s: for how long a manager must tell of an older swarm to be believed"""
        self.managers, self._older_s = managers, older_s
        self.manager = managers[0]  # the one in use
        self.seen_at = 0.0  # monotonic, of the newest look; 0 if there was none
        self.failure = ""  # why there is no newer one
        self.lost: dict[str, str] = {}  # managers that could not be used when asked last, and why
        self._failures: dict[str, str] = {}  # since the newest look, by manager
        self._seen_by: Manager | None = None  # the newest look
        self._version = 0  # of the swarm then
        self._older_since: dict[str, float] = {}  # managers that tell of an older one
        self._swarm = Swarm()  # as managers tell of it
        self.hints = Hints()  # what agents tell beside them
        self._given = self._swarm  # both, as whoever asked was told last
        self._hot: set[str] = set()  # services that may be changing
        self._stirred: dict[str, float] = {}  # when they were seen to begin, by id
        self._nodes_changed = -AFTER_NODE_S
        self._told, self._news = asyncio.Event(), asyncio.Event()
        self._missed = 0

    async def run(self) -> None:
        """Look until it is cancelled."""
        try:
            await self._look()
        finally:
            for manager in self.managers:
                await manager.stop()

    def age_s(self) -> float | None:
        """How old the newest look is; None if there was none."""
        return time.monotonic() - self.seen_at if self.seen_at else None

    async def swarm_within(self, within_s: float) -> Swarm | None:
        """The swarm, as soon as it is found to be another; None if it is not in this time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news.wait()
        is_news = self._news.is_set()
        self._news.clear()
        # Also without news: what an agent told is believed for a while only.
        found = self.hints.applied(self._swarm, time.monotonic())
        if not is_news and found == self._given:
            return None
        self._given = found
        return found

    def hear(self, told: HostTasks) -> None:
        """What an agent tells counts at once, and the manager is asked what it knows of that."""
        now = time.monotonic()
        self.hints.take(told, now)
        if self.hints.applied(self._swarm, now) != self._given:
            self._news.set()
        if stirring := self.hints.services(self._swarm, now) - self._hot:
            self._hot |= stirring
            self._stirred |= dict.fromkeys(stirring, now)
            self._told.set()

    async def _look(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            for manager in self.managers:
                self.manager, before = manager, self.seen_at
                try:
                    await self._of_one(manager)
                except (EngineAway, SwarmChanged, SwarmOlder) as error:
                    if not isinstance(error, SwarmOlder):
                        self._older_since.pop(manager.address, None)
                    self._note_failure(manager, str(error))
                    await manager.stop()  # its next connection is by the files that are there then
                if self.seen_at > before:
                    delay_s = FIRST_RETRY_S  # it was asked with success meanwhile
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def _of_one(self, manager: Manager) -> None:
        """Look, for as long as it answers. Raises EngineAway, SwarmChanged, SwarmOlder."""
        following = asyncio.create_task(
            manager.follow(self._told.set, self._note), name="events of the swarm"
        )
        following.add_done_callback(lambda _: self._told.set())  # it is gone: no pause for that
        try:
            await self._all(manager)
            while not following.done():
                await self._pause()
                if self._is_time_for_all():
                    await self._all(manager)
                else:
                    await self._hot_ones(manager)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        if not following.cancelled() and (error := following.exception()) is not None:
            raise error
        raise EngineAway(manager.address, "it hung up")

    def _note_failure(self, manager: Manager, why: str) -> None:
        """Each in the log once, however often all of them are asked in turn."""
        if self._failures.get(manager.address) != why:
            log.warning("%s", why)
        self._failures[manager.address] = self.lost[manager.address] = why
        self.failure = "; ".join(self._failures.values())

    def _note(self, kind: str, id_: str) -> None:
        if kind == "node":
            self._nodes_changed = time.monotonic()
        else:
            self._hot.add(id_)
            self._stirred[id_] = time.monotonic()
        self._told.set()

    async def _pause(self) -> None:
        recently = time.monotonic() - self._nodes_changed < AFTER_NODE_S
        pause_s = HOT_POLL_S if self._hot else NODE_POLL_S if recently else POLL_S
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._told.wait()
        self._told.clear()

    def _is_time_for_all(self) -> bool:
        now = time.monotonic()
        recently = now - self._nodes_changed < AFTER_NODE_S
        return not self._hot or now - self.seen_at > (NODE_POLL_S if recently else POLL_S)

    async def _all(self, manager: Manager) -> None:
        before = frozenset(self._hot)  # events may add to it meanwhile
        swarm = await manager.swarm()
        known = self._swarm.nodes.keys()
        if known and swarm.nodes and known.isdisjoint(swarm.nodes):
            raise SwarmChanged(manager.address)
        self._refuse_older(manager, swarm.version)
        self.seen_at, self.failure = time.monotonic(), ""
        self._failures.clear()
        self.lost.pop(manager.address, None)
        settled = _settled(swarm)
        now, stirring = time.monotonic(), swarm.services.keys() - settled
        stirring |= self.hints.services(swarm, now)
        self._stirred = {id_: self._stirred.get(id_, now) for id_ in stirring | self._hot - before}
        self._hot -= before
        self._hot |= {id_ for id_ in stirring if now - self._stirred[id_] < HOT_S}
        self._found(swarm)

    def _refuse_older(self, manager: Manager, version: int) -> None:
        """Whatever is not in an older swarm would be taken out. Raises SwarmOlder."""
        now = time.monotonic()
        # One manager alone never goes back: its version is less where what had the last is gone.
        if self._seen_by not in (None, manager) and version < self._version:
            since = self._older_since.setdefault(manager.address, now)
            if now - since < self._older_s:
                raise SwarmOlder(manager.address, version, self._version)
        self._older_since.clear()
        self._seen_by, self._version = manager, version

    async def _hot_ones(self, manager: Manager) -> None:
        """The tasks of services that change: cheaper than all lists, and so more often."""
        hot = frozenset(self._hot)  # events may add to it meanwhile
        services = await manager.services(hot)
        tasks: dict[str, Task] = {}
        for id_ in services:
            tasks |= await manager.tasks(id_)
        before = self._swarm
        others = {key: one for key, one in before.services.items() if key not in hot}
        of_others = {key: one for key, one in before.tasks.items() if one.service_id not in hot}
        found = Swarm(services, tasks)
        swarm = replace(before, services=others | services, tasks=of_others | tasks)
        self._version = max(self._version, found.version)
        settled = _settled(found) - self.hints.services(swarm, time.monotonic())
        self._hot -= settled | (hot - services.keys())
        self._found(swarm)

    def _found(self, swarm: Swarm) -> None:
        before = self._swarm
        lost = [
            what
            for what in ("services", "tasks", "nodes")
            if getattr(before, what) and not getattr(swarm, what)
        ]
        self._missed = self._missed + 1 if lost else 0
        if 0 < self._missed < CONFIRMED:
            log.warning("%s lists no %s; it is asked again", self.manager.address, lost[0])
            return
        if swarm != before or not before.nodes:
            self._swarm = swarm
            self._news.set()


def _settled(swarm: Swarm) -> set[str]:
    """Services of which every task is where it is to be, and no update is under way."""
    tasks: dict[str, list[Task]] = {}
    for task in swarm.tasks.values():
        tasks.setdefault(task.service_id, []).append(task)
    return {id_ for id_, one in swarm.services.items() if _has_settled(one, tasks.get(id_, ()))}


def _has_settled(service: Service, tasks: Collection[Task]) -> bool:
    running = [one for one in tasks if one.desired == "running"]
    return (
        service.has_settled
        and all(one.is_running for one in running)
        and not any(one.is_leaving for one in tasks)
        and len(running) == (service.replicas if service.replicas is not None else len(running))
    )
