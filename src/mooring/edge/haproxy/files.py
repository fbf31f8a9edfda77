"""HAProxy's configuration and maps, written from the model. Nothing else writes its syntax.

Edge §6 says which directives must be set, and what happens without. Only words of the grammar get
here (labels.py, settings.py); `word` holds every one to that once more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from mooring.edge.labels import Retry
from mooring.edge.model import TO_TLS, Backend, Rule
from mooring.edge.routes import HTTPS, Route
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import NO_ROUTE, NO_SERVER, word

GENERATION: Final = "proc.mooring_gen"
RETRIES: Final = 3
# Longer than an idle client is kept, and than the longest timeout of a route.
HARD_STOP: Final = "70m"

# Retried by the proxy where no answer has begun. A method that may not run twice only if nothing
# was sent: that is what `disable-l7-retry` leaves.
_DEFAULTS: Final = f"""
defaults
    mode http
    timeout connect 300ms
    timeout check 500ms
    timeout client 60s
    timeout server 30s
    timeout queue 5s
    timeout tunnel 1h
    timeout http-request 10s
    timeout http-keep-alive 10s
    option idle-close-on-response
    option redispatch 1
    retries {RETRIES}
    retry-on conn-failure empty-response response-timeout
    load-server-state-from-file global
    http-error status 503 content-type text/plain string "{NO_SERVER}\\n" hdr Retry-After 1
"""
_SERVER: Final = (
    "    default-server check inter 500 fastinter 200 downinter 200 fall 2 rise 1 observe layer4"
    " error-limit 3 on-error mark-down tcp-ut 1s pool-purge-delay 5s init-addr last,127.0.0.1"
)


def config(
    backends: Mapping[str, Backend], settings: Settings, slots: Mapping[str, int], generation: int
) -> str:
    """The whole configuration.

    backends  by name
    slots     of them, by name: at least as many as the model wants
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
        _DEFAULTS.rstrip(),
    ]
    for entry in settings.entry_points:
        lines += ["", *_frontend(entry, settings)]
    lines += ["", *_to_tls(settings)]
    for name in sorted(backends):
        lines += ["", *_backend(backends[name], slots[name])]
    return "\n".join(lines) + "\n"


def map_file(settings: Settings, entry: EntryPoint) -> str:
    """The path of an entry point's map, which is also its name at runtime."""
    return f"{word(settings.directory)}/{word(entry.name)}.map"


def map_of(rules: Iterable[Rule], entry: str) -> dict[str, str]:
    """Backends by what requests of an entry point begin with: host, path, and a slash."""
    return {
        word(f"{one.host}{one.path.rstrip('/')}/"): TO_TLS if one.is_sent_on else word(one.backend)
        for one in rules
        if one.entry == entry
    }


def map_text(rules: Iterable[Rule], entry: str) -> str:
    """The map as a file."""
    lines = [f"{key} {backend}\n" for key, backend in sorted(map_of(rules, entry).items())]
    return "".join(lines)


def bind(entry: EntryPoint, settings: Settings) -> str:
    """The line that has it listen."""
    address = word(entry.address)
    listens = f"    bind {f'[{address}]' if ':' in address else address}:{entry.port}"
    if not entry.tls:
        return listens
    return f"{listens} ssl crt-list {certificate_list(settings)} alpn h2,http/1.1"


def certificate_list(settings: Settings) -> str:
    """The path of the list of all certificates, likewise."""
    return f"{word(settings.directory)}/certificates.list"


def cookie(route: Route) -> str:
    """Of a sticky route: its own, since routes of one host share a client's cookies."""
    return f"mooring_{sha256(route.backend.encode()).hexdigest()[:8]}"


def _to_tls(settings: Settings) -> Iterator[str]:
    ports = [one.port for one in settings.entry_points if one.name == HTTPS]
    port = f":{ports[0]}" if ports and ports[0] != 443 else ""
    yield f"backend {TO_TLS}"
    yield f"    http-request redirect prefix https://%[req.hdr(host),field(1,:)]{port} code 308"


def _frontend(entry: EntryPoint, settings: Settings) -> Iterator[str]:
    name, directory = word(entry.name), word(settings.directory)
    yield f"frontend entry_{name}"
    yield bind(entry, settings)
    if entry.accept_proxy_from:
        yield f"    tcp-request connection expect-proxy layer4 if {_from(entry.accept_proxy_from)}"
    yield from _forwarded(entry)
    where = f"map_beg({directory}/{name}.map)"
    found = "{ var(txn.backend) -m found }"
    yield "    http-request set-var(txn.path) path,concat(/)"
    yield "    http-request set-var(txn.host) req.hdr(host),field(1,:),rtrim(.),lower"
    yield f"    http-request set-var(txn.backend) var(txn.host),concat(,txn.path),{where}"
    # Names of one label more than a pattern *.x.y, where no name of its own matches.
    yield f"    http-request set-var(txn.host) var(txn.host),regsub(^[^.]*,*) unless {found}"
    yield (
        f"    http-request set-var(txn.backend) var(txn.host),concat(,txn.path),{where}"
        f" unless {found}"
    )
    yield (
        "    http-request return status 404 content-type text/plain"
        f' string "{NO_ROUTE}\\n" unless {found}'
    )
    yield "    use_backend %[var(txn.backend)]"


def _forwarded(entry: EntryPoint) -> Iterator[str]:
    """What a client says of where it comes from is replaced, unless it may say so."""
    unless = f" unless {_from(entry.trusted_from)}" if entry.trusted_from else ""
    for header in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"):
        yield f"    http-request del-header {header}{unless}"
    missing = "{ req.hdr(%s) -m found }"
    yield "    http-request add-header X-Forwarded-For %[src]"
    for header, value in (
        ("X-Forwarded-Proto", "https" if entry.tls else "http"),
        ("X-Forwarded-Host", "%[req.hdr(host)]"),
    ):
        yield f"    http-request set-header {header} {value} unless {missing % header}"


def _from(networks: Sequence[str]) -> str:
    return "{ src " + " ".join(word(one) for one in networks) + " }"


_RETRY: Final[dict[Retry, str]] = {
    "safe": "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
    "none": "    retry-on none",
    "all": "",
}


def _backend(backend: Backend, slots: int) -> Iterator[str]:
    route = backend.route
    yield f"backend {word(backend.name)}"
    yield f"    balance {word(route.balance)}"
    yield f"    timeout server {route.timeout_s}s"
    if _RETRY[route.retry]:
        yield _RETRY[route.retry]
    if route.check != "tcp":
        yield "    option httpchk"
        name = next((one for one in route.hosts if not one.startswith("*")), "")
        host = f" hdr host {word(name)}" if name else ""
        yield f"    http-check send meth GET uri {word(route.check)}{host}"
        yield "    http-check expect status 200-399"
    if route.is_sticky:
        yield f"    cookie {cookie(route)} insert indirect nocache httponly dynamic"
        yield f"    dynamic-cookie-key {word(route.backend)}"
    yield _SERVER + (" proto h2" if route.protocol == "h2c" else "")
    if route.mode == "mesh":
        yield "    server s1 slot.invalid:1 disabled"
        yield f"    server-template s 2-{slots} slot.invalid:1 disabled backup"
    else:
        yield f"    server-template s 1-{slots} slot.invalid:1 disabled"
