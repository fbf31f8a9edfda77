"""From a swarm to rules and servers."""

from dataclasses import replace

import pytest

from mooring.edge.model import Memory, Model, Wish, model_of, node_address
from mooring.edge.rules import Rule
from mooring.edge.settings import AllowedHost, EntryPoint, Settings
from mooring.engine.swarm import Node, Port, Service, Task
from tests.edge.making import DIRECT, MESHED, a_node, a_service, a_swarm, a_task, some_settings


def model(*things: Service | Task | Node, settings: Settings | None = None) -> Model:
    return model_of(a_swarm(*things), settings or some_settings(), Memory())[0]


def servers(made: Model, name: str = "svc_idweb_") -> dict[str, str]:
    return {
        one.key: f"{one.address}:{one.port} {one.wish.value}" for one in made.backends[name].servers
    }


def reasons(made: Model) -> list[str]:
    return [one.reason for one in made.problems]


def test_a_running_task_is_a_server_at_its_nodes_address() -> None:
    made = model(a_service(), a_task(1), a_task(2, node="n2"), a_node(1), a_node(2))
    assert servers(made) == {"t1": "10.0.0.1:30001 serve", "t2": "10.0.0.2:30002 serve"}
    assert made.rules == (Rule("http", "web.example.com", "/", "svc_idweb_"),)


@pytest.mark.parametrize(
    "state", ["new", "assigned", "preparing", "starting", "complete", "failed"]
)
def test_a_task_that_does_not_run_is_none(state: str) -> None:
    assert servers(model(a_service(), a_task(1, state=state))) == {}


@pytest.mark.parametrize("desired", ["shutdown", "remove"])
def test_a_task_that_is_to_end_leaves_before_it_is_told_to(desired: str) -> None:
    made = model(a_service(), a_task(1, desired=desired))
    assert servers(made) == {"t1": "10.0.0.1:30001 leave"}


def test_a_task_that_leaves_keeps_the_port_that_it_is_not_listed_with_any_more() -> None:
    _, memory = model_of(a_swarm(a_service(), a_task(1)), some_settings(), Memory())
    later = a_swarm(a_service(), a_task(1, desired="shutdown", published=0))
    made, memory = model_of(later, some_settings(), memory)
    assert servers(made) == {"t1": "10.0.0.1:30001 leave"}
    _, memory = model_of(a_swarm(a_service(), a_task(1, state="shutdown")), some_settings(), memory)
    assert memory.ports == {}


def test_a_task_of_a_node_that_is_down_leaves_for_another() -> None:
    assert servers(model(a_service(), a_task(1), a_node(state="down"))) == {
        "t1": "10.0.0.1:30001 leave"
    }


def test_nodes_that_a_new_leader_has_not_heard_of_stay() -> None:
    nodes = [a_node(number, state="unknown") for number in (1, 2)]
    by_tasks = model(a_service(), a_task(1), a_task(2, node="n2"), *nodes)
    assert servers(by_tasks) == {"t1": "10.0.0.1:30001 serve", "t2": "10.0.0.2:30002 serve"}
    by_nodes = model(a_service("web", MESHED), *nodes)
    assert servers(by_nodes) == {"n1": "10.0.0.1:8080 serve", "n2": "10.0.0.2:8080 serve"}


def test_of_nodes_each_is_a_server_and_one_that_is_down_leaves() -> None:
    made = model(a_service("web", MESHED), a_node(1, state="down"), a_node(2), a_node(3))
    assert servers(made) == {
        "n1": "10.0.0.1:8080 leave",
        "n2": "10.0.0.2:8080 serve",
        "n3": "10.0.0.3:8080 serve",
    }
    assert not any(one.is_backup for one in made.backends["svc_idweb_"].servers)


def test_of_the_mesh_one_node_is_active_and_the_others_stand_by() -> None:
    service = a_service("web", MESHED, host="web.example.com", mode="mesh")
    made = model(service, a_node(2), a_node(1), a_node(3))
    backups = {one.key: one.is_backup for one in made.backends["svc_idweb_"].servers}
    assert backups == {"n1": False, "n2": True, "n3": True}


@pytest.mark.parametrize(
    ("node", "address"),
    [
        (a_node(), "10.0.0.1"),
        (a_node(addr="192.0.2.7"), "192.0.2.7"),
        (a_node(addr="not one"), "10.0.0.1"),
        (a_node(address="0.0.0.0"), None),
        (a_node(address="127.0.0.1"), None),
        (a_node(address="::1"), None),
        (a_node(address="fd00::7"), "fd00::7"),
        (Node("n", "h", "ready", "0.0.0.0", {}, "10.1.1.1:2377"), "10.1.1.1"),
        (Node("n", "h", "ready", "", {}, "[fd00::1]:2377"), "fd00::1"),
    ],
)
def test_the_address_of_a_node(node: Node, address: str | None) -> None:
    assert node_address(node) == address


