"""Tells edges of this host's containers of a swarm's tasks, as soon as the engine does. 0034.

The managers of a swarm hear of a task's start or end by way of a queue, and of a container that
somebody else told to end only once it has ended.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import msgspec

from mooring.background import Background
from mooring.engine.engine import Engine
from mooring.engine.errors import EngineAway
from mooring.engine.task_container import TaskEvent
from mooring.errors import MooringError
from mooring.model.task_container import (
    CONTAINERS_AT_MOST,
    HostTasks,
    TaskContainer,
    key_of,
    later,
    may_be_told,
)
from mooring.store.interface import ABSENT, Conflict, Expect, Store, Write

log = logging.getLogger(__name__)

ENDED_S: Final = 60.0  # for which one that has ended is told of; managers know of it by then
ASKED_AT_ONCE: Final = 8  # containers
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0


class TaskContainers:
    """Of one host. A part of its agent, beside a server or far from it."""

    def __init__(self, store: Store, engine: Engine, node: str) -> None:
        self._store, self._engine, self._node = store, engine, node
        self._known: dict[str, TaskContainer] = {}  # by id
        self._stops: dict[str, int] = {}  # signals that they are stopped with
        self._ended: dict[str, float] = {}  # when they were found to have, by the loop's time
        self._has_looked = False  # at all, so that what it knows is all that there is
        self._expected: int | Expect = ABSENT  # revision of the document
        self._told = b""
        self._news = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(ASKED_AT_ONCE)
        self._following, self._telling = Background("tasks"), Background("tasks told")

    async def start(self) -> None:
        self._following.begin(self._engine.follow_tasks(self))
        self._telling.begin(self._tell())

    async def stop(self) -> None:
        """What was told stays: edges go by it until managers tell of something newer."""
        await self._following.end()
        await self._telling.end()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    # What the engine tells

    def connected(self) -> None:
        self._begin(self._look())

    def changed(self, event: TaskEvent) -> None:
        if not event.task:
            return
        state = event.state(self._stops.get(event.id, 0))
        if state is not None:
            self._put(TaskContainer(event.id, event.task, event.service, state))
        if event.action == "start":
            self._begin(self._ask(event.id))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="tasks looked at")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    # What is asked of it

    async def _look(self) -> None:
        """At all: it was not listened to for a while."""
        before = set(self._known)  # what comes from now on is told
        delay_s = FIRST_RETRY_S
        while True:
            try:
                ids = await self._engine.task_containers()
                await asyncio.gather(*map(self._asked, ids))
                break
            except EngineAway as error:
                log.debug("containers of tasks: %s", error)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, LONGEST_RETRY_S)
        for gone in before.difference(ids):
            self._ends(gone)
        self._has_looked = True
        self._news.set()

    async def _ask(self, id_: str) -> None:
        """About one that started. If nothing is to be had, what is told of it later counts."""
        try:
            await self._asked(id_)
        except EngineAway as error:
            log.debug("container %s: %s", id_, error)

    async def _asked(self, id_: str) -> None:
        async with self._turns:
            found = await self._engine.task_container(id_)
        if found is None:
            self._ends(id_)
            return
        self._stops[id_] = found.stop_signal
        if found.container is not None:
            self._put(found.container)

    def _ends(self, id_: str) -> None:
        if (known := self._known.get(id_)) is not None:
            self._put(msgspec.structs.replace(known, state="ended"))

    def _put(self, told: TaskContainer) -> None:
        if not may_be_told(told):
            return  # all others would be refused with it
        before = self._known.get(told.id)
        found = self._known[told.id] = later(before, told)
        if found.state == "ended":
            self._ended.setdefault(told.id, asyncio.get_running_loop().time())
        if found != before:
            self._news.set()

    # What is told

    async def _tell(self) -> None:
        delay_s, why = FIRST_RETRY_S, ""
        while True:
            await self._news.wait()
            self._news.clear()
            value = self._document()
            if not self._has_looked or value in (self._told, b""):
                continue
            try:
                write = Write(key_of(self._node), value, self._expected)
                self._expected, self._told = await self._store.commit([write]), value
                delay_s, why = FIRST_RETRY_S, ""
            except Conflict as conflict:
                # An earlier process wrote it, or a try of which no answer came. What this one
                # knows is newer; a try that comes through after this one is refused by it.
                self._expected = conflict.found or ABSENT
                self._news.set()
            except MooringError as error:
                if error.what != why:
                    log.warning("edges are not told of this host's tasks: %s", error.what)
                why = error.what
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, LONGEST_RETRY_S)
                self._news.set()

    def _document(self) -> bytes:
        """b"" if there is nothing to tell, and never was."""
        old = asyncio.get_running_loop().time() - ENDED_S
        for id_ in [one for one, at in self._ended.items() if at < old]:
            for known in (self._ended, self._known, self._stops):
                known.pop(id_, None)
        if not self._known and not self._told:
            return b""
        told = _newest(self._known.values())
        return msgspec.json.encode(HostTasks(self._node, told))


def _newest(known: Iterable[TaskContainer]) -> tuple[TaskContainer, ...]:
    """As many as may be told, those first that have not ended."""
    living = sorted(known, key=lambda one: one.state == "ended")[:CONTAINERS_AT_MOST]
    return tuple(sorted(living, key=lambda one: one.id))
