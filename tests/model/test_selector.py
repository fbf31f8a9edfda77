"""Label selectors and node affinity: what they match."""

import pytest

from mooring.model.selector import (
    LabelSelector,
    NodeAffinity,
    NodeSelector,
    NodeSelectorTerm,
    Requirement,
    only_node,
)
from tests.rules.making import labelled

LABELS = {"app": "db", "tier": "", "rack": "12"}
MATCHING = {
    "In": ("app", "In", ["web", "db"]),
    "In an empty value": ("tier", "In", [""]),
    "NotIn": ("app", "NotIn", ["web"]),
    "NotIn of a missing label": ("zone", "NotIn", ["a"]),
    "Exists": ("tier", "Exists", []),
    "DoesNotExist": ("zone", "DoesNotExist", []),
    "Gt": ("rack", "Gt", ["9"]),
    "Lt": ("rack", "Lt", ["100"]),
}
NOT_MATCHING = {
    "In": ("app", "In", ["web"]),
    "In of a missing label": ("zone", "In", [""]),
    "NotIn": ("app", "NotIn", ["db", "web"]),
    "Exists": ("zone", "Exists", []),
    "DoesNotExist": ("tier", "DoesNotExist", []),
    "Gt of an equal number": ("rack", "Gt", ["12"]),
    "Lt of no number": ("app", "Lt", ["100"]),
    "Gt of nothing": ("rack", "Gt", []),
    "Gt of a missing label": ("zone", "Gt", ["1"]),
    "an unknown operator": ("app", "Like", ["db"]),
}


@pytest.mark.parametrize("expression", MATCHING.values(), ids=MATCHING)
def test_an_expression_matches(expression) -> None:
    assert labelled(expression).matches(LABELS)


@pytest.mark.parametrize("expression", NOT_MATCHING.values(), ids=NOT_MATCHING)
def test_an_expression_does_not_match(expression) -> None:
    assert not labelled(expression).matches(LABELS)


def test_all_labels_and_all_expressions_must_match() -> None:
    assert labelled(("tier", "Exists", []), app="db").matches(LABELS)
    assert not labelled(("zone", "Exists", []), app="db").matches(LABELS)
    assert not labelled(("tier", "Exists", []), app="db", rack="13").matches(LABELS)


def test_an_empty_selector_matches_everything() -> None:
    assert LabelSelector().matches({})


def term(*pairs: tuple[str, str]) -> NodeSelectorTerm:
    requirements = (Requirement(key=key, operator="In", values=(value,)) for key, value in pairs)
    return NodeSelectorTerm(match_expressions=tuple(requirements))


def affinity(*terms: NodeSelectorTerm) -> NodeAffinity:
    return NodeAffinity(required=NodeSelector(node_selector_terms=terms))


@pytest.mark.rule("6.12")
def test_one_of_the_terms_is_enough_and_within_a_term_all_expressions_must_match() -> None:
    either = affinity(term(("app", "db"), ("rack", "13")), term(("rack", "12")))
    assert either.allows(LABELS)
    assert not affinity(term(("app", "db"), ("rack", "13"))).allows(LABELS)


def test_without_a_requirement_every_node_is_allowed() -> None:
    assert NodeAffinity().allows({})


@pytest.mark.parametrize("nothing", [affinity(), affinity(NodeSelectorTerm())])
def test_no_terms_and_a_term_without_expressions_allow_no_node(nothing: NodeAffinity) -> None:
    assert not nothing.allows(LABELS)


def test_a_term_may_ask_for_the_name_of_the_node() -> None:
    name = Requirement(key="metadata.name", operator="In", values=("n1",))
    by_name = affinity(NodeSelectorTerm(match_fields=(name,)))
    assert by_name.allows({}, "n1")
    assert not by_name.allows({}, "n2")


def test_a_volume_of_one_host_is_reached_from_there_alone() -> None:
    local = only_node("kubernetes.io/hostname", "n1")
    assert local.allows({"kubernetes.io/hostname": "n1"})
    assert not local.allows({"kubernetes.io/hostname": "n2"})
    assert not local.allows({})
