"""What failed is left alone for a while, twice as long each time."""

import pytest

from mooring.reconcile.backoff import Backoff
from tests.controllers.clocked import HandClock


@pytest.mark.rule("3.9")
def test_the_delay_doubles_up_to_the_longest() -> None:
    clock = HandClock()
    backoff = Backoff(clock)
    delays = [backoff.failed("v") for _ in range(40)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == 120


def test_it_may_be_tried_again_when_the_delay_is_over_and_not_before() -> None:
    clock = HandClock()
    backoff = Backoff(clock)
    backoff.failed("v")
    clock.move(0.25)
    assert backoff.left_s("v") == 0.25
    clock.move(0.25)
    assert backoff.left_s("v") <= 0


def test_keys_do_not_wait_for_each_other_and_success_is_forgotten() -> None:
    backoff = Backoff(HandClock())
    backoff.failed("v")
    assert backoff.left_s("w") <= 0
    backoff.forget("v")
    assert backoff.left_s("v") <= 0
    assert backoff.failed("v") == 0.5


def test_all_may_be_tried_at_once_when_told_to_hurry() -> None:
    backoff = Backoff(HandClock())
    backoff.failed("v")
    backoff.hurry()
    assert backoff.left_s("v") <= 0


@pytest.mark.rule("3.10")
def test_an_object_made_anew_under_the_same_key_has_failures_of_its_own() -> None:
    backoff = Backoff(HandClock())
    for _ in range(5):
        backoff.failed("default/db", "old")
    assert backoff.left_s("default/db", "new") <= 0
    assert backoff.failed("default/db", "new") == 0.5
    assert backoff.left_s("default/db", "new") == 0.5


def test_one_that_may_be_tried_now_waits_longer_when_it_fails_again() -> None:
    backoff = Backoff(HandClock())
    delays = [backoff.failed("v", longest_s=1.5) for _ in range(2)]
    backoff.allow("v")
    backoff.allow("unknown")
    assert backoff.left_s("v") <= 0
    assert [*delays, backoff.failed("v", longest_s=1.5)] == [0.5, 1.0, 1.5]
