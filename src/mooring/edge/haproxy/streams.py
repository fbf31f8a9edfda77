"""What HAProxy's configuration has for services of TCP.

Which backend a connection goes to is looked up in the entry point's map, as for requests: a service
that comes to an entry point or leaves it needs a reload for its backend alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mooring.edge.haproxy import limits, log, parts
from mooring.edge.model import Backend
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import word

# How long a client may take to tell the name that it asks for.
NAME_S: Final = 5
# Keepalive packets find a client or a server that is gone without a word, and keep the connection
# known to the mesh and to firewalls, which forget idle ones.
_DEFAULTS: Final = f"""
defaults
    mode tcp
{parts.TIMEOUTS}
    timeout client 60s
    timeout server 60s
    option clitcpka
    clitcpka-idle 60s
    clitcpka-intvl 10s
    clitcpka-cnt 3
    option srvtcpka
    srvtcpka-idle 60s
    srvtcpka-intvl 10s
    srvtcpka-cnt 3
    load-server-state-from-file global
"""


def sections(
    backends: Iterable[Backend],
    settings: Settings,
    slots: Mapping[str, int],
    families: Mapping[str, str],
) -> Iterator[str]:
    """All of it; nothing, if there is no entry point for it. It has to come last.

    backends  those of TCP
    families  that their servers had, by name
    """
    entries = settings.entries_of("tcp")
    if not entries:
        return
    yield from _DEFAULTS.rstrip().splitlines()
    for entry in entries:
        yield from ("", *_frontend(entry, settings))
    for backend in backends:
        before = families.get(backend.name, parts.IPV4)
        yield from ("", *_backend(backend, settings, slots[backend.name], before))


def _frontend(entry: EntryPoint, settings: Settings) -> Iterator[str]:
    yield f"frontend entry_{word(entry.name)}"
    yield parts.bind(entry, settings)
    yield from parts.proxied(entry)
    yield from log.connections(entry, settings)
    where = f"map({parts.map_file(settings, entry)})"
    found = "{ var(txn.backend) -m found }"
    yield f"    tcp-request inspect-delay {NAME_S}s"
    # All of it is one service's: nothing is waited for, since a server may speak first.
    yield f"    tcp-request content set-var(txn.backend) str(/),{where}"
    yield f"    tcp-request content accept if {found}"
    name = "ssl_fc_sni" if entry.tls else "req.ssl_sni"
    if not entry.tls:
        yield "    tcp-request content reject unless { req.ssl_hello_type 1 }"
    yield f"    tcp-request content set-var(txn.host) {name},lower"
    yield from log.name(name, settings)
    yield f"    tcp-request content set-var(txn.backend) var(txn.host),concat(/),{where}"
    yield f"    tcp-request content set-var(txn.host) var(txn.host),regsub(^[^.]*,*) unless {found}"
    yield (
        f"    tcp-request content set-var(txn.backend) var(txn.host),concat(/),{where}"
        f" unless {found}"
    )
    yield f"    tcp-request content reject unless {found}"
    yield "    use_backend %[var(txn.backend)]"


def _backend(backend: Backend, settings: Settings, slots: int, before: str) -> Iterator[str]:
    route = backend.route
    yield f"backend {word(backend.name)}"
    yield f"    balance {word(route.balance)}"
    yield f"    timeout tunnel {route.timeout_s}s"
    if route.retry == "none":
        yield "    retries 0"
    yield from log.of_route(route, settings)
    yield from limits.of_connections(route)
    yield from parts.check(route)
    yield from parts.servers(backend, slots, before)
