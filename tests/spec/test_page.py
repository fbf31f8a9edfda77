"""How marks become the page of rules."""

import pytest

from tests.spec.plugin import rules_of
from tests.spec.rules import Rule, Section
from tools.conformance import by_rule, named, page, result

KEPT, OTHER = Rule("4.A1", "It is `so`.", ""), Rule("4.B", "It is else.", "it cannot be")


def told(test: str, outcome: str, *rules: str) -> dict[str, object]:
    return {"test": test, "rules": list(rules), "outcome": outcome}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], "no test"),
        ([""], "not run"),
        (["skipped", ""], "skipped"),
        (["passed", "skipped", ""], "shown"),
        (["passed", "failed"], "fails"),
    ],
)
def test_what_came_of_a_rule_is_what_came_of_its_tests(outcomes: list[str], expected: str) -> None:
    assert result(KEPT, {str(number): one for number, one in enumerate(outcomes)}) == expected
    assert result(OTHER, {}) == "differs"


def test_the_cases_of_a_test_are_one_and_the_worst_counts() -> None:
    cases = [told("t.py::a[1]", "passed", "4.A1"), told("t.py::a[x::y[2]]", "failed", "4.A1")]
    assert by_rule(cases) == {"4.A1": {"t.py::a": "failed"}}
    assert by_rule([cases[0], told("t.py::a[3]", "", "4.A1")]) == {"4.A1": {"t.py::a": "passed"}}


def test_a_page_can_be_read_back() -> None:
    tests = {"4.A1": dict.fromkeys(("tests/a.py::x", "tests/a.py::y", "tests/b/c.py::z"), "passed")}
    text = page([Section("4", "A claim", [KEPT, OTHER])], tests, "2026-01-01", "0a1b2c3d4e")
    assert "on 2026-01-01 at commit 0a1b2c3d4e." in text
    assert "| shown | 1 |\n| differs | 1 |\n" in text
    assert named(text) == (
        {"4.A1": "It is `so`.", "4.B": "It is else. *Here: it cannot be*"},
        {("4.A1", test) for test in tests["4.A1"]},
    )


def test_a_mark_of_a_rule_that_there_is_not_is_refused() -> None:
    marks = [pytest.mark.rule("4.A1", "99.1").mark]
    with pytest.raises(pytest.UsageError, match=r"tests/a.py::x: no such rule: 99.1"):
        rules_of("tests/a.py::x", marks)
    assert rules_of("tests/a.py::x", [pytest.mark.rule("5.1", "4.A1").mark]) == ["4.A1", "5.1"]
