"""What an edge tells of what happened."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

from msgspec import structs

from mooring.cli.edge_events import about, lines
from mooring.edge.events import KEPT, NAME, Events, recorded
from mooring.edge.happenings import Happening, happened
from mooring.edge.history import Reload
from mooring.edge.place import Place
from mooring.edge.status import (
    ManagerStatus,
    ProblemStatus,
    ProxyStatus,
    RouteStatus,
    ServerStatus,
    Status,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CALM = Status(1, "/docker.sock", 0, (), (), (), since=NOW, swarm_seen=NOW)
BAD = ProblemStatus("BadLabel", "web", "api", "'x' is none")


def of(**states: str) -> Status:
    servers = tuple(
        ServerStatus("10.0.0.1", 30000, "h1", state, key, task=f"web.{key[1:]}", reason="so")
        for key, state in states.items()
    )
    return structs.replace(CALM, routes=(RouteStatus("web", "", "svc_web_", "direct", servers),))


def reasons(before: Status | None, now: Status) -> list[tuple[str, str, str]]:
    return [(one.type, one.reason, one.object) for one in happened(before, now)]


def test_servers_that_drain_fail_and_come_back_are_told() -> None:
    before = of(t1="serves", t2="serves", t3="down", t4="checking")
    now = of(t1="leaves", t2="down", t3="serves", t4="serves")
    assert list(happened(before, now)) == [
        Happening("Normal", "ServerDrained", "service/web", "server 10.0.0.1:30000 (web.1): so"),
        Happening("Warning", "ServerDown", "service/web", "server 10.0.0.1:30000 (web.2): so"),
        Happening(
            "Normal", "ServerUp", "service/web", "server 10.0.0.1:30000 (web.3) answers again"
        ),
    ]
    assert list(happened(now, now)) == []


def test_nginx_that_drains_nothing_tells_of_no_drain() -> None:
    before, now = (
        structs.replace(of(t1=state, t2="serves"), proxy=ProxyStatus("nginx"))
        for state in ("serves", "leaves")
    )
    assert list(happened(before, now)) == []


def test_a_route_that_loses_its_last_server_is_told_until_it_has_one() -> None:
    lost, found = ("Warning", "NoServer", "service/web"), ("Normal", "Serving", "service/web")
    assert lost in reasons(of(t1="serves"), of(t1="down"))
    assert reasons(of(t1="serves"), of()) == [lost]
    assert reasons(of(), of(t1="serves")) == [found]
    assert reasons(CALM, of()) == []  # a new service has none yet


def test_problems_are_told_as_they_come_and_go() -> None:
    troubled = structs.replace(CALM, problems=(BAD,))
    assert list(happened(CALM, troubled)) == [
        Happening("Warning", "BadLabel", "service/web", "route api: 'x' is none", is_alike=False)
    ]
    assert reasons(troubled, CALM) == [("Normal", "ProblemGone", "service/web")]


def test_a_start_of_ours_tells_of_no_service_before_it_knows_the_swarm() -> None:
    before = structs.replace(of(t1="serves"), problems=(BAD,), last_reload=None)
    unseen = structs.replace(CALM, swarm_seen=None, since=NOW + timedelta(seconds=9))
    assert reasons(before, unseen) == []


def test_managers_reloads_and_the_proxy_are_told_of() -> None:
    away = ManagerStatus("/docker.sock", "it does not answer")
    lost = structs.replace(CALM, manager_failure="it does not answer", managers_lost=(away,))
    assert reasons(CALM, lost) == [("Warning", "ManagerLost", "edge")]
    assert reasons(lost, CALM) == [("Normal", "ManagerFound", "edge")]
    good = structs.replace(CALM, last_reload=Reload(NOW, 0.2, "new: web"))
    bad = structs.replace(CALM, last_reload=Reload(NOW, 0.2, "new: web", "no"), failure="no")
    assert reasons(CALM, good) == [("Normal", "Reloaded", "edge")]
    assert reasons(good, bad) == [("Warning", "ReloadFailed", "edge")]
    assert reasons(good, good) == []
    other = structs.replace(CALM, failure="entry point http cannot listen")
    assert reasons(CALM, other) == [("Warning", "NotApplied", "edge")]
    started = structs.replace(CALM, proxy=ProxyStatus("haproxy", starts=1))
    assert reasons(CALM, started) == [("Warning", "ProxyRestarted", "edge")]
    # One that an earlier process of ours started is none of this one.
    assert reasons(structs.replace(started, since=NOW - timedelta(1)), CALM) == []


def test_what_happens_again_is_one_event(tmp_path: Path) -> None:
    events = Events(Place(str(tmp_path)))
    events.record([Happening("Warning", "ServerDown", "service/web", "one")], NOW)
    later = NOW + timedelta(minutes=3)
    events.record([Happening("Warning", "ServerDown", "service/web", "two")], later)
    bad = [
        Happening("Warning", "BadLabel", "service/web", one, is_alike=False) for one in ("a", "b")
    ]
    events.record(bad, later + timedelta(seconds=5))
    found = recorded(tmp_path)
    assert [(one.reason, one.message, one.count) for one in found] == [
        ("ServerDown", "two", 2),
        ("BadLabel", "a", 1),
        ("BadLabel", "b", 1),
    ]
    assert "\n".join(lines(found[:2], later + timedelta(seconds=9))) + "\n" == dedent(
        """\
        LAST SEEN           TYPE      REASON          OBJECT         MESSAGE
        9s (x2 over 3m9s)   Warning   ServerDown      service/web    two
        4s                  Warning   BadLabel        service/web    a
        """
    )
    assert about(found, "api") == []


def test_a_restart_goes_on_with_those_before(tmp_path: Path) -> None:
    down = Happening("Warning", "ServerDown", "service/web", "one")
    Events(Place(str(tmp_path))).record([down], NOW)
    again = Events(Place(str(tmp_path)))
    again.record([down], NOW + timedelta(hours=1))
    assert [(one.count, one.first) for one in recorded(tmp_path)] == [(2, NOW)]


def test_they_are_bounded_and_those_of_long_ago_go(tmp_path: Path) -> None:
    events = Events(Place(str(tmp_path)))
    many = [
        Happening("Warning", "BadLabel", f"service/s{number}", "x" * 2000)
        for number in range(KEPT + 3)
    ]
    events.record(many, NOW)
    found = recorded(tmp_path)
    assert len(found) == KEPT
    assert found[-1].object == f"service/s{KEPT + 2}"
    assert len(found[0].message) == 1024


def test_what_is_written_often_is_written_once_a_second(tmp_path: Path) -> None:
    events = Events(Place(str(tmp_path)))
    for number in range(3):
        event = Happening("Normal", "Reloaded", "edge", str(number))
        events.record([event], NOW + timedelta(milliseconds=300 * number))
    assert recorded(tmp_path)[0].count == 1
    events.record([], NOW + timedelta(seconds=2))
    assert recorded(tmp_path)[0].count == 3


def test_a_file_that_is_none_is_no_event(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("[{}]")
    assert recorded(tmp_path) == []
