"""Says of a claim that nobody fills volumes from sources of its kind. Storage semantics §18.

The same as Kubernetes' volume-data-source-validator, in its name: it looks at a claim whenever that
is made or changes, and at each once at the start.
"""

from collections.abc import Callable, Iterable
from typing import Final

from mooring.model.claim import Claim
from mooring.model.populator import VolumePopulator
from mooring.objects.cache import Entry, Event
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.events import WARNING, EventNote
from mooring.rules.filling import source_for_others

COMPONENT: Final = "volume-data-source-validator"
UNRECOGNIZED: Final = "The datasource for this PVC does not match any registered VolumePopulator"


class DataSources:
    """Writes nothing but events."""

    def __init__(self, objects: Objects, tell: Callable[[EventNote], None]) -> None:
        self._claims = objects.cache.shelves[Claim.resource]
        self._registered = Index(objects.cache.shelves[VolumePopulator.resource], _kinds)
        self._tell = tell
        self._unfollow: Callable[[], None] | None = None

    def start(self) -> None:
        """Look at all claims, then at each that changes."""
        for entry in self._claims.entries():
            self._look(entry)
        self._unfollow = self._claims.follow(self._changed)

    def stop(self) -> None:
        self._registered.stop()
        if self._unfollow is not None:
            self._unfollow()

    def _changed(self, event: Event) -> None:
        if event.after is not None:
            self._look(event.after)

    def _look(self, entry: Entry) -> None:
        claim = view(Claim, entry)
        source = source_for_others(claim)
        if source is None or self._registered.keys(f"{source.api_group}/{source.kind}"):
            return
        about = claim.reference()
        self._tell(EventNote(about, WARNING, "UnrecognizedDataSourceKind", UNRECOGNIZED, COMPONENT))


def _kinds(entry: Entry) -> Iterable[str]:
    source = view(VolumePopulator, entry).source_kind
    return (f"{source.group}/{source.kind}",)
