"""Where a request goes, why there and nowhere else, and what would have it go better. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from mooring.edge.advice import ADVICE, MESH, stopping
from mooring.edge.hosts import covers, is_covered
from mooring.edge.status import (
    SERVES,
    ProblemStatus,
    RouteStatus,
    RuleStatus,
    ServerStatus,
    Status,
    matching,
)
from mooring.edge.targets import is_odd, read

SHOWN_AT_MOST: Final = 20  # servers of a route, and rules of a host
# Reasons for which a route stays as it was.
OF_LABELS: Final = frozenset(
    {
        "BadLabel",
        "NoCertificate",
        "PortAmbiguous",
        "PortNotPublished",
        "ModeImpossible",
        "EntryInUse",
    }
)


class Asked(NamedTuple):
    """host: or the name of an entry point that is wholly one service's. entry: empty, any."""

    host: str
    path: str
    entry: str = ""

    @property
    def what(self) -> str:
        return f"{self.host}{self.path}"


def asked(where: str, entry: str = "") -> Asked:
    """Of HOST[:PORT][/PATH], or a whole URL."""
    host, _, path = where.removeprefix("http://").removeprefix("https://").partition("/")
    path = f"/{path}".partition("?")[0]
    host = host.partition(":")[0].lower().rstrip(".")
    return Asked(host, path if is_odd(path) else read(path), entry)


def explained(status: Status, wanted: Asked, now: datetime) -> list[str]:
    """Lines for people: for each entry point the winner, the losers, and why."""
    if is_odd(wanted.path):
        return [f"{wanted.what} is refused (400): its path can be read in more than one way"]
    rules = [
        one for one in matching(status, wanted.host, wanted.path) if wanted.entry in ("", one.entry)
    ]
    lines: list[str] = []
    winners = set()
    for entry in dict.fromkeys(one.entry for one in rules):
        here = [one for one in rules if one.entry == entry]
        lines += _of_entry(status, wanted, here)
        winners |= {one.backend for one in _taken(here)}
    refused = list(_refused(status, wanted))
    if not winners:
        lines += _nowhere(status, wanted, has_reason=bool(rules or refused))
    lines += refused
    for route in (one for one in status.routes if one.backend in winners):
        who = [f"service {route.label}:"] if len(winners) > 1 else []
        lines += ["", *who, *_of_route(status, route, wanted, now)]
    return lines


def _of_entry(status: Status, wanted: Asked, rules: list[RuleStatus]) -> Iterator[str]:
    taken = rules[0]
    sharing = _taken(rules)
    others = [one for one in rules if one not in sharing]
    if sharing:
        how = "is sent to the same with TLS, for" if taken.is_sent_on else "goes to"
        what = wanted.what if taken.host else "what comes in"
        by = f", by {taken.what}" if taken.host else ""
        who = _service(status, taken) if taken.part is None else f"{len(sharing)} services"
        yield f"{what} at entry point {taken.entry} {how} {who}{by}"
    for one in sharing:
        if one.part is not None:
            yield f"  {one.part} of 100 requests to {_service(status, one)}"
    for one in others:
        yield f"  not to {_service(status, one)}: {_why_not(one, taken)}"


def _taken(rules: list[RuleStatus]) -> list[RuleStatus]:
    """Of rules that fit, the closest first, that which has it, or those that share it."""
    return [one for one in rules if not one.winner and one.place == rules[0].place]


def _why_not(one: RuleStatus, taken: RuleStatus) -> str:
    if one.winner:
        return f"{one.what} belongs to the older service {one.winner}; it is its when that goes"
    if one.host != taken.host:
        return f"the name {taken.host} is closer than {one.host}"
    return f"the path {one.path} is shorter than {taken.path}"


def _nowhere(status: Status, wanted: Asked, *, has_reason: bool) -> Iterator[str]:
    at = f" at entry point {wanted.entry}" if wanted.entry else ""
    yield f"{wanted.what}{at} goes nowhere (404): no service has this name and path"
    near = [one for one in status.rules if one.host and covers(one.host, wanted.host)]
    for one in near[:SHOWN_AT_MOST]:
        yield f"  there is {one.what} at entry point {one.entry}, of {_service(status, one)}"
    if not near and not has_reason:
        yield f"  a service would have it by the label mooring.edge.host={wanted.host}"


def _refused(status: Status, wanted: Asked) -> Iterator[str]:
    """What would go there as well, or by other labels."""
    served = {(one.service, one.name) for one in status.routes}
    for one in (*status.problems, *status.disabled):
        if not any(covers(host, wanted.host) for host in one.hosts):
            continue
        yield f"  {_named(one)}: {one.reason}: {one.message}"
        if one.reason in OF_LABELS and (one.service, one.route) in served:
            yield "    (it stays as it was before)"


def _of_route(status: Status, route: RouteStatus, wanted: Asked, now: datetime) -> Iterator[str]:
    yield from _servers(route)
    yield from _certificate(status, route, wanted, now)
    yield ""
    yield f"what {route.label} could lose requests by, and what helps:"
    advice = [*(ADVICE[one] for one in route.lacks), *([MESH] if route.mode == "mesh" else [])]
    for one in (*advice, stopping(route.grace_s)):
        yield f"  {one.why}"
        yield f"    {one.help.replace('SERVICE', route.service)}"


def _servers(route: RouteStatus) -> Iterator[str]:
    if not route.servers:
        yield "it has no server (503): no task of it runs with its port published"
        return
    active = [one for one in route.servers if one.state == SERVES and not one.is_backup]
    reserve = [one for one in route.servers if one.state == SERVES and one.is_backup]
    used = active or reserve
    if used:
        yield f"it would go to {'one of these' if len(used) > 1 else 'this one'} now:"
    else:
        yield "no server of it gets requests now (503):"
    yield from _some(used)
    others = [one for one in route.servers if one not in used]
    if used and others:
        yield "and not to the others:" if len(others) > 1 else "and not to the other:"
    yield from _some(others)


def _some(servers: list[ServerStatus]) -> Iterator[str]:
    yield from (f"  {_server(one)}" for one in servers[:SHOWN_AT_MOST])
    if len(servers) > SHOWN_AT_MOST:
        yield f"  and {len(servers) - SHOWN_AT_MOST} more"


def _server(one: ServerStatus) -> str:
    who = f"{one.task} on {one.node}" if one.task else one.node
    state = "stands by" if one.is_backup and one.state == SERVES else one.state
    reason = f", {one.reason}" if one.reason else ""
    return f"{one.address}:{one.port} ({who}): {state}{reason}"


def _certificate(status: Status, route: RouteStatus, wanted: Asked, now: datetime) -> Iterator[str]:
    served = [(one, frozenset(one.names) - set(one.unserved)) for one in status.certificates]
    fitting = [(one, names) for one, names in served if is_covered(wanted.host, names)]
    exact = [(one, names) for one, names in fitting if wanted.host in names]
    for one, _ in exact or fitting:
        days = (one.expires - now).days
        when = f"is good for {days} more days" if days >= 0 else "HAS EXPIRED"
        yield f"with TLS it has the certificate {one.source}, which {when}"


def _service(status: Status, rule: RuleStatus) -> str:
    route = next((one for one in status.routes if one.backend == rule.backend), None)
    return f"service {route.label if route else rule.service}"


def _named(one: ProblemStatus) -> str:
    return f"service {one.service}.{one.route}" if one.route else f"service {one.service}"
