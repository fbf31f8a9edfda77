"""What an edge tells of itself."""

from pathlib import Path

import pytest

from mooring.edge.model import Memory, model_of
from mooring.edge.place import Place
from mooring.edge.settings import EntryPoint
from mooring.edge.status import NoStatus, Status, matching, read, routes_told, rules_told, written
from tests.edge.making import a_service, a_swarm, a_task, some_settings

MODEL, _ = model_of(
    a_swarm(
        a_service("web", host="x.example,*.x.example"),
        a_service("api", host="x.example", path="/api"),
        a_service("late", created="2027", host="x.example"),
        *(a_task(number) for number in (1, 2, 3)),
        a_task(4, desired="shutdown"),
    ),
    some_settings(),
    Memory(),
)


def told() -> Status:
    states = {"t1": "serves", "t2": "checking"}
    routes = routes_told(MODEL, lambda backend, server: states.get(server.key, backend))
    return Status(1, "/docker.sock", 0, rules_told(MODEL), routes, ())


def test_a_server_is_told_with_the_state_that_its_proxy_knows() -> None:
    web = next(one for one in told().routes if one.service == "web")
    states = {one.key: one.state for one in web.servers[:3]}
    assert states == {"t1": "serves", "t2": "checking", "t3": "svc_idweb_"}


@pytest.mark.parametrize(
    ("host", "path", "services"),
    [
        ("x.example", "/", ["web", "late"]),
        ("X.example.", "/api/v1", ["api", "web", "late"]),
        ("x.example", "/apix", ["web", "late"]),
        ("a.x.example", "/", ["web"]),
        ("a.b.x.example", "/", []),
        ("y.example", "/", []),
    ],
)
def test_what_is_taken_comes_first(host: str, path: str, services: list[str]) -> None:
    assert [one.service for one in matching(told(), host, path)] == services


def test_all_of_an_entry_point_is_found_by_its_name() -> None:
    settings = some_settings(EntryPoint("db", 5432, protocol="tcp"))
    services = [a_service(name, protocol="tcp", entry="db") for name in ("one", "two")]
    model, _ = model_of(a_swarm(*services), settings, Memory())
    told = Status(1, "/docker.sock", 0, rules_told(model), (), ())
    found = matching(told, "db", "/")
    assert [(one.service, one.winner) for one in found] == [("one", ""), ("two", "one")]
    assert found[0].what == "all of entry point db"


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    written(Place(str(tmp_path)), told())
    assert read(tmp_path) == told()


def test_without_one_it_is_said_where(tmp_path: Path) -> None:
    with pytest.raises(NoStatus, match="mooring edge run"):
        read(tmp_path)
    (tmp_path / "status.json").write_text("{}")
    with pytest.raises(NoStatus):
        read(tmp_path)
