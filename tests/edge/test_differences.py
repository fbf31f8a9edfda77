"""What `mooring edge diff` says of changes that need no reload."""

from mooring.edge.differences import differences
from mooring.edge.model import Memory, Model, model_of
from mooring.edge.settings import EntryPoint
from mooring.edge.status import Status, routes_told, rules_told
from mooring.engine.swarm import Node, Service, Task
from tests.edge.making import HTTP, MESHED, a_node, a_service, a_swarm, a_task, some_settings

SETTINGS = some_settings(HTTP, EntryPoint("https", 443, tls=True))
COVERED = frozenset({"x.example"})


def made(*things: Service | Task | Node) -> Model:
    return model_of(a_swarm(*things), SETTINGS, Memory(), COVERED)[0]


def told(*things: Service | Task | Node, state: str = "serves") -> Status:
    model = made(*things)
    routes = routes_told(model, lambda *_: state, a_swarm(*things))
    return Status(1, "/docker.sock", 0, rules_told(model), routes, ())


WEB = a_service("web", host="x.example", tls="off")


def test_what_is_as_it_is_to_be_is_no_difference() -> None:
    things = WEB, a_task(1), a_task(2, desired="shutdown")
    assert differences(told(*things), made(*things)) == []


def test_rules_come_go_and_change_hands() -> None:
    older = a_service("old", host="x.example", tls="off", created="2025")
    api = a_service("api", host="x.example", path="/api")
    assert differences(told(WEB, older), made(WEB, api)) == [
        "~ rule x.example/ at entry point http: to web, not old",
        "+ rule x.example/api at entry point http: to the same with TLS, for api",
        "+ rule x.example/api at entry point https: to api",
    ]
    assert differences(told(WEB, older), made(older)) == []
    assert differences(told(older), made()) == ["- rule x.example/ at entry point http: to old"]


def test_servers_come_go_leave_and_move() -> None:
    before = told(WEB, a_task(1), a_task(2), a_task(3))
    now = made(WEB, a_task(2, desired="shutdown"), a_task(3, published=31003), a_task(4))
    assert differences(before, now) == [
        "~ server 10.0.0.1:30002 of web, on h1: it is to leave",
        "~ server 10.0.0.1:31003 of web, on h1, not 10.0.0.1:30003",
        "+ server 10.0.0.1:30004 of web, on h1",
        "- server 10.0.0.1:30001 of web, on h1",
    ]
    left = told(WEB, a_task(1), state="leaves")
    assert differences(left, made(WEB, a_task(1))) == [
        "~ server 10.0.0.1:30001 of web, on h1: it is to stay"
    ]


def test_a_mesh_by_another_node_is_told() -> None:
    one = a_service("one", MESHED, host="mesh.example", mode="mesh", tls="off")
    before = told(one, a_node(1), a_node(2))
    assert differences(before, made(one, a_node(1, state="down"), a_node(2))) == [
        "~ server 10.0.0.2:8080 of one, on h2: it is the active one",
        "~ server 10.0.0.1:8080 of one, on h1: it is to leave",
    ]


def test_of_an_edge_that_has_not_run_all_of_it_is_new() -> None:
    assert differences(None, made(WEB, a_task(1))) == [
        "+ rule x.example/ at entry point http: to web",
        "+ server 10.0.0.1:30001 of web, on h1",
    ]
