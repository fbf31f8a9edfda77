"""Claims that wait to be filled from something, found by what that is."""

from collections.abc import Iterable

from mooring.model.claim import Claim
from mooring.objects.cache import Entry
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.sources import mark, source_mark


class Waiting:
    """Those without a volume. Kept current from the first question on."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._index = Index(objects.cache.shelves[Claim.resource], _marks)

    def keys(self, kind: str, key: str) -> list[str]:
        """Of the claims that are to be filled from an object, in order."""
        return self._index.keys(mark(kind, key))

    def claims(self, kind: str, key: str) -> list[Claim]:
        found = (self._objects.view(Claim, one) for one in self.keys(kind, key))
        return [one for one in found if one is not None]

    def stop(self) -> None:
        self._index.stop()


def _marks(entry: Entry) -> Iterable[str]:
    claim = view(Claim, entry)
    if not (found := source_mark(claim)):
        return ()
    waits = not claim.volume_name and not claim.being_deleted
    return (found,) if waits else ()
