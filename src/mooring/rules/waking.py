"""Which claim to wake for a volume that became free: matching (§6) from the volume's side.

A claim is put here when it was looked at and nothing fitted, and leaves when it is to be looked at
again, so one volume wakes one claim. Claims lie by what they must equal, by their access modes, by
their selector and by their limit of waste, in the order of their size; a question costs O(log n)
for each set of modes, and each selector that asks for a label of the volume with each limit,
whatever the number of claims.
"""

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import msgspec

from mooring.model.claim import Claim
from mooring.model.selector import LabelSelector
from mooring.model.volume import Volume
from mooring.rules.matching import Shelfmark
from mooring.rules.rows import Item, Label, Row, asked_labels, with_bare
from mooring.rules.waste import WasteLimit


class Choosiness(NamedTuple):
    """What a claim asks of volumes beside what they must equal, and their size."""

    selector: bytes  # encoded, b"" for none
    times: Fraction | None  # as large as it asks they may be, None: any size


class Place(NamedTuple):
    """Where a claim waits."""

    mark: Shelfmark
    modes: frozenset[str]
    choosiness: Choosiness
    item: Item  # (request in nanos, negative; turn; key)


class Alike:
    """Claims that wait for the same, as choosy as each other."""

    __slots__ = ("hook", "row", "selector", "times")

    def __init__(
        self, selector: LabelSelector | None, times: Fraction | None, hook: frozenset[Label]
    ) -> None:
        self.selector = selector
        self.times = times
        self.hook = hook  # a volume must have one of these labels; none: it may be any volume
        self.row = Row()

    def first_for(self, volume: Volume) -> Item | None:
        """The one with the largest request that the volume satisfies."""
        if self.selector is not None and not self.selector.matches(volume.metadata.labels):
            return None
        size = volume.capacity.nanos
        item = self.row.first_from(-size)
        # What is too much waste for the largest is so for all.
        if item is not None and self.times is not None and size > -item[0] * self.times:
            return None
        return item


class Hall:
    """Claims that wait for volumes of one shelfmark with the same access modes."""

    __slots__ = ("_alike", "_anyhow", "_hooked")

    def __init__(self) -> None:
        self._alike: dict[Choosiness, Alike] = {}
        self._anyhow: set[Choosiness] = set()
        self._hooked: defaultdict[Label, set[Choosiness]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._alike)

    def add(self, place: Place, selector: LabelSelector | None) -> None:
        key = place.choosiness
        alike = self._alike.get(key)
        if alike is None:
            alike = self._alike[key] = Alike(selector, key.times, self._hook_for(selector))
            for hooked in self._hooks(alike):
                hooked.add(key)
        alike.row.add(place.item)

    def remove(self, place: Place) -> None:
        alike = self._alike[place.choosiness]
        alike.row.remove(place.item)
        if alike.row:
            return
        del self._alike[place.choosiness]
        for hooked in self._hooks(alike):
            hooked.discard(place.choosiness)
        for label in alike.hook:
            if not self._hooked[label]:
                del self._hooked[label]

    def first_for(self, volume: Volume) -> Item | None:
        """The one with the largest request that the volume satisfies."""
        firsts = (self._alike[key].first_for(volume) for key in self._to_ask(volume))
        return min((item for item in firsts if item is not None), default=None)

    def _to_ask(self, volume: Volume) -> set[Choosiness]:
        asked = set(self._anyhow)
        for label in with_bare(volume.metadata.labels):
            asked |= self._hooked.get(label, set())
        return asked

    def _hook_for(self, selector: LabelSelector | None) -> frozenset[Label]:
        """The labels of that requirement which the fewest selectors here hang on."""
        choices = [frozenset(labels) for labels in asked_labels(selector)] if selector else []
        return min(choices, key=self._crowd, default=frozenset())

    def _crowd(self, labels: frozenset[Label]) -> int:
        return sum(len(self._hooked[label]) for label in labels if label in self._hooked)

    def _hooks(self, alike: Alike) -> Iterator[set[Choosiness]]:
        if not alike.hook:
            yield self._anyhow
        for label in alike.hook:
            yield self._hooked[label]


class WaitingClaims:
    """Claims for which no volume was found."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._halls: defaultdict[Shelfmark, dict[frozenset[str], Hall]] = defaultdict(dict)
        self._turn = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def put(self, claim: Claim, limit: WasteLimit | None = None) -> None:
        """Nothing fits it now. One that waits already, and for the same, keeps its turn.

        limit  as in VolumeIndex.best
        """
        self._turn += 1
        selector = claim.spec.selector
        encoded = msgspec.json.encode(selector, order="deterministic") if selector else b""
        item = (-claim.request.nanos, self._turn, claim.key)
        choosiness = Choosiness(encoded, None if limit is None else limit.times)
        place = Place(Shelfmark.of(claim), claim.modes, choosiness, item)
        if (old := self._places.get(claim.key)) and _same_but_for_the_turn(old, place):
            return
        self.remove(claim.key)
        self._places[claim.key] = place
        halls = self._halls[place.mark]
        if place.modes not in halls:
            halls[place.modes] = Hall()
        halls[place.modes].add(place, selector)

    def remove(self, key: str) -> None:
        """It is gone, or about to be looked at; unknown is fine."""
        place = self._places.pop(key, None)
        if place is None:
            return
        halls = self._halls[place.mark]
        halls[place.modes].remove(place)
        if not halls[place.modes]:
            del halls[place.modes]
        if not halls:
            del self._halls[place.mark]

    def take_for(self, volume: Volume) -> str | None:
        """The claim to offer this free volume to, which then no longer waits.

        It is the one that leaves least of the volume unused: the most access modes, then the
        largest request, then the longest wait.
        """
        if not self._halls:
            return None
        halls = self._halls.get(Shelfmark.of(volume), {})
        fitting = [modes for modes in halls if modes <= volume.modes]
        for modes in sorted(fitting, key=lambda modes: (-len(modes), sorted(modes))):
            if (item := halls[modes].first_for(volume)) is not None:
                key = item[2]
                self.remove(key)
                return key
        return None


def _same_but_for_the_turn(one: Place, other: Place) -> bool:
    return one[:3] == other[:3] and one.item[0] == other.item[0]
