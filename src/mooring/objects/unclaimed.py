"""The volumes that are no claim's yet, for those who choose one for a claim's first consumer."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from mooring.model.claim import Claim
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.objects.waste import limit_for
from mooring.rules.consumers import ConsumerIndex

# In the bytes of a volume that is bound. Labels can look like that, but then no volume is taken.
BOUND_SIGNS: Final = (b'"claimRef":{', b'"phase":"Bound"')


class UnclaimedVolumes:
    """Kept current from the first question on. Where nobody asks, none is ever taken in."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._index = ConsumerIndex()
        self._unfollow: Callable[[], None] | None = None

    def stop(self) -> None:
        """Follow no longer."""
        if self._unfollow is not None:
            self._unfollow()

    def choice(
        self, claim: Claim, labels: Mapping[str, str], node: str, taken: Collection[str] = ()
    ) -> Volume | None:
        """As rules.consumers has it."""
        if self._unfollow is None:
            shelf = self._objects.cache.shelves[Volume.resource]
            self._unfollow = shelf.follow(self._changed)
            for entry in shelf.entries():
                self._take_in(entry)
        volume_of, limit = partial(self._objects.view, Volume), limit_for(self._objects, claim)
        return self._index.choice(claim, volume_of, labels, node, taken, limit)

    def _changed(self, event: Event) -> None:
        if event.after is None:
            self._index.remove(event.key)
        else:
            self._take_in(event.after)

    def _take_in(self, entry: Entry) -> None:
        if all(sign in entry.body for sign in BOUND_SIGNS):  # most are, and need not be decoded
            self._index.remove(entry.key)
        else:
            self._index.put(view(Volume, entry))
