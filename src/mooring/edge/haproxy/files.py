"""HAProxy's configuration and maps, written from the model. Nothing else writes its syntax.

Edge §6 says which directives must be set, and what happens without. Only words of the grammar get
here (labels.py, settings.py); `word` holds every one to that once more.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

from mooring.edge.addresses import address_of
from mooring.edge.haproxy import limits, log, parts, prefix, split, streams
from mooring.edge.labels import Retry
from mooring.edge.model import Backend, Model
from mooring.edge.routes import HTTPS, Route
from mooring.edge.rules import TO_TLS, Rule
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.targets import HOST, ODD_PATH
from mooring.edge.words import (
    AMBIGUOUS,
    CHALLENGES,
    NO_ROUTE,
    NO_SERVER,
    PREFIX_HEADER,
    before_port,
    word,
)

GENERATION: Final = "proc.mooring_gen"
ACME: Final = "acme"  # a backend; those of services begin with svc_
# Longer than an idle client is kept, and than the longest timeout of a route.
HARD_STOP: Final = "70m"
CLIENT_S: Final = 60  # a client may be silent, within a request that it has begun

# Retried by the proxy where no answer has begun. A method that may not run twice only if nothing
# was sent: that is what `disable-l7-retry` leaves.
_DEFAULTS: Final = f"""
defaults
    mode http
{parts.TIMEOUTS}
    timeout client {CLIENT_S}s
    option clitcpka
    option srvtcpka
    srvtcpka-idle 2s
    srvtcpka-intvl 1s
    srvtcpka-cnt 3
    timeout server 30s
    timeout tunnel 1h
    timeout http-request 10s
    timeout http-keep-alive 10s
    option idle-close-on-response
    retry-on conn-failure empty-response response-timeout
    load-server-state-from-file global
    http-error status 503 content-type text/plain string "{NO_SERVER}\\n" hdr Retry-After 1
"""


WAITING: Final = "waiting"  # names no backend: requests get 503
NONE_BEFORE: Final[Mapping[str, str]] = {}


def config(
    backends: Mapping[str, Backend],
    settings: Settings,
    slots: Mapping[str, int],
    generation: int,
    families: Mapping[str, str] = NONE_BEFORE,
) -> str:
    """The whole configuration.

    backends  by name
    slots     of them, by name: at least as many as the model wants
    families  that their servers had, by name
    """
    directory = word(settings.directory)
    lines = [
        "# Written by Mooring; changes are lost.",
        "global",
        f"    stats socket {directory}/admin.sock mode 600 level admin expose-fd listeners",
        f"    server-state-file {directory}/servers.state",
        f"    hard-stop-after {HARD_STOP}",
        "    mworker-max-reloads 20",
        f"    set-var {GENERATION} int({generation})",
        *([f"    user {word(user)}"] if (user := settings.unprivileged) else []),
        *log.target(settings),
        _DEFAULTS.rstrip(),
    ]
    for entry in settings.entries_of("http"):
        lines += ["", *_frontend(entry, settings, backends.values())]
    lines += ["", *_to_tls(settings), *_acme(settings), *_metrics(settings)]
    in_order = [backends[name] for name in sorted(backends)]
    for backend in in_order:
        if backend.route.protocol != "tcp":
            before = families.get(backend.name, parts.IPV4)
            lines += ["", *_backend(backend, settings, slots[backend.name], before)]
    of_tcp = (one for one in in_order if one.route.protocol == "tcp")
    lines += streams.sections(of_tcp, settings, slots, families)
    return "\n".join(lines) + "\n"


def map_of(rules: Iterable[Rule], entry: str) -> dict[str, str]:
    """Backends by what requests of an entry point begin with: host, path, and a slash."""
    return {
        key_of(one): TO_TLS if one.is_sent_on else word(one.backend)
        for one in rules
        if one.entry == entry
    }


def key_of(rule: Rule) -> str:
    """What stands for a rule's place in the map of its entry point."""
    return word(f"{rule.host}{rule.path.rstrip('/')}/")


def maps(model: Model, settings: Settings) -> dict[str, dict[str, str]]:
    """All maps of a model, by file."""
    found = {
        parts.map_file(settings, one): map_of(model.rules, one.name)
        for one in settings.entry_points
    }
    groups = split.groups(model)
    for some in groups:
        if not some.rules[0].is_sent_on:
            rule = some.rules[0]
            entry = next(one for one in settings.entry_points if one.name == rule.entry)
            found[parts.map_file(settings, entry)][key_of(rule)] = some.name
    return {**found, split.file(settings): split.entries(groups)}


def has(found: Mapping[str, Mapping[str, str]], rule: Rule, settings: Settings) -> bool:
    """Whether maps of ours have a rule: alone, or among those that share its place."""
    entry = next(one for one in settings.entry_points if one.name == rule.entry)
    name = found[parts.map_file(settings, entry)].get(key_of(rule), "")
    return name == rule.backend or split.is_in(found[split.file(settings)], name, rule.backend)


def map_text(entries: Mapping[str, str]) -> str:
    """A map as a file."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def cookie(route: Route) -> str:
    """Of a sticky route: its own, since routes of one host share a client's cookies."""
    return f"mooring_{sha256(route.backend.encode()).hexdigest()[:8]}"


