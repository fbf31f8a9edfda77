"""A route's path taken off before its servers see a request: lines of nginx's configuration.

nginx has the path decoded, and without it the rest encoded anew: %2F would be a slash. So the rest
is taken of what the client sent, but where that begins in other words, as /%61pi.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from mooring.edge.model import Backend
from mooring.edge.nginx import parts
from mooring.edge.routes import Route
from mooring.edge.settings import EntryPoint
from mooring.edge.words import PREFIX_HEADER, word


def variables(backends: Iterable[Backend]) -> Iterator[str]:
    """What clients ask for behind each path that is taken off; empty if it begins in other
    words."""
    for path in sorted({one.route.path for one in backends if one.route.is_stripped}):
        name, literal = _variable(path), word(path).replace(".", "\\.")
        yield f"    map $request_uri ${name} {{"
        yield f'        "~^{literal}(?:/+|(?=[?])|$)(?<{parts.SAID}>.*)$" /${parts.SAID};'
        yield '        default "";'
        yield "    }"


def of_location(entry: EntryPoint, route: Route) -> Iterator[str]:
    """To come where requests are passed on."""
    indent, header = " " * 12, f"${parts.variable(entry)}_prefix"
    if route.is_stripped:
        literal = word(route.path).replace(".", "\\.")
        yield f"{indent}rewrite ^{literal}/*(.*)$ /$1 break;"
        header += word(route.path)
    kind = "grpc" if route.protocol == "h2c" else "proxy"
    yield f"{indent}{kind}_set_header {PREFIX_HEADER} {header};"


def target(route: Route) -> str:
    """What stands behind the name that requests are passed on to. Of gRPC no more may."""
    is_path = route.is_stripped and route.protocol != "h2c"
    return f"${_variable(route.path)}" if is_path else ""


def _variable(path: str) -> str:
    return f"mooring_behind_{sha256(path.encode()).hexdigest()[:16]}"
