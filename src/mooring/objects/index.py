"""Objects found by what they have in common, without looking at all of their kind."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from mooring.objects.cache import Entry, Event, Shelf

Marks: TypeAlias = Callable[[Entry], Iterable[str]]  # of one state of an object, always the same


class Index:
    """The objects of one shelf by their marks; kept current from the first question on."""

    def __init__(self, shelf: Shelf, marks: Marks) -> None:
        self._shelf, self._marks = shelf, marks
        self._keys: defaultdict[str, set[str]] = defaultdict(set)  # by mark
        self._unfollow: Callable[[], None] | None = None

    def keys(self, mark: str) -> list[str]:
        """Of the objects that have a mark, in order."""
        if self._unfollow is None:
            self._unfollow = self._shelf.follow(self._changed)
            for entry in self._shelf.entries():
                self._file(entry)
        found = self._keys.get(mark)
        return sorted(found) if found else []

    def stop(self) -> None:
        """Follow no longer. What is asked later is looked for anew."""
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
            self._keys.clear()

    def _file(self, entry: Entry) -> None:
        for mark in self._marks(entry):
            self._keys[mark].add(entry.key)

    def _changed(self, event: Event) -> None:
        if event.before is not None:
            for mark in self._marks(event.before):
                self._keys[mark].discard(event.key)
                if not self._keys[mark]:
                    del self._keys[mark]
        if event.after is not None:
            self._file(event.after)
