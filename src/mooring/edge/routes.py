"""Labels of a service become routes. Strict: a value that is not in the grammar is no value.

Edge §2. Labels are data of whoever deploys; nothing of them is ever pasted into a configuration.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypedDict, cast

from mooring.edge.hosts import is_pattern
from mooring.edge.settings import ModeName, Settings
from mooring.engine.swarm import Service

PREFIX: Final = "mooring.edge."
STACK: Final = "com.docker.stack.namespace"  # `docker stack deploy` labels services with it
HOSTS_AT_MOST: Final = 20  # of a route
ROUTES_AT_MOST: Final = 10  # of a service
PATH_AT_MOST: Final = 1024
TIMEOUT_S: Final = 30
SHOWN_AT_MOST: Final = 80  # characters of a refused value
HTTP, HTTPS = "http", "https"  # the entry points of routes that name none

Protocol = Literal["http", "h2c"]
Balance = Literal["roundrobin", "leastconn", "source"]
Retry = Literal["safe", "all", "none"]
Tls = Literal["off", "on", "redirect"]

_ROUTE: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_TIME: Final = re.compile(r"([1-9][0-9]{0,3})([smh])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


class Problem(NamedTuple):
    """Why a route is not, or not all, as its labels ask. Shown, and an event."""

    reason: str
    service: str  # its name
    route: str  # empty for the one without a name of its own
    message: str


@dataclass(frozen=True, slots=True)
class Route:
    """One way in to a service.

    port       of the container
    published  of every node, if the port is published through the mesh; else 0
    entries    names of entry points
    tls        redirect: clients that come without are sent to the same name with TLS
    check      "tcp", or a path that must answer 200 to 399
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

    @property
    def backend(self) -> str:
        """Its name in the proxy: an id and a name of the grammar, never other text."""
        return f"svc_{self.service_id}_{self.name}"

    @property
    def key(self) -> tuple[str, str]:
        return self.service_id, self.name


