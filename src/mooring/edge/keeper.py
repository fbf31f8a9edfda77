"""Follows a swarm and keeps the proxy right for it. Edge §4, §5."""

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.edge.certificates import Certificate, Covered, certificates_in, chosen, covered
from mooring.edge.errors import ConfigRejected, NotWritten
from mooring.edge.follower import Follower
from mooring.edge.interface import LOOK_S, Proxy
from mooring.edge.labels import shown
from mooring.edge.model import Memory, Model, Modeller
from mooring.edge.place import Place
from mooring.edge.quarantine import Quarantine, spoilers
from mooring.edge.remembered import remember, remembered
from mooring.edge.reporting import Reporter
from mooring.edge.routes import Problem, Route
from mooring.edge.settings import Settings
from mooring.engine.swarm import Swarm
from mooring.errors import MooringError

log = logging.getLogger(__name__)

REMEMBERED: Final = crash_point("edge.remembered")
QUARANTINED: Final = crash_point("edge.quarantined")
BROUGHT: Final = crash_point("edge.brought")
REPORTED: Final = crash_point("edge.reported")


@dataclass
class State:
    """What the edge has come to; shown by `mooring edge status`."""

    model: Model = field(default_factory=Model)
    failure: str = ""  # of the last try to apply the model; empty if it is


class Keeper:
    """One proxy for one swarm."""

    def __init__(self, settings: Settings, proxy: Proxy, follower: Follower) -> None:
        self.settings, self.proxy, self.follower = settings, proxy, follower
        self.state = State()
        self._modeller = Modeller(settings)
        self._memory = self._kept = Memory()  # and as its file has it
        self._quarantine = Quarantine()
        self.reporter = Reporter(settings, proxy, follower)
        self._files = Place(settings.directory)
        self._made_of: Swarm | None = None  # the model
        self._certificates: dict[str, Certificate] = {}  # by source
        self._by_file: dict[str, Certificate] = {}  # those that are served
        self._covered = Covered()
        self._bad: list[Problem] = []  # with certificates
        self._certified_at = -LOOK_S

    async def run(self) -> None:
        """Until it is cancelled. Whatever fails is tried again; what the proxy has stays."""
        try:
            await self._keep()
        finally:
            self.reporter.keep()

    async def _keep(self) -> None:
        await self.find()
        swarm: Swarm | None = None
        pause_s = 0.0
        while True:
            news = await self.follower.swarm_within(pause_s)
            swarm = news or swarm
            pause_s = LOOK_S
            if swarm is None:  # nobody tells what is to be, so what was goes on
                with suppress(MooringError, OSError):  # nothing was there, or it is tried again
                    await self.proxy.revive()
                await self.reporter.report(self.state.model)
                continue
            try:
                pause_s = await self.bring(swarm)
            except (MooringError, OSError) as error:
                self._fails(str(error))
                await self._report(swarm)

    async def find(self) -> None:
        """Take over what an earlier one has left: its proxy, and what it remembered."""
        await self.proxy.find()
        self._memory = self._kept = remembered(self._files)
        self.reporter.find()

    async def bring(self, swarm: Swarm) -> float:
        """Bring the proxy to a swarm as it is. After how many seconds to look again.

        raises  MooringError; OSError of what it reads
        """
        begun_s = time.monotonic()
        self._model(swarm)
        untold = self._remember()
        try:
            pause_s = await self.proxy.bring(self.state.model, self._by_file)
        except ConfigRejected:
            if not await self._quarantined():
                raise
            pause_s = 0.0  # at once, without what was refused
        passing(BROUGHT)
        self._fails(str(untold or ""))
        self.reporter.metrics.passed(time.monotonic() - begun_s)
        await self._report(swarm)
        passing(REPORTED)
        return pause_s

    async def _report(self, swarm: Swarm) -> None:
        await self.reporter.report(
            *(self.state.model, swarm, self._certificates.values(), self._by_file.values()),
            self.state.failure,
        )

    async def _quarantined(self) -> bool:
        """Leave out the routes that the proxy's checker does not take. Whether there are any."""
        model, known = self.state.model, {one.key: one for one in self.proxy.routes()}

        async def refusal(routes: Collection[Route]) -> ConfigRejected | None:
            return await self.proxy.refusal(model.only(routes), self._by_file)

        routes = [one.route for one in model.backends.values()]
        found = await spoilers(routes, known.values(), refusal)
        for route, said in found:
            log.error("service=%s route=%s is refused by the proxy", route.service, route.name)
            self._quarantine.add(route, known.get(route.key), said)
        self._made_of = None  # the model is to be made without them
        passing(QUARANTINED)
        return bool(found)

    def _model(self, swarm: Swarm) -> None:
        """Make the model anew, if anything that it is made of is another."""
        has_certificates = self._read_certificates()
        if swarm is self._made_of and not has_certificates:
            return
        names, expired = self._covered
        model, memory = self._modeller.model_of(
            swarm, self._memory, names, self._quarantine, expired
        )
        model = replace(model, problems=(*model.problems, *self._bad))
        self._tell(model)
        self.state.model, self._made_of = model, swarm
        if memory != self._memory:
            self._memory = memory

    def _remember(self) -> NotWritten | None:
        """Before anything is done by it; what fails keeps the proxy from nothing."""
        if self._memory is self._kept:
            return None
        try:
            self._files.make()
            remember(self._files, self._memory)
        except NotWritten as error:
            return error
        self._kept = self._memory
        passing(REMEMBERED)
        return None

    def _fails(self, why: str) -> None:
        """Empty: it does not."""
        if why and why != self.state.failure:
            log.error("%s", why)
        self.state.failure = why

    def _read_certificates(self) -> bool:
        """Take what the directory has now, and then; what is bad stays as it was. Whether it is
        other than before."""
        now = time.monotonic()
        if not self.settings.certificates or now - self._certified_at < LOOK_S:
            return False
        self._certified_at = now
        directory = Path(self.settings.certificates)
        before = self._certificates, self._bad, self._by_file, self._covered
        self._certificates, self._bad = certificates_in(directory, self._certificates)
        wall = datetime.now(UTC)
        served = chosen(self._certificates.values(), wall)
        self._by_file = {one.file: one for one in served}
        if (now_covered := covered(served, wall)) != self._covered:
            self._covered = now_covered
        return before != (self._certificates, self._bad, self._by_file, self._covered)

    def _tell(self, model: Model) -> None:
        """Log what is wrong with labels and nodes, once each."""
        for problem in set(model.problems) - set(self.state.model.problems):
            log.warning(
                "reason=%s service=%s route=%s %s",
                *(problem.reason, shown(problem.service), problem.route, problem.message),
            )
