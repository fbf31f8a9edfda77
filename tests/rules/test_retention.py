"""Which snapshots a schedule keeps."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from mooring.model.schedule import Keep
from mooring.rules.retention import Made, kept

NOW = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)
ZONES = st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")])
FEW = st.integers(0, 5)
# To keep nothing is refused at admission.
KEEPS = st.builds(Keep, last=FEW, hourly=FEW, daily=FEW, weekly=FEW, monthly=FEW).filter(
    lambda keep: keep != Keep()
)


@st.composite
def histories(draw: st.DrawFn) -> list[Made]:
    minutes = draw(st.lists(st.integers(0, 200 * 24 * 60), max_size=40, unique=True))
    usable = draw(st.lists(st.booleans(), min_size=len(minutes), max_size=len(minutes)))
    return [
        Made(f"s{minute}", NOW - timedelta(minutes=minute), is_usable)
        for minute, is_usable in zip(minutes, usable, strict=True)
    ]


def made(*hours_ago: float) -> list[Made]:
    return [Made(f"{hours:g}", NOW - timedelta(hours=hours), True) for hours in hours_ago]


def test_the_newest_are_kept() -> None:
    assert kept(made(1, 2, 3, 4), Keep(last=2), UTC) == {"1", "2"}


def test_the_newest_of_each_day_is_kept() -> None:
    # 12:30 today, 23:30 and 12:30 yesterday, 12:30 the day before, and one of ten days ago.
    found = kept(made(0, 13, 24, 48, 240), Keep(daily=3), UTC)
    assert found == {"0", "13", "48"}


def test_days_without_any_take_no_place() -> None:
    assert kept(made(0, 240, 480), Keep(daily=3), UTC) == {"0", "240", "480"}


def test_days_begin_where_the_schedule_is() -> None:
    # 23:30 and 00:30 of the next day in UTC are of one day in Berlin.
    late, early = made(13, 12)
    assert kept([late, early], Keep(daily=2), UTC) == {"13", "12"}
    assert kept([late, early], Keep(daily=2), ZoneInfo("Europe/Berlin")) == {"12"}


def test_an_hour_that_is_there_twice_counts_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")  # the clocks are set back on 2026-10-25 at 3:00
    first = Made("summer", datetime(2026, 10, 25, 0, 15, tzinfo=UTC), True)
    second = Made("winter", datetime(2026, 10, 25, 1, 15, tzinfo=UTC), True)
    assert kept([first, second], Keep(hourly=2), berlin) == {"summer", "winter"}


def test_sorts_are_added_up() -> None:
    found = kept(
        made(0, 1, 2, 24, 24 * 7, 24 * 40), Keep(last=1, hourly=2, weekly=2, monthly=2), UTC
    )
    assert found == {"0", "1", "168", "960"}


def test_one_that_is_not_usable_protects_none_and_waits_its_turn() -> None:
    good, bad = made(2)[0], made(1)[0]._replace(is_usable=False)
    old_bad = made(3)[0]._replace(is_usable=False)
    assert kept([good, bad, old_bad], Keep(last=1), UTC) == {"2", "1"}


@given(histories(), KEEPS, ZONES)
def test_what_is_kept_is_kept_again(found: Sequence[Made], keep: Keep, zone: ZoneInfo) -> None:
    names = kept(found, keep, zone)
    again = [one for one in found if one.name in names]
    assert kept(again, keep, zone) == names


@given(histories(), KEEPS, ZONES)
def test_what_is_dropped_changes_nothing_for_the_others(
    found: Sequence[Made], keep: Keep, zone: ZoneInfo
) -> None:
    names = kept(found, keep, zone)
    for dropped in [one for one in found if one.name not in names]:
        assert kept([one for one in found if one is not dropped], keep, zone) == names


@given(histories(), KEEPS, ZONES)
def test_no_more_are_kept_than_is_said_and_the_newest_is(
    found: Sequence[Made], keep: Keep, zone: ZoneInfo
) -> None:
    names = kept(found, keep, zone)
    usable = [one for one in found if one.is_usable]
    limit = keep.last + keep.hourly + keep.daily + keep.weekly + keep.monthly
    assert len(names & {one.name for one in usable}) <= limit
    if usable and limit:
        assert max(usable, key=lambda one: one.at).name in names


@given(histories(), KEEPS, KEEPS, ZONES)
def test_who_says_more_keeps_more(
    found: Sequence[Made], keep: Keep, more: Keep, zone: ZoneInfo
) -> None:
    sums = Keep(
        last=keep.last + more.last,
        hourly=keep.hourly + more.hourly,
        daily=keep.daily + more.daily,
        weekly=keep.weekly + more.weekly,
        monthly=keep.monthly + more.monthly,
    )
    assert kept(found, keep, zone) <= kept(found, sums, zone)


@given(st.integers(1, 400), KEEPS)
def test_one_each_day_deleted_as_they_come_leaves_what_all_at_once_would(
    days: int, keep: Keep
) -> None:
    """Whatever is deleted on one day is never missed on another."""
    all_ = [Made(f"d{day}", NOW + timedelta(days=day), True) for day in range(days)]
    left: list[Made] = []
    for one in all_:
        left.append(one)
        names = kept(left, keep, UTC)
        left = [each for each in left if each.name in names]
    assert {one.name for one in left} == kept(all_, keep, UTC)