class Refused(Exception):
    """A label, or what it asks of the service, cannot be."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)


def routes_of(
    service: Service,
    settings: Settings,
    before: Mapping[tuple[str, str], Route],
    has_certificate: Callable[[str], bool] = lambda host: False,
) -> tuple[list[Route], list[Problem]]:
    """All routes of a service, and what is wrong with its labels.

    has_certificate  whether there is one for a host or *.NAME
    before           the last good form of each route, by key: a bad label leaves it as it was
    """
    grouped, unknown = _grouped(service.labels)
    problems = [_problem(service, "", refused) for refused in unknown]
    if not grouped:
        if any(label.startswith(PREFIX) for label in service.container_labels):
            problems.append(_problem(service, "", _on_container()))
        return [], problems
    routes = []
    for index, (name, labels) in enumerate(sorted(grouped.items())):
        try:
            if index >= ROUTES_AT_MOST:
                raise Refused("BadLabel", f"more than {ROUTES_AT_MOST} routes of one service")
            route = _route(service, name, labels, settings, has_certificate)
        except Refused as refused:
            problems.append(_problem(service, name, refused))
            route = before.get((service.id, name))
        if route is not None:
            routes.append(route)
    return routes, problems


def _grouped(labels: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[Refused]]:
    """Labels by route, those of the route without a name under the empty one."""
    grouped: dict[str, dict[str, str]] = {}
    unknown = []
    for label, value in labels.items():
        if not label.startswith(PREFIX):
            continue
        route, _, key = label.removeprefix(PREFIX).rpartition(".")
        if key in KEYS and (not route or (_ROUTE.fullmatch(route) and route not in KEYS)):
            grouped.setdefault(route, {})[key] = value
        else:
            known = ", ".join(sorted(KEYS))
            unknown.append(Refused("UnknownLabel", f"{shown(label)} is no label; known: {known}"))
    return grouped, unknown


def _route(
    service: Service,
    name: str,
    labels: Mapping[str, str],
    settings: Settings,
    has_certificate: Callable[[str], bool],
) -> Route | None:
    """None if it is not enabled. Raises Refused."""
    said = cast(
        "_Said", {key: KEYS[key](_Value(name, key, value)) for key, value in labels.items()}
    )
    if not said.get("enable", "host" in said):
        return None
    if "host" not in said:
        label = _label(name, "host")
        raise Refused("BadLabel", f"{label} is missing; name the host that clients ask for")
    entries, tls = _entrance(said, settings, has_certificate)
    port = _target(service, name, said.get("port"))
    mode, published = _published(service, name, port, said.get("mode"), settings.mode)
    return Route(
        service_id=service.id,
        service=service.name,
        stack=service.labels.get(STACK, ""),
        name=name,
        created=service.created,
        hosts=said["host"],
        port=port,
        mode=mode,
        path=said.get("path", "/"),
        published=published,
        replicas=service.replicas,
        protocol=said.get("protocol", "http"),
        tls=tls,
        entries=entries,
        check=said.get("check", "tcp"),
        balance=said.get("balance", "roundrobin"),
        is_sticky=said.get("sticky", False),
        retry=said.get("retry", "safe"),
        timeout_s=said.get("timeout", TIMEOUT_S),
    )


def _entrance(
    said: "_Said", settings: Settings, has_certificate: Callable[[str], bool]
) -> tuple[tuple[str, ...], Tls]:
    """The entry points of a route, and what it has of TLS. Raises Refused."""
    known = {one.name: one for one in settings.entry_points}
    for entry in said.get("entry", ()):
        if entry not in known:
            raise Refused("BadLabel", f"no entry point is called {entry}; there are {_list(known)}")
    secure = [one for one in said.get("entry", (HTTPS,)) if one in known and known[one].tls]
    uncovered = [one for one in said["host"] if not has_certificate(one)]
    tls = said.get("tls", "redirect" if secure and not uncovered else "off")
    if tls != "off" and not secure:
        raise Refused("BadLabel", f"tls is {tls}, and none of its entry points has TLS")
    if tls != "off" and uncovered:
        raise Refused("NoCertificate", f"there is none for {uncovered[0]} in the edge's directory")
    entries = said.get("entry", (HTTP,) if tls == "off" else (HTTP, HTTPS))
    for entry in entries:
        if entry not in known:
            raise Refused("BadLabel", f"no entry point is called {entry}; there are {_list(known)}")
    return entries, tls


def _target(service: Service, name: str, said: int | None) -> int:
    targets = sorted({one.target for one in service.ports if one.protocol == "tcp"})
    label = _label(name, "port")
    if said is None:
        if len(targets) == 1:
            return targets[0]
        if targets:
            raise Refused("PortAmbiguous", f"{_list(targets)} are published; say which by {label}")
        raise Refused(
            "PortNotPublished", "it publishes no TCP port; see `docker service update -h`"
        )
    if said not in targets:
        raise Refused("PortNotPublished", f"{label}: {said} is not published, {_list(targets)} is")
    return said


def _published(
    service: Service, name: str, port: int, said: ModeName | None, default: ModeName | None
) -> tuple[ModeName, int]:
    """How its tasks are reached, and by which port of every node."""
    ports = [one for one in service.ports if one.target == port and one.protocol == "tcp"]
    meshed = next((one.published for one in ports if one.mode == "ingress"), 0)
    possible: list[ModeName] = ["direct"] if any(one.mode == "host" for one in ports) else []
    if meshed:
        possible += ["nodes", "mesh"]
    if not possible:
        raise Refused("PortNotPublished", f"port {port} has no number on the nodes yet")
    if said is not None and said not in possible:
        how = "mode=host" if said == "direct" else "mode=ingress"
        raise Refused(
            "ModeImpossible",
            f"{_label(name, 'mode')}: {said} needs port {port} published with {how}",
        )
    chosen = said or (default if default in possible else possible[0])
    return chosen, 0 if chosen == "direct" else meshed


# The grammar of each label.


class _Said(TypedDict, total=False):
    """Values of one route's labels."""

    enable: bool
    host: tuple[str, ...]
    path: str
    port: int
    mode: ModeName
    protocol: Protocol
    tls: Tls
    entry: tuple[str, ...]
    check: str
    balance: Balance
    sticky: bool
    retry: Retry
    timeout: int


