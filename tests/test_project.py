"""The project's own promises: what the documents say is what the build enforces."""

import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.spec.plugin import COLLECTED
from tests.spec.rules import sections
from tools import conformance

ROOT = Path(__file__).parent.parent
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
SOURCES = sorted((ROOT / "src/mooring").rglob("*.py"))


def contracts() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def layers() -> list[str]:
    text = contracts()["importlinter:contract:layers"]["layers"]
    return text.split("\n")[1:]


def fenced(document: str, info: str) -> list[str]:
    """The lines of the one block of a Markdown document that is fenced with this info word."""
    blocks = re.findall(rf"^```{info}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{len(blocks)} blocks are fenced as {info}"
    return str(blocks[0]).splitlines()


def test_the_architecture_document_shows_the_layers_that_are_enforced_word_for_word() -> None:
    assert fenced(ARCHITECTURE, "layers") == layers()


def test_the_architecture_document_names_every_contract() -> None:
    parser = contracts()
    names = [parser[section]["name"] for section in parser.sections() if "name" in parser[section]]
    unsaid = [name for name in names[1:] if f"- {name}\n" not in ARCHITECTURE]
    assert (len(names), unsaid) == (5, [])


def test_every_room_that_exists_has_a_layer() -> None:
    rooms = {
        path.stem
        for path in (ROOT / "src/mooring").iterdir()
        if (path / "__init__.py").exists() or (path.suffix == ".py" and path.stem != "__init__")
    }
    assert rooms <= set(re.findall(r"\w+", " ".join(layers())))


def test_only_host_starts_processes() -> None:
    starting = re.compile(r"create_subprocess|os\.(system|popen|exec\w+|spawn\w+|fork|posix_spawn)")
    found = [p for p in SOURCES if p.parent.name != "host" and starting.search(p.read_text())]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_has_at_most_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_each_decision_has_a_number_of_its_own_and_says_it() -> None:
    files = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    numbers = [f"{number:04}" for number in range(1, len(files) + 1)]
    assert [file.name.partition("-")[0] for file in files] == numbers
    assert [file.read_text().split(maxsplit=2)[1] for file in files] == numbers


def test_the_lock_pins_every_dependency_by_hash() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    loose = [e.splitlines()[0] for e in entries if "==" in e and "--hash=sha256:" not in e]
    locked = {e.partition("==")[0].lower() for e in entries if "==" in e}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[<>=~! ;\[]", line)[0].lower() for line in asked}
    assert (loose, names - locked) == ([], set())


def test_the_lock_names_no_registry() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_every_target_a_user_calls_is_in_the_help() -> None:
    described = set(re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, re.MULTILINE))
    assert described == {
        *("help", "setup", "demo", "test", "check", "slow"),
        *("run", "bench", "bench-docker", "bench-data", "bench-edge", "bench-hosts"),
        *("schemas", "conformance", "clean"),
    }


# docs/conformance.md: `make conformance` writes it

PAGE_RULES, PAGE_TESTS = conformance.named(conformance.PAGE.read_text())


def test_the_page_of_rules_has_each_rule_as_it_is() -> None:
    rules = (rule for section in sections() for rule in section.rules)
    assert {rule.id: conformance.said(rule) for rule in rules} == PAGE_RULES


def test_the_page_of_rules_names_the_tests_that_show_them(request: pytest.FixtureRequest) -> None:
    """Of the files that this run has collected, which `make check` does with all."""
    if any("::" in one for one in request.config.args) or request.config.getoption("--last-failed"):
        pytest.skip("files were collected in part")
    collected = request.config.stash[COLLECTED]
    files = {str(path.relative_to(ROOT)) for path in collected.files}
    shown = {
        (rule, conformance.without_case(test))
        for test, rules in collected.rules.items()
        for rule in rules
    }
    assert {(rule, test) for rule, test in PAGE_TESTS if test.partition("::")[0] in files} == shown
    named = {test.partition("::")[0] for _, test in PAGE_TESTS}
    assert [file for file in named if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("room", ["system", "docker"])
def test_what_starts_whole_processes_is_not_among_the_quick_tests(room: str) -> None:
    files = (ROOT / "tests" / room).glob("test_*.py")
    marks = ("mark.system", "mark.slow")
    unmarked = [one.name for one in files if not any(it in one.read_text() for it in marks)]
    assert unmarked == []
