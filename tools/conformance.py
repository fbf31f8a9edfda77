"""Write docs/conformance.md: each rule of Kubernetes' storage, the tests that show it, the result.

The rules are tests/spec/rules.yaml, the tests those marked with them (tests/spec/plugin.py). All of
them are run, those with whole processes too; the slow ones only with --slow.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.spec.rules import Rule, Section, sections

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/conformance.md"
FAST: Final = ("-n", "2", "-m", "rule and not system and not slow")
SYSTEM: Final = ("-n", "2", "--dist", "loadfile", "-m", "rule and system and not slow")
SLOW: Final = ("-m", "rule and slow")

Tests = Mapping[str, Mapping[str, str]]  # {rule: {"file::test": outcome}}
RESULTS: Final = ("shown", "fails", "skipped", "not run", "no test", "differs")
HEAD: Final = """\
# Kubernetes' storage, rule by rule

What Kubernetes' storage does, in sentences, and the tests that show that Mooring does the same.
Comments and tests name sections by these numbers. `[n.m+]` is the version of Kubernetes that has a
rule first; where versions differ, the newest counts.

Rules and tests are those of the marks in the source: a test of `make check` fails when this page
has others. Results are those of one run of `make conformance`, on {date} at commit {commit}.
Nothing checks that a later commit has the same.

*shown*: a test passed, and none failed. *not run*: its tests are slow ones, for by hand. *no test*:
nothing here would notice if it were broken. *differs*: Mooring keeps another rule, and says why.
"""


def main(arguments: Sequence[str]) -> None:
    commit = _commit()  # before anything is run
    runs = [("--collect-only",), FAST, SYSTEM, *([SLOW] if "--slow" in arguments else [])]
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        for one in _told(run):
            before = found.get(one["test"])
            if before is None or one["outcome"]:
                found[one["test"]] = one
    now = datetime.now(UTC).date().isoformat()
    PAGE.write_text(page(sections(), by_rule(found.values()), now, commit))


def _commit() -> str:
    """Of the source that is run, as git names it; it says so if files are not as committed."""
    command = ["git", "describe", "--always", "--dirty= with changes", "--exclude=*", "--abbrev=10"]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def _told(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """What pytest says of a run."""
    # Mounts of our own, and Ctrl-C not ignored: as tools/system-tests.sh.
    mounts = ["unshare", "--mount"] if os.geteuid() == 0 else []
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        pytest = [sys.executable, "-m", "pytest", "-rs", f"--rules={file.name}", *arguments]
        subprocess.run(["env", "--default-signal=INT", *mounts, *pytest], cwd=ROOT, check=False)
        told: list[dict[str, Any]] = json.loads(Path(file.name).read_text() or "[]")
    return told


def by_rule(told: Iterable[Mapping[str, Any]]) -> Tests:
    """The cases of one test are one: the worst outcome counts, else the one that is known."""
    order = ("failed", "passed", "skipped", "")
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in told:
        test = without_case(one["test"])
        for rule in one["rules"]:
            both = (one["outcome"], found[rule].get(test, ""))
            found[rule][test] = min(both, key=order.index)
    return found


def without_case(node_id: str) -> str:
    """ "file::test" of a node id."""
    return node_id.partition("[")[0]


def result(rule: Rule, tests: Mapping[str, str]) -> str:
    """One of RESULTS."""
    if rule.differs:
        return "differs"
    outcomes = set(tests.values())
    if not outcomes:
        return "no test"
    if "failed" in outcomes:
        return "fails"
    if "passed" in outcomes:
        return "shown"
    return "skipped" if "skipped" in outcomes else "not run"


def page(all_: Sequence[Section], tests: Tests, date: str, commit: str) -> str:
    """The whole document. date, commit: of the run that the results are of."""
    count: dict[str, int] = dict.fromkeys(RESULTS, 0)
    tables = []
    for section in all_:
        rows = []
        for rule in section.rules:
            of_rule = tests.get(rule.id, {})
            came_of_it = result(rule, of_rule)
            count[came_of_it] += 1
            rows.append(_row(rule, of_rule, came_of_it))
        tables.append(f"\n## {section.number} {section.title}\n\n{_table(rows)}")
    whole = sum(count.values())
    numbers = [f"| {name} | {number} |" for name, number in count.items() if number]
    summary = "\n".join(["", "| rules | " + f"{whole} |", "|---|---|", *numbers, ""])
    return HEAD.format(date=date, commit=commit) + summary + "".join(tables)


def _table(rows: Iterable[str]) -> str:
    return "\n".join(["| | rule | tests | result |", "|---|---|---|---|", *rows]) + "\n"


def _row(rule: Rule, tests: Mapping[str, str], came_of_it: str) -> str:
    return f"| {rule.id} | {said(rule)} | {_links(tests)} | {came_of_it} |"


def said(rule: Rule) -> str:
    """Its cell."""
    return rule.sentence + (f" *Here: {rule.differs}*" if rule.differs else "")


def _links(tests: Iterable[str]) -> str:
    """Each file once, a link, and its tests."""
    files: dict[str, list[str]] = defaultdict(list)
    for test in sorted(tests):
        file, _, name = test.partition("::")
        files[file].append(name)
    return "<br>".join(
        f"[{file.removeprefix('tests/')}](../{file}): {', '.join(names)}"
        for file, names in files.items()
    )


def named(text: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """What a page says: {rule: sentence as it stands there}, and {(rule, "file::test")}."""
    rules, shown = {}, set()
    for line in text.splitlines():
        found = re.fullmatch(r"\| (\d\S*) \| (.*) \| (.*) \| [a-z ]+ \|", line)
        if found is None:
            continue
        id_, sentence, tests = found.groups()
        rules[id_] = sentence
        for file, names in re.findall(r"\]\(\.\./([^)]+)\): ([^<]*)", tests):
            shown |= {(id_, f"{file}::{name}") for name in names.split(", ")}
    return rules, shown


if __name__ == "__main__":
    main(sys.argv[1:])
