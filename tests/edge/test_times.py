"""How long tasks wait for requests, and how long they are drained before they end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mooring.edge.model import Memory, model_of
from mooring.edge.status import RouteStatus, routes_told
from mooring.edge.times import Times, Took
from mooring.engine.swarm import Swarm, Task
from tests.edge.making import a_node, a_service, a_swarm, a_task, some_settings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def stamped(task: Task, seconds: float) -> Task:
    """It came to its state so long after NOW, by its node's clock, as Docker writes it."""
    return replace(task, stamp=after(seconds).isoformat().replace("+00:00", "Z"))


class World:
    """A service, and an edge that has looked once."""

    def __init__(self, *tasks: Task) -> None:
        self.times = Times()
        assert self.look(0, *tasks, state="serves") == []

    def look(self, at_s: float, *tasks: Task, state: str, grace_s: float = 10) -> list[Took]:
        swarm = a_swarm(replace(a_service(), grace_s=grace_s), a_node(), *tasks)
        return list(self.times.measured(swarm, self.routes(swarm, state), after(at_s)))

    def routes(self, swarm: Swarm, state: str) -> tuple[RouteStatus, ...]:
        model, _ = model_of(swarm, some_settings(), Memory())
        return routes_told(model, lambda _, one: state, swarm)


def test_a_task_is_timed_from_when_it_runs_until_it_serves() -> None:
    world = World()
    task = stamped(a_task(1), 1.0)
    assert world.look(1.2, task, state="checking") == []
    assert world.look(1.5, task, state="serves") == [Took("task_to_traffic", 0.5)]
    assert world.look(2.0, task, state="serves") == []


def test_one_that_ran_before_we_looked_is_not_timed() -> None:
    task = stamped(a_task(1), -60)
    world = World(task)
    assert world.look(2, task, state="serves") == []


@pytest.mark.parametrize("wrong_s", [-500, 500])
def test_a_clock_that_is_wrong_makes_no_wrong_time_and_is_told_of(wrong_s: float) -> None:
    world = World()
    task = stamped(a_task(1), wrong_s)
    world.look(1.0, task, state="checking")
    assert world.look(1.5, task, state="serves") == [Took("task_to_traffic", 0.5)]
    swarm = a_swarm(a_service(), a_node(), task)
    how = "499 s ahead of ours" if wrong_s > 0 else "501 s behind ours"
    assert [one.message for one in world.times.problems(swarm)] == [
        f"the clock of node 'h1' is about {how}"
    ]
    world.look(9.5, task, stamped(a_task(2), 9.4), state="serves")
    assert list(world.times.problems(swarm)) == []


@pytest.mark.parametrize(
    ("ended_s", "grace_s", "lead_s"),
    [(4.0, 10.0, 3.0), (13.0, 10.0, 2.0), (4.0, 0.0, 3.0)],
    ids=["at once", "it took all of its grace period", "it has none"],
)
def test_a_drain_is_timed_until_the_task_ends(
    ended_s: float, grace_s: float, lead_s: float
) -> None:
    task = a_task(1)
    world = World(task)
    leaving = replace(task, desired="shutdown")
    assert world.look(1.0, leaving, state="leaves") == []
    ended = stamped(replace(leaving, state="shutdown"), ended_s)
    found = world.look(ended_s + 0.2, ended, state="leaves", grace_s=grace_s)
    assert found == [Took("drain_before_sigterm", lead_s)]


def test_of_a_task_that_is_just_gone_the_look_that_misses_it_is_its_end() -> None:
    world = World(a_task(1))
    world.look(1.0, a_task(1, desired="remove"), state="leaves")
    assert world.look(3.0, state="leaves") == [Took("drain_before_sigterm", 2.0)]


def test_where_servers_leave_by_reloads_no_drain_is_timed() -> None:
    world = World()
    world.times = Times(drains=False)
    world.look(0, a_task(1), state="serves")
    world.look(1.0, a_task(1, desired="remove"), state="leaves")
    assert world.look(3.0, state="leaves") == []


def test_one_that_is_killed_was_not_drained() -> None:
    world = World(a_task(1))
    assert world.look(1.0, a_task(1, state="failed"), state="down") == []
