"""Whether what clients were told could have been told by a register with one value at a time.

The register has a value, None at first, that is read and swapped: a swap names the value that it
expects, and is refused where there is another. To make something is a swap from None, to delete
it one to None. Each key of a store is such a register, and may be looked at alone: a history of
several is linearizable if that of each is (Herlihy and Wing).

The search is Wing and Gong's, with the memory of Lowe (Testing for linearizability, 2017): what was
tried is remembered as the set of operations that have taken effect, and the value.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from math import inf
from typing import Final, NamedTuple

Value = str | None  # None: there is nothing


class Outcome(Enum):
    """What a client knows of an operation."""

    OK = "ok"
    REFUSED = "refused"  # of a swap: the value was not the expected one
    UNKNOWN = "unknown"  # there was no answer: it took effect at some time, or it never will


class Operation(NamedTuple):
    """One that a client has asked for.

    value     what was read, or what a swap writes
    expected  by a swap
    began_s, ended_s   by one clock for all clients; the second counts only if the outcome is known
    """

    client: str
    is_read: bool
    value: Value
    expected: Value
    outcome: Outcome
    began_s: float
    ended_s: float = inf

    def __str__(self) -> str:
        what = f"read {self.value}" if self.is_read else f"swap {self.expected} -> {self.value}"
        times = f"{self.began_s:.6f}..{self.ended_s:.6f}"
        return f"{self.client}: {what}: {self.outcome.value} ({times})"


def a_read(client: str, value: Value, began_s: float, ended_s: float) -> Operation:
    return Operation(client, True, value, None, Outcome.OK, began_s, ended_s)


def a_swap(
    client: str,
    expected: Value,
    value: Value,
    outcome: Outcome,
    began_s: float,
    ended_s: float = inf,
) -> Operation:
    return Operation(client, False, value, expected, outcome, began_s, ended_s)


class Violation(NamedTuple):
    """Why a history is not linearizable.

    stuck    an operation that can come nowhere
    taken    the longest order that was found of operations before it, the last of them
    value    of the register after those
    """

    stuck: Operation
    taken: tuple[Operation, ...]
    value: Value

    def __str__(self) -> str:
        before = "\n".join(f"  {one}" for one in self.taken)
        return f"after\n{before}\nthere is {self.value}, so this cannot be:\n  {self.stuck}"


SHOWN: Final = 8  # operations before the one that cannot be
HEAD: Final = 0


def violations(histories: Mapping[str, Sequence[Operation]]) -> dict[str, Violation]:
    """By key, those of whose history there is no order."""
    found = {key: violation(history) for key, history in histories.items()}
    return {key: one for key, one in found.items() if one is not None}


def violation(history: Iterable[Operation]) -> Violation | None:
    """None if the history of one register is linearizable."""
    return _Search([one for one in history if not _says_nothing(one)]).violation()


def takes_effect(operation: Operation, value: Value) -> tuple[bool, Value]:
    """Whether it may take effect at a register of this value, and the value then."""
    if operation.is_read:
        return operation.value == value, value
    if operation.outcome is Outcome.REFUSED:
        return operation.expected != value, value
    return operation.expected == value, operation.value


def _says_nothing(operation: Operation) -> bool:
    return operation.is_read and operation.outcome is not Outcome.OK


class _Search:
    """Through the calls and returns of a history, in a list from which what is taken is lifted.

    Node 0 is the head; operation i has 2i+1 for its call, and 2i+2 for its return if it has one.
    The list ends at the head again.
    """

    def __init__(self, history: list[Operation]) -> None:
        self._history = history
        self._next = [HEAD] * (2 * len(history) + 1)
        self._previous = list(self._next)
        events = []
        for number, one in enumerate(history):
            events.append((one.began_s, 0, 2 * number + 1))  # at one time: they may overlap
            if one.outcome is not Outcome.UNKNOWN:
                events.append((one.ended_s, 1, 2 * number + 2))
        last = HEAD
        for _, _, node in sorted(events):
            self._insert(node, last)
            last = node

    def violation(self) -> Violation | None:
        taken: list[tuple[int, Value]] = []  # operation, and the value before it
        effective, value = 0, None
        tried: set[tuple[int, Value]] = set()
        furthest: Violation | None = None
        most = -1
        node = self._next[HEAD]
        while node != HEAD:  # what is left has no answer, and need not take effect
            if node % 2:
                number = node // 2
                may, after = takes_effect(self._history[number], value)
                mark = effective | 1 << number, after
                if may and mark not in tried:
                    tried.add(mark)
                    taken.append((number, value))
                    effective, value = mark
                    self._lift(number)
                    node = self._next[HEAD]
                else:
                    node = self._next[node]
                continue
            if len(taken) > most:
                most = len(taken)
                before = tuple(self._history[number] for number, _ in taken[-SHOWN:])
                furthest = Violation(self._history[node // 2 - 1], before, value)
            if not taken:
                return furthest
            number, value = taken.pop()
            effective ^= 1 << number
            self._put_back(number)
            node = self._next[2 * number + 1]
        return None

    def _has_return(self, number: int) -> bool:
        return self._history[number].outcome is not Outcome.UNKNOWN

    def _insert(self, node: int, after: int) -> None:
        then = self._next[after]
        self._next[after], self._previous[node] = node, after
        self._next[node], self._previous[then] = then, node

    def _lift(self, number: int) -> None:
        nodes = (2 * number + 1, 2 * number + 2) if self._has_return(number) else (2 * number + 1,)
        for node in nodes:
            before, then = self._previous[node], self._next[node]
            self._next[before], self._previous[then] = then, before

    def _put_back(self, number: int) -> None:
        """In the order opposite to that in which they were lifted, so the neighbours are there."""
        nodes = (2 * number + 2, 2 * number + 1) if self._has_return(number) else (2 * number + 1,)
        for node in nodes:
            before, then = self._previous[node], self._next[node]
            self._next[before] = self._previous[then] = node
