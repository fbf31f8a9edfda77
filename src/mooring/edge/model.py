"""What the proxy should do: rules to backends, and the servers of each. Pure.

Edge §3, §5, §9. One model, whichever proxy writes it down.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Final, NamedTuple

from mooring.edge.hosts import is_covered
from mooring.edge.labels import shown
from mooring.edge.quarantine import Quarantine
from mooring.edge.routes import Problem, Route, routes_of
from mooring.edge.rules import Rule, Shadowed, rules_of
from mooring.edge.settings import Settings
from mooring.engine.swarm import Node, Port, Service, Swarm, Task

ADDRESS: Final = "mooring.edge.addr"  # label of a node
SLOTS_AT_LEAST: Final = 8
SLOTS_AT_MOST: Final = 1024  # of a route: checkers and proxies are slow with more
BELIEVED: Final = 32  # replicas of a service that are counted on before they are there

_Rules = tuple[tuple[Rule, ...], tuple[Shadowed, ...], list[Problem]]


class Wish(Enum):
    """What a server should be."""

    SERVE = "serve"
    LEAVE = "leave"  # no new requests, as soon as another server answers


class Server(NamedTuple):
    """Where requests can go.

    key        what stays the same while the address may change: the id of a task or a node
    is_backup  only if no other answers
    """

    key: str
    address: str
    port: int
    node: str  # its name
    wish: Wish = Wish.SERVE
    is_backup: bool = False


@dataclass(frozen=True, slots=True)
class Backend:
    """slots: how many servers it has room for without a reload; a power of two."""

    route: Route
    servers: tuple[Server, ...]
    slots: int

    @property
    def name(self) -> str:
        return self.route.backend


@dataclass(frozen=True, slots=True)
class Model:
    """backends by name; rules in no order."""

    rules: tuple[Rule, ...] = ()
    backends: Mapping[str, Backend] = field(default_factory=dict)
    shadowed: tuple[Shadowed, ...] = ()
    problems: tuple[Problem, ...] = ()

    def only(self, routes: Collection[Route]) -> "Model":
        """The part that is about these routes."""
        names = {one.backend for one in routes}
        return replace(
            self,
            rules=tuple(one for one in self.rules if one.backend in names),
            backends={name: one for name, one in self.backends.items() if name in names},
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What an earlier look told and a later one does not.

    routes  last good form of each route, by key
    ports   of tasks, by id: a task that leaves loses its own while it still runs
    """

    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    ports: Mapping[str, tuple[Port, ...]] = field(default_factory=dict)


def model_of(
    swarm: Swarm,
    settings: Settings,
    memory: Memory,
    names: frozenset[str] = frozenset(),
    quarantine: Quarantine | None = None,
    expired: frozenset[str] = frozenset(),
) -> tuple[Model, Memory]:
    """The model of a swarm as it is, and what to remember of it for the next.

    names       hosts and *.NAME that there are certificates for
    quarantine  of routes that the proxy refuses
    expired     those of the names where no certificate is good now
    """
    return Modeller(settings).model_of(swarm, memory, names, quarantine, expired)


class _OfService(NamedTuple):
    """All that the routes of a service are made of, but the edge file; and they."""

    service: Service
    names: frozenset[str]
    expired: frozenset[str]
    routes: Sequence[Route]
    problems: Sequence[Problem]


class _OfRoute(NamedTuple):
    """All that a backend is made of; and it. ports: of the tasks, by id."""

    route: Route
    tasks: Sequence[Task]
    ports: Sequence[tuple[Port, ...]]
    backend: Backend


