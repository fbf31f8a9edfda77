"""What is told again and again, with little done for what is as before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mooring.edge.model import Memory, Model, model_of
from mooring.edge.status import Status
from mooring.edge.telling import Teller
from mooring.engine.swarm import Swarm
from tests.edge.making import a_node, a_service, a_swarm, a_task, some_settings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
SWARM = a_swarm(
    a_node(), a_service("web"), a_service("api"), a_task(1), a_task(2), a_task(3, "api")
)


def model(swarm: Swarm) -> Model:
    return model_of(swarm, some_settings(), Memory())[0]


def test_a_server_is_in_its_state_since_it_came_to_it() -> None:
    teller, states = Teller(), {"t1": "serves", "t2": "serves", "t3": "serves"}
    teller.routes(model(SWARM), lambda _, one: states[one.key], SWARM, NOW)
    states["t2"] = "down"
    routes = teller.routes(model(SWARM), lambda _, one: states[one.key], SWARM, LATER)
    since = {one.key: one.since for route in routes for one in route.servers}
    assert since == {"t1": NOW, "t2": LATER, "t3": NOW}


def test_a_restart_makes_nothing_younger() -> None:
    routes = Teller().routes(model(SWARM), lambda *_: "serves", SWARM, NOW)
    again = Teller(Status(1, "/docker.sock", 0, (), routes, ()))
    assert again.routes(model(SWARM), lambda *_: "serves", SWARM, LATER) == routes


def test_what_is_as_before_is_the_same_object() -> None:
    teller = Teller()
    before = teller.routes(model(SWARM), lambda *_: "serves", SWARM, NOW)
    now = teller.routes(
        model(SWARM), lambda _, one: "down" if one.key == "t3" else "serves", SWARM, LATER
    )
    assert [one is other for one, other in zip(before, now, strict=True)] == [False, True]


def test_why_a_server_leaves_is_told_anew_when_that_is_other() -> None:
    teller, of_node = Teller(), a_swarm(a_node(state="down"), a_service("web"), a_task(1))
    tasks = {"t1": replace(a_task(1), desired="shutdown")}
    for swarm, why in (
        (of_node, "its node is down"),
        (replace(of_node, tasks=tasks), "its task is to end"),
    ):
        (route,) = teller.routes(model(swarm), lambda *_: "leaves", swarm, NOW)
        assert route.servers[0].reason == why


def test_rules_and_what_is_switched_off_are_those_of_now() -> None:
    teller, off = Teller(), a_swarm(a_service("web", host="x.example", enable="false"))
    assert len(teller.rules(model(SWARM))) == 2
    assert teller.disabled(SWARM) == ()
    assert teller.rules(model(off)) == ()
    assert [one.hosts for one in teller.disabled(off)] == [("x.example",)]
