"""What the loops know of all claims, volumes, classes and pods, kept current by their events."""

from collections import defaultdict
from collections.abc import Callable

from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.pod import Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.matching import Shelfmark, VolumeIndex


class Landscape:
    """Answers rules.claims.World. `wake_claim` and `wake_volume` are told what to look at."""

    def __init__(
        self,
        objects: Objects,
        wake_claim: Callable[[str], None],
        wake_volume: Callable[[str], None],
    ) -> None:
        self.objects = objects
        self.index = VolumeIndex()
        self._wake_claim, self._wake_volume = wake_claim, wake_volume
        self._users: defaultdict[str, set[str]] = defaultdict(set)  # claim key → pod keys
        self._naming: defaultdict[str, set[str]] = defaultdict(set)  # volume → claims that name it
        self._pending: defaultdict[Shelfmark, dict[str, None]] = defaultdict(dict)
        self._marks: dict[str, Shelfmark] = {}  # of pending claims
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Take in what is there, wake all of it, and follow."""
        follow = (
            ("persistentvolumes", self._volume_changed),
            ("persistentvolumeclaims", self._claim_changed),
            ("storageclasses.storage.k8s.io", self._class_changed),
            ("pods", self._pod_changed),
        )
        for resource, changed in follow:
            shelf = self.objects.cache.shelves[resource]
            for entry in shelf.entries():
                changed(Event(None, entry, entry.revision, shelf.offset))
            self._unfollow.append(shelf.follow(changed))

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()

    # Answers

    def volume(self, name: str) -> Volume | None:
        return self.objects.view(Volume, name)

    def claim(self, key: str) -> Claim | None:
        return self.objects.view(Claim, key)

    def storage_class(self, name: str) -> StorageClass | None:
        return self.objects.view(StorageClass, name)

    def default_class(self) -> StorageClass | None:
        """The newest default; of the same second, the first by name. Storage semantics §12."""
        defaults = [one for one in self.objects.views(StorageClass) if one.is_default]
        defaults.sort(key=lambda one: one.name)
        defaults.sort(key=lambda one: one.metadata.creation_timestamp or "", reverse=True)
        return defaults[0] if defaults else None

    def best_volume(self, claim: Claim, *, delay: bool) -> Volume | None:
        name = self.index.best(claim, delay=delay)
        return self.volume(name) if name else None

    def pods_of(self, claim_key: str) -> list[Pod]:
        found = (self.objects.view(Pod, key) for key in self._users.get(claim_key, ()))
        return [pod for pod in found if pod is not None]

    def has_waiting_pod(self, claim: Claim) -> bool:
        return any(not pod.node_name and not pod.has_ended for pod in self.pods_of(claim.key))

    # Events

    def _volume_changed(self, event: Event) -> None:
        for key in self._naming.get(event.key, ()):
            self._wake_claim(key)
        for entry in (event.before, event.after):
            if entry is not None and entry is not event.after:
                self._wake_pointed(view(Volume, entry))
        if event.after is None:
            self.index.remove(event.key)
            return
        volume = view(Volume, event.after)
        self.index.put(volume)
        self._wake_volume(volume.name)
        self._wake_pointed(volume)
        if volume.claim_ref is None and volume.phase == Phase.AVAILABLE:
            self.offer(volume)

    def _wake_pointed(self, volume: Volume) -> None:
        if volume.claim_ref is not None:
            self._wake_claim(volume.claim_ref.key)

    def offer(self, volume: Volume) -> None:
        """Wake the first pending claim that this volume would satisfy."""
        mark = Shelfmark(volume.class_name, volume.volume_mode, volume.attributes_class)
        for key in self._pending.get(mark, ()):
            claim = self.claim(key)
            if claim is not None and _would_take(claim, volume):
                self._wake_claim(key)
                return

    def _claim_changed(self, event: Event) -> None:
        if (mark := self._marks.pop(event.key, None)) is not None:
            waiting = self._pending[mark]
            waiting.pop(event.key, None)
            if not waiting:
                del self._pending[mark]
        for entry, named in ((event.before, False), (event.after, True)):
            if entry is not None and (name := _volume_named(entry)):
                self._name(name, event.key, named)
                self._wake_volume(name)
        if event.after is None:
            for name in self.index.pointing_at(event.key):
                self._wake_volume(name)
            return
        claim = view(Claim, event.after)
        if not claim.volume_name:
            mark = Shelfmark(claim.class_name, claim.volume_mode, claim.attributes_class)
            self._marks[claim.key] = mark
            self._pending[mark][claim.key] = None
        self._wake_claim(claim.key)

    def _name(self, volume: str, claim_key: str, named: bool) -> None:
        if named:
            self._naming[volume].add(claim_key)
            return
        self._naming[volume].discard(claim_key)
        if not self._naming[volume]:
            del self._naming[volume]

    def _class_changed(self, event: Event) -> None:
        if event.after is None:
            return
        class_ = view(StorageClass, event.after)
        for mark, keys in self._pending.items():
            if mark.class_name == class_.name or (class_.is_default and not mark.class_name):
                for key in keys:
                    self._wake_claim(key)

    def _pod_changed(self, event: Event) -> None:
        for entry, keep in ((event.before, False), (event.after, True)):
            if entry is None:
                continue
            pod = view(Pod, entry)
            for name in pod.claim_names:
                key = f"{pod.namespace}/{name}"
                if keep:
                    self._users[key].add(pod.key)
                else:
                    self._users[key].discard(pod.key)
                    if not self._users[key]:
                        del self._users[key]
                self._wake_claim(key)


def _volume_named(entry: Entry) -> str:
    """spec.volumeName, without decoding claims that have none."""
    return view(Claim, entry).volume_name if b'"volumeName"' in entry.body else ""


def _would_take(claim: Claim, volume: Volume) -> bool:
    selector = claim.spec.selector
    return (
        claim.request <= volume.capacity
        and claim.modes <= volume.modes
        and (selector is None or selector.matches(volume.metadata.labels))
    )
