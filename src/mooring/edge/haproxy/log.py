"""Access logs of HAProxy: to syslog, or to the standard output of the service that runs it."""

from collections.abc import Iterable, Iterator
from typing import Final

from mooring.edge import logs
from mooring.edge.addresses import address_of
from mooring.edge.routes import Route
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import before_port, word

LINE_AT_MOST: Final = 16 << 10  # bytes; a longer one would be cut in the middle
_TIME: Final = "%[date(0),utime(%Y-%m-%dT%H:%M:%S)].%[date(0,ms),concat(),bytes(10,3)]Z"
_RETRIES: Final = "txn.retries"
# The number begins with a plus if the request went to another server at last. What is no request
# has no variables, so it would have no number either, were it not added to a text.
_AT_END: Final = (
    ("bytes", "%B"),
    ("bytesRead", "%U"),
    ("retries", f"%[str(0),concat(,{_RETRIES}),regsub(\\+,),add(0)]"),
)
_TEXTS_AT_END: Final = (
    ("service", "%[var(txn.service)]"),
    ("server", "%si"),
    ("serverPort", "%sp"),
    ("termination", "%ts"),
)
# Read while the request is there, and as it came: a backend may change it.
_READ: Final = (
    ("method", "method", logs.METHOD_AT_MOST),
    ("host", "req.hdr(host)", logs.HOST_AT_MOST),
    ("path", "path", logs.PATH_AT_MOST),
    ("userAgent", "req.hdr(user-agent)", logs.AGENT_AT_MOST),
)


def target(settings: Settings) -> Iterator[str]:
    """Of the section `global`."""
    found = logs.target_of(settings.access_log)
    if found is None:
        return
    if found.kind == "stdout":
        where, form = "stdout", "raw"
    elif (place := address_of(found.where)) is not None:
        where, form = f"{before_port(place.host)}:{place.port}", "rfc3164"
        yield "    log-send-hostname"
    else:
        where, form = (
            word(found.where),
            "local",
        )  # without the host's name, as its own syslog has it
    yield f"    log {where} len {LINE_AT_MOST} format {form} local0 info"
    yield f"    log-tag {logs.TAG}"


def requests(entry: EntryPoint, settings: Settings) -> Iterator[str]:
    """Of a frontend of HTTP; to come before its other rules, as far as the client is known."""
    if not settings.access_log:
        return
    yield "    log global"
    yield "    option dontlognull"
    for name, what, most in _READ:
        yield f"    http-request set-var(txn.log_{name}) {what},bytes(0,{most})"
    yield f"    http-after-response set-var-fmt({_RETRIES}) %rc"
    texts = [
        ("time", _TIME),
        ("entry", word(entry.name)),
        ("client", "%[var(txn.client)]" if entry.trusted_from else "%[src]"),
        *((name, _quoted(f"txn.log_{name}")) for name, _, _ in _READ),
        *_TEXTS_AT_END,
    ]
    yield _format(texts, (("status", "%ST"), ("durationMs", "%Ta"), *_AT_END))


def connections(entry: EntryPoint, settings: Settings) -> Iterator[str]:
    """Of a frontend of TCP."""
    if not settings.access_log:
        return
    yield "    log global"
    texts = [
        ("time", _TIME),
        ("entry", word(entry.name)),
        ("client", "%[src]"),
        ("host", _quoted("txn.log_host")),
        *_TEXTS_AT_END,
    ]
    yield _format(texts, (("durationMs", "%Tt"), *_AT_END))


def name(what: str, settings: Settings) -> Iterator[str]:
    """Of a frontend of TCP, where the name is read that its client asks for."""
    if settings.access_log:
        yield (
            f"    tcp-request content set-var(txn.log_host) {what},lower"
            f",bytes(0,{logs.HOST_AT_MOST})"
        )


def of_route(route: Route, settings: Settings) -> Iterator[str]:
    """Of a backend; to come before its other rules."""
    if not settings.access_log:
        return
    rule = "tcp-request content" if route.protocol == "tcp" else "http-request"
    service = word(logs.name_of(route.service, route.service_id))
    yield f"    {rule} set-var(txn.service) str({service})"
    if not route.is_logged:
        yield f"    {rule} set-log-level silent"
    if route.protocol == "tcp":
        yield f"    tcp-response content set-var-fmt({_RETRIES}) %rc"


def _quoted(variable: str) -> str:
    return f"%[var({variable}),json(utf8s)]"


def _format(texts: Iterable[tuple[str, str]], numbers: Iterable[tuple[str, str]]) -> str:
    """No word in it may have a single quote, and none has."""
    fields = [f'"{key}":"{value}"' for key, value in texts]
    fields += [f'"{key}":{value}' for key, value in numbers]
    return f"    log-format '{{{','.join(fields)}}}'"
