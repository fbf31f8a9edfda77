"""Things in the order of their size, found from any size on in O(log n)."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import merge
from typing import Final, TypeAlias

from sortedcontainers import SortedList

from mooring.model.selector import LabelSelector

FEW: Final = 256  # up to here a plain list is smaller and faster than a SortedList

Item: TypeAlias = tuple[int, int, str]  # (size in nanos, turn among equals, name)
Labels: TypeAlias = dict[str, str]
Label: TypeAlias = tuple[str, str] | str  # a label and its value, or a label of any value


class Row:
    """Items in order."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[Item] | SortedList = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Put it in its place."""
        if not isinstance(self._items, list):
            self._items.add(item)
            return
        insort(self._items, item)
        if len(self._items) > FEW:
            self._items = SortedList(self._items)

    def remove(self, item: Item) -> None:
        """Take out an item that is there."""
        if isinstance(self._items, list):
            del self._items[bisect_left(self._items, item)]
        else:
            self._items.remove(item)

    def from_size(self, size: int, most: int | None = None) -> Iterator[Item]:
        """Items of this size and more, up to `most`, the smallest first."""
        least = (size,)  # before all of this size
        beyond = None if most is None else (most + 1,)
        if isinstance(self._items, list):
            end = None if beyond is None else bisect_left(self._items, beyond)
            return iter(self._items[bisect_left(self._items, least) : end])
        found: Iterator[Item] = self._items.irange(least, beyond, inclusive=(True, False))
        return found

    def first_from(self, size: int) -> Item | None:
        """The first of this size or more."""
        return next(self.from_size(size), None)


class LabelledRow:
    """Items in order, and those of each label once more, so that selectors need not look at all."""

    __slots__ = ("_all", "_labelled")

    def __init__(self) -> None:
        self._all = Row()
        self._labelled: dict[Label, Row] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, item: Item, labels: Labels) -> None:
        """Put it in its place, and in that of each of its labels."""
        self._all.add(item)
        for label in with_bare(labels):
            row = self._labelled.get(label)
            if row is None:
                row = self._labelled[label] = Row()
            row.add(item)

    def remove(self, item: Item, labels: Labels) -> None:
        """Take out an item that was added with these labels."""
        self._all.remove(item)
        for label in with_bare(labels):
            row = self._labelled[label]
            row.remove(item)
            if not row:
                del self._labelled[label]

    def from_size(
        self, size: int, selector: LabelSelector | None, most: int | None = None
    ) -> Iterator[Item]:
        """Items of this size and more, up to `most`, the smallest first, that may match.

        All that it matches, and others: those that have the rarest of the labels it asks for.
        """
        rows = [self._all]
        for labels in asked_labels(selector) if selector else ():
            having = [self._labelled[label] for label in labels if label in self._labelled]
            if sum(map(len, having)) <= sum(map(len, rows)):
                rows = having
        if len(rows) == 1:
            return rows[0].from_size(size, most)
        return merge(*(row.from_size(size, most) for row in rows))


def asked_labels(selector: LabelSelector) -> Iterator[set[Label]]:
    """For each requirement that asks for a label, the labels of which it asks for one."""
    for key, value in selector.match_labels.items():
        yield {(key, value)}
    for requirement in selector.match_expressions:
        if requirement.operator == "In":
            yield {(requirement.key, value) for value in requirement.values}
        elif requirement.operator == "Exists":
            yield {requirement.key}


def with_bare(labels: Labels) -> Iterator[Label]:
    """All labels, with their values and without."""
    yield from labels.items()
    yield from labels
