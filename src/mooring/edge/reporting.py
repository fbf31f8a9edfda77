"""Tells what an edge has come to: its status as of the last pass, and events of what changed."""

import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from mooring.clock import SystemClock
from mooring.edge.agents import Agents
from mooring.edge.certificates import Certificate
from mooring.edge.errors import NotWritten
from mooring.edge.events import Events
from mooring.edge.follower import Follower
from mooring.edge.forwarding import Forwarder
from mooring.edge.happenings import UNDRAINED, happened
from mooring.edge.interface import LOOK_S, Facts, Proxy
from mooring.edge.metrics import Metrics
from mooring.edge.model import Model
from mooring.edge.place import Place
from mooring.edge.routes import Problem
from mooring.edge.settings import Settings
from mooring.edge.status import (
    NOTHING,
    AgentsStatus,
    ManagerStatus,
    NoStatus,
    ProblemStatus,
    ProxyStatus,
    Status,
    certificates_told,
    read,
    seen_again,
    written,
)
from mooring.edge.telling import Teller
from mooring.edge.times import Times
from mooring.edge.untold import Untold
from mooring.engine.swarm import Swarm

log = logging.getLogger(__name__)

UNHEARD: Final = Problem(
    "AgentsNotHeard", "", "", "no server tells what agents see; managers tell of tasks alone"
)


class Reporter:
    """Of one keeper."""

    def __init__(self, settings: Settings, proxy: Proxy, follower: Follower) -> None:
        self._kind, self._files = settings.proxy, Place(settings.directory)
        self._proxy, self._follower = proxy, follower
        self._clock = SystemClock()
        self._began = self._clock.now()
        self._teller = Teller()
        self._times = Times(drains=settings.proxy != UNDRAINED)
        self.metrics = Metrics()
        self.forwarder = Forwarder(settings.server) if settings.server else None
        self.agents = Agents(settings.agents, follower.hear) if settings.agents else None
        self._events = Events(self._files)
        self._untold = Untold(self._files)
        self._told: Status | None = None  # the last that knew a swarm, maybe of an earlier process
        self._reported: Status | None = None
        self._facts: Facts | None = None  # of the proxy, as of the last look
        self._asked_at, self._counts = -LOOK_S, 0

    def find(self) -> None:
        """Go on from what an earlier process told."""
        self._untold.make()
        with suppress(NoStatus):
            self._told = read(self._files.path)
            self._teller = Teller(self._told)

    def keep(self) -> None:
        """Write what is not yet, at the end."""
        self._events.keep()

    async def report(
        self,
        model: Model,
        swarm: Swarm = NOTHING,
        certificates: Iterable[Certificate] = (),
        served: Iterable[Certificate] = (),
        failure: str = "",
    ) -> None:
        """Tell it, if that is news. Raises nothing.

        swarm    that the model is of
        served   of the certificates, as they were chosen
        failure  of the last try to bring the proxy to it; empty if it is
        """
        await self._ask()
        now, age_s = self._clock.now(), self._follower.age_s()
        routes = self._teller.routes(model, self._proxy.state_of, swarm, now)
        self.metrics.measured(self._times.measured(swarm, routes, now))
        problems = (
            *(*model.problems, *self._proxy.problems, *self._times.problems(swarm)),
            *([UNHEARD] if self.agents is not None and self.agents.failure else ()),
        )
        status = Status(
            pid=os.getpid(),
            manager=self._follower.manager.address,
            reloads=self._proxy.history.succeeded,
            rules=self._teller.rules(model),
            routes=routes,
            problems=tuple(ProblemStatus(*one) for one in problems),
            failure=failure,
            manager_failure=self._follower.failure,
            managers_lost=tuple(ManagerStatus(*one) for one in self._follower.lost.items()),
            proxy=ProxyStatus(self._kind, self._facts, self._proxy.history.starts),
            failed_reloads=self._proxy.history.failed,
            last_reload=self._proxy.history.last,
            since=self._began,
            # When that was is the file's own time, so that a look that found nothing writes none.
            swarm_seen=self._began if age_s is not None else None,
            certificates=certificates_told(certificates, served),
            disabled=self._teller.disabled(swarm),
            agents=self._agents(),
        )
        seen = now - timedelta(seconds=age_s) if age_s is not None else None
        self.metrics.status = structs.replace(status, swarm_seen=seen)
        is_news = status != self._reported
        news = self._events.record(happened(self._told, status) if is_news else (), now)
        if self.forwarder is not None:
            self.forwarder.take(news)
        if status.swarm_seen is not None:
            self._told = status
        self._write(status, seen, is_news=is_news)

    def _write(self, status: Status, seen: datetime | None, *, is_news: bool) -> None:
        """The file, or only when the swarm was seen. What keeps it from that is logged once."""
        try:
            if is_news:
                self._files.make()
                written(self._files, status)
                self._reported = status
            if seen is not None:
                seen_again(self._files.path, seen)
            self._untold.tell("")
        except (NotWritten, OSError) as error:
            why = error.what if isinstance(error, NotWritten) else str(error)
            if self._untold.tell(why):
                log.warning("its status is not told: %s", why)

    def _agents(self) -> AgentsStatus | None:
        if self.agents is None:
            return None
        hosts = tuple(sorted(self._follower.hints.hosts))
        return AgentsStatus(self.agents.server, hosts, self.agents.failure)

    async def _ask(self) -> None:
        """The proxy, how it is; now and then, when it may be another, and while it does not run."""
        now, history = time.monotonic(), self._proxy.history
        counts = history.succeeded + history.failed + history.starts
        if now - self._asked_at >= LOOK_S or counts != self._counts or self._facts is None:
            self._asked_at, self._counts = now, counts
            self._facts = await self._proxy.facts()
