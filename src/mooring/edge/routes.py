"""Labels of a service become routes.

Edge §2. What each label may say is in labels.py.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

from mooring.edge.hosts import is_pattern
from mooring.edge.labels import (
    HOSTS_AT_MOST,
    KEYS,
    PREFIX,
    Balance,
    Limit,
    Protocol,
    ProxyProtocol,
    Refused,
    Retry,
    Said,
    Tls,
    Value,
    grouped,
    label_of,
    listed,
)
from mooring.edge.publication import published, published_still, target
from mooring.edge.settings import ModeName, Settings
from mooring.engine.swarm import Service

STACK: Final = "com.docker.stack.namespace"  # `docker stack deploy` labels services with it
ROUTES_AT_MOST: Final = 10  # of a service
TIMEOUT_S: Final = 30
IDLE_S: Final = 3600  # of a connection of TCP; pools of databases keep theirs open and idle
HTTP, HTTPS = "http", "https"  # the entry points of routes that name none


class Problem(NamedTuple):
    """Why a route is not, or not all, as its labels ask. Shown, and an event."""

    reason: str
    service: str  # its name
    route: str  # empty for the one without a name of its own
    message: str
    hosts: tuple[str, ...] = ()  # that it keeps from the service


@dataclass(frozen=True, slots=True)
class Route:
    """One way in to a service.

    port       of the container
    hosts      of tcp, names that clients of TLS ask for; none: it has its entry points wholly
    published  of every node, if the port is published through the mesh; else 0
    entries    names of entry points
    tls        redirect: clients that come without are sent to the same name with TLS
    check      "tcp", or a path that must answer 200 to 399
    timeout_s  of an answer; of tcp, how long a connection may be idle
    proxy_protocol  in which its servers are told the client's address
    allow, deny     networks of clients; with `allow` no others get through, `deny` comes first
    limit           of requests of one client; more get 429
    slow_start_s    in which a server that came takes over its share; 0: at once
    weight          its part of requests, beside others with the same host and path that have
                    one too; None: it shares with nobody
    max_connections of one server at a time, others wait; 0: as many as there are
    is_stripped     whether `path` is taken off before its servers see a request
    max_body_bytes  of a request; larger ones get 413; 0: as large as it comes
    is_logged       in the access log, if there is one
    """

    service_id: str
    service: str
    stack: str
    name: str
    created: str
    hosts: tuple[str, ...]
    port: int
    mode: ModeName
    path: str = "/"
    published: int = 0
    replicas: int | None = 1
    protocol: Protocol = "http"
    tls: Tls = "off"
    entries: tuple[str, ...] = (HTTP,)
    check: str = "tcp"
    balance: Balance = "roundrobin"
    is_sticky: bool = False
    retry: Retry = "safe"
    timeout_s: int = TIMEOUT_S
    proxy_protocol: ProxyProtocol = "off"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    limit: Limit | None = None
    slow_start_s: int = 0
    max_connections: int = 0
    weight: int | None = None
    is_stripped: bool = False
    max_body_bytes: int = 0
    is_logged: bool = True

    @property
    def backend(self) -> str:
        """Its name in the proxy: an id and a name of the grammar, never other text."""
        return f"svc_{self.service_id}_{self.name}"

    @property
    def who(self) -> tuple[str, str]:
        """Its service and its name, as people know it."""
        return self.service, self.name

    @property
    def key(self) -> tuple[str, str]:
        return self.service_id, self.name


class _Certified(NamedTuple):
    """What there is for a host or *.NAME."""

    has_one: Callable[[str], bool]
    has_good_one: Callable[[str], bool]


def routes_of(
    service: Service,
    settings: Settings,
    before: Mapping[tuple[str, str], Route],
    has_certificate: Callable[[str], bool] = lambda host: False,
    has_good_one: Callable[[str], bool] = lambda host: True,
) -> tuple[list[Route], list[Problem]]:
    """All routes of a service, and what is wrong with its labels.

    has_certificate  whether there is one for a host or *.NAME
    has_good_one     whether one of those is good now
    before           the last good form of each route, by key: a bad label leaves it as it was
    """
    certified = _Certified(has_certificate, has_good_one)
    by_route, unknown = grouped(service.labels)
    problems = [_problem(service, "", refused) for refused in unknown]
    if not by_route:
        if any(label.startswith(PREFIX) for label in service.container_labels):
            problems.append(_problem(service, "", _on_container()))
        return [], problems
    routes = []
    for index, (name, labels) in enumerate(sorted(by_route.items())):
        try:
            if index >= ROUTES_AT_MOST:
                raise Refused("BadLabel", f"more than {ROUTES_AT_MOST} routes of one service")
            route = _route(service, name, labels, settings, certified)
        except Refused as refused:
            hosts = _hosts_said(labels)
            problems.append(_problem(service, name, refused)._replace(hosts=hosts))
            good = before.get((service.id, name))
            route = _still(good, service) if good else None
        if route is not None:
            routes.append(route)
    return routes, problems


def _stack(service: Service) -> str:
    """Of which it is a part; empty: of none. Anybody may write the label, but `docker stack deploy`
    also begins the names of its services with the stack's."""
    said = service.labels.get(STACK, "")
    return said if service.name.startswith(f"{said}_") else ""


