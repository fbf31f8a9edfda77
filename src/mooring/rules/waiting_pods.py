"""Pods that wait for something to change, found by what could help them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple


class Mark(NamedTuple):
    """Something that may change: a class, a volume, any node; by its name."""

    what: str
    name: str = ""


A_NODE: Final = Mark("node")  # whichever


def of_class(name: str) -> Mark:
    """What a class can give: itself, free volumes of it, what its driver has room for."""
    return Mark("class", name)


def of_volume(name: str) -> Mark:
    return Mark("volume", name)


class WaitingPods:
    """By key, each with its marks."""

    def __init__(self) -> None:
        self._marks: dict[str, frozenset[Mark]] = {}
        self._keys: defaultdict[Mark, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._marks)

    def put(self, key: str, marks: Iterable[Mark]) -> None:
        """It waits for any of these, and for nothing else any longer."""
        self.remove(key)
        self._marks[key] = frozenset(marks)
        for mark in self._marks[key]:
            self._keys[mark].add(key)

    def remove(self, key: str) -> None:
        """Unknown is fine."""
        for mark in self._marks.pop(key, ()):
            self._keys[mark].discard(key)
            if not self._keys[mark]:
                del self._keys[mark]

    def of(self, mark: Mark) -> list[str]:
        """Those that wait for it, in order."""
        return sorted(self._keys.get(mark, ()))

    def all(self) -> list[str]:
        return sorted(self._marks)
