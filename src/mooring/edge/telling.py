"""Statuses of a model's parts, made anew only where something is other than at the pass before."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from mooring.edge.model import Backend, Model, Server, Wish
from mooring.edge.status import (
    ProblemStatus,
    RouteStatus,
    RuleStatus,
    Status,
    disabled_told,
    route_told,
    rules_told,
)
from mooring.engine.swarm import Node, Service, Swarm, Task


class _Made(NamedTuple):
    """All that the status of a route is made of. leaving: tasks and nodes of those that leave."""

    backend: Backend
    service: Service | None
    states: tuple[str, ...]
    leaving: tuple[tuple[Task | None, Node | None], ...]


class Teller:
    """Tells of the same things again and again. What is as before is the same object as before."""

    def __init__(self, before: Status | None = None) -> None:
        """before: as an earlier process told it, so that a restart of ours makes nothing younger"""
        self._routes = {one.backend: one for one in before.routes} if before else {}
        self._made: dict[str, _Made] = {}
        self._model: Model | None = None
        self._rules: tuple[RuleStatus, ...] = ()
        self._swarm: Swarm | None = None
        self._disabled: tuple[ProblemStatus, ...] = ()

    def routes(
        self, model: Model, state_of: Callable[[str, Server], str], swarm: Swarm, now: datetime
    ) -> tuple[RouteStatus, ...]:
        """All of them, each server with when it came to its state."""
        routes, all_made = {}, {}
        for name, backend in model.backends.items():
            made = all_made[name] = _made(backend, state_of, swarm)
            if made == self._made.get(name):
                routes[name] = self._routes[name]
            else:
                told = route_told(backend, made.states, swarm)
                routes[name] = _dated(told, self._routes.get(name), now)
        self._routes, self._made = routes, all_made
        return tuple(routes.values())

    def rules(self, model: Model) -> tuple[RuleStatus, ...]:
        """All of them."""
        if model is not self._model:
            self._model, self._rules = model, rules_told(model)
        return self._rules

    def disabled(self, swarm: Swarm) -> tuple[ProblemStatus, ...]:
        """Routes that labels take out."""
        if swarm is not self._swarm:
            self._swarm, self._disabled = swarm, disabled_told(swarm)
        return self._disabled


def _made(backend: Backend, state_of: Callable[[str, Server], str], swarm: Swarm) -> _Made:
    leaving = []
    for one in backend.servers:
        if one.wish is Wish.LEAVE:
            task = swarm.tasks.get(one.key)
            leaving.append((task, swarm.nodes.get(task.node_id if task else one.key)))
    name, service = backend.name, swarm.services.get(backend.route.service_id)
    states = tuple([state_of(name, one) for one in backend.servers])
    return _Made(backend, service, states, tuple(leaving))


def _dated(told: RouteStatus, before: RouteStatus | None, now: datetime) -> RouteStatus:
    """With when its servers came to their states: now, if they were in others before."""
    known = {one.key: (one.state, one.since) for one in before.servers} if before else {}
    servers = []
    for one in told.servers:
        state, since = known.get(one.key, ("", None))
        kept = since if state == one.state and since is not None else now
        servers.append(structs.replace(one, since=kept))
    return structs.replace(told, servers=tuple(servers))
