"""The checker finds what is wrong, and nothing else: its proof of teeth."""

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.linearizable import (
    Operation,
    Outcome,
    a_read,
    a_swap,
    takes_effect,
    violation,
    violations,
)

OK, REFUSED, UNKNOWN = Outcome.OK, Outcome.REFUSED, Outcome.UNKNOWN

GOOD = {
    "nothing": [],
    "one after the other": [
        a_swap("a", None, "1", OK, 0, 1),
        a_read("b", "1", 2, 3),
        a_swap("b", "1", "2", OK, 4, 5),
        a_swap("a", "1", "3", REFUSED, 6, 7),
        a_read("a", "2", 8, 9),
    ],
    "a read beside a write sees the old one": [
        a_swap("a", None, "1", OK, 0, 5),
        a_read("b", None, 1, 2),
        a_read("b", "1", 3, 4),
    ],
    "without an answer, and done much later": [
        a_swap("a", None, "1", UNKNOWN, 0),
        a_read("b", None, 1, 2),
        a_read("b", "1", 3, 4),
    ],
    "without an answer, and never done": [
        a_swap("a", None, "1", UNKNOWN, 0),
        a_read("b", None, 1, 2),
    ],
    "deleted and made again by the same that nobody answered": [
        a_swap("a", None, "1", OK, 0, 1),
        a_swap("b", None, "2", UNKNOWN, 2),
        a_swap("a", "1", None, OK, 3, 4),
        a_read("a", "2", 5, 6),
    ],
    "a read without an answer": [Operation("a", True, "9", None, UNKNOWN, 0)],
}
BAD = {
    "a stale read": [
        a_swap("a", None, "1", OK, 0, 1),
        a_swap("a", "1", "2", OK, 2, 3),
        a_read("b", "1", 4, 5),
    ],
    "a read that goes back": [
        a_swap("a", None, "1", OK, 0, 9),
        a_read("b", "1", 1, 2),
        a_read("c", None, 3, 4),
    ],
    "a lost write": [a_swap("a", None, "1", OK, 0, 1), a_read("b", None, 2, 3)],
    "two swaps from one value": [
        a_swap("a", None, "1", OK, 0, 1),
        a_swap("a", "1", "2", OK, 2, 4),
        a_swap("b", "1", "3", OK, 2, 4),
    ],
    "two swaps without an answer, both seen": [
        a_swap("a", None, "1", OK, 0, 1),
        a_swap("a", "1", "2", UNKNOWN, 2),
        a_swap("b", "1", "3", UNKNOWN, 2),
        a_read("c", "2", 3, 4),
        a_read("c", "3", 5, 6),
    ],
    "refused though it was so": [
        a_swap("a", None, "1", OK, 0, 1),
        a_swap("b", "1", "2", REFUSED, 2, 3),
    ],
    "done before it was asked for": [a_read("b", "1", 0, 1), a_swap("a", None, "1", OK, 2, 3)],
    "what nobody wrote": [a_read("b", "7", 0, 1)],
    "deleted, and there again": [
        a_swap("a", None, "1", OK, 0, 1),
        a_swap("a", "1", None, OK, 2, 3),
        a_read("b", "1", 4, 5),
    ],
}


@pytest.mark.parametrize("what", GOOD)
def test_what_could_have_been_is_found_to_be(what: str) -> None:
    assert violation(GOOD[what]) is None


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_have_been_is_found(what: str) -> None:
    assert violation(BAD[what]) is not None


def test_it_says_which_cannot_be_and_after_what() -> None:
    found = violation(BAD["a stale read"])
    assert found is not None
    assert str(found).splitlines()[-1] == "  b: read 1: ok (4.000000..5.000000)"
    assert "there is 2" in str(found)


def test_each_key_is_looked_at_alone() -> None:
    found = violations({"good": GOOD["one after the other"], "bad": BAD["a lost write"]})
    assert set(found) == {"bad"}


