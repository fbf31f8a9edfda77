"""Access logs of nginx: to a file, or to syslog."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mooring.edge import logs
from mooring.edge.addresses import address_of
from mooring.edge.nginx import parts
from mooring.edge.routes import Route
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import before_port, word

_Cases = Mapping[str, str]
_BACKEND: Final = "$mooring_backend"
_CLIENT: Final = "$mooring_from"
_ENTRY: Final = "$mooring_entry"
_SAID: Final = f"(?<{parts.SAID}>"
_KEPT: Final = f"${parts.SAID}"
# What is no character of UTF-8 ends a text: JSON has none, and `escape=json` lets it through.
_CHARACTERS: Final = (
    r"(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    r"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    r"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})++"
)
_MILLISECONDS: Final = {
    rf"~^0\.0{{0,2}}{_SAID}[0-9]+)$": _KEPT,
    rf"~^{_SAID}[0-9]+)\.(?<mooring_part>[0-9]+)$": f"{_KEPT}$mooring_part",
    "default": "0",
}
_TIME: Final = {
    rf"~^{_SAID}.{{19}})(?<mooring_zone>\S+) [0-9]+(?<mooring_part>[.][0-9]{{3}})$": (
        f"{_KEPT}$mooring_part$mooring_zone"
    )
}
# The last that was tried.
_SERVER: Final = {rf"~(?:^|[ ,])\[?{_SAID}[0-9a-fA-F.:]+?)\]?:[0-9]+$": _KEPT}
_PORT: Final = {rf"~(?:^|[ ,])\[?[0-9a-fA-F.:]+?\]?:{_SAID}[0-9]+)$": _KEPT}
_RETRIES: Final = {
    **{f"~^[^,]*(?:,[^,]*){{{n}}}$": str(n) for n in range(1, parts.TRIES)},
    "default": "0",
}


def requests(routes: Mapping[str, Route], settings: Settings) -> Iterator[str]:
    """Of the block for HTTP. routes: by the name of their backend."""
    if not settings.access_log or not settings.entries_of("http"):
        yield "    access_log off;"
        return
    # A request that is no request is logged before anything is set.
    yield "    uninitialized_variable_warn off;"
    yield from _of_both("$request_time")
    yield from _map("$request_completion", "termination", {"OK": "--", "default": "??"})
    yield from _map(_CLIENT, "client", {"": "$remote_addr", "default": _CLIENT})
    yield from _map(_ENTRY, "entry", {"": logs.NONE, "default": _ENTRY})
    yield from _text("$request_method", "method", "[A-Z_-]", logs.METHOD_AT_MOST)
    yield from _text("$http_host", "host", r"[\x00-\xff]", logs.HOST_AT_MOST)
    yield from _text("$request_uri", "path", "[^?]", logs.PATH_AT_MOST)
    yield from _text("$http_user_agent", "agent", r"[\x00-\xff]", logs.AGENT_AT_MOST)
    yield from _services(_BACKEND, "", routes)
    texts = (
        ("time", "$mooring_log_time"),
        ("entry", "$mooring_log_entry"),
        ("client", "$mooring_log_client"),
        ("method", "$mooring_log_method"),
        ("host", "$mooring_log_host"),
        ("path", "$mooring_log_path"),
        ("userAgent", "$mooring_log_agent"),
        ("service", "$mooring_log_service"),
    )
    numbers = (("status", "$status"), ("bytesRead", "$request_length"))
    yield _format("mooring", texts, numbers)
    yield f"    access_log {_target(settings)} mooring if=$mooring_log_if;"


def of_server(entry: EntryPoint, settings: Settings) -> Iterator[str]:
    """Of a server of HTTP."""
    if settings.access_log:
        yield f"        set {_ENTRY} {word(entry.name)};"
        yield f"        set {_CLIENT} ${parts.variable(entry)}_client;"
        yield f'        set {_BACKEND} "";'


def of_location(target: str, settings: Settings) -> Iterator[str]:
    """To come before all that may end a request there. target: the name of its backend, or a
    variable with it."""
    if settings.access_log:
        yield f"{' ' * 12}set {_BACKEND} {target};"


def connections(settings: Settings) -> Iterator[str]:
    """Of the block for TCP."""
    yield "    access_log off;"
    if settings.access_log:
        yield from _of_both("$session_time")
        yield from _map("$status", "termination", {"200": "--", "default": "??"})
        yield from _text("$ssl_preread_server_name", "host", r"[\x00-\xff]", logs.HOST_AT_MOST)


def of_entry(
    entry: EntryPoint, backend: str, routes: Mapping[str, Route], settings: Settings
) -> Iterator[str]:
    """Of the block for TCP, for an entry point.

    backend  that a connection goes to, or the variable with it; empty: there is none
    routes   by the name of their backend
    """
    if settings.access_log:
        name = parts.variable(entry)
        yield from _services(backend, f"_{name}", routes)
        texts = (
            ("time", "$mooring_log_time"),
            ("entry", word(entry.name)),
            ("client", "$remote_addr"),
            ("host", "$mooring_log_host"),
            ("service", f"$mooring_log_service_{name}"),
        )
        yield _format(f"mooring_{name}", texts, (("bytesRead", "$bytes_received"),))


def of_stream(entry: EntryPoint, settings: Settings) -> Iterator[str]:
    """Of a server of TCP."""
    if settings.access_log:
        name = parts.variable(entry)
        yield f"        access_log {_target(settings)} mooring_{name} if=$mooring_log_if_{name};"


def _of_both(took: str) -> Iterator[str]:
    """For requests and for connections. took: the variable with the time that one took."""
    yield from _map("$time_iso8601 $msec", "time", _TIME)
    yield from _map(took, "took", _MILLISECONDS)
    yield from _map("$upstream_addr", "server", _SERVER)
    yield from _map("$upstream_addr", "port", _PORT)
    yield from _map("$upstream_addr", "retries", _RETRIES)


def _services(backend: str, which: str, routes: Mapping[str, Route]) -> Iterator[str]:
    """What a backend's service is called, and whether there is a line for it."""
    names = {
        name: logs.name_of(one.service, one.service_id) for name, one in sorted(routes.items())
    }
    yield from _map(backend, f"service{which}", {word(one): word(names[one]) for one in names})
    silent = {word(name): "0" for name, one in sorted(routes.items()) if not one.is_logged}
    yield from _map(backend, f"if{which}", {**silent, "default": "1"})


