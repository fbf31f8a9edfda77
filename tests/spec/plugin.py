"""Marks say which rules of Kubernetes' storage a test shows.

`@pytest.mark.rule("4.A1")` on a test, one of its cases or a module; any number of rules. A test
gets the mark only if it would fail were the rule broken. `--rules=FILE` writes what came of them:
[{"test": node id, "rules": [id], "outcome": "passed", "failed", "skipped" or "" (not run)}].
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.spec.rules import ids

MARK: Final = "rule"
PROPERTY: Final = "rules"  # of reports, by which they come from other processes too
WORST_FIRST: Final = ("failed", "skipped", "passed", "")


class Collected(NamedTuple):
    """files  all of whose tests were collected, selected or not   rules  of each marked test"""

    files: set[Path]
    rules: dict[str, list[str]]


COLLECTED: Final = pytest.StashKey[Collected]()
OUTCOMES: Final = pytest.StashKey[dict[str, str]]()


def case(rules: str, *values: Any) -> Any:
    """A row of a parametrized table that shows rules; several ids have blanks between."""
    return pytest.param(*values, marks=pytest.mark.rule(*rules.split()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rules", metavar="FILE", help="write what came of tests that show rules")


def pytest_configure(config: pytest.Config) -> None:
    line = f"{MARK}(*ids): shows rules of tests/spec/rules.yaml; docs/conformance.md is made of it"
    config.addinivalue_line("markers", line)
    config.stash[OUTCOMES] = {}
    config.pluginmanager.register(_Reports(config), "rules of reports")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before any are deselected."""
    marked = {item.nodeid: rules_of(item.nodeid, item.iter_markers(MARK)) for item in items}
    config.stash[COLLECTED] = Collected(
        {item.path for item in items}, {test: rules for test, rules in marked.items() if rules}
    )
    for item in items:
        if marked[item.nodeid]:
            item.user_properties.append((PROPERTY, marked[item.nodeid]))


def rules_of(test: str, marks: Iterable[pytest.Mark]) -> list[str]:
    """What the marks of a test name. Raises UsageError."""
    found = sorted({rule for mark in marks for rule in mark.args})
    if unknown := set(found) - ids():
        raise pytest.UsageError(f"{test}: no such rule: {', '.join(sorted(unknown))}")
    return found


class _Reports:
    """Hears of each test, wherever it ran."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rules: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rules = dict(report.user_properties).get(PROPERTY)
        if not isinstance(rules, list):
            return
        outcomes = self._config.stash[OUTCOMES]
        both = (report.outcome, outcomes.get(report.nodeid, ""))
        outcomes[report.nodeid] = min(both, key=WORST_FIRST.index)
        self._rules[report.nodeid] = rules

    def pytest_sessionfinish(self) -> None:
        file = self._config.getoption("--rules")
        if not file or hasattr(self._config, "workerinput"):
            return
        seen = self._config.stash.get(COLLECTED, Collected(set(), {})).rules | self._rules
        outcomes = self._config.stash[OUTCOMES]
        told = [
            {"test": test, "rules": rules, "outcome": outcomes.get(test, "")}
            for test, rules in seen.items()
        ]
        Path(file).write_text(json.dumps(told, indent=1))
