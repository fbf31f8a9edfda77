"""Follows a swarm and keeps the proxy right for it. Edge §4, §5."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mooring.edge.certificates import Certificate, certificates_in
from mooring.edge.follower import Follower
from mooring.edge.haproxy.proxy import Proxy
from mooring.edge.haproxy.slots import Plan, Slot, plan
from mooring.edge.model import Backend, Memory, Model, Rule, model_of
from mooring.edge.routes import Problem, shown
from mooring.edge.settings import Settings
from mooring.edge.status import ProblemStatus, Status, routes_told, rules_told, written
from mooring.engine.swarm import Swarm
from mooring.errors import MooringError

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0  # at the proxy's own state, if nothing else happens
SOON_S: Final = 0.1  # while a server has yet to pass its first check
QUIET_S: Final = 0.3  # after a change that needs a reload, in case more come
BETWEEN_RELOADS_S: Final = 5.0


@dataclass
class State:
    """What the edge has come to; shown by `mooring edge status`."""

    model: Model = field(default_factory=Model)
    plans: dict[str, Plan] = field(default_factory=dict)
    slots: dict[str, list[Slot]] = field(default_factory=dict)  # before those plans
    reloads: int = 0
    failure: str = ""  # of the last try to apply the model; empty if it is


class Keeper:
    """One proxy for one swarm."""

    def __init__(self, settings: Settings, proxy: Proxy, follower: Follower) -> None:
        self.settings, self.proxy, self.follower = settings, proxy, follower
        self.state = State()
        self._memory = Memory()
        self._reloaded = -BETWEEN_RELOADS_S
        self._wants_reload_since: float | None = None
        self._reported: Status | None = None
        self._certificates: dict[str, Certificate] = {}  # by source
        self._served: dict[str, str] | None = None  # fingerprints by file; None if not known

    async def run(self) -> None:
        """Until it is cancelled. Whatever fails is tried again; what the proxy has stays."""
        await self.proxy.found()
        swarm: Swarm | None = None
        pause_s = 0.0
        while True:
            news = await self.follower.swarm_within(pause_s)
            swarm = news or swarm
            if swarm is None:
                pause_s = LOOK_S
                continue
            try:
                pause_s = await self.bring(swarm)
                self.state.failure = ""
            except MooringError as error:
                if self.state.failure != str(error):
                    log.error("%s", error)
                self.state.failure = str(error)
                self._report()
                pause_s = LOOK_S

    async def bring(self, swarm: Swarm) -> float:
        """Bring the proxy to a swarm as it is. After how many seconds to look again."""
        bad = self._read_certificates()
        model, self._memory = model_of(swarm, self.settings, self._memory, self._names())
        model = replace(model, problems=(*model.problems, *bad))
        self._tell(model)
        self.state.model = model
        waits_s = await self._configure(model)
        await self._certify()
        await self.proxy.set_rules(self._servable(model))
        waiting = await self._place(model)
        self._report()
        return min(waits_s, SOON_S if waiting else LOOK_S)

    async def _configure(self, model: Model) -> float:
        """Reload, if it has to be and the time has come; else when to look again."""
        if not await self.proxy.runs():
            log.warning("HAProxy does not run; it is started")
            await self.proxy.apply(model, self._by_file())
        if not self.proxy.needs_reload(model):
            self._wants_reload_since = None
            return LOOK_S
        now = time.monotonic()
        since = self._wants_reload_since = self._wants_reload_since or now
        due = max(since + QUIET_S, self._reloaded + BETWEEN_RELOADS_S)
        if now < due:
            return due - now
        await self.proxy.apply(model, self._by_file())
        self.state.reloads += 1
        self._reloaded, self._wants_reload_since = time.monotonic(), None
        log.info("reloaded backends=%d", len(model.backends))
        return LOOK_S

    def _read_certificates(self) -> list[Problem]:
        """Take what the directory has now; what is bad stays as it was, and is returned."""
        if not self.settings.certificates:
            return []
        directory = Path(self.settings.certificates)
        self._certificates, problems = certificates_in(directory, self._certificates)
        return problems

    def _names(self) -> frozenset[str]:
        return frozenset().union(*(one.names for one in self._certificates.values()))

    def _by_file(self) -> dict[str, Certificate]:
        return {one.file: one for one in self._certificates.values()}

    async def _certify(self) -> None:
        """Serve the certificates that there are, if they are not those of the last time."""
        wanted = self._by_file()
        prints = {file: one.fingerprint for file, one in wanted.items()}
        if prints != self._served:
            self._served = None
            await self.proxy.set_certificates(wanted)
            self._served = prints

    def _servable(self, model: Model) -> tuple[Rule, ...]:
        """Rules whose backend the proxy has: others wait for the reload that brings it."""
        return tuple(one for one in model.rules if one.backend in self.proxy.slots)

    async def _place(self, model: Model) -> bool:
        """Bring every server into its slot. Whether one has yet to pass its first check."""
        everywhere = self.state.slots = await self.proxy.runtime.slots()
        plans: dict[str, Plan] = {}
        for name, backend in model.backends.items():
            if name in everywhere:
                before = self.state.plans.get(name)
                plans[name] = await self._placed(backend, everywhere[name], before)
        self.state.plans = plans
        return any(one.waits for one in plans.values())

    async def _placed(self, backend: Backend, slots: Sequence[Slot], before: Plan | None) -> Plan:
        made = plan(backend, slots, before.places if before else {})
        for step in made.steps:
            await self.proxy.runtime.do(backend.name, step)
        return made

    def _tell(self, model: Model) -> None:
        """Log what is wrong with labels and nodes, once each."""
        for problem in set(model.problems) - set(self.state.model.problems):
            log.warning(
                "reason=%s service=%s route=%s %s",
                *(problem.reason, shown(problem.service), problem.route, problem.message),
            )

    def _report(self) -> None:
        """Tell what it has come to, if that is news."""
        state = self.state
        status = Status(
            pid=os.getpid(),
            manager=self.follower.manager.address,
            reloads=state.reloads,
            rules=rules_told(state.model),
            routes=routes_told(state.model, state.plans, state.slots),
            problems=tuple(ProblemStatus(*one) for one in state.model.problems),
            failure=state.failure,
            manager_failure=self.follower.failure,
        )
        if status == self._reported:
            return
        try:
            written(self.proxy.place, status)
            self._reported = status
        except OSError as error:
            log.warning("its status is not told: %s", error)