def _still(good: Route, service: Service) -> Route:
    """A route by its labels of before, of the service as it is."""
    mode, published = published_still(service, good.port, good.mode)
    return replace(
        good,
        service=service.name,
        stack=_stack(service),
        mode=mode,
        published=published,
        replicas=service.replicas,
    )


def disabled_of(service: Service) -> list[Problem]:
    """Routes that its labels take out; no problem, but why a name leads nowhere."""
    if not any(label.endswith(".enable") for label in service.labels):
        return []
    by_route, _ = grouped(service.labels)
    return [
        Problem(
            *("Disabled", service.name, name, f"{label_of(name, 'enable')} is false"),
            hosts=_hosts_said(labels),
        )
        for name, labels in by_route.items()
        if labels.get("enable") == "false"
    ]


def _hosts_said(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Of a route's labels, as far as they are names: the others may be wrong."""
    said = labels.get("host", "").split(",")[:HOSTS_AT_MOST]
    hosts = (one.strip(" ").lower() for one in said)
    return tuple(one for one in hosts if is_pattern(one))


def _route(
    service: Service,
    name: str,
    labels: Mapping[str, str],
    settings: Settings,
    certified: _Certified,
) -> Route | None:
    """None if it is not enabled. Raises Refused."""
    said = cast(
        "Said",
        {key.replace("-", "_"): KEYS[key](Value(name, key, text)) for key, text in labels.items()},
    )
    protocol = said.get("protocol", "http")
    if not said.get("enable", "host" in said or protocol == "tcp"):
        return None
    entrance = _entrance_of_tcp if protocol == "tcp" else _entrance
    entries, tls = entrance(name, said, settings, certified)
    _can_tell_clients(name, said, settings)
    _can_tell_apart(name, said, settings)
    port = target(service, name, said.get("port"))
    mode, number = published(service, name, port, said.get("mode"), settings.mode)
    return Route(
        service_id=service.id,
        service=service.name,
        stack=_stack(service),
        name=name,
        created=service.created,
        hosts=said.get("host", ()),
        port=port,
        mode=mode,
        path=said.get("path", "/"),
        published=number,
        replicas=service.replicas,
        protocol=protocol,
        tls=tls,
        entries=entries,
        check=said.get("check", "tcp"),
        balance=said.get("balance", "roundrobin"),
        is_sticky=said.get("sticky", False),
        retry=said.get("retry", "safe"),
        timeout_s=said.get("timeout", IDLE_S if protocol == "tcp" else TIMEOUT_S),
        proxy_protocol=said.get("proxy_protocol", "off"),
        allow=said.get("allow", ()),
        deny=said.get("deny", ()),
        limit=said.get("limit"),
        slow_start_s=said.get("slow_start", 0),
        max_connections=said.get("max_connections", 0),
        weight=said.get("weight"),
        is_stripped=said.get("strip_prefix", False),
        max_body_bytes=said.get("max_body", 0),
        is_logged=said.get("log", True),
    )


def _entrance(
    name: str, said: Said, settings: Settings, certified: _Certified
) -> tuple[tuple[str, ...], Tls]:
    """The entry points of a route, and what it has of TLS. Raises Refused."""
    if "host" not in said:
        label = label_of(name, "host")
        raise Refused("BadLabel", f"{label} is missing; name the host that clients ask for")
    if said.get("strip_prefix") and said.get("path", "/") == "/":
        raise Refused("BadLabel", f"{label_of(name, 'strip-prefix')} takes off a path; say which")
    if "max_body" in said and said.get("protocol") == "h2c":
        # A stream tells its length as little as its end.
        raise Refused("BadLabel", f"{label_of(name, 'max-body')} is nothing for protocol h2c")
    known = {one.name: one for one in settings.entry_points}
    _are_known(said.get("entry", ()), known)
    secure = [one for one in said.get("entry", (HTTPS,)) if one in known and known[one].tls]
    uncovered = [one for one in said["host"] if not certified.has_one(one)]
    tls = said.get("tls", "off")
    if "tls" not in said and secure and not uncovered:
        # Nobody is sent to where he is warned, unless a label says so.
        tls = "redirect" if all(map(certified.has_good_one, said["host"])) else "on"
    if tls != "off" and not secure:
        raise Refused("BadLabel", f"tls is {tls}, and none of its entry points has TLS")
    if tls != "off" and uncovered:
        raise _uncovered(uncovered[0])
    entries = said.get("entry", (HTTP,) if tls == "off" else (HTTP, HTTPS))
    _are_known(entries, known)
    for entry in entries:
        if known[entry].protocol != "http":
            raise Refused("EntryInUse", f"entry point {entry} is for services of TCP")
    return entries, tls


def _entrance_of_tcp(
    name: str, said: Said, settings: Settings, certified: _Certified
) -> tuple[tuple[str, ...], Tls]:
    """Likewise, of one that has entry points of its own, or shares them by names of TLS."""
    for key, is_none in (
        ("path", said.get("path", "/") == "/"),
        ("sticky", not said.get("sticky")),
        ("retry", said.get("retry") != "all"),
        ("tls", "tls" not in said),
        ("limit", "limit" not in said),
        ("strip-prefix", "strip_prefix" not in said),
        ("max-body", "max_body" not in said),
    ):
        if not is_none:
            raise Refused("BadLabel", f"{label_of(name, key)} is nothing for protocol tcp")
    if "entry" not in said:
        label = label_of(name, "entry")
        raise Refused("BadLabel", f"{label} is missing; name an entry point with protocol tcp")
    known = {one.name: one for one in settings.entry_points}
    _are_known(said["entry"], known)
    uncovered = [one for one in said.get("host", ()) if not certified.has_one(one)]
    for entry in said["entry"]:
        if known[entry].protocol != "tcp":
            raise Refused("EntryInUse", f"entry point {entry} is for services of HTTP")
        if known[entry].tls and uncovered:
            raise _uncovered(uncovered[0])
    return said["entry"], "off"


def _can_tell_clients(name: str, said: Said, settings: Settings) -> None:
    """Raises Refused, if the proxy cannot tell its servers of clients as they ask."""
    wanted = said.get("proxy_protocol", "off")
    if wanted == "off" or settings.proxy != "nginx":
        return
    if wanted == "v2" or said.get("protocol") != "tcp" or "host" in said:
        label = label_of(name, "proxy-protocol")
        can = "nginx speaks v1 alone, with protocol tcp and without a host"
        raise Refused("BadLabel", f"{label} is {wanted}: {can}")


def _can_tell_apart(name: str, said: Said, settings: Settings) -> None:
    """Raises Refused, if the proxy asks for the client only where a listener is one service's."""
    if settings.proxy != "nginx" or said.get("protocol") != "tcp" or "host" not in said:
        return
    for key in said.keys() & {"allow", "deny"}:
        can = "nginx knows networks only of an entry point that is one service's"
        raise Refused("BadLabel", f"{label_of(name, key)}: {can}")


def _uncovered(host: str) -> Refused:
    return Refused("NoCertificate", f"there is none for {host} in the edge's directory")


def _are_known(entries: Iterable[str], known: Collection[str]) -> None:
    for entry in entries:
        if entry not in known:
            there = listed(known)
            raise Refused("BadLabel", f"no entry point is called {entry}; there are {there}")


def _on_container() -> Refused:
    return Refused(
        "LabelOnContainer",
        f"{PREFIX}… stands on its containers only; use --label, not --container-label",
    )


def _problem(service: Service, route: str, refused: Refused) -> Problem:
    return Problem(refused.reason, service.name, route, refused.message)
