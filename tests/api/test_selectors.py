"""The selectors of a request."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.api.selectors import field_terms, label_selector
from mooring.api.status import ApiError
from tests.api.kubectl_selectors import SETS_OF_LABELS

RECORDED = json.loads((Path(__file__).parent / "data/selectors-recorded.json").read_text())
LABELS = {"app": "db", "example.com/tier": "back", "size": "7"}


@pytest.mark.parametrize(
    "text",
    [
        "app=db", "app == db", " app = db ", "app!=web", "none!=x", "app in (web, db)", "app",
        "none notin (a,b)", "!none", "! none", "size>6", "size<8", "app=db,example.com/tier=back",
        "app in (db),size notin (8,9),!x", "none!=", "app,size", " ", "app in (db,)",
    ],
)  # fmt: skip
def test_labels_that_a_selector_describes_are_selected(text: str) -> None:
    assert label_selector(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    ["app=web", "app!=db", "app in (a,b)", "app notin (db)", "none", "!app", "size>7", "app="],
)
def test_other_labels_are_not(text: str) -> None:
    assert not label_selector(text).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        ",", "app,", "=", "a b", "a in", "a in (", "a in b", "(a)", "a==b=c", "a=b c", "!", "!!a",
        "a!b", "size>x", "size<", "a/b/c", "-a", "☃", "a in ((b))", "a)", "a=(b)", "a=>b", "\x00",
        "a in (b,,)", "a in (,,)",
    ],
)  # fmt: skip
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as raised:
        label_selector(text)
    assert raised.value.code == "BadRequest"


@pytest.mark.parametrize("piece", [" ", ",", "(", ")", "!", "=", "a", "a,", "a in (", "\t=", "b "])
def test_long_texts_are_read_in_time(piece: str) -> None:
    """Where a pattern could be tried in many ways, this would go on for hours."""
    for text in (piece * 100_000, "a in (" + piece * 100_000, "a" + piece * 100_000):
        with suppress(ApiError):
            label_selector(text)


def test_fields_are_compared_with_the_first_sign_of_a_term() -> None:
    assert field_terms("a=b=c,d!=e,f==g") == [
        ("a", "b=c", True),
        ("d", "e", False),
        ("f", "g", True),
    ]


def test_selectors_mean_what_kubectl_takes_them_to_mean() -> None:
    assert {text: selected(text) for text in RECORDED} == RECORDED


def selected(text: str) -> list[int] | None:
    """The places in SETS_OF_LABELS of those that match; None if the selector is refused."""
    try:
        selector = label_selector(text)
    except ApiError:
        return None
    return [number for number, labels in enumerate(SETS_OF_LABELS) if selector.matches(labels)]
