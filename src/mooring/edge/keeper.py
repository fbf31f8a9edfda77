"""Follows a swarm and keeps the proxy right for it. Edge §4, §5."""

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from mooring.edge.certificates import Certificate, certificates_in
from mooring.edge.follower import Follower
from mooring.edge.interface import LOOK_S, Proxy
from mooring.edge.model import Memory, Model, model_of
from mooring.edge.routes import Problem, shown
from mooring.edge.settings import Settings
from mooring.edge.status import ProblemStatus, Status, routes_told, rules_told, written
from mooring.engine.swarm import Swarm
from mooring.errors import MooringError

log = logging.getLogger(__name__)


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
        self._memory = Memory()
        self._reported: Status | None = None
        self._certificates: dict[str, Certificate] = {}  # by source

    async def run(self) -> None:
        """Until it is cancelled. Whatever fails is tried again; what the proxy has stays."""
        await self.proxy.find()
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
        by_file = {one.file: one for one in self._certificates.values()}
        pause_s = await self.proxy.bring(model, by_file)
        self._report()
        return pause_s

    def _read_certificates(self) -> list[Problem]:
        """Take what the directory has now; what is bad stays as it was, and is returned."""
        if not self.settings.certificates:
            return []
        directory = Path(self.settings.certificates)
        self._certificates, problems = certificates_in(directory, self._certificates)
        return problems

    def _names(self) -> frozenset[str]:
        return frozenset().union(*(one.names for one in self._certificates.values()))

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
            reloads=self.proxy.reloads,
            rules=rules_told(state.model),
            routes=routes_told(state.model, self.proxy.state_of),
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
