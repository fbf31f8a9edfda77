"""Who may use a service, and how much: lines of HAProxy's configuration.

A client is known by the address that the entry point believes: of its connection, of the PROXY
protocol, or of the last X-Forwarded-For that a trusted proxy in front has written.
"""

from collections.abc import Iterator
from typing import Final

from mooring.edge.haproxy import parts
from mooring.edge.routes import Route
from mooring.edge.settings import EntryPoint
from mooring.edge.words import NO_LENGTH, NOT_FOR_YOU, TOO_LARGE, TOO_MANY, word

CLIENT: Final = "var(txn.client)"
# Of bodies that do not tell their size, all three.
UNTOLD_AT_MOST: Final = 8 << 10  # bytes
HEADERS_AT_MOST: Final = 4 << 10  # bytes; the buffer has 16 KiB for both
WAIT_S: Final = 60  # until it is there; a client may be silent for as long
CLIENTS_AT_MOST: Final = 20_000  # that are counted; the one that was seen last longest ago goes


def client(entry: EntryPoint) -> Iterator[str]:
    """Set its address. To come before headers are changed."""
    yield "    http-request set-var(txn.client) src"
    if entry.trusted_from:
        trusted = parts.source(entry.trusted_from)
        said = "req.hdr_ip(x-forwarded-for,-1)"
        yield f"    http-request set-var(txn.client) {said} if {trusted} {{ {said} -m found }}"


def of_requests(route: Route) -> Iterator[str]:
    """Rules of a backend of HTTP."""
    denied = (
        f'    http-request deny deny_status 403 content-type text/plain string "{NOT_FOR_YOU}\\n"'
    )
    if route.deny:
        yield f"{denied} if {_is_of(CLIENT, route.deny)}"
    if route.allow:
        yield f"{denied} unless {_is_of(CLIENT, route.allow)}"
    if route.limit is not None:
        requests, seconds = route.limit
        table = f"type ipv6 size {CLIENTS_AT_MOST} expire {2 * seconds}s"
        yield f"    stick-table {table} store http_req_rate({seconds}s)"
        yield f"    http-request track-sc0 {CLIENT}"
        yield (
            "    http-request deny deny_status 429 content-type text/plain"
            f' string "{TOO_MANY}\\n" hdr Retry-After {seconds}'
            f" if {{ sc_http_req_rate(0) gt {requests} }}"
        )

    yield from _of_bodies(route)


def _of_bodies(route: Route) -> Iterator[str]:
    """HAProxy counts nothing on its way: a size is what the client tells, or what is there.

    Of a body whose size is not told, in chunks or by HTTP/2, all of it has to be there; and that it
    is all is only sure where neither the headers nor it fill the buffer.
    """
    if not route.max_body_bytes:
        return
    chunked, told, upgraded = (
        f"{{ req.hdr({one}) -m found }}"
        for one in ("transfer-encoding", "content-length", "upgrade")
    )
    untold = f"{chunked} or {{ fc_http_major 2 }} !{told} !{upgraded}"
    is_untold = "{ var(txn.untold) -m bool }"
    some = "{ req.body_size gt 0 }"
    yield f"    http-request set-var(txn.untold) bool(true) if {untold}"
    wait = f"    http-request wait-for-body time {WAIT_S}s at-least {UNTOLD_AT_MOST}"
    yield f"{wait} if {is_untold}"
    for status, what, said in (
        (413, f"{{ req.body_size gt {route.max_body_bytes} }}", TOO_LARGE),
        (411, f"{is_untold} {{ req.body_size ge {UNTOLD_AT_MOST} }}", NO_LENGTH),
        (411, f"{is_untold} {some} {{ req.hdrs,length gt {HEADERS_AT_MOST} }}", NO_LENGTH),
        # They may leave no room for the first byte of a body.
        (411, f"{is_untold} {{ req.hdrs,length gt {2 * HEADERS_AT_MOST} }}", NO_LENGTH),
    ):
        yield (
            f"    http-request deny deny_status {status} content-type text/plain"
            f' string "{said}\\n" if {what}'
        )


def of_connections(route: Route) -> Iterator[str]:
    """Rules of a backend of TCP."""
    if route.deny:
        yield f"    tcp-request content reject if {_is_of('src', route.deny)}"
    if route.allow:
        yield f"    tcp-request content reject unless {_is_of('src', route.allow)}"


def _is_of(what: str, networks: tuple[str, ...]) -> str:
    return f"{{ {what} -m ip {' '.join(word(one) for one in networks)} }}"
