"""Labels of services: each key, each refusal, and that nothing outside the grammar gets through."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mooring.edge.labels import PREFIX
from mooring.edge.routes import Problem, Route, routes_of
from mooring.edge.settings import EntryPoint
from mooring.engine.swarm import Port, Service
from tests.edge.making import DIRECT, HTTP, MESHED, a_service, some_settings

ENTRIES = some_settings(HTTP, EntryPoint("inner", 8080), EntryPoint("db", 5432, protocol="tcp"))


def routed(service: Service, **before: Route) -> tuple[list[Route], list[Problem]]:
    return routes_of(service, ENTRIES, {one.key: one for one in before.values()})


def the_route(service: Service) -> Route:
    routes, problems = routed(service)
    assert problems == []
    (route,) = routes
    return route


def refusal(service: Service) -> str:
    """The reason of the only problem, of a service without a route."""
    routes, problems = routed(service)
    assert routes == []
    (problem,) = problems
    return problem.reason


def test_a_host_is_enough() -> None:
    route = the_route(a_service(host="web.example.com"))
    assert route.hosts == ("web.example.com",)
    assert (route.path, route.port, route.mode) == ("/", 80, "direct")
    assert (route.check, route.balance, route.retry) == ("tcp", "roundrobin", "safe")
    assert (route.timeout_s, route.entries, route.is_sticky) == (30, ("http",), False)
    assert route.backend == "svc_idweb_"


def test_without_labels_of_ours_there_is_no_route_and_nothing_is_said() -> None:
    assert routed(replace(a_service(), labels={"other": "x"})) == ([], [])


@pytest.mark.parametrize(
    ("label", "value", "field", "meaning"),
    [
        ("host", "A.example.com, *.b.example.com", "hosts", ("a.example.com", "*.b.example.com")),
        ("path", "/api/", "path", "/api"),
        ("check", "/health/", "check", "/health/"),
        ("balance", "leastconn", "balance", "leastconn"),
        ("sticky", "true", "is_sticky", True),
        ("retry", "none", "retry", "none"),
        ("timeout", "2m", "timeout_s", 120),
        ("timeout", "1h", "timeout_s", 3600),
        ("protocol", "h2c", "protocol", "h2c"),
        ("entry", "inner,http", "entries", ("inner", "http")),
        ("port", "80", "port", 80),
        ("allow", "10.0.0.0/8, 192.0.2.1", "allow", ("10.0.0.0/8", "192.0.2.1/32")),
        ("deny", "2001:DB8:0::/32", "deny", ("2001:db8::/32",)),
        ("limit", "20/s", "limit", (20, 1)),
        ("limit", "600/m", "limit", (600, 60)),
        ("slow-start", "30s", "slow_start_s", 30),
        ("max-connections", "100", "max_connections", 100),
        ("max-body", "10Mi", "max_body_bytes", 10 << 20),
        ("max-body", "999999999Gi", "max_body_bytes", 999999999 << 30),
        ("max-body", "1500k", "max_body_bytes", 1_500_000),
        ("log", "false", "is_logged", False),
    ],
)
def test_a_label_says_what(label: str, value: str, field: str, meaning: object) -> None:
    route = the_route(a_service(**{"host": "web.example.com", label: value}))
    assert getattr(route, field) == meaning


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("host", ""),
        ("host", "a..b"),
        ("host", "*"),
        ("host", "a.*.b"),
        ("host", "-a.example.com"),
        ("host", "ä.example.com"),
        ("host", "a" * 254),
        ("host", ",".join(f"h{n}.example.com" for n in range(21))),
        ("path", "api"),
        ("path", "/a/../b"),
        ("path", "/a//b"),
        ("path", "/" + "a" * 1024),
        ("path", "/a?b"),
        ("check", "tcp "),
        ("port", "0"),
        ("port", "65536"),
        ("port", "080"),
        ("mode", "Direct"),
        ("balance", "random"),
        ("sticky", "yes"),
        ("retry", "always"),
        ("timeout", "0s"),
        ("timeout", "61m"),
        ("timeout", "30"),
        ("entry", "https"),
        ("enable", "1"),
        ("proxy-protocol", "v3"),
        ("allow", ""),
        ("allow", "10.0.0.1/8"),
        ("allow", "all"),
        ("deny", "fe80::1%eth0"),
        ("deny", ",".join(f"10.0.0.{n}" for n in range(21))),
        ("limit", "0/s"),
        ("limit", "20"),
        ("limit", "20/h"),
        ("slow-start", "0"),
        ("max-connections", "0"),
        ("max-body", "0"),
        ("log", "off"),
        ("max-body", "10 Mi"),
        ("max-body", "1e3"),
        ("max-body", "1.5Mi"),
        ("max-body", "1000000000"),
        ("max-body", "100m"),
        ("strip-prefix", "/api"),
        ("strip-prefix", "true"),  # without a path there is nothing to take off
    ],
)
def test_what_is_not_in_the_grammar_is_refused(label: str, value: str) -> None:
    assert refusal(a_service(**{"host": "web.example.com", label: value})) == "BadLabel"


ATTACKS = [
    "a\nserver x 1.2.3.4:1",
    "a\r\nb",
    "a\x00b",
    "a b",
    "-f",
    "-m",
    "a#b",
    'a"b',
    "a'b",
    "a\\",
    "${HOME}",
    "%[src]",
    "a;b",
    "a{b}",
    "$host",
    "~.*",
    "a<<b",
    "../../etc/shadow",
    "a\x1b[31m",
    "a" * 100_000,
    "ａ.example.com",  # full width
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "label",
    [
        *("host", "path", "check", "entry", "mode", "timeout", "port", "balance", "protocol"),
        *("proxy-protocol", "strip-prefix", "max-body", "log"),
    ],
)
def test_an_attack_reaches_no_route_and_is_told_in_one_printable_line(
    label: str, attack: str
) -> None:
    routes, problems = routed(a_service(**{"host": "web.example.com", label: attack}))
    assert routes == []
    (problem,) = problems
    assert problem.reason == "BadLabel"
    assert problem.message.isprintable()
    assert problem.message.isascii()
    assert len(problem.message) < 250


# A route may be called -f: its name stands behind the id of its service, never first.
@pytest.mark.parametrize("attack", [one for one in ATTACKS if not one.startswith("-")])
def test_an_attack_in_the_name_of_a_label_is_told_likewise(attack: str) -> None:
    labels = {f"{PREFIX}{attack}": "x", f"{PREFIX}{attack}.host": "a.example.com"}
    routes, problems = routed(replace(a_service(), labels=labels))
    assert routes == []
    assert [one.reason for one in problems] == ["UnknownLabel"] * 2
    assert all(one.message.isprintable() and len(one.message) < 300 for one in problems)


def test_of_tcp_an_entry_point_is_enough() -> None:
    route = the_route(a_service(protocol="tcp", entry="db"))
    assert (route.hosts, route.entries, route.timeout_s) == ((), ("db",), 3600)
    assert the_route(a_service(protocol="tcp", entry="db", host="db.example.com")).hosts


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({}, "BadLabel"),
        ({"entry": "none"}, "BadLabel"),
        ({"entry": "http"}, "EntryInUse"),
        ({"entry": "db,http"}, "EntryInUse"),
        ({"entry": "db", "path": "/a"}, "BadLabel"),
        ({"entry": "db", "sticky": "true"}, "BadLabel"),
        ({"entry": "db", "retry": "all"}, "BadLabel"),
        ({"entry": "db", "tls": "off"}, "BadLabel"),
        ({"entry": "db", "limit": "1/s"}, "BadLabel"),
        ({"entry": "db", "strip-prefix": "false"}, "BadLabel"),
        ({"entry": "db", "max-body": "1Mi"}, "BadLabel"),
    ],
)
def test_what_is_nothing_for_tcp_is_refused(labels: dict[str, str], reason: str) -> None:
    assert refusal(a_service(protocol="tcp", **labels)) == reason


def test_a_path_is_taken_off_and_streams_of_grpc_have_no_size() -> None:
    route = the_route(a_service(host="a.b", path="/api", **{"strip-prefix": "true"}))
    assert (route.path, route.is_stripped) == ("/api", True)
    assert refusal(a_service(host="a.b", protocol="h2c", **{"max-body": "1Mi"})) == "BadLabel"


def test_http_comes_in_at_no_entry_point_of_tcp() -> None:
    assert refusal(a_service(host="web.example.com", entry="db")) == "EntryInUse"


def test_where_tls_ends_names_of_tcp_need_a_certificate() -> None:
    settings = some_settings(EntryPoint("db", 5432, protocol="tcp", tls=True))
    service = a_service(protocol="tcp", entry="db", host="db.example.com")
    _, (problem,) = routes_of(service, settings, {})
    assert problem.reason == "NoCertificate"
    routes, _ = routes_of(service, settings, {}, lambda host: True)
    assert len(routes) == 1


@pytest.mark.parametrize(
    ("labels", "is_spoken"),
    [
        ({"protocol": "tcp", "entry": "db", "proxy-protocol": "v1"}, True),
        ({"protocol": "tcp", "entry": "db", "proxy-protocol": "v2"}, False),
        ({"protocol": "tcp", "entry": "db", "host": "a.b", "proxy-protocol": "v1"}, False),
        ({"host": "web.example.com", "proxy-protocol": "v1"}, False),
        ({"host": "web.example.com", "proxy-protocol": "off"}, True),
    ],
)
def test_nginx_speaks_the_proxy_protocol_to_few(labels: dict[str, str], is_spoken: bool) -> None:
    service = a_service(**labels)
    assert len(routed(service)[0]) == 1
    _, problems = routes_of(service, msgspec.structs.replace(ENTRIES, proxy="nginx"), {})
    assert [one.reason for one in problems] == ([] if is_spoken else ["BadLabel"])


@given(some.sampled_from(["host", "path", "check", "entry", "timeout"]), some.text(max_size=40))
def test_whatever_is_accepted_is_one_word(label: str, value: str) -> None:
    routes, _ = routed(a_service(**{"host": "web.example.com", label: value}))
    for route in routes:
        for text in (*route.hosts, route.path, route.check, *route.entries, route.backend):
            assert text.isascii()
            assert text.isprintable()
            assert not set(text) & set(' "\\#;{}$%<>&|`' + "'")


def test_a_bad_label_leaves_the_last_good_form() -> None:
    good = the_route(a_service(host="web.example.com"))
    routes, problems = routed(a_service(host="web.example.com", path="bad"), good=good)
    assert routes == [good]
    (problem,) = problems
    assert "mooring.edge.path: 'bad' is not" in problem.message


def test_a_service_has_several_routes_and_one_bad_one_harms_only_itself() -> None:
    service = a_service(
        host="web.example.com", api_host="web.example.com", api_path="/api", bad_host="?"
    )
    routes, problems = routed(service)
    assert {one.name: one.path for one in routes} == {"": "/", "api": "/api"}
    assert [(one.route, one.reason) for one in problems] == [("bad", "BadLabel")]


def test_ten_routes_are_the_most() -> None:
    labels = {f"r{n}_host": f"r{n}.example.com" for n in range(12)}
    routes, problems = routed(a_service(**labels))
    assert len(routes) == 10
    assert [one.reason for one in problems] == ["BadLabel"] * 2


def test_enable_false_takes_a_route_out() -> None:
    assert routed(a_service(host="web.example.com", enable="false")) == ([], [])


def test_enable_without_a_host_says_what_is_missing() -> None:
    _, (problem,) = routed(a_service(enable="true"))
    assert "mooring.edge.host is missing" in problem.message


def test_labels_of_containers_are_not_those_of_the_service() -> None:
    service = replace(a_service(), labels={}, container_labels={"mooring.edge.host": "a.example"})
    assert refusal(service) == "LabelOnContainer"


def test_ports() -> None:
    two = (DIRECT, Port(81, 0, "host"))
    udp = Port(53, 53, "ingress", "udp")
    host = "web.example.com"
    assert refusal(a_service("web", *two, host=host)) == "PortAmbiguous"
    assert the_route(a_service("web", *two, host=host, port="81")).port == 81
    assert the_route(a_service("web", DIRECT, udp, host=host)).port == 80
    assert refusal(a_service("web", DIRECT, host=host, port="82")) == "PortNotPublished"
    assert refusal(a_service("web", udp, host=host)) == "PortNotPublished"
    assert refusal(replace(a_service(host=host), ports=())) == "PortNotPublished"


def test_modes_follow_the_publication() -> None:
    host = "web.example.com"
    assert the_route(a_service("web", MESHED, host=host)).mode == "nodes"
    assert the_route(a_service("web", MESHED, host=host)).published == 8080
    assert the_route(a_service("web", MESHED, host=host, mode="mesh")).mode == "mesh"
    assert refusal(a_service("web", MESHED, host=host, mode="direct")) == "ModeImpossible"
    assert refusal(a_service("web", DIRECT, host=host, mode="nodes")) == "ModeImpossible"
    both = a_service("web", DIRECT, MESHED, host=host)
    assert the_route(both).mode == "direct"
    routes, _ = routes_of(both, some_settings(mode="mesh"), {})
    assert routes[0].mode == "mesh"
    routes, _ = routes_of(a_service("web", DIRECT, host=host), some_settings(mode="mesh"), {})
    assert routes[0].mode == "direct"
