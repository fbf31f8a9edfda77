"""Who may use a service, and how much: lines of nginx's configuration.

A client is known by the same address as in haproxy/limits.py.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from mooring.edge.model import Backend
from mooring.edge.nginx import parts
from mooring.edge.routes import Route
from mooring.edge.settings import EntryPoint
from mooring.edge.words import NOT_FOR_YOU, word

DENIED, ALLOWED = "denied", "allowed"
ZONE_KIB: Final = 2560  # some 20,000 clients are counted


def client(entry: EntryPoint) -> Iterator[str]:
    """Set its address; the entry point's own variable tells whether the connection is trusted."""
    name = parts.variable(entry)
    yield f'    map "${name}_trusted:$http_x_forwarded_for" ${name}_client {{'
    yield f'        "~^1:(?:.*,)? *(?<{parts.SAID}>[0-9a-fA-F.:]+)$" ${parts.SAID};'
    yield "        default $remote_addr;"
    yield "    }"


def of_service(entry: EntryPoint, backend: Backend) -> Iterator[str]:
    """What is asked once for all requests of an entry point to a service."""
    route, name = backend.route, parts.variable(entry)
    for networks, kind in ((route.deny, DENIED), (route.allow, ALLOWED)):
        if networks:
            yield f"    geo ${name}_client ${_variable(entry, route)}_{kind} {{"
            yield "        default 0;"
            for one in networks:
                yield f"        {word(one)} 1;"
            yield "    }"
    if route.limit is not None:
        requests, seconds = route.limit
        rate = f"{requests}r/{'s' if seconds == 1 else 'm'}"
        zone = f"{_variable(entry, route)}:{ZONE_KIB}k"
        yield f"    limit_req_zone ${name}_client zone={zone} rate={rate};"


def of_location(entry: EntryPoint, route: Route) -> Iterator[str]:
    """Whether a request may be passed on."""
    indent = " " * 12
    refusal = f'return 403 "{NOT_FOR_YOU}\\n";'
    if route.deny:
        yield f"{indent}if (${_variable(entry, route)}_{DENIED}) {{ {refusal} }}"
    if route.allow:
        yield f"{indent}if (${_variable(entry, route)}_{ALLOWED} = 0) {{ {refusal} }}"
    if route.limit is not None:
        burst = f" burst={route.limit.requests - 1} nodelay" if route.limit.requests > 1 else ""
        yield f"{indent}limit_req zone={_variable(entry, route)}{burst};"
        yield f"{indent}limit_req_status 429;"
    if route.max_body_bytes:
        yield f"{indent}client_max_body_size {route.max_body_bytes};"


def _variable(entry: EntryPoint, route: Route) -> str:
    digest = sha256(f"{entry.name} {route.backend}".encode()).hexdigest()[:16]
    return f"mooring_{digest}"


def of_connections(route: Route) -> Iterator[str]:
    """Whether a connection of TCP may be passed on, by the address that it comes from."""
    for one in route.deny:
        yield f"        deny {word(one)};"
    for one in route.allow:
        yield f"        allow {word(one)};"
    if route.allow:
        yield "        deny all;"
