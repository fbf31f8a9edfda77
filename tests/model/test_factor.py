"""What counts as how many times as much."""

from fractions import Fraction

import pytest

from mooring.model.factor import factor, shown_factor


@pytest.mark.parametrize(
    ("text", "times"),
    [("1", Fraction(1)), ("4", Fraction(4)), ("1.5", Fraction(3, 2)), ("01.10", Fraction(11, 10))],
)
def test_a_decimal_number_is_read_exactly(text: str, times: Fraction) -> None:
    assert factor(text) == times


@pytest.mark.parametrize(
    "text",
    [None, "", "0", "0.999999999", "-2", "+2", " 2", "2 ", "1e3", "4/2", "1.", ".5", "1_0", "inf",
     "nan", "2x", "\u0662", "1,5", "1234567890", "1.0123456789", "9" * 5000],
)  # fmt: skip
def test_what_is_none_is_not_read(text: str | None) -> None:
    assert factor(text) is None


@pytest.mark.parametrize("text", ["1", "1.5", "1024", "1000000", "999999999.999999999"])
def test_it_is_shown_as_it_was_said(text: str) -> None:
    found = factor(text)
    assert found is not None
    assert shown_factor(found) == text
