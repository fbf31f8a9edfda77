"""When a schedule makes what, and what that is called."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from mooring.model.schedule import ScheduleSpec
from mooring.rules.schedules import NAME_MAX, name_of, times

MADE = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


def spec(schedule: str = "0 3 * * *", **fields: object) -> ScheduleSpec:
    return ScheduleSpec(schedule=schedule, **fields)  # type: ignore[arg-type]


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, second, tzinfo=UTC)


def test_nothing_is_due_before_its_time() -> None:
    found = times(spec(), MADE, at(2, 2, 59, 59))
    assert found == (None, False, at(2, 3))


def test_it_is_due_at_its_time_to_the_second() -> None:
    assert times(spec(), MADE, at(2, 3)) == (at(2, 3), False, at(3, 3))


def test_many_times_that_were_missed_are_made_up_for_once() -> None:
    found = times(spec("* * * * *"), MADE, MADE + timedelta(days=400))
    assert found.due == (MADE + timedelta(days=400)).replace(second=0)
    assert found.due is not None
    assert times(spec("* * * * *"), found.due, MADE + timedelta(days=400)).due is None


def test_one_that_is_past_its_deadline_is_let_go() -> None:
    late = spec(starting_deadline_seconds=600)
    assert times(late, MADE, at(2, 3, 10)).is_late is False
    assert times(late, MADE, at(2, 3, 10, 1)).is_late is True


def test_times_are_of_the_zone() -> None:
    assert times(spec(time_zone="Asia/Kolkata"), MADE, at(2, 0)).due == at(1, 21, 30)


@pytest.mark.parametrize("day", [datetime(2026, 3, 29), datetime(2026, 10, 25)])
def test_each_day_has_its_time_once_when_clocks_are_set(day: datetime) -> None:
    """At 2:30, which is not there on the first of these days and twice on the second."""
    berlin = spec("30 2 * * *", time_zone="Europe/Berlin")
    now = day.replace(tzinfo=UTC)
    since, end = now - timedelta(hours=12), now + timedelta(hours=23)
    made = []
    while now < end:
        if (due := times(berlin, since, now).due) is not None:
            since = due
            made.append(due)
        now += timedelta(minutes=15)
    assert len(made) == 1


def test_names_are_of_the_time_alone_and_never_too_long() -> None:
    assert re.fullmatch("nightly-db-[0-9a-f]{6}-202601020300", name_of("nightly", "db", at(2, 3)))
    assert name_of("a", "b-c", at(2, 3)) != name_of("a-b", "c", at(2, 3))
    long = [name_of("nightly", "x" * 240 + end, at(2, 3)) for end in ("a", "b")]
    assert len(set(long)) == 2
    assert all(len(one) <= NAME_MAX for one in long)