def _text(what: str, name: str, characters: str, most: int) -> Iterator[str]:
    """A text of a client's as it may stand in a line."""
    cut = {f"~^{_SAID}{characters}{{1,{most}}})": _KEPT}
    yield from _map(what, f"cut_{name}", cut)
    yield from _map(f"$mooring_log_cut_{name}", name, {f"~^{_SAID}{_CHARACTERS})": _KEPT})


def _map(what: str, name: str, cases: _Cases) -> Iterator[str]:
    """A variable of its own that goes by another, or a text with some."""
    yield f'    map "{what}" $mooring_log_{name} {{'
    yield f'        default "{cases.get("default", logs.NONE)}";'
    for case, value in cases.items():
        if case != "default":
            yield f'        "{case}" "{value}";'
    yield "    }"


def _format(name: str, texts: Iterable[tuple[str, str]], numbers: Iterable[tuple[str, str]]) -> str:
    both = [
        ("server", "$mooring_log_server"),
        ("serverPort", "$mooring_log_port"),
        ("termination", "$mooring_log_termination"),
    ]
    counted = [
        ("durationMs", "$mooring_log_took"),
        ("bytes", "$bytes_sent"),
        ("retries", "$mooring_log_retries"),
    ]
    fields = [f'"{key}":"{value}"' for key, value in (*texts, *both)]
    fields += [f'"{key}":{value}' for key, value in (*numbers, *counted)]
    return f"    log_format {name} escape=json '{{{','.join(fields)}}}';"


def _target(settings: Settings) -> str:
    target = logs.target_of(settings.access_log)
    assert target is not None, "settings were read with it"
    if target.kind == "file":
        return word(target.where)
    place = address_of(target.where)
    where = (
        f"{before_port(place.host)}:{place.port}"
        if place
        else (
            f"unix:{word(target.where)},nohostname"  # the host's own syslog wants none
        )
    )
    return f"syslog:server={where},facility=local0,severity=info,tag={logs.TAG}"
