"""What `mooring edge explain` says, whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from mooring.edge.explaining import asked, explained
from mooring.edge.model import Memory, model_of
from mooring.edge.settings import AllowedHost, EntryPoint
from mooring.edge.status import (
    CertificateStatus,
    ProblemStatus,
    Status,
    disabled_told,
    routes_told,
    rules_told,
)
from mooring.engine.swarm import Port
from tests.edge.making import HTTP, MESHED, a_node, a_service, a_swarm, a_task, some_settings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SAID = Path(__file__).with_name("explained.txt").read_text()  # whole, by case
STATES = {"t1": "serves", "t2": "down"}
SETTINGS = some_settings(
    HTTP,
    EntryPoint("https", 443, tls=True),
    EntryPoint("db", 5432, protocol="tcp"),
    allowed_hosts=(AllowedHost("kept.example", stack="shop"),),
)
GOOD = a_service("web", host="x.example,*.x.example", tls="off")
SWARM = a_swarm(
    a_node(1),
    a_node(2),
    GOOD,
    replace(
        a_service("api", host="x.example", path="/api"),
        has_healthcheck=True,
        starts_first=True,
        grace_s=30.0,
    ),
    a_service("late", created="2027", host="x.example", tls="off"),
    a_service("off", host="x.example", enable="false"),
    a_service("kept", host="kept.example", tls="off"),
    a_service("wrong", host="x.example", timeout="never"),
    a_service("fixed", Port(80, 8080, "host"), host="fixed.example"),
    a_service("one", MESHED, host="mesh.example", mode="mesh", tls="off"),
    a_service("db", protocol="tcp", entry="db"),
    a_service("main", created="2025", host="shop.example", weight="9"),
    a_service("canary", created="2026", host="shop.example", weight="1"),
    a_task(1),
    a_task(2),
    a_task(3, "api"),
)


def told() -> Status:
    names = frozenset({"x.example", "fixed.example"})
    _, memory = model_of(a_swarm(GOOD), SETTINGS, Memory())
    broken = replace(GOOD, labels={**GOOD.labels, "mooring.edge.balance": "odd"})
    swarm = replace(SWARM, services={**SWARM.services, GOOD.id: broken})
    model, _ = model_of(swarm, SETTINGS, memory, names)
    return Status(
        pid=1,
        manager="/docker.sock",
        reloads=0,
        rules=rules_told(model),
        routes=routes_told(model, lambda _, one: STATES.get(one.key, "serves"), swarm),
        problems=tuple(ProblemStatus(*one) for one in model.problems),
        certificates=(
            CertificateStatus("x.pem", "1.pem", ("x.example",), NOW + timedelta(days=30)),
            CertificateStatus("old.pem", "2.pem", ("fixed.example",), NOW - timedelta(days=1)),
        ),
        disabled=disabled_told(swarm),
    )


def said(where: str, entry: str = "") -> str:
    return "\n".join(explained(told(), asked(where, entry), NOW)) + "\n"


CASES = {
    "the longest path of the exact name wins": ("X.example:80/api/v1?q=1", ""),
    "the older service wins, and keeps its last good form": ("x.example", "http"),
    "a pattern has what no name of its own has": ("a.x.example", ""),
    "a name that is kept for another": ("kept.example", ""),
    "a name that nobody has": ("nobody.example", ""),
    "a path that nobody has": ("x.example/", "https"),
    "a fixed port, and a certificate that has expired": ("fixed.example", "https"),
    "a mesh": ("mesh.example", ""),
    "an entry point of TCP": ("db", ""),
    "services that share": ("shop.example", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_it_says_where_a_request_goes_and_why(case: str) -> None:
    _, _, text = SAID.partition(f"## {case}\n")
    assert said(*CASES[case]) == text.partition("\n\n## ")[0].rstrip("\n") + "\n"


def test_of_a_route_whose_servers_all_fail_each_is_told() -> None:
    status = told()
    failing = tuple(
        structs.replace(
            one, servers=tuple(structs.replace(it, state="down", reason="") for it in one.servers)
        )
        for one in status.routes
    )
    lines = explained(structs.replace(status, routes=failing), asked("x.example", "http"), NOW)
    assert "no server of it gets requests now (503):" in lines
    assert "  10.0.0.1:30001 (web.t1 on h1): down" in lines


def test_of_many_servers_some_are_shown() -> None:
    swarm = a_swarm(a_service(), *(a_task(number) for number in range(1, 31)))
    model, _ = model_of(swarm, SETTINGS, Memory())
    routes = routes_told(model, lambda *_: "serves", swarm)
    status = Status(1, "/docker.sock", 0, rules_told(model), routes, ())
    lines = explained(status, asked("web.example.com"), NOW)
    assert "  and 10 more" in lines
    assert sum("serves" in one for one in lines) == 20


@pytest.mark.parametrize("path", ["/%61pi/x", "//api/x", "/api%2Fx", "/api/x?y=/../"])
def test_a_path_in_other_words_is_the_same(path: str) -> None:
    assert asked(f"web.example.com{path}") == asked("web.example.com/api/x")


@pytest.mark.parametrize("path", ["/x/../api", "/%2e/api", "/api#x", "/%", "/%00"])
def test_a_path_that_may_be_another_is_refused(path: str) -> None:
    (line,) = explained(told(), asked(f"web.example.com{path}"), NOW)
    assert "400" in line


def test_it_names_the_certificate_that_is_served() -> None:
    names, soon = ("fixed.example",), NOW + timedelta(days=9)
    old = CertificateStatus("a.pem", "1.pem", names, NOW, unserved=names)
    new = CertificateStatus("b.pem", "2.pem", names, soon)
    status = structs.replace(told(), certificates=(old, new))
    lines = explained(status, asked("fixed.example", "https"), NOW)
    found = [one for one in lines if "certificate" in one]
    assert found == ["with TLS it has the certificate b.pem, which is good for 9 more days"]
