"""A route's path taken off before its servers see a request: lines of HAProxy's configuration."""

from collections.abc import Iterator

from mooring.edge.routes import Route
from mooring.edge.targets import spelled
from mooring.edge.words import PREFIX_HEADER, word


def stripped(route: Route) -> Iterator[str]:
    """Rules of a backend; they come last, since others are about what the client asked for.

    All slashes after it go as well: `//evil.example` would be another host in a Location.
    """
    if route.is_stripped:
        path = word(route.path)
        # Of the path as it came, however it is spelled: what is behind it stays so.
        yield f"    http-request replace-path '^{spelled(path)}(.*)$' /\\1"
        before = f"%[req.hdr({PREFIX_HEADER})]"  # of a proxy in front that is believed, or nothing
        yield f"    http-request set-header {PREFIX_HEADER} {before}{path}"
