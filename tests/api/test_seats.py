"""How many connections there may be."""

import pytest

from mooring.api.seats import Seats


def test_who_comes_when_all_seats_are_taken_is_sent_away_and_that_is_told_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seats = Seats(2)
    assert [seats.refuses(taken) for taken in (1, 2, 3, 3, 2)] == [False, False, True, True, False]
    assert [one.getMessage() for one in caplog.records] == [
        "connections refused=1: 2 are open, as many as there may be; end some, or allow "
        "this process more open files (ulimit -n, LimitNOFILE= of its unit)"
    ]
