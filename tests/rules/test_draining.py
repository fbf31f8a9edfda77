"""What a swarm is told of a host that is cordoned or drained, and what becomes of its volumes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.model.names import AVAILABILITY_LABEL, ELSEWHERE, HOME, HOSTNAME
from mooring.model.node import Node
from mooring.model.volume import Volume
from mooring.rules.draining import (
    DRAIN,
    Availability,
    Fate,
    fate,
    settled,
    wanted_availability,
)

ACTIVE, PAUSE, DRAINED = Availability
TAINT = {"key": DRAIN.key, "effect": DRAIN.effect}


def a_node(name: str = "a", *, cordoned: bool = False, taints: tuple[Any, ...] = ()) -> Node:
    doc = {
        "metadata": {"name": name, "labels": {HOSTNAME: name}},
        "spec": {"unschedulable": cordoned, "taints": list(taints)},
    }
    return msgspec.convert(doc, Node)


def a_volume(*hosts: str, **annotations: str) -> Volume:
    wanted = {"key": HOSTNAME, "operator": "In", "values": list(hosts)}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}}
    doc = {
        "metadata": {"name": "v", "annotations": annotations},
        "spec": {"nodeAffinity": affinity} if hosts else {},
    }
    return msgspec.convert(doc, Volume)


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        (a_node(), ACTIVE),
        (a_node(cordoned=True), PAUSE),
        (a_node(cordoned=True, taints=(TAINT,)), DRAINED),
        (a_node(taints=(TAINT,)), ACTIVE),
    ],
)
def test_a_cordoned_host_gets_no_tasks_and_a_drained_one_loses_them(
    node: Node, wanted: Availability
) -> None:
    assert wanted_availability(node) == wanted


@pytest.mark.parametrize("before", Availability)
@pytest.mark.parametrize("steps", [(PAUSE,), (DRAINED,), (PAUSE, DRAINED), (DRAINED, PAUSE)])
def test_what_was_is_had_again(before: Availability, steps: tuple[Availability, ...]) -> None:
    labels, availability = {"rack": "7"}, str(before)
    for wanted in steps:
        labels, availability = settled(labels, availability, wanted)
        order = list(Availability)
        assert order.index(Availability(availability)) == max(map(order.index, (wanted, before)))
        assert settled(labels, availability, wanted) == (labels, availability)  # and stays
    assert settled(labels, availability, ACTIVE) == ({"rack": "7"}, before)


def test_an_operators_later_word_holds() -> None:
    labels, _ = settled({}, "active", DRAINED)
    assert settled(labels, "active", DRAINED) == (labels, "active")
    assert settled(labels, "active", ACTIVE) == ({}, "active")
    labels, _ = settled({}, "drain", PAUSE)
    assert settled(labels, "active", ACTIVE) == ({}, "active")


@given(
    st.sampled_from(["", "active", "x/", "/", "/drain", "x/drain"]), st.sampled_from(Availability)
)
def test_a_label_written_by_hand_does_no_harm(text: str, wanted: Availability) -> None:
    labels, availability = settled({AVAILABILITY_LABEL: text}, "active", wanted)
    assert availability in list(Availability)
    assert (AVAILABILITY_LABEL in labels) == (wanted is not ACTIVE)


@pytest.mark.parametrize(
    ("volume", "found"),
    [
        (a_volume("a"), Fate.STAYS),
        (a_volume("a", "b"), Fate.SHARED),
        (a_volume(), Fate.SHARED),
        (a_volume("b"), None),
        (a_volume("a", **{HOME: "a/local-a", ELSEWHERE: "move"}), Fate.MOVES),
        (a_volume("a", **{HOME: "b/local-b", ELSEWHERE: "move"}), None),
        (a_volume("a", **{HOME: "a/local-a", ELSEWHERE: "replica"}), Fate.MOVES),
    ],
)
def test_what_becomes_of_a_volume(volume: Volume, found: Fate | None) -> None:
    assert fate(volume, a_node(), [a_node(), a_node("b")]) is found


def test_a_volume_that_any_host_could_reach_is_out_of_reach_without_another() -> None:
    assert fate(a_volume(), a_node(), [a_node()]) is Fate.STAYS
