"""What becomes of a request: nginx's locations."""

from collections.abc import Iterable, Iterator
from typing import Final

from mooring.edge.labels import Retry
from mooring.edge.model import Backend
from mooring.edge.nginx import limits, log, parts, prefix, split
from mooring.edge.routes import HTTPS
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import NO_SERVER, word

# Statuses that are never sent: ways to other locations.
_TURNED: Final = {"once": 418, "upgrade": 419}
CLIENT_S: Final = 60  # a client may be silent, within a request that it has begun
UPGRADED_S: Final = 3600  # how long a WebSocket may be idle
_ONCE: Final = "off"
_RETRY: Final[dict[Retry, str]] = {
    "safe": "error timeout",
    "all": "error timeout non_idempotent",
    "none": _ONCE,
}


def of_rule(
    entry: EntryPoint, choice: split.Choice, settings: Settings, number: int
) -> Iterator[str]:
    """What becomes of requests of a rule, the one of this number in its server."""
    rule, backend, target = choice
    path, retry = word(rule.path), backend.route.retry
    # Whole segments: /api, and what is below it; not /apix.
    places = ["/"] if path == "/" else [f"= {path}", f"{path}/"]
    indent = " " * 12
    named = [*log.of_location(target, settings)]
    if rule.is_sent_on:
        body = [f"{indent}return 308 https://$host{_tls_port(settings)}$request_uri;"]
    elif not parts.in_use(backend):
        body = [
            f"{indent}add_header Retry-After 1 always;",
            f'{indent}return 503 "{NO_SERVER}\\n";',
        ]
    else:
        # What is tried again, and after which silence it is over, is fixed for a location.
        special = {}
        if backend.route.protocol == "http":
            special["upgrade"] = _passing(entry, backend, target, _RETRY[retry], UPGRADED_S)
        if retry == "safe":
            # Of a method that must not be done twice nginx sends only LOCK, PATCH and POST no
            # second time once they were sent.
            special["once"] = _passing(entry, backend, target, _ONCE)
        body = []
        for what, of_it in special.items():
            yield from location(f"@{what}_{number}", of_it)
            body.append(f"{indent}error_page {_TURNED[what]} = @{what}_{number};")
            body.append(f"{indent}if ($mooring_{what}) {{ return {_TURNED[what]}; }}")
        body += _passing(entry, backend, target, _RETRY[retry])
    for place in places:
        yield from location(place, [*named, *body])


def location(place: str, body: Iterable[str]) -> Iterator[str]:
    """One of a server, with its lines."""
    yield f"        location {place} {{"
    yield from body
    yield "        }"


def _passing(
    entry: EntryPoint, backend: Backend, target: str, retried: str, silent_s: int | None = None
) -> Iterator[str]:
    """Requests are passed on to a backend, or to that which is chosen at the time.

    target    of which the name is this
    retried   after what, in nginx's words
    silent_s  how long its server may be; None: as its label says
    """
    indent, route, name = " " * 12, backend.route, parts.variable(entry)
    kind = "grpc" if route.protocol == "h2c" else "proxy"
    yield from limits.of_location(entry, route)
    yield f"{indent}{kind}_pass {'grpc' if kind == 'grpc' else 'http'}://{target}{prefix.target(route)};"
    yield f"{indent}{kind}_read_timeout {route.timeout_s if silent_s is None else silent_s}s;"
    yield f"{indent}{kind}_next_upstream {retried};"
    yield f"{indent}{kind}_set_header Host $http_host;"
    if kind == "grpc":
        # Silence within a stream, which the client has not ended.
        yield f"{indent}client_body_timeout {max(route.timeout_s, CLIENT_S)}s;"
    if kind == "proxy":
        yield f"{indent}proxy_set_header Upgrade $http_upgrade;"
        yield f"{indent}proxy_set_header Connection $mooring_connection;"
    for header, what in (("For", "for"), ("Proto", "proto"), ("Host", "host")):
        yield f"{indent}{kind}_set_header X-Forwarded-{header} ${name}_{what};"
    yield f'{indent}{kind}_set_header Forwarded "";'
    yield from prefix.of_location(entry, route)
    if route.is_sticky:
        yield f'{indent}add_header Set-Cookie "mooring=$mooring_client; Path=/; HttpOnly" always;'


def _tls_port(settings: Settings) -> str:
    ports = [one.port for one in settings.entry_points if one.name == HTTPS]
    return f":{ports[0]}" if ports and ports[0] != 443 else ""
