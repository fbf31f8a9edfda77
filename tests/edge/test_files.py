"""The proxies' files: what stands in them, and that each one's own checker takes them."""

import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest

from mooring.edge.errors import ModuleMissing
from mooring.edge.haproxy.files import config, map_of, map_text, maps
from mooring.edge.model import Memory, Model, model_of
from mooring.edge.nginx import files as nginx
from mooring.edge.nginx import streams
from mooring.edge.place import STOPGAP, Place
from mooring.edge.rules import Rule
from mooring.edge.settings import EntryPoint, Settings
from mooring.edge.words import Unwritable, word
from mooring.engine.swarm import Node, Port, Service, Task
from tests.edge.making import DIRECT, MESHED, a_node, a_service, a_swarm, a_task, some_settings

EVERY = {"host": "web.example.com,*.example.com", "path": "/a/b", "timeout": "5s"}
OF_TCP = {"protocol": "tcp"}


def made(*services: Service, settings: Settings | None = None) -> tuple[Model, str]:
    chosen = settings or some_settings()
    model, _ = model_of(a_swarm(*services), chosen, Memory())
    slots = {name: one.slots for name, one in model.backends.items()}
    return model, config(model.backends, chosen, slots, 7)


def backend_of(text: str) -> list[str]:
    return [line.strip() for line in text.partition("\nbackend ")[2].splitlines()]


def test_the_map_has_each_rule_of_an_entry_point_with_a_slash_at_the_end() -> None:
    rules = [
        Rule("http", "a.example", "/", "svc_a_"),
        Rule("http", "*.a.example", "/api", "svc_b_"),
        Rule("other", "a.example", "/", "svc_c_"),
    ]
    assert map_of(rules, "http") == {"a.example/": "svc_a_", "*.a.example/api/": "svc_b_"}
    assert map_text(map_of(rules, "http")) == "*.a.example/api/ svc_b_\na.example/ svc_a_\n"


@pytest.mark.parametrize(
    "text", ["", "a b", "a\nb", "-f", "a;b", 'a"b', "a\\", "$a", "%[src]", "ä"]
)
def test_what_is_no_word_is_written_nowhere(text: str) -> None:
    with pytest.raises(Unwritable):
        word(text)


def test_the_addresses_of_servers_are_not_in_the_configuration() -> None:
    """So a task that comes or goes is no reason for a reload."""
    _, text = made(a_service())
    slots = "    server-template s 1-8 ipv4@slot.invalid:1 tcp-ut 5s disabled"
    assert slots in text.splitlines()
    assert "10.0.0.1" not in text


@pytest.mark.parametrize(
    ("labels", "line", "stands"),
    [
        ({"retry": "safe"}, "http-request disable-l7-retry unless { method GET HEAD OPTIONS }", 1),
        ({"retry": "all"}, "http-request disable-l7-retry unless { method GET HEAD OPTIONS }", 0),
        ({"retry": "none"}, "retry-on none", 1),
        ({"timeout": "2m"}, "timeout server 120s", 1),
        ({"balance": "source"}, "balance source", 1),
        ({"check": "/up"}, "http-check send meth GET uri /up hdr host web.example.com", 1),
        ({"check": "/up", "host": "*.x.example"}, "http-check send meth GET uri /up", 1),
        ({}, "option httpchk", 0),
    ],
)
def test_a_label_is_a_line(labels: dict[str, str], line: str, stands: bool) -> None:
    _, text = made(a_service(**{"host": "web.example.com", **labels}))
    assert (line in backend_of(text)) is bool(stands)


def test_a_client_may_be_silent_for_as_long_as_a_service_of_grpc_there() -> None:
    settings = some_settings(EntryPoint("http", 80), EntryPoint("inner", 81))
    labels = {"host": "web.example.com", "protocol": "h2c", "timeout": "1h"}
    _, text = made(a_service(**labels, entry="inner"), settings=settings)
    frontends = {one.split()[0]: one for one in text.split("\nfrontend entry_")[1:]}
    assert "timeout client 3600s" in frontends["inner"]
    assert "timeout client" not in frontends["http"]


@pytest.mark.parametrize(
    ("addresses", "slot"),
    [
        ([], "ipv4@slot.invalid:1"),
        (["10.0.0.1"], "ipv4@slot.invalid:1"),
        (["fd00::1", "fd00::2"], "ipv6@slot.invalid:1"),
        (["fd00::1", "10.0.0.1"], "slot.invalid:1"),
    ],
)
def test_slots_are_of_the_family_of_their_servers(addresses: list[str], slot: str) -> None:
    nodes = [a_node(n, address=one) for n, one in enumerate(addresses)]
    tasks = [a_task(n, node=f"n{n}") for n in range(len(nodes))]
    model, _ = model_of(a_swarm(a_service(), *tasks, *nodes), some_settings(), Memory())
    text = config(model.backends, some_settings(), {"svc_idweb_": 8}, 7)
    assert f"server-template s 1-8 {slot} tcp-ut" in text


