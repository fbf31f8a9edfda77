"""Lines of HAProxy's configuration that are the same for services of HTTP and of TCP."""

from collections.abc import Iterator, Sequence
from typing import Final

from mooring.edge.labels import ProxyProtocol
from mooring.edge.model import Backend
from mooring.edge.routes import Route
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import before_port, word

# Of a connection that could not be made: then another server is tried.
TIMEOUTS: Final = """\
    timeout connect 300ms
    timeout check 500ms
    timeout queue 5s
    option redispatch 1
    retries 3"""
# A slot that rests has its first check up to `inter` after it was pointed at a server: HAProxy goes
# by that, not by `downinter`, for one in maintenance. Checks of 1,000 servers cost 0.1 of a core.
_SERVER: Final = (
    "    default-server check inter 300 fastinter 200 downinter 200 rise 1 pool-purge-delay 5s"
    " init-addr last,127.0.0.1"
)
_TASK: Final = " fall 2 observe layer4 error-limit 3 on-error mark-down"
# The mesh passes a connection on to any task, for a moment also to one that was killed: what fails
# tells less of the node, and the next try at the same one may find another.
_NODE: Final = " fall 3"
_TRIES_AT_NODES: Final = 6
# How long a server may acknowledge nothing, or keep its window shut: its host may be gone, or it
# just pauses for want of room. Decision 0028.
SILENT_S: Final = 5
SILENT_OF_TCP_S: Final = 30
_SEND: Final[dict[ProxyProtocol, str]] = {"off": "", "v1": " send-proxy", "v2": " send-proxy-v2"}


def map_file(settings: Settings, entry: EntryPoint) -> str:
    """The path of an entry point's map, which is also its name at runtime."""
    return f"{word(settings.directory)}/{word(entry.name)}.map"


def bind(entry: EntryPoint, settings: Settings) -> str:
    """The line that has it listen."""
    listens = f"    bind {before_port(entry.address)}:{entry.port}"
    if not entry.tls:
        return listens
    secure = f"{listens} ssl crt-list {certificate_list(settings)}"
    return secure if entry.protocol == "tcp" else f"{secure} alpn h2,http/1.1"


def certificate_list(settings: Settings) -> str:
    """The path of the list of all certificates, likewise."""
    return f"{word(settings.directory)}/certificates.list"


def proxied(entry: EntryPoint) -> Iterator[str]:
    """Whose PROXY protocol it believes."""
    if entry.accept_proxy_from:
        yield f"    tcp-request connection expect-proxy layer4 if {source(entry.accept_proxy_from)}"


IPV4, IPV6 = "ipv4@", "ipv6@"  # before an address


def source(networks: Sequence[str]) -> str:
    """The condition that a connection comes from one of these."""
    return "{ src " + " ".join(word(one) for one in networks) + " }"


def check(route: Route) -> Iterator[str]:
    """How its servers are checked."""
    if route.check != "tcp":
        yield "    option httpchk"
        name = next((one for one in route.hosts if not one.startswith("*")), "")
        host = f" hdr host {word(name)}" if name else ""
        yield f"    http-check send meth GET uri {word(route.check)}{host}"
        yield "    http-check expect status 200-399"


def servers(backend: Backend, slots: int, before: str) -> Iterator[str]:
    """Its slots. Checks speak the PROXY protocol where connections do.

    before  the family that its servers had
    """
    route = backend.route
    is_task = route.mode == "direct"
    if not is_task and route.retry != "none":
        yield f"    retries {_TRIES_AT_NODES}"
    words = [_SERVER, _TASK if is_task else _NODE, _SEND[route.proxy_protocol]]
    words += [" proto h2"] if route.protocol == "h2c" else []
    words += [f" weight 100 slowstart {route.slow_start_s}s"] if route.slow_start_s else []
    words += [f" maxconn {route.max_connections}"] if route.max_connections else []
    yield "".join(words)
    silent_s = SILENT_OF_TCP_S if route.protocol == "tcp" else SILENT_S
    slot = f"{family(backend, before)}slot.invalid:1 tcp-ut {silent_s}s disabled"
    if route.mode == "mesh":
        yield f"    server s1 {slot}"
        yield f"    server-template s 2-{slots} {slot} backup"
    else:
        yield f"    server-template s 1-{slots} {slot}"


def family(backend: Backend, before: str = IPV4) -> str:
    """Of all its servers; without one HAProxy takes no `tcp-ut` for a name that does not resolve.

    And with one a reload keeps no address of the other, so none is said of both.

    before  which they had: one that has none for now has not changed
    """
    are_six = {":" in one.address for one in backend.servers}
    if not are_six:
        return before
    if True not in are_six:
        return IPV4
    return "" if False in are_six else IPV6
