"""What a service lacks that would have it lose fewer requests, whatever the edge does. Edge §5."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from mooring.edge.routes import Route
from mooring.engine.swarm import Service

Lack = Literal["healthcheck", "start-first", "own-port"]


class Advice(NamedTuple):
    """help: a command, or what to publish; SERVICE stands for its name."""

    why: str
    help: str


ADVICE: Final[Mapping[Lack, Advice]] = {
    "healthcheck": Advice(
        "it has no HEALTHCHECK, unless its image has one: tasks run before they can answer",
        "docker service update --health-cmd COMMAND SERVICE",
    ),
    "start-first": Advice(
        "an update stops the old task before it starts the new one",
        "docker service update --update-order start-first SERVICE",
    ),
    "own-port": Advice(
        "its port on the nodes is fixed: no node has room for a second task, nor for start-first",
        "--publish mode=host,target=PORT without published",
    ),
}
MESH: Final = Advice("all goes by one node, which must not stop", "mooring.edge.mode=direct")


def stopping(grace_s: float) -> Advice:
    """What every service needs."""
    return Advice(
        f"tasks should finish what they have begun on SIGTERM, within {grace_s:g} s",
        "docker service update --stop-grace-period TIME SERVICE",
    )


def lacks(route: Route, service: Service | None) -> tuple[Lack, ...]:
    """In the order in which they should be mended."""
    return tuple(_lacks(route, service)) if service is not None else ()


def _lacks(route: Route, service: Service) -> Iterator[Lack]:
    if not service.has_healthcheck:
        yield "healthcheck"
    fixed = any(
        one.target == route.port and one.mode == "host" and one.published for one in service.ports
    )
    if route.mode == "direct" and fixed:
        yield "own-port"
    elif not service.starts_first:
        yield "start-first"
