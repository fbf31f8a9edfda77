"""Each situation has its whole text, and what that recommends works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.situations.page import PAGE, SITUATIONS, texts_of, written
from tests.situations.situation import Remedy, Situation
from tests.situations.stage import Run, Stage, commands, plain

TEXTS = texts_of(PAGE.read_text())
HOPES = {"if that can be put right, it is cut by itself"}  # which are not for all that failed
CASES = [
    pytest.param(one, remedy, id=f"{one.title}: {remedy.words}")
    for one in SITUATIONS
    for remedy in one.remedies
]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(("situation", "remedy"), CASES)
def test_a_situation_has_its_text_and_what_it_recommends_works(
    situation: Situation, remedy: Remedy, stage: Stage
) -> None:
    stage.act(situation.given)
    stage.text = stage.explained(situation.asks)
    assert plain(stage.text) == TEXTS[situation.title]
    assert remedy.words in stage.text
    already = [fact.what for fact in remedy.facts if fact.holds(stage)]
    assert already != [fact.what for fact in remedy.facts], "there is nothing to be put right"
    stage.act(remedy.steps)
    assert [fact.what for fact in remedy.facts if not fact.holds(stage)] == []


def test_the_page_has_the_situations_in_their_order_and_nothing_else() -> None:
    assert list(TEXTS) == [one.title for one in SITUATIONS]
    assert written(TEXTS) == PAGE.read_text()


def test_every_situation_has_a_remedy() -> None:
    assert [one.title for one in SITUATIONS if not one.remedies] == []
    assert [title for title, text in TEXTS.items() if "  would help: " not in text] == []


def test_every_remedy_that_a_text_names_is_followed() -> None:
    unfollowed = []
    for one in SITUATIONS:
        _, _, helps = TEXTS[one.title].partition("would help: ")
        for part in helps.split("; "):
            if part not in HOPES and not any(remedy.words in part for remedy in one.remedies):
                unfollowed.append((one.title, part))
    assert unfollowed == []


def test_every_command_that_is_recommended_is_run() -> None:
    unrun = []
    for one in SITUATIONS:
        starts = [
            step.start for remedy in one.remedies for step in remedy.steps if isinstance(step, Run)
        ]
        for command in commands(TEXTS[one.title]):
            if not any(command.startswith(start) for start in starts):
                unrun.append((one.title, command))
    assert unrun == []
