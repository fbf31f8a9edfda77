"""What a service lacks that would have it lose fewer requests, whatever the edge does. Edge §5."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from mooring.edge.routes import Route
from mooring.engine.swarm import Service

Lack = Literal["healthcheck", "start-first", "own-port"]

ADVICE: Final[Mapping[Lack, str]] = {
    "healthcheck": (
        "it has no HEALTHCHECK, unless its image has one: a task counts as running before it can"
        " answer (docker service update --health-cmd CMD SERVICE)"
    ),
    "start-first": (
        "an update stops the old task before it starts the new one"
        " (docker service update --update-order start-first SERVICE)"
    ),
    "own-port": (
        "its port on the nodes is fixed: no node can have a second task, and start-first cannot"
        " be (publish mode=host,target=PORT without published)"
    ),
}


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
