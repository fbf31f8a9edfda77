"""Services, tasks and nodes for tests of the edge, with what matters to them."""

from mooring.edge.settings import EntryPoint, Settings
from mooring.engine.swarm import Node, Port, Service, Swarm, Task

DIRECT = Port(80, 0, "host")
MESHED = Port(80, 8080, "ingress")
HTTP = EntryPoint("http", 80)


def some_settings(*entries: EntryPoint, **other: object) -> Settings:
    return Settings(entry_points=entries or (HTTP,), **other)  # type: ignore[arg-type]


def a_service(
    name: str = "web",
    *ports: Port,
    created: str = "2026-01-01T00:00:00Z",
    replicas: int | None = 1,
    stack: str = "",
    **labels: str,
) -> Service:
    """labels: without the prefix, `_` for a dot; a host of its own if none is said."""
    said = {f"mooring.edge.{key.replace('_', '.')}": value for key, value in labels.items()}
    if not said:
        said = {"mooring.edge.host": f"{name}.example.com"}
    if stack:
        said["com.docker.stack.namespace"] = stack
    return Service(f"id{name}", name, said, created, ports or (DIRECT,), replicas)


def a_task(
    number: int,
    service: str = "web",
    *,
    node: str = "n1",
    state: str = "running",
    desired: str = "running",
    published: int | None = None,
) -> Task:
    """Its port is 30000 and its number, unless another is said; 0: none is told."""
    port = 30000 + number if published is None else published
    ports = (Port(80, port, "host"),) if port else ()
    return Task(f"t{number}", f"id{service}", node, state, desired, ports)


def a_node(number: int = 1, *, state: str = "ready", address: str = "", **labels: str) -> Node:
    said = {f"mooring.edge.{key}": value for key, value in labels.items()}
    return Node(f"n{number}", f"h{number}", state, address or f"10.0.0.{number}", said)


def a_swarm(*things: Service | Task | Node) -> Swarm:
    """With one ready node, unless nodes are said."""
    nodes = [one for one in things if isinstance(one, Node)] or [a_node()]
    return Swarm(
        {one.id: one for one in things if isinstance(one, Service)},
        {one.id: one for one in things if isinstance(one, Task)},
        {one.id: one for one in nodes},
    )
