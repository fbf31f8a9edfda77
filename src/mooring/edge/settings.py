"""The edge file: what the operator decides, which no label of a service can."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import yaml

from mooring.edge import logs
from mooring.edge.addresses import address_of
from mooring.edge.hosts import is_pattern
from mooring.edge.words import is_a
from mooring.errors import MooringError

ProxyName = Literal["haproxy", "nginx"]
ModeName = Literal["direct", "nodes", "mesh"]
EntryProtocol = Literal["http", "tcp"]
USERS: Final[dict[ProxyName, str]] = {"haproxy": "haproxy", "nginx": "www-data"}  # of Debian
_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
# It stands in the proxy's files and on its command lines.
_DIRECTORY: Final = re.compile(r"/[A-Za-z0-9._/-]*", re.ASCII)


class BadEdgeFile(MooringError):
    code = "BadEdgeFile"

    def __init__(self, file: Path, why: str, remedy: str) -> None:
        self.what = f"{file} is no edge file: {why}"
        self.remedy = remedy
        super().__init__(self.what)


class _Part(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    pass


class EntryPoint(_Part, frozen=True):
    """Where clients come in.

    address              of this machine; 0.0.0.0 and :: are all
    protocol             of its services; a tcp one has one service, or several by their TLS name
    tls                  whether clients speak TLS with the proxy there
    accept_proxy_from    networks whose PROXY protocol is believed
    trusted_from         networks whose X-Forwarded-For is kept, and added to
    stack, service       the only one whose routes may use it; empty: any may
    """

    name: str
    port: int
    address: str = "0.0.0.0"
    protocol: EntryProtocol = "http"
    tls: bool = False
    accept_proxy_from: tuple[str, ...] = ()
    trusted_from: tuple[str, ...] = ()
    stack: str = ""
    service: str = ""


class ManagerTls(_Part, frozen=True):
    """Files of PEM with which a manager is asked over the network."""

    ca: str
    certificate: str
    key: str


class MooringServer(_Part, frozen=True):
    """One that events are sent to.

    url         https://HOST:PORT
    token_file  of a user that may write events; read each time
    ca          file of PEM that it is trusted by; empty: the machine's own
    """

    url: str
    token_file: str
    ca: str = ""
    namespace: str = "default"


class AgentServers(_Part, frozen=True):
    """Mooring servers by which agents of hosts are heard.

    urls        asked in turn, each https://HOST:PORT
    token_file  of what `mooring edge token` made; read each time
    ca          file of PEM that they are trusted by; empty: the machine's own
    """

    urls: tuple[str, ...]
    token_file: str
    ca: str = ""


class AllowedHost(_Part, frozen=True):
    """A host name, or a pattern *.x.y, and the only stack or service that may have it."""

    host: str
    stack: str = ""
    service: str = ""


class Settings(_Part, frozen=True):
    """The whole file.

    directory      of the proxy's files and sockets, made if it is not there
    user           that the proxy becomes once it listens, by default the one of its package;
                   empty if it is not started as root
    managers       asked in turn: a path of a socket, or tcp://HOST:PORT
    mode           of services that name none, where their publication allows it
    certificates   directory of certificates with their keys; empty: there is none
    allowed_hosts  names that only one stack or service may have; others are free
    metrics        ADDRESS:PORT where Prometheus scrapes; empty: nowhere
    proxy_metrics  likewise, what the proxy itself counts
    attach         a service of this machine runs the proxy, with our files; else we start it
    server         that events are sent to
    agents         servers that tell what agents of hosts see of tasks
    acme           ADDRESS:PORT that answers challenges of ACME for all names; empty: services do
    access_log     where a line for each request goes, as logs.target_of reads it; empty: nowhere
    """

    entry_points: tuple[EntryPoint, ...]
    directory: str = "/run/mooring-edge"
    proxy: ProxyName = "haproxy"
    user: str | None = None
    managers: tuple[str, ...] = ("/var/run/docker.sock",)
    manager_tls: ManagerTls | None = None
    mode: ModeName | None = None
    certificates: str = ""
    allowed_hosts: tuple[AllowedHost, ...] = ()
    metrics: str = ""
    proxy_metrics: str = ""
    server: MooringServer | None = None
    agents: AgentServers | None = None
    acme: str = ""
    attach: bool = False
    access_log: str = ""

    @property
    def unprivileged(self) -> str:
        """The user that the proxy becomes; empty: it stays what it is."""
        return USERS[self.proxy] if self.user is None else self.user

    @property
    def listeners(self) -> tuple[EntryPoint, ...]:
        """All that the proxy listens at: its entry points, and where it tells of itself."""
        place = address_of(self.proxy_metrics)
        told = (EntryPoint("proxyMetrics", place.port, place.host),) if place else ()
        return (*self.entry_points, *told)

    def entries_of(self, protocol: EntryProtocol) -> list[EntryPoint]:
        """Entry points of a protocol."""
        return [one for one in self.entry_points if one.protocol == protocol]


def settings_of(file: Path, attach: bool | None = None) -> Settings:
    """Of an edge file. Raises BadEdgeFile, which names the field and the remedy.

    attach  counts instead of what the file says
    """
    try:
        doc = yaml.safe_load(file.read_text())
    except OSError as error:
        raise BadEdgeFile(file, error.strerror or str(error), "name a file with --file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadEdgeFile(file, f"it is not YAML: {error}", "write it as YAML") from error
    try:
        settings = msgspec.convert(doc, Settings)
    except msgspec.ValidationError as error:
        raise BadEdgeFile(file, str(error), "docs/edge.md lists all fields") from error
    if attach is not None:
        settings = msgspec.structs.replace(settings, attach=attach)
    fault = next(_faults(settings), None)
    if fault is not None:
        raise BadEdgeFile(file, f"{fault.field}: {fault.why}", fault.remedy)
    return settings


class _Fault(NamedTuple):
    field: str
    why: str
    remedy: str


def _faults(settings: Settings) -> Iterator[_Fault]:
    """Whatever the types do not say already."""
    if not _DIRECTORY.fullmatch(settings.directory):
        yield _Fault("directory", f"{settings.directory!r} is none", "give an absolute path")
    if settings.user and not _NAME.fullmatch(settings.user):
        yield _Fault("user", f"{settings.user!r} is none", "as haproxy, or empty for our own")
    if not settings.managers:
        yield _Fault("managers", "none is named", "name one, as /var/run/docker.sock")
    if not settings.entry_points:
        yield _Fault("entryPoints", "there is none", "name one: {name: http, port: 80}")
    for name, count in Counter(one.name for one in settings.entry_points).items():
        if count > 1:
            yield _Fault("entryPoints", f"{count} are called {name}", "give each its own name")
    for index, entry in enumerate(settings.entry_points):
        yield from _faults_of(f"entryPoints[{index}]", entry, settings.proxy)
    for index, allowed in enumerate(settings.allowed_hosts):
        field = f"allowedHosts[{index}]"
        if not is_pattern(allowed.host):
            yield _Fault(f"{field}.host", f"{allowed.host!r} is no name", "as x.y or *.x.y")
        if bool(allowed.stack) == bool(allowed.service):
            yield _Fault(field, "it names a stack and a service, or neither", "name one of them")
    if settings.acme and address_of(settings.acme) is None:
        yield _Fault("acme", f"{settings.acme!r} is no ADDRESS:PORT", "as 127.0.0.1:8402")
    if (wrong := logs.fault(settings.access_log, settings.proxy, settings.attach)) is not None:
        yield _Fault("accessLog", *wrong)
    for index, url in enumerate(settings.agents.urls if settings.agents else ()):
        if not _URL.fullmatch(url):
            yield _Fault(f"agents.urls[{index}]", f"{url!r} is none", "as https://10.0.0.1:8443")
    if settings.agents is not None and not settings.agents.urls:
        yield _Fault("agents.urls", "there is none", "name one, as https://10.0.0.1:8443")
    server = settings.server
    if server is not None and not _URL.fullmatch(server.url):
        # A token is sent with every event.
        yield _Fault("server.url", f"{server.url!r} is none", "as https://10.0.0.1:8443")
    if server is not None and not _NAME.fullmatch(server.namespace):
        yield _Fault("server.namespace", f"{server.namespace!r} is none", "as default")
    if all(is_a(ipaddress.ip_address, one.address) for one in settings.entry_points):
        yield from _faults_of_metrics(settings)


def _faults_of_metrics(settings: Settings) -> Iterator[_Fault]:
    """Whoever may come in at an entry point is not to read what the edge tells of itself."""
    entries = [(f"entry point {one.name}", one.address, one.port) for one in settings.entry_points]
    for field, text in (("metrics", settings.metrics), ("proxyMetrics", settings.proxy_metrics)):
        place = address_of(text)
        if not text:
            continue
        if place is None:
            yield _Fault(field, f"{text!r} is no ADDRESS:PORT", "as 127.0.0.1:9464")
            continue
        for who, host, port in entries:
            if port == place.port and (host == place.host or _is_all(host) or _is_all(place.host)):
                yield _Fault(field, f"{text} is {who}", "give it an address of its own")
        entries.append((f"also {field}", place.host, place.port))


def _is_all(host: str) -> bool:
    return ipaddress.ip_address(host).is_unspecified


def _faults_of(field: str, entry: EntryPoint, proxy: ProxyName) -> Iterator[_Fault]:
    if not _NAME.fullmatch(entry.name):
        remedy = "up to 32 of a to z, 0 to 9 and -, which comes not first"
        yield _Fault(f"{field}.name", f"{entry.name!r} is none", remedy)
    if not 1 <= entry.port <= 65535:
        yield _Fault(f"{field}.port", f"{entry.port} is none", "1 to 65535")
    if not is_a(ipaddress.ip_address, entry.address):
        yield _Fault(f"{field}.address", f"{entry.address!r} is none", "as 0.0.0.0, :: or 10.0.0.1")
    if entry.stack and entry.service:
        yield _Fault(field, "it names a stack and a service", "name one of them, or none")
    if entry.protocol == "tcp" and entry.tls and proxy == "nginx":
        # It has one certificate for all names of a listener that is not of HTTP.
        remedy = "let the service end TLS, or use haproxy"
        yield _Fault(f"{field}.tls", "nginx ends no TLS for services of TCP", remedy)
    if entry.protocol == "tcp" and entry.trusted_from:
        yield _Fault(f"{field}.trustedFrom", "TCP has no such header", "as acceptProxyFrom")
    for key, networks in (
        ("acceptProxyFrom", entry.accept_proxy_from),
        ("trustedFrom", entry.trusted_from),
    ):
        for index, one in enumerate(networks):
            if not is_a(ipaddress.ip_network, one):
                yield _Fault(f"{field}.{key}[{index}]", f"{one!r} is no network", "as 10.0.0.0/8")
