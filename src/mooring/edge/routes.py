"""Labels of a service become routes.

Edge §2. What each label may say is in labels.py.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from mooring.edge.labels import (
    KEYS,
    PREFIX,
    Balance,
    Protocol,
    Refused,
    Retry,
    Said,
    Tls,
    Value,
    grouped,
    label_of,
    listed,
)
from mooring.edge.settings import ModeName, Settings
from mooring.engine.swarm import Service

STACK: Final = "com.docker.stack.namespace"  # `docker stack deploy` labels services with it
ROUTES_AT_MOST: Final = 10  # of a service
TIMEOUT_S: Final = 30
HTTP, HTTPS = "http", "https"  # the entry points of routes that name none


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
            route = _route(service, name, labels, settings, has_certificate)
        except Refused as refused:
            problems.append(_problem(service, name, refused))
            route = before.get((service.id, name))
        if route is not None:
            routes.append(route)
    return routes, problems


def _route(
    service: Service,
    name: str,
    labels: Mapping[str, str],
    settings: Settings,
    has_certificate: Callable[[str], bool],
) -> Route | None:
    """None if it is not enabled. Raises Refused."""
    said = cast("Said", {key: KEYS[key](Value(name, key, value)) for key, value in labels.items()})
    if not said.get("enable", "host" in said):
        return None
    if "host" not in said:
        label = label_of(name, "host")
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
    said: Said, settings: Settings, has_certificate: Callable[[str], bool]
) -> tuple[tuple[str, ...], Tls]:
    """The entry points of a route, and what it has of TLS. Raises Refused."""
    known = {one.name: one for one in settings.entry_points}
    _are_known(said.get("entry", ()), known)
    secure = [one for one in said.get("entry", (HTTPS,)) if one in known and known[one].tls]
    uncovered = [one for one in said["host"] if not has_certificate(one)]
    tls = said.get("tls", "redirect" if secure and not uncovered else "off")
    if tls != "off" and not secure:
        raise Refused("BadLabel", f"tls is {tls}, and none of its entry points has TLS")
    if tls != "off" and uncovered:
        raise Refused("NoCertificate", f"there is none for {uncovered[0]} in the edge's directory")
    entries = said.get("entry", (HTTP,) if tls == "off" else (HTTP, HTTPS))
    _are_known(entries, known)
    return entries, tls


def _are_known(entries: Iterable[str], known: Collection[str]) -> None:
    for entry in entries:
        if entry not in known:
            there = listed(known)
            raise Refused("BadLabel", f"no entry point is called {entry}; there are {there}")


def _target(service: Service, name: str, said: int | None) -> int:
    targets = sorted({one.target for one in service.ports if one.protocol == "tcp"})
    label = label_of(name, "port")
    if said is None:
        if len(targets) == 1:
            return targets[0]
        if targets:
            raise Refused("PortAmbiguous", f"{listed(targets)} are published; say which by {label}")
        raise Refused(
            "PortNotPublished", "it publishes no TCP port; see `docker service update -h`"
        )
    if said not in targets:
        raise Refused("PortNotPublished", f"{label}: {said} is not published, {listed(targets)} is")
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
            f"{label_of(name, 'mode')}: {said} needs port {port} published with {how}",
        )
    chosen = said or (default if default in possible else possible[0])
    return chosen, 0 if chosen == "direct" else meshed


def _on_container() -> Refused:
    return Refused(
        "LabelOnContainer",
        f"{PREFIX}… stands on its containers only; use --label, not --container-label",
    )


def _problem(service: Service, route: str, refused: Refused) -> Problem:
    return Problem(refused.reason, service.name, route, refused.message)