def has_an_order(history: list[Operation]) -> bool:
    """The definition word for word: an order of all that was answered, and of some of the rest."""
    answered = [one for one in history if one.outcome is not UNKNOWN]
    open_ = [one for one in history if one.outcome is UNKNOWN and not one.is_read]
    for chosen in range(2 ** len(open_)):
        some = [one for number, one in enumerate(open_) if chosen >> number & 1]
        if any(_is_one(order) for order in permutations([*answered, *some])):
            return True
    return False


def _is_one(order: tuple[Operation, ...]) -> bool:
    value = None
    for number, one in enumerate(order):
        if any(later.ended_s < one.began_s for later in order[number + 1 :]):
            return False
        may, value = takes_effect(one, value)
        if not may:
            return False
    return True


VALUES = st.sampled_from([None, "1", "2"])
TIMES = st.integers(0, 8)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    began_s, took_s = draw(TIMES), draw(st.integers(0, 5))
    if draw(st.booleans()):
        return a_read("r", draw(VALUES), began_s, began_s + took_s)
    outcome = draw(st.sampled_from(Outcome))
    ended = () if outcome is UNKNOWN else (began_s + took_s,)
    return a_swap("w", draw(VALUES), draw(VALUES), outcome, began_s, *ended)


@given(st.lists(operations(), max_size=5))
@settings(deadline=None, max_examples=400)
def test_it_agrees_with_the_definition(history: list[Operation]) -> None:
    assert (violation(history) is None) == has_an_order(history)


def a_run(seed: int, number: int = 400, clients: int = 5) -> list[Operation]:
    """What clients are told by a register that is right: each has one operation at a time."""
    chance = random.Random(seed)
    value, now_s, version = None, 0.0, 0
    free_s = [0.0] * clients
    seen: list[str | None] = [None] * clients
    history = []
    for _ in range(number):  # in the order in which they take effect, at now_s
        now_s += chance.random()
        who = chance.randrange(clients)
        began_s = max(free_s[who], now_s - chance.random() * 3)
        now_s = max(now_s, began_s)
        ended_s = free_s[who] = now_s + chance.random() * 3
        client = f"c{who}"
        if chance.random() < 0.4:
            seen[who] = value
            history.append(a_read(client, value, began_s, ended_s))
            continue
        version += 1
        expected, new = seen[who], None if chance.random() < 0.1 else str(version)
        answered = chance.random() < 0.9
        done = expected == value and (answered or chance.random() < 0.5)
        outcome = (OK if expected == value else REFUSED) if answered else UNKNOWN
        if done:
            value = new
        history.append(a_swap(client, expected, new, outcome, began_s, *[ended_s] * answered))
    return history


@pytest.mark.parametrize("seed", range(5))
def test_a_long_run_of_a_register_that_is_right_is_found_right(seed: int) -> None:
    assert violation(a_run(seed)) is None


@pytest.mark.parametrize("seed", range(5))
def test_one_old_read_in_a_long_run_is_found(seed: int) -> None:
    """Planted where it can have been no more: of a value that was replaced before it began."""
    history = a_run(seed)
    writes = [one for one in history if not one.is_read and one.outcome is OK and one.value]
    old = writes[len(writes) // 2].value
    end_s = max(one.ended_s for one in history if one.outcome is not UNKNOWN)
    at = next(n for n, one in enumerate(history) if one.is_read and one.began_s > end_s * 0.9)
    history[at] = history[at]._replace(value=old)
    assert violation(history) is not None


@pytest.mark.parametrize("seed", range(5))
def test_one_lost_write_in_a_long_run_is_found(seed: int) -> None:
    """Said to be done, and by what follows it was not."""
    history = a_run(seed)
    refused = [
        n
        for n, one in enumerate(history)
        if one.outcome is REFUSED and one.value is not None and 50 < n < 350
    ]
    history[refused[0]] = history[refused[0]]._replace(outcome=OK, expected=None)
    assert violation(history) is not None
