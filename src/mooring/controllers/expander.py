"""Says that a claim waits for somebody to grow its volume, and ends what that left. §14.

The growth itself is work of whoever serves the volume: node agents, for pools of Mooring.
"""

from collections.abc import Callable
from typing import Final

from mooring.controllers.recorder import Recorder
from mooring.model.claim import Claim
from mooring.model.names import PRE_RESIZE_CAPACITY
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Done, Outcome, Queue, Step
from mooring.rules.events import NORMAL, WARNING, EventNote
from mooring.rules.resizing import has_what_it_asks, lacks_room, owner_of, waits_for_node

COMPONENT: Final = "volume_expand"
WAITS: Final = "waiting for an external controller to expand this PVC"
CANNOT: Final = (
    "Ignoring the PVC: didn't find a plugin capable of expanding the volume; waiting for an "
    "external controller to process this PVC."
)


class Expander:
    """Looks at one claim at a time: one that asks for more than before, or has more."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder
        self.queue = Queue("expander", self.reconcile, objects.commit_each)
        self._unfollow: Callable[[], None] | None = None

    def start(self) -> None:
        """Look at all that wait, then at each that changes."""
        shelf = self._objects.cache.shelves[Claim.resource]
        for entry in shelf.entries():
            if not has_what_it_asks(view(Claim, entry)):
                self.queue.add(entry.key)
        self._unfollow = shelf.follow(self._changed)

    def stop(self) -> None:
        """Follow no longer."""
        if self._unfollow is not None:
            self._unfollow()

    def _changed(self, event: Event) -> None:
        before, after = event.before, event.after
        if before is None or after is None:  # a new claim is not Bound yet
            return
        had, has = view(Claim, before), view(Claim, after)
        if has_what_it_asks(has) and not waits_for_node(had):
            return
        if has.request > had.request or has.capacity > had.capacity:
            self.queue.add(event.key)

    def reconcile(self, key: str) -> Outcome | Step:
        claim = self._objects.view(Claim, key)
        if claim is None or not claim.volume_name:
            return Done("it has no volume")
        volume = self._objects.view(Volume, claim.volume_name)
        if volume is None or owner_of(volume, claim) is None:
            return Done("its volume is not its own")
        if lacks_room(claim):
            is_external = volume.spec.csi is not None
            type_, told = (NORMAL, WAITS) if is_external else (WARNING, CANNOT)
            note = EventNote(claim.reference(), type_, "ExternalExpanding", told, COMPONENT)
            self._recorder.note(note)
            return Done(told)
        if PRE_RESIZE_CAPACITY in volume.annotations and claim.capacity >= volume.capacity:
            done = volume.without_annotations(PRE_RESIZE_CAPACITY)
            return Step("its file system has grown", [(volume, done)])
        return Done("large enough")
