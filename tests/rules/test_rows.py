"""Rows of things by size: what comes out, in which order, and how little of it is looked at."""

import pytest

from mooring.model.selector import LabelSelector
from mooring.rules.rows import FEW, LabelledRow, Row
from tests.rules.making import labelled

SIZES = pytest.mark.parametrize("count", [3, FEW, FEW + 1, 3 * FEW], ids="{} items".format)


def a_row(count: int) -> Row:
    row = Row()
    for number in range(count - 1, -1, -1):
        row.add((number // 2, number, f"v{number}"))
    return row


@SIZES
def test_a_row_gives_all_of_a_size_and_more_the_smallest_first(count: int) -> None:
    row = a_row(count)
    assert list(row.from_size(1)) == [(n // 2, n, f"v{n}") for n in range(2, count)]
    assert row.first_from(1) == ((1, 2, "v2") if count > 2 else None)
    assert row.first_from(count) is None


@SIZES
def test_a_row_gives_none_that_is_larger_than_asked_for(count: int) -> None:
    row = a_row(count)
    assert list(row.from_size(1, 1)) == [(1, n, f"v{n}") for n in (2, 3) if n < count]
    assert list(row.from_size(2, 1)) == []


@SIZES
def test_a_row_can_be_emptied_in_any_order(count: int) -> None:
    row = a_row(count)
    for number in [*range(0, count, 2), *range(1, count, 2)]:
        row.remove((number // 2, number, f"v{number}"))
    assert len(row) == 0
    assert list(row.from_size(0)) == []


def a_labelled_row() -> LabelledRow:
    """100 things: a tenth is red, each has a number of its own, one has a lid."""
    row = LabelledRow()
    for number in range(100):
        row.add((number % 7, 0, f"v{number}"), labels_of(number))
    return row


def labels_of(number: int) -> dict[str, str]:
    lid = {"lid": ""} if number == 42 else {}
    return {"color": "red" if number % 10 == 0 else "blue", "number": str(number), **lid}


LOOKED_AT = {
    "none asked": (LabelSelector(), 100),
    "one label": (labelled(color="red"), 10),
    "the rarer of two": (labelled(color="blue", number="7"), 1),
    "a label in whatever value": (labelled(("lid", "Exists", [])), 1),
    "one of several values": (labelled(("number", "In", ["7", "8", "none"]), color="red"), 2),
    "a label nobody has": (labelled(color="green"), 0),
    "only what it must not be": (labelled(("color", "NotIn", ["red"])), 100),
    "what it must not have besides": (labelled(("lid", "DoesNotExist", []), color="red"), 10),
}


@pytest.mark.parametrize(("selector", "count"), LOOKED_AT.values(), ids=LOOKED_AT)
def test_no_more_is_looked_at_than_has_the_rarest_label(
    selector: LabelSelector, count: int
) -> None:
    found = list(a_labelled_row().from_size(0, selector))
    assert len(found) == count
    assert found == sorted(found)
    matching = {f"v{number}" for number in range(100) if selector.matches(labels_of(number))}
    assert matching <= {name for _, _, name in found}


def test_labels_that_nothing_has_any_more_are_forgotten() -> None:
    row = a_labelled_row()
    for number in range(100):
        row.remove((number % 7, 0, f"v{number}"), labels_of(number))
    assert len(row) == 0
    assert list(row.from_size(0, labelled(color="red"))) == []
