"""How long tasks wait for their first request, and how long before its end one gets no more.

A task's own times are of its node's clock. They are believed as far as our looks allow it: a task
was not running yet when it was not seen to, and was running when it was. The API tells no SIGTERM:
for a drain, the end of the task stands for it, less its grace period if it took all of that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple

from mooring.edge.labels import shown
from mooring.edge.routes import Problem
from mooring.edge.status import SERVES, RouteStatus
from mooring.engine.swarm import Service, Swarm, Task

UNSEEN_S: Final = 3.0  # at most from one look to the next, unless managers are away
AHEAD_S: Final = 2.0  # of which a node's clock is told to be wrong
BEHIND_S: Final = 10.0

What = Literal["task_to_traffic", "drain_before_sigterm"]


class Took(NamedTuple):
    what: What
    seconds: float


@dataclass
class _Life:
    """Of one task: when it was seen to run first, to be drained, and by whom it is."""

    task: Task
    seen: datetime | None = None  # None: it ran before we looked
    is_served: bool = False
    drained: datetime | None = None


@dataclass
class Times:
    """Told of every pass, it says what was measured in it."""

    drains: bool = True  # whether the proxy takes a server out at once
    skews: dict[str, float] = field(default_factory=dict)  # seconds ahead, by the id of a node
    _lives: dict[str, _Life] = field(default_factory=dict)  # by the id of a task
    _swarm: Swarm | None = None  # as of the last pass
    _routes: dict[str, RouteStatus] = field(default_factory=dict)  # likewise

    def measured(self, swarm: Swarm, told: Iterable[RouteStatus], now: datetime) -> Iterator[Took]:
        """All that came to its end by now."""
        is_other = swarm is not self._swarm
        if is_other:
            self._begin(swarm, now)
        # Those that are told anew are other objects: of 1,000 services that is one or another.
        routes = {one.backend: one for one in told}
        for route in [one for name, one in routes.items() if one is not self._routes.get(name)]:
            for one in route.servers:
                life = self._lives.get(one.key)
                if life is None:
                    continue
                if one.state == SERVES and not life.is_served:
                    life.is_served = True
                    if life.seen is not None:
                        yield Took("task_to_traffic", _seconds(_began(life.task, life.seen), now))
                elif self.drains and one.state == "leaves" and life.is_served:
                    life.drained = life.drained or now
        if is_other:
            yield from self._ended(swarm, now)
        self._swarm, self._routes = swarm, routes

    def _begin(self, swarm: Swarm, now: datetime) -> None:
        for task in swarm.tasks.values():
            if task.is_running and task.id not in self._lives:
                has_looked = self._swarm is not None and bool(self._swarm.nodes)
                self._lives[task.id] = _Life(task, now if has_looked else None)
                if has_looked:
                    self._compare(task, now)

    def _ended(self, swarm: Swarm, now: datetime) -> Iterator[Took]:
        for id_ in [one for one in self._lives if not _runs(swarm.tasks.get(one))]:
            life = self._lives.pop(id_)
            if life.drained is None:
                continue
            task = swarm.tasks.get(id_)
            ended = _began(task, now) if task is not None else now
            service = swarm.services.get(life.task.service_id)
            yield Took("drain_before_sigterm", _lead_s(_seconds(life.drained, ended), service))

    def _compare(self, task: Task, now: datetime) -> None:
        """What a task that was just seen to run tells of its node's clock."""
        said = _moment(task.stamp)
        if said is None:
            return
        ahead_s = (said - now).total_seconds()
        if ahead_s > AHEAD_S or ahead_s < -BEHIND_S:
            self.skews[task.node_id] = ahead_s
        else:
            self.skews.pop(task.node_id, None)

    def problems(self, swarm: Swarm) -> Iterator[Problem]:
        """Nodes whose clock is another than ours."""
        for id_, ahead_s in self.skews.items():
            if id_ in swarm.nodes:
                how = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours"
                message = f"the clock of node {shown(swarm.nodes[id_].name)} is about {how}"
                yield Problem("ClockSkew", "", "", message)


def _runs(task: Task | None) -> bool:
    return task is not None and not task.has_ended


def _began(task: Task, seen: datetime) -> datetime:
    """When a task came to its state, held between the look that saw it and the one before."""
    said = _moment(task.stamp)
    if said is None or said > seen or (seen - said).total_seconds() > UNSEEN_S:
        return seen
    return said


def _lead_s(seconds: float, service: Service | None) -> float:
    grace_s = service.grace_s if service is not None else 0.0
    return seconds - grace_s if 0 < grace_s < seconds else seconds


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())


def _moment(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp)
    except ValueError:
        return None