def test_a_node_without_an_address_is_left_out_and_told() -> None:
    made = model(a_service(), a_task(1), a_node(address="0.0.0.0"))
    assert servers(made) == {}
    assert reasons(made) == ["NodeAddressUnknown"]


def test_the_older_service_has_a_host_whichever_comes_first() -> None:
    young = a_service("young", created="2026-02-01T00:00:00Z", host="x.example.com")
    old = a_service("old", created="2026-01-01T00:00:00Z", host="x.example.com")
    for things in ((young, old), (old, young)):
        made = model(*things)
        assert [one.backend for one in made.rules] == ["svc_idold_"]
        (shadowed,) = made.shadowed
        assert (shadowed.rule.backend, shadowed.winner.service) == ("svc_idyoung_", "old")
        assert reasons(made) == ["HostConflict"]
    assert [one.backend for one in model(young).rules] == ["svc_idyoung_"]


WHOLE: dict[str, str] = {}
NAMED = {"host": "a.example"}
OTHER = {"host": "b.example"}


@pytest.mark.parametrize(
    ("old", "young", "reason"),
    [
        (WHOLE, WHOLE, "EntryInUse"),
        (WHOLE, NAMED, "EntryInUse"),
        (NAMED, WHOLE, "EntryInUse"),
        (NAMED, NAMED, "HostConflict"),
        (NAMED, OTHER, ""),
    ],
)
def test_an_entry_point_of_tcp_has_one_service_or_several_by_name(
    old: dict[str, str], young: dict[str, str], reason: str
) -> None:
    settings = some_settings(EntryPoint("db", 5432, protocol="tcp"))
    of_tcp = {"protocol": "tcp", "entry": "db"}
    first = a_service("old", created="2026", **of_tcp, **old)
    second = a_service("young", created="2027", **of_tcp, **young)
    for things in ((first, second), (second, first)):
        made = model(*things, settings=settings)
        assert reasons(made) == ([reason] if reason else [])
        assert [one.winner.service for one in made.shadowed] == (["old"] if reason else [])
        assert len(made.rules) == (1 if reason else 2)
    assert [one.backend for one in model(second, settings=settings).rules] == ["svc_idyoung_"]


@pytest.mark.parametrize(
    ("entry", "is_allowed"),
    [
        (EntryPoint("db", 5432, protocol="tcp", service="shop_web"), True),
        (EntryPoint("db", 5432, protocol="tcp", service="other"), False),
        (EntryPoint("db", 5432, protocol="tcp", stack="shop"), True),
        (EntryPoint("db", 5432, protocol="tcp", stack="bank"), False),
    ],
)
def test_the_edge_file_decides_who_may_come_in_at_an_entry_point(
    entry: EntryPoint, is_allowed: bool
) -> None:
    service = a_service("shop_web", stack="shop", protocol="tcp", entry="db")
    made = model(service, settings=some_settings(entry))
    assert len(made.rules) == is_allowed
    assert reasons(made) == ([] if is_allowed else ["EntryNotAllowed"])


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (EntryPoint("db", 1, protocol="tcp"), EntryPoint("db", 1)),
        (EntryPoint("db", 1, protocol="tcp"), EntryPoint("other", 1, protocol="tcp")),
    ],
)
def test_a_last_good_route_is_of_no_use_at_another_entry_point(
    before: EntryPoint, now: EntryPoint
) -> None:
    swarm = a_swarm(a_service("web", protocol="tcp", entry="db"))
    made, memory = model_of(swarm, some_settings(before), Memory())
    assert len(made.rules) == 1
    made, _ = model_of(swarm, some_settings(now), memory)
    assert made.rules == ()
    assert len(reasons(made)) == 1


def test_another_path_is_no_conflict() -> None:
    made = model(a_service("a", host="x.example"), a_service("b", host="x.example", path="/b"))
    assert len(made.rules) == 2
    assert made.problems == ()


