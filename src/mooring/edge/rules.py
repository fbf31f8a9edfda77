"""Which service has which host and path at which entry point. Pure.

Edge §9: the older service wins, whichever came first to us; `allowed_hosts` decides before that.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from mooring.edge.hosts import covers
from mooring.edge.routes import Problem, Route
from mooring.edge.settings import EntryPoint, Settings

WHOLE: Final = ""  # the host of a rule for all that comes in at an entry point
SHARES_AT_MOST: Final = 5  # services of a place
TO_TLS: Final = "to_tls"  # the backend that sends clients to the same name with TLS


class Rule(NamedTuple):
    """Requests of an entry point for a host (or *.x.y) below a path go to a backend.

    host        of an entry point of TCP, the name that clients of TLS ask for, or WHOLE
    is_sent_on  they are sent to the same name with TLS instead
    weight      of a rule that shares its place with others, see shares.py; None: it does not
    """

    entry: str
    host: str
    path: str
    backend: str
    is_sent_on: bool = False
    weight: int | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """What two rules may not both have, unless they share it."""
        return self.entry, self.host, self.path


class Shadowed(NamedTuple):
    """A rule that another route has already."""

    rule: Rule
    winner: Route


def rules_of(
    routes: Sequence[Route], settings: Settings
) -> tuple[tuple[Rule, ...], tuple[Shadowed, ...], list[Problem]]:
    """Rules of routes, the older first; each of a host that its service may have, and has alone."""
    taken = _Taken()
    secure = {one.name for one in settings.entry_points if one.tls}
    rules, shadowed, problems = [], [], []
    known = {one.name: one for one in settings.entry_points}
    for route in routes:
        entries, kept = _entries(route, known)
        problems += kept
        for host in route.hosts or (WHOLE,):
            if not _may_have(route, host, settings):
                message = f"{host} is kept for another by allowedHosts of the edge file"
                problems.append(Problem("HostNotAllowed", *route.who, message, (host,)))
                continue
            for entry in entries:
                is_sent_on = route.tls == "redirect" and entry not in secure
                rule = Rule(entry, host, route.path, route.backend, is_sent_on, route.weight)
                taken_by = taken.by_another(rule, route)
                if taken_by is None:
                    rules.append(rule)
                    continue
                shadowed.append(Shadowed(rule, taken_by.winner))
                message = f"{taken_by.what} belongs to the older service {taken_by.winner.service}"
                problems.append(Problem(taken_by.reason, route.service, route.name, message))
    return tuple(rules), tuple(shadowed), problems


class _TakenBy(NamedTuple):
    winner: Route
    reason: str
    what: str


class _Taken:
    """What routes have, the older before the younger."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str, str], list[Route]] = {}  # several that share
        self._of_tcp: dict[str, Route] = {}  # the first, by entry point

    def by_another(self, rule: Rule, route: Route) -> _TakenBy | None:
        """Who has it already; if nobody, this route has it from now on."""
        if route.protocol == "tcp":
            # One service, or several by name: of a stranger's name, none would have to wait until
            # clients have told the name that they ask for.
            first = self._of_tcp.setdefault(rule.entry, route)
            if first is not route and not (first.hosts and route.hosts):
                return _TakenBy(first, "EntryInUse", f"entry point {rule.entry}")
        having = self._rules.setdefault(rule.place, [])
        if not having or _can_share(route, having):
            having.append(route)
            return None
        return _TakenBy(having[0], "HostConflict", f"{rule.host}{rule.path}")


def _can_share(route: Route, having: Sequence[Route]) -> bool:
    """Whether all want to share, and are alike in what is decided before a share is chosen."""
    return len(having) < SHARES_AT_MOST and all(
        one.weight is not None
        and route.weight is not None
        and route.protocol != "tcp"
        and (one.protocol, one.tls) == (route.protocol, route.tls)
        for one in having
    )


def _entries(route: Route, known: Mapping[str, EntryPoint]) -> tuple[list[str], list[Problem]]:
    """Those of a route that it may use.

    The edge file may be another since the labels were good: what they refuse now is told already.
    """
    kind = "tcp" if route.protocol == "tcp" else "http"
    fitting = [known[one] for one in route.entries if one in known and known[one].protocol == kind]
    allowed, problems = [], []
    for one in fitting:
        if (one.service or route.service, one.stack or route.stack) == (route.service, route.stack):
            allowed.append(one.name)
            continue
        message = f"entry point {one.name} is kept for another by the edge file"
        problems.append(Problem("EntryNotAllowed", route.service, route.name, message))
    return allowed, problems


def _may_have(route: Route, host: str, settings: Settings) -> bool:
    """Whether the edge file keeps this host, or one of a pattern's, for nobody else.

    A line with the host itself decides before those with a pattern for it.
    """
    lines = [
        one for one in settings.allowed_hosts if covers(one.host, host) or covers(host, one.host)
    ]
    own = [one for one in lines if one.host == host]
    return all(
        one.service == route.service if one.service else one.stack == route.stack
        for one in own or lines
    )