SERVICES = [
    (),
    (a_service(**EVERY, sticky="true", retry="all", check="/up", balance="source"), a_task(1)),
    (a_service(**EVERY, protocol="h2c", retry="none"), a_task(1), a_task(2)),
    (a_service(**EVERY, **{"strip-prefix": "true", "max-body": "10Mi"}), a_task(1)),
    (a_service(**EVERY, protocol="h2c", **{"strip-prefix": "true"}, log="false"), a_task(1)),
    (a_service("web", MESHED, **EVERY), a_service("b", MESHED, host="b.example", mode="mesh")),
    (a_service(**EVERY, balance="leastconn"), a_task(1), a_node(address="fd00::7")),
    (
        a_service("db", **OF_TCP, entry="db", retry="none", check="/up"),
        a_service("a", **OF_TCP, entry="names", host="a.example,*.b.example", balance="source"),
        a_service("b", MESHED, **OF_TCP, entry="names", host="b.example", mode="mesh", log="false"),
        a_task(1, "db"),
        a_task(2, "a"),
    ),
]
ENTRIES = (
    EntryPoint("http", 80, "127.0.0.1"),
    EntryPoint("a" + "-" * 31, 82, "127.0.0.1"),
    EntryPoint(
        *("six-6", 81, "::1"),
        accept_proxy_from=("10.0.0.0/8", "fd00::/8"),
        trusted_from=("10.0.0.0/8",),
    ),
    EntryPoint("https", 443, "127.0.0.1", tls=True),
    EntryPoint("db", 5432, "::1", "tcp", accept_proxy_from=("10.0.0.0/8",)),
    EntryPoint("names", 5433, "127.0.0.1", "tcp"),
    EntryPoint("b" + "-" * 31, 5434, "127.0.0.1", "tcp"),
)


@pytest.mark.parametrize(("port", "marked"), [(DIRECT, True), (MESHED, False)])
def test_a_node_is_not_taken_for_down_by_requests_that_the_mesh_lost(
    port: Port, marked: bool
) -> None:
    lines = backend_of(made(a_service("web", port, **EVERY))[1])
    assert any("on-error mark-down" in one for one in lines) == marked
    assert ("retries 6" in lines) != marked


