"""Keeps a HAProxy at a model: by its runtime API, and by a reload where it has to. Edge §5, §6."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.edge.certificates import Certificate
from mooring.edge.errors import ConfigRejected, ProxyAway, ReloadFailed
from mooring.edge.haproxy import guards, room
from mooring.edge.haproxy.process import Haproxy
from mooring.edge.haproxy.slots import Admin, Plan, Point, Slot, Turn, plan, takes_over
from mooring.edge.history import History
from mooring.edge.interface import LOOK_S, Facts
from mooring.edge.model import Backend, Model, Server, Wish
from mooring.edge.routes import Problem, Route
from mooring.edge.rules import Rule
from mooring.edge.settings import Settings
from mooring.errors import MooringError

log = logging.getLogger(__name__)

SOON_S: Final = 0.1  # while a server has yet to pass its first check
AT_ONCE_S: Final = 0.04  # likewise, for a while: nearly all pass it then
FIRST_CHECKS_S: Final = 1.0
FIRST_CHECK_S: Final = 30.0  # after which one that did not is looked at less often, and told of
QUIET_S: Final = 0.3  # after a change that needs a reload, in case more come
BETWEEN_RELOADS_S: Final = 5.0
RELOADED: Final = crash_point("edge.haproxy.reloaded")
RULED: Final = crash_point("edge.haproxy.ruled")
SINGLY_AT_MOST: Final = 20  # backends that are looked at one by one, rather than all at once


class HaproxyProxy:
    """A Proxy of the interface."""

    def __init__(self, settings: Settings) -> None:
        self.process = Haproxy(settings)
        self.place = self.process.place
        self.history = History()
        self._plans: dict[str, Plan] = {}
        self._slots: dict[str, list[Slot]] = {}  # before those plans
        self._reloaded = -BETWEEN_RELOADS_S
        self._wants_reload_since: float | None = None
        self._refused: tuple[object, MooringError] | None = None  # a shape, and why
        # Since when servers wait for their first check, by backend and key.
        self._waiting: dict[tuple[str, str], tuple[Route, float]] = {}
        self._placed: dict[str, tuple[Server, ...]] = {}  # servers as of those plans, by backend
        self._unsettled: set[str] = set()  # backends where something was to be done
        self._looked = -LOOK_S  # at all slots
        self._rules: tuple[Rule, ...] | None = None  # as it has them; None if not known
        self._served: dict[str, str] | None = None  # digests by file; None if not known
        self._room: room.Room | None = None  # as of the last look at it
        self._measured = -LOOK_S
        self._unfit: tuple[Problem, ...] = ()  # for which there is no room

    async def find(self) -> None:
        """Take over one that runs already; else start it as it was. Raises nothing of either."""
        with suppress(OSError, MooringError):  # there is none yet, or it is brought anew
            if await self.process.is_there():
                await self.process.found()
                return
            await self.process.start_last()
            self.history.starts += 1

    async def bring(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Bring it to a model; after how many seconds to look again.

        What fails does not keep the rest from being brought. Raises the first MooringError.
        """
        failures: list[MooringError] = []
        waits_s, reloads = LOOK_S, self.reloads
        if await self.process.runs():
            # First, since a reload takes its time, and a task that leaves does not wait for it.
            await _tried(partial(self._place, model), failures)
        try:
            waits_s = await self._configure(model, certificates)
        except MooringError as error:
            failures.append(error)
        if await self.process.runs():
            await _tried(partial(self._certify, certificates), failures)
            await _tried(partial(self._rule, model), failures)
            if self.reloads != reloads or not self._placed:
                await _tried(partial(self._place, model), failures)
        if failures:
            raise failures[0]
        return min(waits_s, self._soon_s())

    async def revive(self) -> None:
        """Start it as it was, if it has ended. Raises MooringError, OSError."""
        if not await self.process.is_there():
            await self.process.start_last()
            self._forget()
            self.history.starts += 1

    async def refusal(
        self, model: Model, certificates: Mapping[str, Certificate]
    ) -> ConfigRejected | None:
        """What its own checker says to a model; None: it takes it."""
        return await self.process.refusal(model, certificates)

    def routes(self) -> list[Route]:
        """Those of the configuration that it has, if we wrote it."""
        return self.process.routes()

    @property
    def reloads(self) -> int:
        """That came to something, since we follow it."""
        return self.history.succeeded

    async def facts(self) -> Facts | None:
        """None: it does not run."""
        try:
            worker = await self.process.worker()
        except ProxyAway:
            return None
        has = self.process.generation
        wanted = has + (self._wants_reload_since is not None)
        return Facts(worker.version, worker.master, str(has), str(wanted), worker.old)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Servers that never passed a check, though there was time for it, and services that it
        has no room for."""
        now, found = time.monotonic(), list(self._unfit)
        for (_, server), (route, since) in self._waiting.items():
            if now - since >= FIRST_CHECK_S:
                message = f"server {server} has passed no check for {FIRST_CHECK_S:.0f} s"
                found.append(Problem("NeverPassedCheck", route.service, route.name, message))
        return tuple(found)

    def _soon_s(self) -> float:
        """When something that is under way may be found done."""
        now = time.monotonic()
        waiting_s = min((now - since for _, since in self._waiting.values()), default=FIRST_CHECK_S)
        if waiting_s < FIRST_CHECKS_S:
            return AT_ONCE_S
        has_steps = any(self._plans[name].steps for name in self._unsettled if name in self._plans)
        return SOON_S if has_steps or waiting_s < FIRST_CHECK_S else LOOK_S

    def state_of(self, backend: str, server: Server) -> str:
        """In a word, how a server is."""
        made = self._plans.get(backend)
        number = made.places.get(server.key, 0) if made else 0
        slots = self._slots.get(backend, ())
        slot = slots[number - 1] if 0 < number <= len(slots) else None
        if slot is None:
            return "waits" if server.wish is Wish.SERVE else "leaves"
        if slot.admin is Admin.READY:
            return "serves" if slot.is_up else "down"
        return "leaves" if server.wish is Wish.LEAVE else "checking"

    async def rendered(self, model: Model) -> str:
        """The configuration of a model. Of what only runtime knows, the servers, nothing."""
        await self.process.found()
        return self.process.rendered(model)

    def configuration(self) -> Path:
        """Where the one is that it has."""
        return self.process.configuration

    async def stop(self) -> None:
        """End it, with every connection that it has."""
        await self.process.stop()

    async def _configure(self, model: Model, certificates: Mapping[str, Certificate]) -> float:
        """Reload, if it has to be and the time has come; else when to look again."""
        if not await self.process.is_there():
            log.warning("HAProxy does not run; it is started")
            self.history.starts += self.process.configuration.exists()
            self._forget()
            await self._started(model, certificates)
        model = await self._fitting(model)
        if not self.process.needs_reload(model):
            self._wants_reload_since = None
            return LOOK_S
        if self._refused is not None and self._refused[0] == _shape(model, certificates):
            raise self._refused[1]  # it would be refused again
        now = time.monotonic()
        since = self._wants_reload_since = self._wants_reload_since or now
        due = max(since + QUIET_S, self._reloaded + BETWEEN_RELOADS_S)
        if now < due:
            return due - now
        if not self.process.is_known and await self.process.found():
            return 0.0  # a reload that an earlier process began has come to an end
        await self._reload(model, certificates)
        return LOOK_S

    async def _started(self, model: Model, certificates: Mapping[str, Certificate]) -> None:
        """At once, as it was; if it cannot be, as it is to be."""
        try:
            await self.process.start_last()
        except (OSError, MooringError):
            can = None if self.process.settings.attach else room.of_start()
            fits = room.fitting(model, {}, can)[0] if can else model
            await self.process.apply(fits, certificates)

    async def _fitting(self, model: Model) -> Model:
        """What of a model it has room for: with more, a reload would come to nothing."""
        there = self.process.slots
        slots, now = room.wanted(model, there), time.monotonic()
        is_known = self._room is not None and slots <= self._room.slots
        if not is_known and now - self._measured >= LOOK_S:
            self._measured = now
            self._room = await self.process.room()
        if self._room is None or slots <= self._room.slots:
            self._unfit = ()
            return model
        fits, self._unfit = room.fitting(model, there, self._room)
        return fits

    async def _reload(self, model: Model, certificates: Mapping[str, Certificate]) -> None:
        try:
            with self.history.reload(self.process.why_reload(model)):
                await self.process.apply(model, certificates)
        except (ConfigRejected, ReloadFailed) as error:
            self._refused = _shape(model, certificates), error
            raise
        passing(RELOADED)
        self._refused = None
        self._forget()
        self._reloaded, self._wants_reload_since = time.monotonic(), None
        log.info("reloaded backends=%d", len(model.backends))

    def _forget(self) -> None:
        """What another worker has is to be looked at anew."""
        self._looked, self._rules, self._served = -LOOK_S, None, None
        self._room, self._measured = None, -LOOK_S

    async def _certify(self, wanted: Mapping[str, Certificate]) -> None:
        """Serve the certificates that there are, if they are not those of the last time."""
        digests = {file: one.digest for file, one in wanted.items()}
        if digests != self._served:
            self._served = None
            await self.process.set_certificates(wanted)
            self._served = digests

    async def _rule(self, model: Model) -> None:
        """Have it go by the model's rules."""
        slots, waits = self.process.slots, self._wants_reload_since is not None
        held_back = guards.unguarded(model, self.process.routes(), slots, waits=waits)
        if held_back:  # but not what it has, whoever brought it
            held_back -= await self.process.held(held_back)
        rules = guards.servable(model.rules, slots, held_back)
        if rules != self._rules:
            self._rules = None
            await self.process.set_rules(replace(model, rules=rules))
            passing(RULED)
            self._rules = rules

    async def _place(self, model: Model) -> None:
        """Bring every server into its slot."""
        looked_at = await self._look(model)
        steps: list[tuple[str, Point | Turn]] = []
        for name in looked_at:
            made = self._plans[name] = await self._planned(model.backends[name])
            steps += ((name, step) for step in made.steps)
        for name in self._plans.keys() - model.backends.keys():
            del self._plans[name]
            self._placed.pop(name, None)
        # What fails is looked at again in the next pass, and keeps nobody else's from being done.
        self._unsettled.update(looked_at)
        await self.process.runtime.do(steps)
        self._placed |= {name: model.backends[name].servers for name in looked_at}
        self._unsettled = {name for name in looked_at if self._plans[name].steps} | {
            name for name, one in self._plans.items() if one.waits
        }
        waiting = {
            (name, key): model.backends[name].route
            for name, one in self._plans.items()
            for key in one.waits
        }
        now = time.monotonic()
        self._waiting = {
            who: (route, self._waiting.get(who, (route, now))[1]) for who, route in waiting.items()
        }

    async def _planned(self, backend: Backend) -> Plan:
        """What is to be done in its slots, as they were looked at."""
        before, slots = self._plans.get(backend.name), self._slots[backend.name]
        places = before.places if before else {}
        made = plan(backend, slots, places)
        # Asked only where it matters, since it is one more question for each backend.
        if takes_over(made, slots) and (busy := await self.process.runtime.busy(backend.name)):
            made = plan(backend, slots, places, busy)
        return made

    async def _look(self, model: Model) -> list[str]:
        """Backends that may have something to do, their slots looked at.

        All of them now and then, since somebody else may have changed a slot; in between those that
        have other servers than before, and those where something is under way.
        """
        known = [name for name in model.backends if name in self.process.slots]
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._slots = await self.process.runtime.slots()
            return [name for name in known if name in self._slots]
        due = [
            name
            for name in known
            if name in self._unsettled or self._placed.get(name) != model.backends[name].servers
        ]
        if len(due) > SINGLY_AT_MOST:
            self._slots |= await self.process.runtime.slots()
        else:
            for name in due:
                self._slots |= await self.process.runtime.slots(name)
        return [name for name in due if name in self._slots]


async def _tried(step: Callable[[], Awaitable[None]], failures: list[MooringError]) -> None:
    try:
        await step()
    except MooringError as error:
        failures.append(error)


def _shape(model: Model, certificates: Mapping[str, Certificate]) -> object:
    """All that a configuration is made of: servers are not."""
    routes = {name: (one.route, one.slots) for name, one in model.backends.items()}
    return routes, {name: one.digest for name, one in certificates.items()}
