"""What labels of a service may say. Strict: a value that is not in the grammar is no value.

Edge §2. Labels are data of whoever deploys; nothing of them is ever pasted into a configuration.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal, NamedTuple, TypedDict

from mooring.edge.hosts import is_pattern
from mooring.edge.settings import ModeName
from mooring.model.quantity import Quantity

PREFIX: Final = "mooring.edge."
HOSTS_AT_MOST: Final = 20  # of a route
PATH_AT_MOST: Final = 1024
NETWORKS_AT_MOST: Final = 20  # that a label lists
SHOWN_AT_MOST: Final = 80  # characters of a refused value

Protocol = Literal["http", "h2c", "tcp"]
ProxyProtocol = Literal["off", "v1", "v2"]
Balance = Literal["roundrobin", "leastconn", "source"]
Retry = Literal["safe", "all", "none"]
Tls = Literal["off", "on", "redirect"]

_ROUTE: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_TIME: Final = re.compile(r"([1-9][0-9]{0,3})([smh])", re.ASCII)
_RATE: Final = re.compile(r"([1-9][0-9]{0,5})/([sm])", re.ASCII)
_WEIGHT: Final = re.compile(r"[0-9]|[1-9][0-9]{1,2}|1000", re.ASCII)
_COUNT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_SIZE: Final = re.compile(r"[1-9][0-9]{0,8}([kMG]|[KMG]i)?", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


class Limit(NamedTuple):
    """So many requests of one client in so many seconds."""

    requests: int
    seconds: int


class Refused(Exception):
    """A label, or what it asks of the service, cannot be."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)


def grouped(labels: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[Refused]]:
    """Labels by route, those of the route without a name under the empty one."""
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for label, value in labels.items():
        if not label.startswith(PREFIX):
            continue
        route, _, key = label.removeprefix(PREFIX).rpartition(".")
        if key in KEYS and (not route or (_ROUTE.fullmatch(route) and route not in KEYS)):
            found.setdefault(route, {})[key] = value
        else:
            known = ", ".join(sorted(KEYS))
            unknown.append(Refused("UnknownLabel", f"{shown(label)} is no label; known: {known}"))
    return found, unknown


class Said(TypedDict, total=False):
    """Values of one route's labels."""

    enable: bool
    host: tuple[str, ...]
    path: str
    port: int
    mode: ModeName
    protocol: Protocol
    tls: Tls
    entry: tuple[str, ...]
    check: str
    balance: Balance
    sticky: bool
    retry: Retry
    timeout: int
    proxy_protocol: ProxyProtocol
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    limit: Limit
    slow_start: int
    max_connections: int
    weight: int
    strip_prefix: bool
    max_body: int
    log: bool


class Value(NamedTuple):
    route: str
    key: str
    text: str

    def refused(self, grammar: str) -> Refused:
        label = label_of(self.route, self.key)
        return Refused("BadLabel", f"{label}: {shown(self.text)} is not {grammar}")


def _one_of(*words: str) -> Callable[[Value], str]:
    def parsed(value: Value) -> str:
        if value.text not in words:
            raise value.refused(f"one of {', '.join(words)}")
        return value.text

    return parsed


def _flag(value: Value) -> bool:
    if value.text not in ("true", "false"):
        raise value.refused("true or false")
    return value.text == "true"


def _hosts(value: Value) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(one.strip(" ").lower() for one in value.text.split(",")))
    if len(hosts) > HOSTS_AT_MOST or not all(is_pattern(one) for one in hosts):
        raise value.refused(f"a list of at most {HOSTS_AT_MOST} DNS names or *.NAME with commas")
    return hosts


def _path(value: Value) -> str:
    return _absolute(value).rstrip("/") or "/"


def _absolute(value: Value) -> str:
    text = value.text
    bad = len(text) > PATH_AT_MOST or ".." in text or "//" in text
    if bad or not _PATH.fullmatch(text):
        raise value.refused(f"a path of at most {PATH_AT_MOST} letters, digits and ._~/-")
    return text


def _port(value: Value) -> int:
    if not _PORT.fullmatch(value.text) or int(value.text) > 65535:
        raise value.refused("a port, 1 to 65535")
    return int(value.text)


def _entries(value: Value) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(one.strip(" ") for one in value.text.split(",")))
    if not all(_ROUTE.fullmatch(one) for one in names):
        raise value.refused("a list of entry points with commas")
    return names


def _check(value: Value) -> str:
    return value.text if value.text == "tcp" else _absolute(value)


def _networks(value: Value) -> tuple[str, ...]:
    """As each is written in full, so that nothing of the label's own text goes on."""
    texts = [one.strip(" ") for one in value.text.split(",")]
    try:
        found = [str(ipaddress.ip_network(one)) for one in texts if "%" not in one]
    except ValueError:
        found = []
    if len(found) != len(texts) or len(found) > NETWORKS_AT_MOST:
        raise value.refused(f"a list of at most {NETWORKS_AT_MOST} networks, as 10.0.0.0/8")
    return tuple(dict.fromkeys(found))


def _limit(value: Value) -> Limit:
    found = _RATE.fullmatch(value.text)
    if not found:
        raise value.refused("a number of requests in a second or a minute, as 20/s or 600/m")
    return Limit(int(found[1]), _SECONDS[found[2]])


def _weight(value: Value) -> int:
    if not _WEIGHT.fullmatch(value.text):
        raise value.refused("a number, 0 to 1000")
    return int(value.text)


def _connections(value: Value) -> int:
    if not _COUNT.fullmatch(value.text):
        raise value.refused("a number, 1 to 99999")
    return int(value.text)


def _size(value: Value) -> int:
    if not _SIZE.fullmatch(value.text):
        raise value.refused("a number of bytes, as 512Ki, 10Mi or 1G")
    return Quantity.parse(value.text).bytes()


def _timeout(value: Value) -> int:
    found = _TIME.fullmatch(value.text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= 3600:
        raise value.refused("a time from 1s to 1h, as 30s or 2m")
    return seconds


KEYS: Final[Mapping[str, Callable[[Value], object]]] = {
    "enable": _flag,
    "host": _hosts,
    "path": _path,
    "port": _port,
    "mode": _one_of("direct", "nodes", "mesh"),
    "protocol": _one_of("http", "h2c", "tcp"),
    "tls": _one_of("off", "on", "redirect"),
    "entry": _entries,
    "check": _check,
    "balance": _one_of("roundrobin", "leastconn", "source"),
    "sticky": _flag,
    "retry": _one_of("safe", "all", "none"),
    "timeout": _timeout,
    "proxy-protocol": _one_of("off", "v1", "v2"),
    "allow": _networks,
    "deny": _networks,
    "limit": _limit,
    "slow-start": _timeout,
    "max-connections": _connections,
    "weight": _weight,
    "strip-prefix": _flag,
    "max-body": _size,
    "log": _flag,
}


def shown(text: str) -> str:
    """A text of somebody else's in one line of printable ASCII, quoted and cut."""
    cut = text if len(text) <= SHOWN_AT_MOST else text[: SHOWN_AT_MOST - 3] + "..."
    return ascii(cut)


def label_of(route: str, key: str) -> str:
    return f"{PREFIX}{route}.{key}" if route else f"{PREFIX}{key}"


def listed(values: Collection[object]) -> str:
    return ", ".join(str(one) for one in values) or "none"
