"""What nginx's configuration has for services of TCP, by its module for streams."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from mooring.edge.errors import ModuleMissing
from mooring.edge.model import Model
from mooring.edge.nginx import limits, log, parts
from mooring.edge.routes import Route
from mooring.edge.rules import WHOLE, Rule
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import before_port, word

FILE: Final = "ngx_stream_module.so"
_BUILT: Final = re.compile(r"--with-stream(=dynamic)?(?= |$)", re.M)
_DIRECTORY: Final = re.compile(r"--modules-path=(\S+)")
# How long a client may take to tell the name that it asks for.
NAME_S: Final = 5
# Keepalive packets, idle:between:count: of clients, and by the kernel's own numbers of servers.
_KEEPALIVE: Final = "so_keepalive=60s:10s:3"


def module(said: str) -> str:
    """The module's file, of what `nginx -V` says; empty if it is built in. Raises ModuleMissing."""
    built, directory = _BUILT.search(said), _DIRECTORY.search(said)
    if built is not None and not built[1]:
        return ""
    file = Path(directory[1] if directory else "/usr/lib/nginx/modules") / FILE
    if built is None or not file.exists():
        raise ModuleMissing(file)
    return str(file)


def block(model: Model, settings: Settings) -> Iterator[str]:
    """All of it."""
    yield "stream {"
    yield "    proxy_connect_timeout 300ms;"
    yield f"    proxy_next_upstream_tries {parts.TRIES};"
    yield "    proxy_socket_keepalive on;"
    yield "    proxy_half_close on;"
    yield "    map_hash_bucket_size 512;"
    yield "    map_hash_max_size 16384;"
    yield "    variables_hash_bucket_size 256;"
    yield from log.connections(settings)
    yield f"    preread_timeout {NAME_S}s;"
    serving = {
        name: one
        for name, one in sorted(model.backends.items())
        if one.route.protocol == "tcp" and parts.in_use(one)
    }
    for name, backend in serving.items():
        yield f"    upstream {word(name)} {{"
        yield from parts.spread(backend)
        yield from parts.servers(backend)
        yield "    }"
    for entry in settings.entries_of("tcp"):
        rules = [one for one in model.rules if one.entry == entry.name and one.backend in serving]
        routes = [serving[one.backend].route for one in rules]
        chosen = ""
        if rules:
            chosen = word(rules[0].backend) if rules[0].host == WHOLE else f"${_chosen(entry)}"
        if chosen.startswith("$"):
            yield from _names(entry, rules)
        yield from log.of_entry(entry, chosen, {one.backend: one for one in routes}, settings)
        yield "    server {"
        yield from log.of_stream(entry, settings)
        yield from _server(entry, rules, routes)
        yield "    }"
    yield "}"


def _names(entry: EntryPoint, rules: Iterable[Rule]) -> Iterator[str]:
    """Names of exactly one label more than a pattern are its own, if they are of no other."""
    yield f"    map $ssl_preread_server_name ${_chosen(entry)} {{"
    for rule in sorted(rules, key=lambda one: one.host):
        yield f"        {parts.name(rule.host, '~*')} {word(rule.backend)};"
    yield "    }"


def _server(entry: EntryPoint, rules: Sequence[Rule], routes: Sequence[Route]) -> Iterator[str]:
    listen = f"        listen {before_port(entry.address)}:{entry.port} {_KEEPALIVE}"
    yield f"{listen} proxy_protocol;" if entry.accept_proxy_from else f"{listen};"
    for one in entry.accept_proxy_from:
        yield f"        set_real_ip_from {word(one)};"
    if not rules:
        yield '        return "";'
        return
    # All services of a listener have these in common.
    yield f"        proxy_timeout {max(one.timeout_s for one in routes)}s;"
    is_tried = all(one.retry != "none" for one in routes)
    yield f"        proxy_next_upstream {'on' if is_tried else 'off'};"
    if rules[0].host != WHOLE:
        yield "        ssl_preread on;"
        yield f"        proxy_pass ${_chosen(entry)};"
        return
    yield from limits.of_connections(routes[0])
    if routes[0].proxy_protocol == "v1":
        yield "        proxy_protocol on;"
    yield f"        proxy_pass {word(rules[0].backend)};"


def _chosen(entry: EntryPoint) -> str:
    return f"{parts.variable(entry)}_backend"
