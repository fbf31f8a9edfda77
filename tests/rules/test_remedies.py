"""Command lines for people: right, and harmless whatever the names in them."""

import shlex

import pytest

from mooring.model.metadata import ObjectReference
from mooring.model.names import CONTAINER_NAME, SELECTED_NODE
from mooring.model.pod import MIRROR, Pod
from mooring.rules.remedies import asking, choosing, deleting, editing, ending, freeing, naming
from tests.rules.making import a_claim, a_volume
from tests.rules.test_scheduling import a_pod

EVIL = "x'; touch /tmp/y; echo '$(id)"


def a_mirror(**annotations: str) -> Pod:
    return a_pod("db", nodeName="here").with_metadata(
        labels={MIRROR: "docker"}, annotations=annotations
    )


def test_names_are_as_they_are() -> None:
    assert deleting("pvc", a_claim()) == "kubectl delete pvc db -n default"
    assert deleting("pv", a_volume()) == "kubectl delete pv v1"
    assert asking("pod", a_pod("db")) == "mooring explain pod p -n default"


@pytest.mark.parametrize(
    "line",
    [
        deleting("pvc", ObjectReference(namespace=EVIL, name=EVIL)),
        editing("pool", EVIL),
        choosing(a_claim(), EVIL),
        freeing(a_volume(EVIL)),
        naming(a_claim(), a_volume(EVIL)),
        ending([a_mirror(**{CONTAINER_NAME: EVIL})]).removeprefix("on here: "),
    ],
)
def test_text_from_others_stays_a_word_of_its_own(line: str) -> None:
    words = shlex.split(line)
    assert words[0] in ("kubectl", "docker")
    assert any(EVIL in word for word in words)
    assert "touch" not in words


def test_a_node_is_chosen_by_an_annotation() -> None:
    assert choosing(a_claim(), "n1") == f"kubectl annotate pvc db -n default {SELECTED_NODE}=n1"


def test_pods_are_deleted_and_containers_removed() -> None:
    assert ending([a_pod("db")]) == "kubectl delete pod p -n default"
    assert ending([a_mirror(**{CONTAINER_NAME: "web"})]) == "on here: docker rm -f web"
    assert ending([a_mirror()]) == "the end of what uses it on here"


def test_many_are_counted() -> None:
    line = ending([a_pod("db")] * 5)
    assert line == ", ".join(["kubectl delete pod p -n default"] * 3) + ", and so on for 2 more"
