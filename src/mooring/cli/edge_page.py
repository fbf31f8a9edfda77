"""The page of `mooring edge status`: counts, routes, servers, and what is wrong, in this order."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from msgspec import structs

from mooring.cli.common import table
from mooring.cli.watching import Page
from mooring.edge.hosts import covers
from mooring.edge.status import (
    SERVES,
    AgentsStatus,
    ProblemStatus,
    RouteStatus,
    ServerStatus,
    Status,
)
from mooring.objects.printing import duration

_STATES: Final = (SERVES, "checking", "leaves", "down", "waits")


def page(
    status: Status,
    now: datetime,
    *,
    is_whole: bool = True,
    only_problems: bool = False,
    with_servers: bool = False,
) -> Page:
    """What people read.

    is_whole      it is all that the edge knows: the counts are shown
    only_problems  routes and servers are left out where all is well
    with_servers  those that serve as usual are shown too
    """
    routes = [one for one in status.routes if not only_problems or not _is_well(one)]
    routes.sort(key=lambda one: one.label)
    servers = [
        (route, one)
        for route in routes
        for one in route.servers
        if with_servers or one.state != SERVES or one.reason
    ]
    parts: list[Page] = [list(_head(status, now)) if is_whole else []]
    if routes:
        parts.append([table(("SERVICE", "ROUTE", "MODE", "UP"), _routes(status, routes))])
    elif only_problems:
        parts.append(["every route has servers, and each of them serves"])
    if servers:
        head = ("SERVER", "TASK", "NODE", "STATE", "SINCE", "REASON")
        parts.append([table(head, (_server(route, one, now) for route, one in servers))])
    parts.append([*_notes(routes), *_problems(status.problems)])
    filled = [one for one in parts if one]
    return [*filled[0], *(it for one in filled[1:] for it in ("", *one))] if filled else []


def about(status: Status, wanted: str) -> Status:
    """The part that is about a service, one of its routes, or a host."""
    host = wanted.lower().rstrip(".")
    ours = {
        one.backend for one in status.routes if wanted in (one.service, one.label, one.backend)
    } | {one.backend for one in status.rules if one.host and covers(one.host, host)}
    routes = tuple(one for one in status.routes if one.backend in ours)
    named = {(one.service, one.name) for one in routes}
    return structs.replace(
        status,
        routes=routes,
        rules=tuple(one for one in status.rules if one.backend in ours),
        problems=tuple(
            one
            for one in status.problems
            if (one.service, one.route) in named or one.service == wanted
        ),
    )


def _is_well(route: RouteStatus) -> bool:
    return bool(route.servers) and route.serving == len(route.servers)


def _head(status: Status, now: datetime) -> Iterator[str]:
    states = Counter(one.state for route in status.routes for one in route.servers)
    alone = sum(not one.serving for one in status.routes)
    counts = [f"{states[one]} {_WORDS.get(one, one)}" for one in _STATES if states[one]]
    bare = f", {alone} without a server that serves" if alone else ""
    yield f"routes    {len(status.routes)}{bare}"
    yield f"servers   {states.total()}{': ' if counts else ''}{', '.join(counts)}"
    yield f"problems  {len(status.problems)}"
    yield f"swarm     by {status.manager}, {_seen(status, now)}"
    if (agents := status.agents) is not None:
        yield f"agents    {_agents(agents)}"
    yield f"proxy     {_proxy(status)}"
    yield f"reloads   {_reloads(status, now)}"
    if status.failure:
        yield f"failing   {status.failure}"
    if status.manager_failure:
        yield f"failing   {status.manager_failure}"
    else:
        for one in status.managers_lost:
            yield f"lost      {one.why} (when it was asked last)"


_WORDS: Final = {SERVES: "serve", "leaves": "leave", "waits": "wait"}


def _seen(status: Status, now: datetime) -> str:
    if status.swarm_seen is None:
        return "not seen yet"
    return f"looked at {duration((now - status.swarm_seen).total_seconds())} ago"


def _agents(agents: AgentsStatus) -> str:
    if not agents.server:
        return f"not heard: {agents.failure or 'no server was asked yet'}"
    return f"of {len(agents.hosts)} hosts are heard by {agents.server}"


def _proxy(status: Status) -> str:
    facts = status.proxy.facts
    if facts is None:
        return f"{status.proxy.kind or 'it'} does not run"
    old = f", old workers {facts.old_workers}" if facts.old_workers else ""
    due = f", {facts.wanted} is due" if facts.wanted != facts.generation else ""
    return (
        f"{status.proxy.kind} {facts.version}, process {facts.pid}{old},"
        f" configuration {facts.generation or 'of another'}{due}"
    )


def _reloads(status: Status, now: datetime) -> str:
    failed = f", {status.failed_reloads} failed" if status.failed_reloads else ""
    since = f" in {duration((now - status.since).total_seconds())}" if status.since else ""
    starts = f", proxy started anew {status.proxy.starts}x" if status.proxy.starts else ""
    last = status.last_reload
    if last is None:
        return f"{status.reloads}{since}{starts}"
    how = f"it failed: {last.failure}" if last.failure else f"it took {last.took_s:g} s"
    ago = duration((now - last.at).total_seconds())
    return f"{status.reloads}{since}{failed}{starts}; the last {ago} ago for {last.why}; {how}"


def _routes(status: Status, routes: Iterable[RouteStatus]) -> Iterator[tuple[str, ...]]:
    hosts: dict[str, list[str]] = {}
    for rule in status.rules:
        what = f"{rule.what} (shadowed by {rule.winner})" if rule.winner else rule.what
        what += f" ({rule.part} %)" if rule.part is not None else ""
        if what not in hosts.setdefault(rule.backend, []):  # of several entry points
            hosts[rule.backend].append(what)
    for route in routes:
        up = f"{route.serving}/{len(route.servers)}"
        yield route.label, ", ".join(hosts.get(route.backend, ["-"])), route.mode, up


def _server(route: RouteStatus, one: ServerStatus, now: datetime) -> tuple[str, ...]:
    since = duration((now - one.since).total_seconds()) if one.since else "-"
    state = f"{one.state} (backup)" if one.is_backup else one.state
    task = one.task or route.service
    return f"{one.address}:{one.port}", task, one.node, state, since, one.reason


def _notes(routes: Iterable[RouteStatus]) -> Iterator[str]:
    for route in routes:
        active = [one for one in route.servers if not one.is_backup]
        if route.mode != "mesh" or not active:
            continue
        others = len(route.servers) > len(active)
        after = "if it does, another takes over" if others else "there is no other"
        yield f"note: {route.label}: all goes by {active[0].node}, that host must not stop; {after}"


def _problems(problems: Iterable[ProblemStatus]) -> Iterator[str]:
    for one in problems:
        who = f"{one.service}.{one.route}" if one.route else one.service
        yield f"{one.reason}: {f'{who}: ' if who else ''}{one.message}"
