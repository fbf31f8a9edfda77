"""What happened between two moments of an edge, for its events. Pure. Edge §12."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from mooring.edge.status import SERVES, ProblemStatus, RouteStatus, ServerStatus, Status

EDGE: Final = "edge"  # the object of what is about no service

# It knows no drain: servers leave by reloads, which are told as such, and not at once.
UNDRAINED: Final = "nginx"

Type = Literal["Normal", "Warning"]


class Happening(NamedTuple):
    """One event.

    object    a service as service/NAME, or EDGE
    is_alike  whether another message of this reason and object is the same event again
    """

    type: Type
    reason: str
    object: str
    message: str
    is_alike: bool = True


def happened(before: Status | None, now: Status) -> Iterator[Happening]:
    """What is other now. before: None, nothing is known of it."""
    yield from _of_managers(before, now)
    yield from _of_proxy(before, now)
    if now.swarm_seen is None:
        return  # a start of ours: of services nothing is known yet
    yield from _of_problems(before, now)
    known = {one.backend: one for one in before.routes} if before is not None else {}
    for route in now.routes:
        earlier = known.get(route.backend)
        if earlier is not None and earlier is not route and earlier != route:
            yield from _of_servers(earlier, route, drains=now.proxy.kind != UNDRAINED)
            yield from _of_route(earlier, route)


def _of_managers(before: Status | None, now: Status) -> Iterator[Happening]:
    earlier = set(before.managers_lost) if before is not None else set()
    for one in now.managers_lost:
        if one not in earlier:
            yield Happening("Warning", "ManagerLost", EDGE, one.why, is_alike=False)
    is_back = now.manager in {one.address for one in earlier - set(now.managers_lost)}
    had_none = before is not None and before.manager_failure
    if (is_back or had_none) and not now.manager_failure:
        yield Happening("Normal", "ManagerFound", EDGE, f"{now.manager} answers", is_alike=False)


def _of_proxy(before: Status | None, now: Status) -> Iterator[Happening]:
    is_ours = before is not None and before.since == now.since  # told by this process too
    starts = before.proxy.starts if before is not None and is_ours else 0
    if now.proxy.starts > starts:
        message = f"{now.proxy.kind} did not run, it is started"
        yield Happening("Warning", "ProxyRestarted", EDGE, message)
    last = now.last_reload
    if last is not None and (before is None or last != before.last_reload):
        if last.failure:
            yield Happening("Warning", "ReloadFailed", EDGE, f"for {last.why}: {last.failure}")
        else:
            yield Happening(
                "Normal", "Reloaded", EDGE, f"for {last.why}; it took {last.took_s:g} s"
            )
    said = before.failure if before is not None else ""
    if now.failure not in ("", said, last.failure if last is not None else ""):
        yield Happening("Warning", "NotApplied", EDGE, now.failure)


def _of_problems(before: Status | None, now: Status) -> Iterator[Happening]:
    earlier = set(before.problems) if before is not None else set()
    for one in sorted(set(now.problems) - earlier, key=_order):
        yield Happening("Warning", one.reason, _object(one.service), _said(one), is_alike=False)
    for one in sorted(earlier - set(now.problems), key=_order):
        message = f"{one.reason} no more: {_said(one)}"
        yield Happening("Normal", "ProblemGone", _object(one.service), message, is_alike=False)


def _of_servers(before: RouteStatus, now: RouteStatus, *, drains: bool) -> Iterator[Happening]:
    known = {one.key: one for one in before.servers}
    what = _object(now.service)
    for one in now.servers:
        earlier = known.get(one.key)
        if earlier is None or earlier.state == one.state:
            continue
        if one.state == "leaves" and earlier.state == SERVES and drains:
            yield Happening("Normal", "ServerDrained", what, f"{_server(one)}: {one.reason}")
        elif one.state == "down":
            yield Happening("Warning", "ServerDown", what, f"{_server(one)}: {one.reason}")
        elif one.state == SERVES and earlier.state == "down":
            yield Happening("Normal", "ServerUp", what, f"{_server(one)} answers again")


def _of_route(before: RouteStatus, now: RouteStatus) -> Iterator[Happening]:
    what = _object(now.service)
    if before.serving and not now.serving:
        servers = "none of its servers answers" if now.servers else "it has no server"
        yield Happening("Warning", "NoServer", what, f"{now.label}: {servers}, requests get 503")
    elif now.serving and not before.serving:
        yield Happening("Normal", "Serving", what, f"{now.label} has a server that answers")


def _server(one: ServerStatus) -> str:
    return f"server {one.address}:{one.port} ({one.task or one.node})"


def _object(service: str) -> str:
    return f"service/{service}" if service else EDGE


def _said(one: ProblemStatus) -> str:
    return f"route {one.route}: {one.message}" if one.route else one.message


def _order(one: ProblemStatus) -> tuple[str, ...]:
    return one.service, one.route, one.reason, one.message
