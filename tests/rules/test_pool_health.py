"""What a look at a pool's place means: told once, not for every step, and written for news only."""

import msgspec
import pytest

from mooring.model.metadata import Metadata
from mooring.model.pool import Pool, PoolSpec, PoolThresholds
from mooring.model.quantity import Quantity
from mooring.rules.pool_health import Look, Seen, looked_at, percent, shown_bytes
from mooring.rules.pool_room import is_full, recharged, refusal, room_for
from tests.rules.making import LONG_AGO, a_volume

NOW = "2026-01-02T03:04:05Z"
GIB = 1 << 30


def a_pool(**spec: object) -> Pool:
    return Pool(
        metadata=Metadata(name="p"), spec=msgspec.convert({"root": "/srv"} | spec, PoolSpec)
    )


def seen(percent_used: float, inodes: int | None = None, inodes_used: int | None = None) -> Look:
    used = int(100 * GIB * percent_used / 100)
    return Look(Seen(100 * GIB, used, 100 * GIB - used, inodes, inodes_used))


def after(pool: Pool, *looks: Look) -> tuple[Pool, list[str]]:
    """The pool, and what was told in the course of it."""
    told = []
    for look in looks:
        pool, notes = looked_at(pool, look, NOW)
        told += [note.reason for note in notes]
    return pool, told


def statuses(pool: Pool) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in pool.status.conditions}


def test_a_pool_that_can_be_used_says_so_and_what_its_place_has() -> None:
    pool, told = after(a_pool(), seen(20, 1000, 100))
    assert statuses(pool) == {
        "Ready": ("True", "PoolReady"),
        "CapacityPressure": ("False", "EnoughRoom"),
        "InodePressure": ("False", "EnoughInodes"),
    }
    assert msgspec.to_builtins(pool.status.capacity) == {
        "total": "100Gi", "used": "20Gi", "available": "80Gi",
    }  # fmt: skip
    assert msgspec.to_builtins(pool.status.inodes) == {"total": 1000, "used": 100}
    assert {one.last_transition_time for one in pool.status.conditions} == {NOW}
    assert told == []


@pytest.mark.parametrize(
    ("filled", "told"),
    [
        ([84], []),
        ([85], ["PoolFilling"]),
        ([86, 90, 94], ["PoolFilling"]),
        ([86, 95], ["PoolFilling", "PoolNearlyFull"]),
        ([96], ["PoolNearlyFull"]),
        ([96, 93, 96, 92.5, 95], ["PoolNearlyFull"]),  # at the border: told once
        ([86, 84, 86, 83, 85], ["PoolFilling"]),
        ([86, 81], ["PoolFilling", "PoolRecovered"]),
        ([96, 90, 96], ["PoolNearlyFull", "PoolNearlyFull"]),
        ([96, 90, 50], ["PoolNearlyFull", "PoolRecovered"]),
    ],
)
def test_what_is_told_while_a_pool_fills_and_empties(filled: list[float], told: list[str]) -> None:
    assert after(a_pool(), *map(seen, filled))[1] == told


def test_thresholds_are_those_of_the_spec() -> None:
    pool = a_pool(thresholds=PoolThresholds(warn=50, critical=60))
    assert after(pool, seen(49), seen(50), seen(60))[1] == ["PoolFilling", "PoolNearlyFull"]


def test_inodes_may_be_low_where_there_is_room() -> None:
    pool, told = after(a_pool(), seen(1, 100, 84), seen(1, 100, 85), seen(1, 100, 83))
    assert (statuses(pool)["InodePressure"], told) == (("True", "PoolInodesLow"), ["PoolInodesLow"])
    assert after(pool, seen(1, 100, 81))[1] == ["PoolRecovered"]


def test_a_place_without_a_fixed_number_of_inodes_is_never_low() -> None:
    pool, _ = after(a_pool(), seen(1))
    assert statuses(pool)["InodePressure"] == ("False", "EnoughInodes")
    assert pool.status.inodes is None


def test_a_place_that_goes_away_is_told_once_and_again_when_it_is_back() -> None:
    away = Look(reason="PoolMissing", message="the mark is missing")
    pool, told = after(a_pool(), seen(20), away, away)
    assert told == ["PoolMissing"]
    assert statuses(pool)["Ready"] == ("False", "PoolMissing")
    assert msgspec.to_builtins(pool.status.capacity)["used"] == "20Gi"  # as it was last
    assert after(pool, seen(20))[1] == ["PoolRecovered"]


def test_another_reason_is_told_too() -> None:
    looks = [Look(reason="PoolMissing", message="a"), Look(reason="PoolTaken", message="b")]
    assert after(a_pool(), *looks)[1] == ["PoolMissing", "PoolTaken"]


@pytest.mark.parametrize(
    ("then", "is_news"),
    [(20, False), (20.9, False), (19.1, False), (21, True), (86, True)],
)
def test_only_what_is_of_weight_is_written(then: float, is_news: bool) -> None:
    pool, _ = after(a_pool(), seen(20))
    assert (looked_at(pool, seen(then), LONG_AGO)[0] is not pool) == is_news


def test_a_condition_keeps_the_time_of_its_change() -> None:
    pool, _ = after(a_pool(), seen(20))
    later, _ = looked_at(pool, seen(86), "2026-01-02T04:00:00Z")
    times = {one.type: one.last_transition_time for one in later.status.conditions}
    assert times == {
        "Ready": NOW, "CapacityPressure": "2026-01-02T04:00:00Z", "InodePressure": NOW,
    }  # fmt: skip


def test_what_others_say_of_a_pool_stays() -> None:
    pool, _ = after(a_pool(), seen(20))
    charged = recharged(pool, None, a_volume("v", size="150Gi", pool=pool.name))
    assert charged.status.overcommit_ratio == "1.50"
    assert looked_at(charged, seen(30), NOW)[0].allocated == Quantity.parse("150Gi")


# Over-commitment


def test_a_volume_beyond_the_declared_ratio_is_refused() -> None:
    pool, _ = after(a_pool(overcommit="1.5"), seen(20))
    pool = recharged(pool, None, a_volume("v", size="100Gi", pool=pool.name))
    assert refusal(pool, "default", Quantity.parse("50Gi")) == ""
    assert room_for(pool, "default") == Quantity.parse("50Gi")
    assert is_full(pool, Quantity.parse("51Gi"))
    assert refusal(pool, "default", Quantity.parse("51Gi")) == (
        "pool p may promise 150Gi, 1.5 times the 100Gi of its place; 100Gi is promised, asked for "
        "51Gi"
    )


def test_nothing_is_promised_of_a_place_that_nobody_has_seen() -> None:
    assert refusal(a_pool(overcommit=1), "default", Quantity.parse("1Mi")) == (
        "pool p: what its place has is not known yet, so nothing is promised"
    )


def test_without_a_ratio_only_the_capacity_counts() -> None:
    pool, _ = after(a_pool(), seen(99))
    assert refusal(pool, "default", Quantity.parse("100Ti")) == ""


# Numbers for people


@pytest.mark.parametrize(
    ("used", "available", "shown"),
    [("0", "1Gi", 0), ("1Gi", "1Gi", 50), ("1Gi", "0", 100), ("0", "0", 100)],
)
def test_percent(used: str, available: str, shown: int) -> None:
    assert percent(Quantity.parse(used), Quantity.parse(available)) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536 << 20, "1.5Gi"), (1 << 40, "1Ti")],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert shown_bytes(count) == text
