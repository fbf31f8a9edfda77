"""Services that share a host and path by weight."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.edge.model import Memory, Model, model_of
from mooring.edge.rules import Rule
from mooring.edge.shares import PARTS, parts_of, shared
from mooring.engine.swarm import Service
from tests.edge.making import a_service, a_swarm, some_settings


def modelled(*services: Service) -> Model:
    return model_of(a_swarm(*services), some_settings(), Memory())[0]


def of_weights(*weights: int) -> list[int]:
    return parts_of([Rule("http", "a", "/", f"svc_{one}", weight=one) for one in weights])


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=5))
def test_all_requests_go_somewhere_and_nobody_with_a_weight_is_left_out(weights: list[int]) -> None:
    parts = of_weights(*weights)
    assert sum(parts) == PARTS
    if any(weights):
        assert [bool(one) for one in parts] == [bool(one) for one in weights]
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - PARTS * weight / sum(weights)) < len(weights)


def test_parts_are_as_the_weights() -> None:
    assert of_weights(90, 10) == [90, 10]
    assert of_weights(1, 1, 1) == [34, 33, 33]
    assert of_weights(1000, 1) == [99, 1]
    assert of_weights(1000, 1, 1, 1, 1) == [96, 1, 1, 1, 1]
    assert of_weights(5, 0) == [100, 0]
    assert of_weights(0, 0) == [100, 0]


def shop(name: str, created: int, **labels: str) -> Service:
    said = {"host": "shop.example.com", **labels}
    return a_service(name, created=f"2026-01-0{created}T00:00:00Z", **said)


def test_those_share_who_all_have_a_weight() -> None:
    model = modelled(shop("old", 1, weight="90"), shop("new", 2, weight="10"))
    assert [[one.backend for one in some] for some in shared(model.rules)] == [
        ["svc_idold_", "svc_idnew_"]
    ]
    assert model.shadowed == ()
    assert model.problems == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"weight": "10"}),
        ({"weight": "10"}, {}),
        ({"weight": "90"}, {"weight": "10", "protocol": "h2c"}),
    ],
)
def test_nobody_joins_who_was_not_asked(first: dict[str, str], second: dict[str, str]) -> None:
    model = modelled(shop("old", 1, **first), shop("new", 2, **second))
    assert shared(model.rules) == []
    assert [one.rule.backend for one in model.shadowed] == ["svc_idnew_"]
    assert [one.reason for one in model.problems] == ["HostConflict"]


def test_one_without_a_weight_waits_until_all_that_share_are_gone() -> None:
    shops = [shop("a", 1, weight="1"), shop("b", 2, weight="1"), shop("c", 3)]
    assert [one.rule.backend for one in modelled(*shops).shadowed] == ["svc_idc_"]
    assert Counter(one.backend for one in modelled(*shops[1:]).rules) == {"svc_idb_": 1}


def test_no_more_than_five_share() -> None:
    model = modelled(*(shop(f"s{one}", one, weight="1") for one in range(1, 7)))
    assert len(shared(model.rules)[0]) == 5
    assert [one.rule.backend for one in model.shadowed] == ["svc_ids6_"]
