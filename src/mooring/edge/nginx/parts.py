"""Words of nginx's configuration that are the same for services of HTTP and of TCP."""

from collections.abc import Iterator
from typing import Final

from mooring.edge.model import Backend, Server, Wish
from mooring.edge.settings import EntryPoint
from mooring.edge.words import before_port, word

TRIES: Final = 3
# What a regular expression has found, until the next one looks. Such a name has 32 letters at most.
SAID: Final = "mooring_said"


def in_use(backend: Backend) -> list[Server]:
    """Servers that get requests: those that leave only if no other is there."""
    serving = [one for one in backend.servers if one.wish is Wish.SERVE]
    return serving or list(backend.servers)


def spread(backend: Backend) -> Iterator[str]:
    """Which server of an upstream is taken."""
    route = backend.route
    can_hash = not any(one.is_backup for one in in_use(backend))  # nginx takes no backup with it
    if route.is_sticky and can_hash:
        yield "        hash $mooring_client consistent;"
    elif route.balance == "leastconn":
        yield "        least_conn;"
    elif route.balance == "source" and can_hash:
        yield "        hash $remote_addr consistent;"


def servers(backend: Backend) -> Iterator[str]:
    """Of an upstream."""
    for one in in_use(backend):
        words = "max_fails=1 fail_timeout=5s" + (" backup" if one.is_backup else "")
        if backend.route.max_connections:
            words += f" max_conns={backend.route.max_connections}"
        yield f"        server {before_port(one.address)}:{one.port} {words};"


def name(host: str, regular: str = "~") -> str:
    """A pattern stands for one label more, where nginx's own would stand for several.

    regular  where regular expressions begin
    """
    if not host.startswith("*."):
        return word(host)
    return f'"{regular}' + "^[^.]+\\." + word(host[2:]).replace(".", "\\.") + '$"'


def variable(entry: EntryPoint) -> str:
    """Where variables of an entry point begin: names of variables have no hyphen."""
    return f"entry_{word(entry.name).replace('-', '__')}"
