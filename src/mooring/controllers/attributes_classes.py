"""Keeps each VolumeAttributesClass while something names it. Storage semantics §15."""

from collections.abc import Callable

from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.names import VAC_PROTECTION
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Done, Outcome
from mooring.rules.modifying import names_of_claim, names_of_volume


class AttributesClasses:
    """Looks at one class at a time; `wake` is told which to look at."""

    def __init__(self, objects: Objects, wake: Callable[[str], None]) -> None:
        self._objects, self._wake = objects, wake
        shelves = objects.cache.shelves
        self._indexes = (
            Index(shelves[Claim.resource], _names_of_claim),
            Index(shelves[Volume.resource], _names_of_volume),
        )
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Follow what gives up a class."""
        for type_, names in ((Claim, _names_of_claim), (Volume, _names_of_volume)):
            shelf = self._objects.cache.shelves[type_.resource]
            self._unfollow.append(shelf.follow(self._let_go_by(names)))

    def stop(self) -> None:
        for unfollow in (*self._unfollow, *(index.stop for index in self._indexes)):
            unfollow()

    def _let_go_by(self, names: Callable[[Entry], set[str]]) -> Callable[[Event], None]:
        def changed(event: Event) -> None:
            if event.before is not None and (had := names(event.before)):
                left = names(event.after) if event.after is not None else set()
                for name in had - left:
                    self._wake(name)

        return changed

    async def reconcile(self, name: str) -> Outcome:
        """Put the finalizer on a class that lacks it; remove it when it is deleted and unused."""
        class_ = self._objects.view(AttributesClass, name)
        if class_ is None:
            return Done("the class is gone")
        if not class_.being_deleted:
            wanted = class_.with_finalizer(VAC_PROTECTION)
        elif users := [key for index in self._indexes for key in index.keys(name)]:
            return Done(f"being deleted, and kept by {', '.join(users[:3])}")
        else:
            wanted = class_.without_finalizer(VAC_PROTECTION)
        if wanted is not class_:
            await self._objects.commit([(class_, wanted)])
        return Done("kept" if not class_.being_deleted else "let go")


def _names_of_claim(claim: Entry) -> set[str]:
    return names_of_claim(view(Claim, claim))


def _names_of_volume(volume: Entry) -> set[str]:
    return names_of_volume(view(Volume, volume))