def _to_tls(settings: Settings) -> Iterator[str]:
    ports = [one.port for one in settings.entry_points if one.name == HTTPS]
    port = f":{ports[0]}" if ports and ports[0] != 443 else ""
    yield f"backend {TO_TLS}"
    yield f"    http-request redirect prefix https://%[req.hdr(host),field(1,:)]{port} code 308"


def _acme(settings: Settings) -> Iterator[str]:
    """What answers challenges. Unchecked: it may run only while a certificate is asked for."""
    place = address_of(settings.acme)
    if place is not None:
        yield ""
        yield f"backend {ACME}"
        yield f"    server {ACME} {before_port(place.host)}:{place.port}"


def _metrics(settings: Settings) -> Iterator[str]:
    """What HAProxy counts, for Prometheus; of slots at rest only who asks for them."""
    place = address_of(settings.proxy_metrics)
    if place is not None:
        yield ""
        yield "frontend metrics"
        yield f"    bind {before_port(place.host)}:{place.port}"
        yield "    http-request set-query no-maint unless { query -m found }"
        yield "    http-request use-service prometheus-exporter if { path /metrics }"
        yield "    http-request return status 404"


def _frontend(entry: EntryPoint, settings: Settings, backends: Iterable[Backend]) -> Iterator[str]:
    yield f"frontend entry_{word(entry.name)}"
    yield parts.bind(entry, settings)
    # Streams of gRPC go on in silence for as long as one of their services lets them.
    streaming = (one.route for one in backends if one.route.protocol == "h2c")
    silent_s = max((one.timeout_s for one in streaming if entry.name in one.entries), default=0)
    if silent_s > CLIENT_S:
        yield f"    timeout client {silent_s}s"
    yield from parts.proxied(entry)
    yield from limits.client(entry)
    yield from log.requests(entry, settings)
    yield from _forwarded(entry)
    where = f"map_beg({parts.map_file(settings, entry)})"
    found = "{ var(txn.backend) -m found }"
    yield from _understood()
    yield "    http-request set-var(txn.path) path,url_dec,regsub(//+,/,g),concat(/)"
    yield "    http-request set-var(txn.host) req.hdr(host),field(1,:),rtrim(.),lower"
    yield f"    http-request set-var(txn.backend) var(txn.host),concat(,txn.path),{where}"
    # Names of one label more than a pattern *.x.y, where no name of its own matches.
    yield f"    http-request set-var(txn.host) var(txn.host),regsub(^[^.]*,*) unless {found}"
    yield (
        f"    http-request set-var(txn.backend) var(txn.host),concat(,txn.path),{where}"
        f" unless {found}"
    )
    yield from split.choice(settings)
    if settings.acme:
        asked = f"{{ var(txn.path) -m beg {CHALLENGES} }}"
        yield f"    http-request set-var(txn.backend) str({ACME}) if {asked}"
    yield (
        "    http-request return status 404 content-type text/plain"
        f' string "{NO_ROUTE}\\n" unless {found}'
    )
    yield "    use_backend %[var(txn.backend)]"


def _understood() -> Iterator[str]:
    """Of what can be read in more than one way nothing goes on."""
    refused = f'    http-request return status 400 content-type text/plain string "{AMBIGUOUS}\\n"'
    yield f"{refused} if {{ req.hdr(host) -m found }} !{{ req.fhdr(host) -m reg {_quoted(HOST)} }}"
    yield f"{refused} if {{ path -m reg {_quoted(ODD_PATH)} }}"


def _quoted(regular: str) -> str:
    """An expression as one word: within quotes of this kind every letter stands for itself."""
    return f"'{regular}'"


def _forwarded(entry: EntryPoint) -> Iterator[str]:
    """What a client says of where it comes from is replaced, unless it may say so."""
    unless = f" unless {parts.source(entry.trusted_from)}" if entry.trusted_from else ""
    said = [f"X-Forwarded-{one}" for one in ("For", "Host", "Proto")]
    for header in (*said, PREFIX_HEADER, "Forwarded"):
        yield f"    http-request del-header {header}{unless}"
    missing = "{ req.hdr(%s) -m found }"
    yield "    http-request add-header X-Forwarded-For %[src]"
    for header, value in (
        ("X-Forwarded-Proto", "https" if entry.tls else "http"),
        ("X-Forwarded-Host", "%[req.hdr(host)]"),
    ):
        yield f"    http-request set-header {header} {value} unless {missing % header}"


_RETRY: Final[dict[Retry, str]] = {
    "safe": "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
    "none": "    retry-on none",
    "all": "",
}


def _backend(backend: Backend, settings: Settings, slots: int, before: str) -> Iterator[str]:
    route = backend.route
    yield f"backend {word(backend.name)}"
    yield f"    balance {word(route.balance)}"
    yield f"    timeout server {route.timeout_s}s"
    if _RETRY[route.retry]:
        yield _RETRY[route.retry]
    yield from log.of_route(route, settings)
    yield from limits.of_requests(route)
    yield from prefix.stripped(route)
    yield from parts.check(route)
    if route.is_sticky:
        yield f"    cookie {cookie(route)} insert indirect nocache httponly dynamic"
        yield f"    dynamic-cookie-key {word(route.backend)}"
    yield from parts.servers(backend, slots, before)
