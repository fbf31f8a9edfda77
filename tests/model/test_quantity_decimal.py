"""Quantities, compared with the same rules on `decimal`, and with what kubectl makes of them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.model.quantity import Quantity, QuantityError, canonical_storage, parse_quantity
from tests.model.decimal_quantity import (
    BINARY,
    EXACT,
    MILLI,
    ONE,
    POWERS,
    read,
    rounded_up,
    written,
)

RECORDED = json.loads((Path(__file__).parent / "data/quantities-recorded.json").read_text())
DIGITS = st.one_of(
    st.integers(0, 10**22).map(str),
    st.builds(
        "{}.{}".format, st.integers(0, 10**12), st.from_regex(r"[0-9]{0,12}", fullmatch=True)
    ),
    st.from_regex(r"\.[0-9]{1,12}", fullmatch=True),
)
SUFFIXES = st.one_of(
    st.sampled_from([*POWERS, *BINARY]),
    st.builds(
        "{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+"]), st.integers(0, 30)
    ),
    st.builds("{}-{}".format, st.sampled_from("eE"), st.integers(0, 20)),
)
TEXTS = st.builds("{}{}{}".format, st.sampled_from(["", "-", "+"]), DIGITS, SUFFIXES)


def amount_of(quantity: Quantity) -> Decimal:
    return EXACT.scaleb(Decimal(quantity.nanos), -9)


@pytest.mark.rule("20.1", "20.5", "20.6", "20.7", "20.8", "20.9", "20.11")
@given(TEXTS)
@example("9223372036854775807Ki")
@example("0.00000000000001Ki")
@example("-1023.9999999999Ei")
def test_an_amount_is_read_and_written_as_decimal_has_it(text: str) -> None:
    amount, family = read(text)
    quantity = parse_quantity(text)
    assert (amount_of(quantity), quantity.family.value) == (amount, family)
    assert quantity.canonical() == written(amount, family)


@pytest.mark.rule("20.10", "20.12")
@given(TEXTS)
def test_an_amount_is_rounded_as_decimal_has_it(text: str) -> None:
    amount, family = read(text)
    quantity = parse_quantity(text)
    assert quantity.bytes() == rounded_up(amount, ONE)
    assert canonical_storage(text) == written(rounded_up(amount, MILLI), family)


@pytest.mark.rule("20.13", "20.14")
@given(TEXTS, TEXTS)
@example("1Gi", "1073741824")
@example("-1m", "-0.001")
def test_two_amounts_compare_and_add_as_decimal_has_it(first: str, second: str) -> None:
    (left, left_family), (right, right_family) = read(first), read(second)
    one, other = parse_quantity(first), parse_quantity(second)
    assert (one < other, one == other, one > other) == (left < right, left == right, left > right)
    assert (one <= other, one >= other) == (left <= right, left >= right)
    assert (hash(one) == hash(other)) >= (left == right)
    family = left_family if left else right_family
    assert one.plus(other).canonical() == written(EXACT.add(left, right), family)
    assert one.minus(other).canonical() == written(EXACT.subtract(left, right), family)


@pytest.mark.rule("20.4")
@given(st.one_of(st.integers(-(10**25), 10**25), st.floats(-1e15, 1e15)))
def test_a_number_is_read_as_its_shortest_text_says(number: int | float) -> None:
    amount, family = read(repr(number))
    quantity = parse_quantity(number)
    assert (amount_of(quantity), quantity.family.value) == (amount, family)


@pytest.mark.rule("20.2", "20.5", "20.6", "20.8")
def test_amounts_are_written_as_kubectl_writes_them() -> None:
    assert {text: canonical_or_none(text) for text in RECORDED} == RECORDED


def canonical_or_none(text: str) -> str | None:
    try:
        return parse_quantity(text).canonical()
    except QuantityError:
        return None