def test_sticky_routes_of_one_host_have_cookies_of_their_own() -> None:
    labels = {"host": "a.example", "sticky": "true"}
    more = {"api_host": "a.example", "api_path": "/api", "api_sticky": "true"}
    _, text = made(a_service(**labels, **more))
    cookies = {line.split()[1] for line in text.splitlines() if " cookie " in line}
    assert len(cookies) == 2


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
@pytest.mark.parametrize("things", SERVICES)
def test_haproxy_takes_it(tmp_path: Path, things: tuple[Service, ...]) -> None:
    settings = some_settings(
        *ENTRIES, directory=str(tmp_path), user="", access_log="udp://127.0.0.1:514"
    )
    model, text = made(*things, settings=settings)
    for file, entries in maps(model, settings).items():
        Path(file).write_text(map_text(entries))
    place = Place(str(tmp_path))
    place.make()
    place.write_certificates({})
    place.write("certificates.list", place.certificate(STOPGAP) + "\n")
    place.write("haproxy.cfg", text)
    checked = subprocess.run(
        ["haproxy", "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr + text


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
@pytest.mark.parametrize("things", SERVICES)
def test_nginx_takes_it(tmp_path: Path, things: tuple[Service, ...]) -> None:
    nginx_takes(tmp_path, *things)


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
@pytest.mark.parametrize(
    ("mode", "balance", "sticky", "protocol", "retry"),
    [
        *product(
            *(("direct", "nodes", "mesh"), ("roundrobin", "leastconn", "source")),
            *(("true", "false"), ("http", "h2c"), ("safe",)),
        ),
        *product(["direct"], ["roundrobin"], ["true"], ["http", "h2c"], ["all", "none"]),
    ],
)
def test_nginx_takes_labels_with_each_other(
    tmp_path: Path, mode: str, balance: str, sticky: str, protocol: str, retry: str
) -> None:
    ports = (DIRECT,) if mode == "direct" else (MESHED,)
    labels = {"mode": mode, "balance": balance, "sticky": sticky, "protocol": protocol}
    service = a_service("web", *ports, **EVERY, **labels, retry=retry)
    text = nginx_takes(tmp_path, service, a_task(1), a_task(2), a_node(1), a_node(2))
    assert f"upstream svc_{service.id}_" in text


def nginx_takes(directory: Path, *things: Service | Task | Node) -> str:
    """The configuration, once nginx's own checker had nothing against it."""
    settings = some_settings(
        *ENTRIES,
        **{"directory": str(directory), "user": "", "proxy": "nginx"},
        access_log=f"{directory}/access.log",
    )
    model, _ = model_of(a_swarm(*things), settings, Memory())
    place = Place(str(directory))
    place.make()
    place.write_certificates({})
    said = subprocess.run(["nginx", "-V"], capture_output=True, text=True).stderr
    text = nginx.config(model, settings, {}, place.certificate, streams.module(said))
    place.write("nginx.conf", text)
    words = ("-p", directory, "-e", directory / "e.log", "-c", directory / "nginx.conf")
    checked = subprocess.run(["nginx", "-t", *words], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr + text
    assert "[warn]" not in checked.stderr
    return text


def locations_of(host: str, *services: Service) -> dict[str, str]:
    """In nginx's server of a host, what each location answers or passes on to."""
    model, _ = model_of(a_swarm(*services, a_task(1), a_task(2, "b")), NGINX, Memory())
    text = nginx.config(model, NGINX, {}, Place(NGINX.directory).certificate)
    (server,) = [one for one in text.split("    server {\n") if f"server_name {host};" in one]
    found = {}
    for one in server.split("        location ")[1:]:
        place, _, body = one.partition(" {")
        found[place] = body.partition("_pass http://")[2].partition(";")[0] or body.split()[1]
    return {place: to for place, to in found.items() if not place.startswith("@")}


NGINX = some_settings(proxy="nginx")
WEB, B = "svc_idweb_", "svc_idb_"


@pytest.mark.parametrize(
    ("own", "of_pattern", "found"),
    [
        ("/api", "/", {"= /api": WEB, "/api/": WEB, "/": B}),
        ("/api", "/x", {"= /api": WEB, "/api/": WEB, "= /x": B, "/x/": B, "/": "404"}),
        ("/api", "/apix", {"= /api": WEB, "/api/": WEB, "= /apix": B, "/apix/": B, "/": "404"}),
        ("/api", "/api", {"= /api": WEB, "/api/": WEB, "/": "404"}),
        ("/api", "/api/2", {"= /api": WEB, "/api/": WEB, "/": "404"}),
        ("/", "/api", {"/": WEB}),
    ],
)
def test_what_an_exact_host_has_no_path_for_goes_by_its_pattern(
    own: str, of_pattern: str, found: dict[str, str]
) -> None:
    services = (a_service(host="a.x.y", path=own), a_service("b", host="*.x.y", path=of_pattern))
    assert locations_of("a.x.y", *services) == found


def test_a_pattern_is_for_one_label_more_and_no_other() -> None:
    services = (a_service(host="a.b.x.y", path="/api"), a_service("b", host="*.x.y"))
    assert locations_of("a.b.x.y", *services)["/"] == "404"


NGINX_SAYS = "configure arguments: --modules-path={} --with-pcre-jit {} --with-stream_ssl_module"


def test_nginx_without_its_module_for_streams_says_what_to_install(tmp_path: Path) -> None:
    said = NGINX_SAYS.format(tmp_path, "--with-stream=dynamic")
    with pytest.raises(ModuleMissing, match="protocol tcp") as caught:
        streams.module(said)
    assert "libnginx-mod-stream" in caught.value.remedy
    (tmp_path / streams.FILE).touch()
    assert streams.module(said) == str(tmp_path / streams.FILE)
    with pytest.raises(ModuleMissing):
        streams.module(NGINX_SAYS.format(tmp_path / "other", ""))
    assert streams.module(NGINX_SAYS.format(tmp_path / "other", "--with-stream")) == ""


def test_a_path_of_challenges_is_no_services_own_where_something_answers_them() -> None:
    thief = a_service("thief", host="a.example", path="/.well-known/acme-challenge")
    model, _ = made(thief)
    chosen = some_settings(acme="127.0.0.1:8402")
    text = nginx.config(model, chosen, {}, str)
    assert text.count("/.well-known/acme-challenge") == 2  # of the default, and of the host
    assert text.count("proxy_pass http://127.0.0.1:8402;") == 2
