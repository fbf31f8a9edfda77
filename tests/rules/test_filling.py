"""How far work on data is, in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.backup import Condition, VolumeBackup, with_condition
from mooring.rules.backups import after_failure, delay_s
from mooring.rules.filling import Amount

MIB = 1 << 20


@pytest.mark.parametrize(
    ("amount", "elapsed_s", "text"),
    [
        (Amount(0, 0), 9, "looking at what there is"),
        (Amount(0, 1200 * MIB), 9, "0 % of 1.17 GiB"),
        (Amount(504 * MIB, 1200 * MIB), 9, "42 % of 1.17 GiB, 12 s left"),
        (Amount(504 * MIB, 1200 * MIB), 0.1, "42 % of 1.17 GiB"),
        (Amount(1, 1000), 3, "0 % of 0.977 KiB, 49 min left"),
        (Amount(1, 10_000), 3, "0 % of 9.77 KiB, 8 h left"),
    ],
)
def test_it_is_told(amount: Amount, elapsed_s: float, text: str) -> None:
    assert amount.shown(elapsed_s) == text


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60), st.floats(0, 1e6))
def test_it_is_never_more_than_all(done: int, of: int, elapsed_s: float) -> None:
    amount = Amount(done, of)
    assert 0 <= amount.percent <= 100
    assert (amount.left_s(elapsed_s) or 0) >= 0


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    first = with_condition((), Condition(type="A", status="True", message="x"), "t1")
    again = with_condition(first, Condition(type="A", status="True", message="y"), "t2")
    assert (again[0].last_transition_time, again[0].message) == ("t1", "y")
    other = with_condition(again, Condition(type="A", status="False"), "t3")
    assert (len(other), other[0].last_transition_time) == (1, "t3")


def test_a_backup_is_given_up_after_its_retries() -> None:
    backup = VolumeBackup()
    phases = []
    for _ in range(backup.spec.retries + 1):
        backup = after_failure(backup, "full", "now")
        phases.append(backup.status.phase)
    assert phases == ["Pending", "Pending", "Pending", "Failed"]
    assert (backup.status.completion_time, backup.status.error) == ("now", "full")


def test_pauses_between_tries_grow_up_to_ten_minutes() -> None:
    assert [delay_s(failures) for failures in (1, 2, 3, 9)] == [10, 20, 40, 600]