@pytest.mark.parametrize(
    ("allowed", "host", "ok"),
    [
        (AllowedHost("x.example", service="shop_web"), "x.example", True),
        (AllowedHost("x.example", service="other"), "x.example", False),
        (AllowedHost("x.example", stack="shop"), "x.example", True),
        (AllowedHost("x.example", stack="bank"), "x.example", False),
        (AllowedHost("*.x.example", stack="bank"), "a.x.example", False),
        (AllowedHost("*.x.example", stack="bank"), "a.b.x.example", True),
        (AllowedHost("a.x.example", stack="bank"), "*.x.example", False),
        (AllowedHost("y.example", stack="bank"), "x.example", True),
    ],
)
def test_the_edge_file_decides_who_may_have_a_host(
    allowed: AllowedHost, host: str, ok: bool
) -> None:
    service = a_service("shop_web", stack="shop", host=host)
    made = model(service, settings=some_settings(allowed_hosts=(allowed,)))
    assert len(made.rules) == ok
    assert reasons(made) == ([] if ok else ["HostNotAllowed"])


@pytest.mark.parametrize("name", ["evil", "shop", "shopping_web", "_web"])
def test_a_label_alone_makes_no_service_one_of_a_stack(name: str) -> None:
    kept = some_settings(allowed_hosts=(AllowedHost("x.example", stack="shop"),))
    evil = a_service(name, stack="shop", created="2020", host="x.example")
    own = a_service("shop_web", stack="shop", created="2026", host="x.example")
    made = model(evil, own, settings=kept)
    assert [one.backend for one in made.rules] == ["svc_idshop_web_"]


def test_of_lines_about_a_host_the_closest_decides() -> None:
    kept = (AllowedHost("*.example", service="a"), AllowedHost("api.example", service="b"))
    settings = some_settings(allowed_hosts=kept)

    def has(name: str) -> set[str]:
        made = model(a_service(name, host="*.example,api.example,x.example"), settings=settings)
        return {one.host for one in made.rules}

    assert has("a") == {"*.example", "x.example"}
    assert has("b") == {"api.example"}
    assert has("c") == set()


@pytest.mark.parametrize(
    ("replicas", "tasks", "slots"),
    [(1, 0, 8), (4, 4, 8), (5, 5, 16), (None, 9, 32), (32, 0, 64), (100, 50, 256)],
)
def test_there_is_room_for_twice_as_many(replicas: int | None, tasks: int, slots: int) -> None:
    made = model(a_service(replicas=replicas), *(a_task(n) for n in range(1, tasks + 1)))
    assert made.backends["svc_idweb_"].slots == slots


def test_a_service_of_no_task_keeps_its_rule() -> None:
    made = model(a_service(replicas=0))
    assert len(made.rules) == 1
    assert servers(made) == {}


def test_a_wish_is_what_the_task_is_to_be() -> None:
    made = model(a_service(), a_task(1), a_task(2, desired="shutdown"))
    wishes = [one.wish for one in made.backends["svc_idweb_"].servers]
    assert wishes == [Wish.SERVE, Wish.LEAVE]


def test_tasks_that_leave_make_no_more_room() -> None:
    leaving = [a_task(n, desired="shutdown") for n in range(5, 9)]
    made = model(a_service(replicas=4), *(a_task(n) for n in range(1, 5)), *leaving)
    assert made.backends["svc_idweb_"].slots == 8


NOT_PUBLISHED = replace(a_service("a"), ports=())


@pytest.mark.parametrize(
    ("after", "served"),
    [
        (NOT_PUBLISHED, {}),
        (a_service("a", Port(81, 8080, "ingress"), host="a.example.com", port="80"), {}),
        (a_service("a", Port(80, 8081, "ingress"), host="bad?"), {"n1": "10.0.0.1:8081 serve"}),
        (a_service("a", DIRECT, host="bad?"), {"t1": "10.0.0.1:30001 serve"}),
    ],
)
def test_the_last_good_form_has_no_port_that_may_be_anothers(
    after: Service, served: dict[str, str]
) -> None:
    before = a_swarm(a_service("a", MESHED))
    _, memory = model_of(before, some_settings(), Memory())
    swarm = a_swarm(after, a_service("b", MESHED), a_task(1, "a"))
    made, _ = model_of(swarm, some_settings(), memory)
    assert servers(made, "svc_ida_") == served
    assert servers(made, "svc_idb_") == {"n1": "10.0.0.1:8080 serve"}
    assert {one.backend for one in made.rules} == {"svc_ida_", "svc_idb_"}


def test_a_wish_for_thousands_of_replicas_makes_no_more_slots_than_a_proxy_can_check() -> None:
    for there, slots in ((1, 64), (16, 64), (17, 128), (500, 1024)):
        made = model(a_service(replicas=64_000), *(a_task(number) for number in range(there)))
        assert made.backends["svc_idweb_"].slots == slots
        assert reasons(made) == []
    crowd = model(a_service(replicas=None), *(a_task(number) for number in range(1025)))
    assert crowd.backends["svc_idweb_"].slots == 1024
    assert reasons(crowd) == ["TooManyServers"]
