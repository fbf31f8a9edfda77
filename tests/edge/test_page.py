"""What `mooring edge status` prints, whole."""

from datetime import UTC, datetime, timedelta
from textwrap import dedent

import pytest
from msgspec import structs

from mooring.cli.edge_page import about, page
from mooring.cli.watching import show
from mooring.edge.history import Reload
from mooring.edge.interface import Facts
from mooring.edge.model import Memory, model_of
from mooring.edge.status import (
    ProblemStatus,
    ProxyStatus,
    Status,
    rules_told,
)
from mooring.edge.telling import Teller
from tests.edge.making import MESHED, a_node, a_service, a_swarm, a_task, some_settings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=3)
STATES = {"t1": "serves", "t2": "checking", "t3": "down", "t4": "leaves", "t5": "waits"}


def told(**other: object) -> Status:
    swarm = a_swarm(
        a_node(1),
        a_node(2),
        a_service("web", host="x.example,*.x.example"),
        a_service("late", created="2027", host="x.example"),
        a_service("api", MESHED, host="api.example", path="/v1", mode="mesh"),
        *(a_task(number) for number in (1, 2, 3)),
        a_task(4, desired="shutdown"),
        a_task(5),
    )
    model, _ = model_of(swarm, some_settings(), Memory())
    then = NOW - timedelta(seconds=190)
    routes = Teller().routes(model, lambda _, one: STATES.get(one.key, "serves"), swarm, then)
    problems = tuple(ProblemStatus(*one) for one in model.problems)
    status = Status(
        pid=1,
        manager="/docker.sock",
        reloads=4,
        rules=rules_told(model),
        routes=routes,
        problems=problems,
        proxy=ProxyStatus("haproxy", Facts("2.6.12", 641, "5", "6", old_workers=1), starts=0),
        failed_reloads=1,
        last_reload=Reload(NOW - timedelta(seconds=70), 0.21, "new: api"),
        since=BEGAN,
        swarm_seen=NOW - timedelta(seconds=1),
    )
    return structs.replace(status, **other)  # type: ignore[arg-type]


def said(capsys: pytest.CaptureFixture[str], status: Status, **how: bool) -> str:
    show(page(status, NOW, **how))
    return capsys.readouterr().out


def test_the_whole_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, told()) == dedent(
        """\
        routes    3, 1 without a server that serves
        servers   7: 3 serve, 1 checking, 1 leave, 1 down, 1 wait
        problems  1
        swarm     by /docker.sock, looked at 1s ago
        proxy     haproxy 2.6.12, process 641, old workers 1, configuration 5, 6 is due
        reloads   4 in 3h, 1 failed; the last 70s ago for new: api; it took 0.21 s

        SERVICE   ROUTE                          MODE     UP
        api       api.example/v1                 mesh     2/2
        late      x.example/ (shadowed by web)   direct   0/0
        web       x.example/, *.x.example/       direct   1/5

        SERVER           TASK     NODE   STATE      SINCE   REASON
        10.0.0.1:30002   web.t2   h1     checking   3m10s   it has passed no check yet
        10.0.0.1:30003   web.t3   h1     down       3m10s   its checks or its requests fail
        10.0.0.1:30004   web.t4   h1     leaves     3m10s   its task is to end
        10.0.0.1:30005   web.t5   h1     waits      3m10s   the proxy takes it at its next reload

        note: api: all goes by h1, that host must not stop; if it does, another takes over
        HostConflict: late: x.example/ belongs to the older service web
        """
    )


def test_what_is_well_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, told(), is_whole=False, only_problems=True) == dedent(
        """\
        SERVICE   ROUTE                          MODE     UP
        late      x.example/ (shadowed by web)   direct   0/0
        web       x.example/, *.x.example/       direct   1/5

        SERVER           TASK     NODE   STATE      SINCE   REASON
        10.0.0.1:30002   web.t2   h1     checking   3m10s   it has passed no check yet
        10.0.0.1:30003   web.t3   h1     down       3m10s   its checks or its requests fail
        10.0.0.1:30004   web.t4   h1     leaves     3m10s   its task is to end
        10.0.0.1:30005   web.t5   h1     waits      3m10s   the proxy takes it at its next reload

        HostConflict: late: x.example/ belongs to the older service web
        """
    )
    well = structs.replace(told(), routes=(), problems=())
    assert (
        said(capsys, well, is_whole=False, only_problems=True)
        == "every route has servers, and each of them serves\n"
    )


@pytest.mark.parametrize(
    ("wanted", "services"),
    [
        ("web", {"web"}),
        ("X.example.", {"web", "late"}),
        ("a.x.example", {"web"}),
        ("api.example", {"api"}),
        ("nobody", set()),
    ],
)
def test_a_part_is_about_a_service_or_a_host(wanted: str, services: set[str]) -> None:
    assert {one.service for one in about(told(), wanted).routes} == services


def test_of_one_service_every_server_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, about(told(), "api"), is_whole=False, with_servers=True) == dedent(
        """\
        SERVICE   ROUTE            MODE   UP
        api       api.example/v1   mesh   2/2

        SERVER          TASK   NODE   STATE             SINCE   REASON
        10.0.0.1:8080   api    h1     serves            3m10s
        10.0.0.2:8080   api    h2     serves (backup)   3m10s

        note: api: all goes by h1, that host must not stop; if it does, another takes over
        """
    )


def test_before_anything_is_known_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    new = Status(1, "/docker.sock", 0, (), (), (), proxy=ProxyStatus("nginx"))
    assert said(
        capsys, structs.replace(new, failure="no reload", manager_failure="away")
    ) == dedent(
        """\
        routes    0
        servers   0
        problems  0
        swarm     by /docker.sock, not seen yet
        proxy     nginx does not run
        reloads   0
        failing   no reload
        failing   away
        """
    )
