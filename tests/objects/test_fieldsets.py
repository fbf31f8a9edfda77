"""The algebra of sets of fields."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.objects.fieldsets import (
    Fields,
    FieldsError,
    difference,
    intersection,
    parsed,
    paths,
    union,
    without,
)

STEPS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])
TREES: st.SearchStrategy[Fields] = st.recursive(
    st.just({}),
    lambda below: st.dictionaries(STEPS | st.just("."), below, max_size=4),
    max_leaves=12,
)
Path = tuple[str, ...]


def members(fields: Fields, above: Path = ()) -> set[Path]:
    """The plain set that a tree stands for."""
    found = set()
    for step, below in fields.items():
        if step != ".":
            path = (*above, step)
            if not below or "." in below:
                found.add(path)
            found |= members(below, path)
    return found


def is_canonical(fields: Fields) -> bool:
    """No path without a member below it, no member written in two ways."""
    return all(below != {".": {}} and is_canonical(below) for below in fields.values())


SETS = TREES.map(parsed)


@given(SETS, SETS)
@pytest.mark.parametrize(
    ("operation", "plain"),
    [
        (union, set.union),
        (intersection, set.intersection),
        (difference, set.difference),
    ],
)
def test_operations_are_those_of_plain_sets(
    operation: Callable[[Fields, Fields], Fields],
    plain: Callable[[set[Path], set[Path]], set[Path]],
    left: Fields,
    right: Fields,
) -> None:
    result = operation(left, right)
    assert members(result) == plain(members(left), members(right))
    assert is_canonical(result)


@given(SETS, SETS)
def test_without_takes_what_is_below_along(left: Fields, right: Fields) -> None:
    doomed = members(right)
    kept = {
        path
        for path in members(left)
        if not any(path[:length] in doomed for length in range(1, len(path) + 1))
    }
    result = without(left, right)
    assert members(result) == kept
    assert is_canonical(result)


@given(SETS, SETS)
def test_what_changes_nothing_returns_the_same_object(left: Fields, right: Fields) -> None:
    both = union(left, right)
    assert union(both, right) is both
    rest = difference(left, right)
    assert difference(rest, right) is rest
    assert difference(left, {}) is left
    assert without(left, {}) is left


@given(TREES)
def test_a_parsed_set_is_canonical_and_parsed_again_the_same(tree: Fields) -> None:
    once = parsed(tree)
    assert is_canonical(once)
    assert parsed(once) == once
    assert members(once) == members(tree)


def test_keys_of_an_element_are_told_apart_by_value_and_not_by_order() -> None:
    step = 'k:{"protocol":"TCP", "port":80}'
    assert parsed({"f:ports": {step: {}}}) == {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {}}}


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {"f:a": 1},
        {"a": {}},
        {"x:a": {}},
        {"k:{": {}},
        {"k:{}": {}},
        {"k:1": {}},
        {"v:": {}},
        {"i:a": {}},
    ],
)
def test_what_is_no_set_is_refused(damaged: Any) -> None:
    with pytest.raises(FieldsError):
        parsed(damaged)


def test_paths_are_named_as_in_messages() -> None:
    fields = {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}}},
            "f:finalizers": {'v:"a"': {}},
            "f:list": {"i:3": {}},
        },
    }
    assert list(paths(fields)) == [
        ".metadata.labels",
        ".metadata.labels.app",
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].name',
        '.spec.finalizers[="a"]',
        ".spec.list[3]",
    ]