class _Value(NamedTuple):
    route: str
    key: str
    text: str

    def refused(self, grammar: str) -> Refused:
        label = _label(self.route, self.key)
        return Refused("BadLabel", f"{label}: {shown(self.text)} is not {grammar}")


def _one_of(*words: str) -> Callable[[_Value], str]:
    def parsed(value: _Value) -> str:
        if value.text not in words:
            raise value.refused(f"one of {', '.join(words)}")
        return value.text

    return parsed


def _flag(value: _Value) -> bool:
    if value.text not in ("true", "false"):
        raise value.refused("true or false")
    return value.text == "true"


def _hosts(value: _Value) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(one.strip(" ").lower() for one in value.text.split(",")))
    if len(hosts) > HOSTS_AT_MOST or not all(is_pattern(one) for one in hosts):
        raise value.refused(f"a list of at most {HOSTS_AT_MOST} DNS names or *.NAME with commas")
    return hosts


def _path(value: _Value) -> str:
    return _absolute(value).rstrip("/") or "/"


def _absolute(value: _Value) -> str:
    text = value.text
    bad = len(text) > PATH_AT_MOST or ".." in text or "//" in text
    if bad or not _PATH.fullmatch(text):
        raise value.refused(f"a path of at most {PATH_AT_MOST} letters, digits and ._~/-")
    return text


def _port(value: _Value) -> int:
    if not _PORT.fullmatch(value.text) or int(value.text) > 65535:
        raise value.refused("a port, 1 to 65535")
    return int(value.text)


def _entries(value: _Value) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(one.strip(" ") for one in value.text.split(",")))
    if not all(_ROUTE.fullmatch(one) for one in names):
        raise value.refused("a list of entry points with commas")
    return names


def _check(value: _Value) -> str:
    return value.text if value.text == "tcp" else _absolute(value)


def _timeout(value: _Value) -> int:
    found = _TIME.fullmatch(value.text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= 3600:
        raise value.refused("a time from 1s to 1h, as 30s or 2m")
    return seconds


KEYS: Final[Mapping[str, Callable[[_Value], object]]] = {
    "enable": _flag,
    "host": _hosts,
    "path": _path,
    "port": _port,
    "mode": _one_of("direct", "nodes", "mesh"),
    "protocol": _one_of("http", "h2c"),
    "tls": _one_of("off", "on", "redirect"),
    "entry": _entries,
    "check": _check,
    "balance": _one_of("roundrobin", "leastconn", "source"),
    "sticky": _flag,
    "retry": _one_of("safe", "all", "none"),
    "timeout": _timeout,
}


def shown(text: str) -> str:
    """A text of somebody else's in one line of printable ASCII, quoted and cut."""
    cut = text if len(text) <= SHOWN_AT_MOST else text[: SHOWN_AT_MOST - 3] + "..."
    return ascii(cut)


def _label(route: str, key: str) -> str:
    return f"{PREFIX}{route}.{key}" if route else f"{PREFIX}{key}"


def _list(values: Collection[object]) -> str:
    return ", ".join(str(one) for one in values) or "none"


def _on_container() -> Refused:
    return Refused(
        "LabelOnContainer",
        f"{PREFIX}… stands on its containers only; use --label, not --container-label",
    )


def _problem(service: Service, route: str, refused: Refused) -> Problem:
    return Problem(refused.reason, service.name, route, refused.message)
