"""Claims as Docker's volumes, kept current: what Get and List are answered from."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from mooring.dockerplugin.names import Namespaces, shown_name
from mooring.model.claim import Claim
from mooring.model.event import Event as EventView
from mooring.model.names import BLOCK, PVC_PROTECTION
from mooring.model.pod import Pod
from mooring.model.snapshot import Snapshot
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.events import WARNING
from mooring.rules.protection import holders
from mooring.rules.volumes import is_left

WARNING_SIGN: Final = b'"type":"Warning"'  # in the bytes of an event


class Warned(NamedTuple):
    """What was told about a claim. The greatest is the last."""

    at: str  # RFC 3339
    revision: int
    text: str


class Shown(NamedTuple):
    """A claim as Docker sees it."""

    name: str
    key: str  # "ns/name"
    uid: str
    volume: str  # of its PersistentVolume, "" if it has none
    created: str  # RFC 3339
    is_block: bool  # it is never mounted


class Catalogue:
    """Answers from memory; nothing here waits for anything."""

    def __init__(self, objects: Objects, namespaces: Namespaces) -> None:
        self._objects, self._namespaces = objects, namespaces
        self._shown: dict[str, Shown] = {}  # by key of the claim
        self._released: defaultdict[str, set[str]] = defaultdict(set)  # claim key → volumes
        self._pods: defaultdict[str, set[str]] = defaultdict(set)  # claim key → pods
        self._warnings: dict[str, Warned] = {}  # claim key → the last
        snapshots = objects.cache.shelves[Snapshot.resource]
        self._snapshots = Index(snapshots, lambda one: [view(Snapshot, one).claim_key])
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Take in what is there, and follow."""
        for resource, changed in (
            (Claim.resource, self._claim_changed),
            (Volume.resource, self._volume_changed),
            (Pod.resource, self._pod_changed),
            (EventView.resource, self._event_changed),
        ):
            shelf = self._objects.cache.shelves[resource]
            for entry in shelf.entries():
                changed(Event(None, entry, entry.revision, shelf.offset))
            self._unfollow.append(shelf.follow(changed))

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        self._snapshots.stop()

    def get(self, key: str) -> Shown | None:
        return self._shown.get(key)

    def all(self) -> Iterator[Shown]:
        """Every claim in the namespaces that Docker reaches, but those that are never mounted."""
        yield from (one for one in self._shown.values() if not one.is_block)

    def retained_for(self, key: str) -> list[str]:
        """Volumes, by name, that a claim of this name left behind, with their data."""
        return sorted(self._released.get(key, ()))

    def pods_of(self, key: str) -> list[Pod]:
        """Those that name a claim, mirrors of containers included."""
        found = (self._objects.view(Pod, pod) for pod in self._pods.get(key, ()))
        return [pod for pod in found if pod is not None]

    def snapshots_of(self, key: str) -> list[Snapshot]:
        """Of a claim, ready or not."""
        found = (self._objects.view(Snapshot, one) for one in self._snapshots.keys(key))
        return [one for one in found if one is not None]

    def keeps(self, claim: Claim) -> str:
        """What a claim that is being deleted waits for, for people; "" if that cannot be seen."""
        pods = [f"pod {pod.name}" for pod in holders(claim, self.pods_of(claim.key))]
        foreign = [one for one in claim.metadata.finalizers if one != PVC_PROTECTION]
        return ", ".join([*pods, *(f"finalizer {one}" for one in foreign)])

    def last_warning(self, key: str) -> str:
        """About a claim, "" if there was none."""
        found = self._warnings.get(key)
        return found.text if found is not None else ""

    def _claim_changed(self, event: Event) -> None:
        claim = view(Claim, event.after) if event.after is not None else None
        name = shown_name(claim, self._namespaces) if claim is not None else None
        if claim is None or name is None:
            self._shown.pop(event.key, None)
            self._warnings.pop(event.key, None)
            return
        created = claim.metadata.creation_timestamp or ""
        is_block = claim.volume_mode == BLOCK
        shown = Shown(name, event.key, claim.uid, claim.volume_name, created, is_block)
        if (before := self._shown.get(event.key)) is not None and before.uid != claim.uid:
            self._warnings.pop(event.key, None)  # it was about an earlier one
        self._shown[event.key] = shown

    def _volume_changed(self, event: Event) -> None:
        for entry, is_now in ((event.before, False), (event.after, True)):
            if entry is None or b'"claimRef"' not in entry.body:
                continue
            volume = view(Volume, entry)
            if volume.claim_ref is not None and is_left(volume):
                _file(self._released, volume.claim_ref.key, volume.name, is_now)

    def _pod_changed(self, event: Event) -> None:
        for entry, is_now in ((event.before, False), (event.after, True)):
            if entry is None:
                continue
            pod = view(Pod, entry)
            for name in pod.claim_names:
                _file(self._pods, f"{pod.namespace}/{name}", pod.key, is_now)

    def _event_changed(self, event: Event) -> None:
        if event.after is None or WARNING_SIGN not in event.after.body:
            return
        told = view(EventView, event.after)
        about = told.involved_object
        shown = self._shown.get(about.key) if about.kind == Claim.kind_name else None
        if told.type != WARNING or shown is None or about.uid not in ("", shown.uid):
            return
        warned = Warned(told.last_time, event.after.revision, f"{told.reason}: {told.message}")
        if (last := self._warnings.get(about.key)) is None or last < warned:
            self._warnings[about.key] = warned


def _file(index: defaultdict[str, set[str]], key: str, name: str, is_in: bool) -> None:
    if is_in:
        index[key].add(name)
    elif key in index:
        index[key].discard(name)
        if not index[key]:
            del index[key]
