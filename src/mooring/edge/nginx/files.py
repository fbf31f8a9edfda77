"""nginx's configuration, written from the model. Nothing else writes its syntax.

As with HAProxy, only words of the grammar get here, and `word` holds every one to that once more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from mooring.edge.addresses import address_of
from mooring.edge.certificates import Certificate
from mooring.edge.hosts import is_covered
from mooring.edge.model import Backend, Model
from mooring.edge.nginx import limits, locations, log, parts, prefix, split, streams
from mooring.edge.place import STOPGAP
from mooring.edge.rules import Rule
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.targets import HOST, ODD_PATH
from mooring.edge.words import AMBIGUOUS, CHALLENGES, NO_ROUTE, before_port, word

CONNECTIONS: Final = 8192  # of a worker, with clients and servers
_HEAD: Final = f"""
worker_shutdown_timeout 10m;
events {{
    worker_connections {CONNECTIONS};
}}
http {{
    server_tokens off;
    default_type text/plain;
    server_names_hash_max_size 16384;
    server_names_hash_bucket_size 512;
    variables_hash_max_size 16384;
    variables_hash_bucket_size 256;
    map_hash_max_size 16384;
    map_hash_bucket_size 512;
    client_max_body_size 0;
    limit_req_log_level info;
    keepalive_timeout 10s;
    client_header_timeout 10s;
    client_body_timeout {locations.CLIENT_S}s;
    proxy_http_version 1.1;
    proxy_connect_timeout 300ms;
    proxy_next_upstream_tries {parts.TRIES};
    grpc_connect_timeout 300ms;
    grpc_next_upstream_tries {parts.TRIES};
    proxy_request_buffering off;
    proxy_buffering off;
    map $http_upgrade $mooring_connection {{
        default upgrade;
        "" "";
    }}
    map $http_upgrade $mooring_upgrade {{
        default 1;
        "" 0;
        "~*h2c" 0;
    }}
    map $cookie_mooring $mooring_client {{
        default $cookie_mooring;
        "" $request_id;
    }}
    map $request_method $mooring_once {{
        default 1;
        GET 0;
        HEAD 0;
        OPTIONS 0;
        LOCK 0;
        PATCH 0;
        POST 0;
    }}
    map "$host $http_host" $mooring_other_host {{
        default 1;
        "~*^([^ ]+) \\1[.]?(:[0-9]*)?$" 0;
    }}
    map $http_host $mooring_odd_host {{
        default 1;
        "" 0;
        "~{HOST}" $mooring_other_host;
    }}
    map $request_uri $mooring_odd {{
        default $mooring_odd_host;
        "~{ODD_PATH}" 1;
    }}
"""
# Of what can be read in more than one way nothing goes on. A host may stand in the first line too.
_UNDERSTOOD: Final = f'        if ($mooring_odd) {{ return 400 "{AMBIGUOUS}\\n"; }}'


def config(
    model: Model,
    settings: Settings,
    certificates: Mapping[str, Certificate],
    path_of: Callable[[str], str],
    module: str = "",
    open_files: int = 0,
) -> str:
    """The whole configuration.

    certificates  by any name
    module        the file of the one for streams; empty: it is built in, or not needed
    path_of       a certificate's file to its path
    open_files    that a worker may have; 0: as many as the limit is that nginx is started with
    """
    directory = word(settings.directory)
    user = settings.unprivileged
    lines = [
        "# Written by Mooring; changes are lost.",
        *([f"load_module {word(module)};"] if module else []),
        *([f"user {word(user)};"] if user else []),
        "worker_processes auto;",
        *([f"worker_rlimit_nofile {open_files};"] if open_files else []),
        f"pid {directory}/nginx.pid;",
        f"error_log {directory}/nginx.log warn;",
        _HEAD.strip("\n"),
    ]
    of_http = {
        name: one for name, one in sorted(model.backends.items()) if one.route.protocol != "tcp"
    }
    lines += log.requests({name: one.route for name, one in of_http.items()}, settings)
    for backend in of_http.values():
        lines += _upstream(backend)
    lines += prefix.variables(of_http.values())
    for entry in settings.entries_of("http"):
        lines += _trust(entry)
        lines += limits.client(entry)
        for name in sorted({one.backend for one in model.rules if one.entry == entry.name}):
            lines += limits.of_service(entry, model.backends[name])
        lines += _default(entry, settings, path_of)
        lines += split.variables(entry, model)
        of_hosts = _by_host(model.rules, entry.name)
        for host in sorted(of_hosts):
            paths = [path_of(one) for one in _certificates_for(host, certificates.values())]
            lines += _server(entry, host, _rules(host, of_hosts), model, settings, paths)
    lines += _metrics(settings)
    lines.append("}")
    if settings.entries_of("tcp"):
        lines += streams.block(model, settings)
    return "\n".join(lines) + "\n"


def certificate_file(certificate: Certificate) -> str:
    """Its file's name. By what is in it: nginx reads a file anew only at a reload, and that is for
    a configuration that differs."""
    return f"{certificate.digest}.pem"


def _upstream(backend: Backend) -> Iterator[str]:
    if not parts.in_use(backend):
        return  # nginx knows no upstream without one
    yield f"    upstream {word(backend.name)} {{"
    yield from parts.spread(backend)
    yield from parts.servers(backend)
    yield "        keepalive 32;"
    yield "        keepalive_timeout 5s;"
    yield "    }"


def _by_host(rules: Iterable[Rule], entry: str) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.entry == entry:
            found.setdefault(rule.host, []).append(rule)
    return found


def _rules(host: str, of_hosts: Mapping[str, Sequence[Rule]]) -> list[Rule]:
    """Those of a host, and of its pattern what they leave: nginx looks in one server alone."""
    own = list(of_hosts[host])
    pattern = of_hosts.get(f"*.{host.partition('.')[2]}", ()) if not host.startswith("*.") else ()
    return own + [one for one in pattern if not any(_is_below(one.path, it.path) for it in own)]


def _is_below(path: str, other: str) -> bool:
    """Whether a path is another, or one of whole segments below it."""
    return f"{path.rstrip('/')}/".startswith(f"{other.rstrip('/')}/")


def _certificates_for(host: str, certificates: Iterable[Certificate]) -> list[str]:
    """Files of those for a host, of that very name first; the stopgap if there is none."""
    fitting = [one for one in certificates if is_covered(host, one.names)]
    exact = [one for one in fitting if host in one.names]
    return sorted(certificate_file(one) for one in exact or fitting) or [STOPGAP]


def _trust(entry: EntryPoint) -> Iterator[str]:
    """Whether a client's word of where it comes from is kept."""
    name = parts.variable(entry)
    yield f"    geo $realip_remote_addr ${name}_trusted {{"
    yield "        default 0;"
    for one in entry.trusted_from:
        yield f"        {word(one)} 1;"
    yield "    }"
    for what, said, own in (
        ("for", "$proxy_add_x_forwarded_for", "$remote_addr"),
        ("proto", "$http_x_forwarded_proto", "https" if entry.tls else "http"),
        ("host", "$http_x_forwarded_host", "$http_host"),
        ("prefix", "$http_x_forwarded_prefix", '""'),
    ):
        yield f'    map "${name}_trusted:{said}" ${name}_{what} {{'
        yield f'        "~^1:(?<{parts.SAID}>.+)$" ${parts.SAID};'
        yield f"        default {own};"
        yield "    }"


def _listen(entry: EntryPoint, *, is_default: bool = False) -> str:
    words = [f"        listen {before_port(entry.address)}:{entry.port}"]
    if is_default:
        words.append("default_server")
    if entry.tls:
        words += ["ssl", "http2"]
    if entry.accept_proxy_from:
        words.append("proxy_protocol")
    return " ".join(words) + ";"


def _default(entry: EntryPoint, settings: Settings, path_of: Callable[[str], str]) -> Iterator[str]:
    """What answers to names that no service has."""
    yield "    server {"
    yield _listen(entry, is_default=True)
    yield from log.of_server(entry, settings)
    yield _UNDERSTOOD
    yield from _secured(entry, [path_of(STOPGAP)])
    yield from _challenges(settings)
    yield f'        location / {{ return 404 "{NO_ROUTE}\\n"; }}'
    yield "    }"


def _challenges(settings: Settings) -> Iterator[str]:
    """What answers them, whatever name is asked for."""
    place = address_of(settings.acme)
    if place is not None:
        passed = [
            f"            proxy_pass http://{before_port(place.host)}:{place.port};",
            "            proxy_set_header Host $http_host;",
        ]
        yield from locations.location(CHALLENGES, passed)


def _secured(entry: EntryPoint, paths: Iterable[str]) -> Iterator[str]:
    """paths: of certificates with keys of different kinds."""
    for path in paths if entry.tls else ():
        yield f"        ssl_certificate {word(path)};"
        yield f"        ssl_certificate_key {word(path)};"


def _server(
    entry: EntryPoint,
    host: str,
    rules: Sequence[Rule],
    model: Model,
    settings: Settings,
    certificates: Iterable[str],
) -> Iterator[str]:
    yield "    server {"
    yield _listen(entry)
    yield f"        server_name {parts.name(host)};"
    yield from log.of_server(entry, settings)
    yield _UNDERSTOOD
    yield from _secured(entry, certificates)
    if entry.accept_proxy_from:
        yield "        real_ip_header proxy_protocol;"
        for one in entry.accept_proxy_from:
            yield f"        set_real_ip_from {word(one)};"
    yield from _challenges(settings)
    for number, some in enumerate(split.by_path(rules)):
        if settings.acme and _is_below(some[0].path, CHALLENGES):
            continue  # the closer location would have them
        yield from locations.of_rule(entry, split.chosen(some, model), settings, number)
    if all(one.path != "/" for one in rules):
        yield f'        location / {{ return 404 "{NO_ROUTE}\\n"; }}'
    yield "    }"


def _metrics(settings: Settings) -> Iterator[str]:
    """What nginx counts, as its exporters for Prometheus read it."""
    place = address_of(settings.proxy_metrics)
    if place is not None:
        yield "    server {"
        yield f"        listen {before_port(place.host)}:{place.port};"
        yield "        location = /stub_status { stub_status; }"
        yield "        location / { return 404; }"
        yield "    }"