class Modeller:
    """Makes models of one edge file, one after the other: anew only what is other than before.

    Of 1,000 services, the labels of all are read once, and then those that changed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._services: dict[str, _OfService] = {}
        self._ruled: tuple[list[Route], _Rules] | None = None
        self._nodes: Mapping[str, Node] = {}
        self._backends: dict[str, _OfRoute] = {}

    def model_of(
        self,
        swarm: Swarm,
        memory: Memory,
        names: frozenset[str] = frozenset(),
        quarantine: Quarantine | None = None,
        expired: frozenset[str] = frozenset(),
    ) -> tuple[Model, Memory]:
        """The same as without any before it."""
        routes, problems = self._routes(swarm.services.values(), memory, names, expired)
        if quarantine is not None:
            routes, refused = quarantine.sifted(routes)
            problems += refused
        rules, shadowed, conflicts = self._rules(routes)
        ports = {
            task.id: task.ports or memory.ports.get(task.id, ())
            for task in swarm.tasks.values()
            if not task.has_ended
        }
        addresses, unknown = _addresses(swarm.nodes.values())
        backends = self._backends_of(routes, swarm, addresses, ports)
        crowded = _crowded(backends.values())
        model = Model(rules, backends, shadowed, (*problems, *conflicts, *unknown, *crowded))
        return model, Memory({one.key: one for one in routes}, ports)

    def _routes(
        self,
        services: Iterable[Service],
        memory: Memory,
        names: frozenset[str],
        expired: frozenset[str],
    ) -> tuple[list[Route], list[Problem]]:
        before, self._services = self._services, {}
        routes: list[Route] = []
        problems: list[Problem] = []
        has_certificate = partial(is_covered, names=names)
        has_good_one = partial(is_covered, names=names - expired)
        for service in services:
            made = before.get(service.id)
            made_of = service, names, expired
            if made is None or made[:3] != made_of:
                found = routes_of(
                    service, self._settings, memory.routes, has_certificate, has_good_one
                )
                made = _OfService(*made_of, *found)
            self._services[service.id] = made
            routes += made.routes
            problems += made.problems
        # The older wins a conflict, whichever came first to us.
        routes.sort(key=lambda one: (one.created, one.service_id, one.name))
        return routes, problems

    def _rules(self, routes: list[Route]) -> _Rules:
        if self._ruled is None or self._ruled[0] != routes:
            self._ruled = routes, rules_of(routes, self._settings)
        return self._ruled[1]

    def _backends_of(
        self,
        routes: Iterable[Route],
        swarm: Swarm,
        addresses: Mapping[str, str],
        ports: Mapping[str, tuple[Port, ...]],
    ) -> dict[str, Backend]:
        before = self._backends if self._nodes == swarm.nodes else {}
        self._nodes, self._backends = swarm.nodes, {}
        tasks: dict[str, list[Task]] = {}
        for task in swarm.tasks.values():
            tasks.setdefault(task.service_id, []).append(task)
        for route in routes:
            here = tasks.get(route.service_id, []) if route.mode == "direct" else []
            of_tasks = [ports.get(one.id, ()) for one in here]
            made = before.get(route.backend)
            if made is None or (made.route, made.tasks, made.ports) != (route, here, of_tasks):
                servers = (
                    _of_tasks(route, here, swarm.nodes, addresses, ports)
                    if route.mode == "direct"
                    else _of_nodes(route, swarm.nodes.values(), addresses)
                )
                made = _OfRoute(
                    *(route, here, of_tasks), Backend(route, servers, _slots(route, servers))
                )
            self._backends[route.backend] = made
        return {name: one.backend for name, one in self._backends.items()}


def node_address(node: Node) -> str | None:
    """Where its published ports are reached; None if the swarm does not know."""
    said = (
        node.labels.get(ADDRESS, ""),
        node.manager_address.rpartition(":")[0].strip("[]"),
        node.address,
    )
    for text in said:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if not address.is_unspecified and not address.is_loopback:
            return str(address)
    return None


def _addresses(nodes: Iterable[Node]) -> tuple[dict[str, str], list[Problem]]:
    addresses, problems = {}, []
    for node in nodes:
        address = node_address(node)
        if address is not None:
            addresses[node.id] = address
            continue
        message = (
            f"node {shown(node.name)} has no address to reach it by; give it the label {ADDRESS}"
        )
        problems.append(Problem("NodeAddressUnknown", "", "", message))
    return addresses, problems


def _of_tasks(
    route: Route,
    tasks: Iterable[Task],
    nodes: Mapping[str, Node],
    addresses: Mapping[str, str],
    ports: Mapping[str, tuple[Port, ...]],
) -> tuple[Server, ...]:
    servers = []
    for task in sorted(tasks, key=lambda one: one.id):
        published = _own_port(ports.get(task.id, ()), route.port)
        node = nodes.get(task.node_id)
        if not (task.is_running and published and node and node.id in addresses):
            continue
        # A container may outlive its dockerd: its server leaves only for another that answers.
        leaves = task.is_leaving or node.is_away
        wish = Wish.LEAVE if leaves else Wish.SERVE
        servers.append(Server(task.id, addresses[node.id], published, node.name, wish))
    return tuple(servers)


def _own_port(ports: Iterable[Port], target: int) -> int:
    found = (one.published for one in ports if one.target == target and one.mode == "host")
    return next(found, 0)


def _of_nodes(
    route: Route, nodes: Iterable[Node], addresses: Mapping[str, str]
) -> tuple[Server, ...]:
    """Every node takes requests for the published port; of `mesh`, the others stand by.

    A node that the swarm does not reach may answer all the same: it leaves for another, and is
    never just gone.
    """
    if not route.published:
        return ()
    reached = sorted((one for one in nodes if one.id in addresses), key=lambda one: one.id)
    reached.sort(key=lambda one: one.is_away)
    return tuple(
        Server(
            node.id,
            addresses[node.id],
            route.published,
            node.name,
            Wish.LEAVE if node.is_away else Wish.SERVE,
            is_backup=route.mode == "mesh" and index > 0,
        )
        for index, node in enumerate(reached)
    )


def _crowded(backends: Iterable[Backend]) -> list[Problem]:
    """Of routes with more servers than a proxy is given."""
    found = []
    for one in backends:
        if len(one.servers) > SLOTS_AT_MOST:
            message = f"{len(one.servers)} servers, of which {SLOTS_AT_MOST} get requests"
            found.append(Problem("TooManyServers", *one.route.who, message))
    return found


def _slots(route: Route, servers: Sequence[Server]) -> int:
    """Room for twice as many as there are to be: an update has old and new ones.

    Of a wish for many, only for twice as many as there are: it may be one that no host can fulfil.
    """
    serving = sum(one.wish is Wish.SERVE for one in servers)
    replicas = serving if route.replicas is None else route.replicas
    replicas = min(replicas, max(BELIEVED, 2 * serving))
    wanted = min(max(SLOTS_AT_LEAST, 2 * replicas, len(servers)), SLOTS_AT_MOST)
    return 1 << (wanted - 1).bit_length()
