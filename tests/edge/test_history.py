"""What is told of reloads."""

from dataclasses import replace

import pytest

from mooring.edge.errors import ReloadFailed
from mooring.edge.haproxy.runtime import Worker, worker_in
from mooring.edge.history import History, changes, few
from mooring.edge.model import Memory, model_of
from mooring.edge.routes import Route
from tests.edge.making import a_service, a_swarm, some_settings

# Of HAProxy 2.6.12, after two reloads while a client of the first worker stays.
PROC = """\
#<PID>          <type>          <reloads>       <uptime>        <version>
641             master          2 [failed: 0]   0d00h00m02s     2.6.12-1+deb12u4
# workers
696             worker          0               0d00h00m01s     2.6.12-1+deb12u4
# old workers
642             worker          2               0d00h00m02s     2.6.12-1+deb12u4
# programs

"""


def routes(*names: str) -> list[Route]:
    swarm = a_swarm(*(a_service(name) for name in names))
    model, _ = model_of(swarm, some_settings(), Memory())
    return [one.route for one in model.backends.values()]


def test_what_came_went_and_changed_is_named() -> None:
    before = routes("api", "web", "old")
    api, new, web = routes("api", "new", "web")
    after = [api, replace(web, timeout_s=5, balance="leastconn", replicas=3), new]
    assert changes(before, after) == ["new: new", "changed: web (balance, timeout_s)", "gone: old"]
    assert changes(before, before) == []


def test_of_many_some_are_named() -> None:
    assert few([f"s{number}" for number in range(7)]) == "s0, s1, s2, s3, s4 and 2 more"


def test_a_reload_that_fails_is_counted_as_that_and_goes_on() -> None:
    history = History()
    with history.reload("new: web"):
        pass
    with pytest.raises(ReloadFailed), history.reload("new: api"):
        raise ReloadFailed("nginx", "no new worker")
    assert (history.succeeded, history.failed) == (1, 1)
    assert history.last is not None
    assert history.last.why == "new: api"
    assert "no new worker" in history.last.failure


def test_a_master_tells_of_its_workers() -> None:
    assert worker_in(PROC) == Worker(696, 2, 0, 641, "2.6.12-1+deb12u4", 1)
    assert worker_in(PROC.replace("696 ", "")) is None
