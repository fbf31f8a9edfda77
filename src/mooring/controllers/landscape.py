"""What the loops know of all claims, volumes, classes and pods, kept current by their events."""

from collections import defaultdict
from collections.abc import Callable

from mooring.model.claim import Claim
from mooring.model.namespace import Namespace
from mooring.model.pod import Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.objects.waste import limit_for
from mooring.rules.default_class import default_of
from mooring.rules.matching import VolumeIndex
from mooring.rules.volumes import is_at_rest
from mooring.rules.waking import WaitingClaims
from mooring.rules.waste import WasteLimit


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
        # Claims that name no volume, by class; None: they say no class, and may get the default.
        self._pending: defaultdict[str | None, dict[str, None]] = defaultdict(dict)
        self._class_of: dict[str, str | None] = {}  # of those
        self._waiting = WaitingClaims()  # those for which no volume was found
        self._offers: dict[str, str] = {}  # claim that was woken → the free volume it is for
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Take in what is there, wake all of it, and follow."""
        follow = (
            ("persistentvolumes", self._volume_changed),
            ("persistentvolumeclaims", self._claim_changed),
            ("storageclasses.storage.k8s.io", self._class_changed),
            ("pods", self._pod_changed),
            (Namespace.resource, self._namespace_changed),
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
        return default_of(self.objects.views(StorageClass))

    def best_volume(self, claim: Claim, *, delay: bool) -> Volume | None:
        name = self.index.best(claim, delay=delay, limit=self.limit(claim))
        return self.volume(name) if name else None

    def limit(self, claim: Claim) -> WasteLimit | None:
        return limit_for(self.objects, claim)

    def wasteful(self, claim: Claim) -> Volume | None:
        name = self.index.best(claim)
        return self.volume(name) if name else None

    def pods_of(self, claim_key: str) -> list[Pod]:
        if not (keys := self._users.get(claim_key)):
            return []
        found = (self.objects.view(Pod, key) for key in keys)
        return [pod for pod in found if pod is not None]

    def has_waiting_pod(self, claim: Claim) -> bool:
        return any(not pod.node_name and not pod.has_ended for pod in self.pods_of(claim.key))

    # What the binder does with the answers

    def looked_at(self, claim: Claim, taken: str, *, waits: bool) -> None:
        """A decision about a claim was made just now.

        taken  the volume it is to be bound to, "" if none; nobody else is offered it until settled
        waits  a volume that comes to fit the claim is to wake it
        """
        if taken:
            self.index.assume(taken)
        offered = self._offers.pop(claim.key, "")
        if offered != taken:
            self._offer_anew(offered)
        if waits:
            self._waiting.put(claim, self.limit(claim))

    def settled(self, taken: str) -> None:
        """The bind is stored and seen, or failed: then others may have the volume."""
        self.index.release(taken)
        self._offer_anew(taken)

    def _offer_anew(self, name: str) -> None:
        if self.index.is_free(name) and (volume := self.volume(name)) is not None:
            self._offer(volume)

    def _offer(self, volume: Volume) -> None:
        """Wake the claim that makes the best of a free volume, if one waits for such.

        If that claim does not take it, it is offered to the next.
        """
        if self.index.is_free(volume.name) and (key := self._waiting.take_for(volume)):
            self._offers[key] = volume.name
            self._wake_claim(key)

    # Events

    def _volume_changed(self, event: Event) -> None:
        before = view(Volume, event.before) if event.before is not None else None
        volume = view(Volume, event.after) if event.after is not None else None
        claims = dict.fromkeys(self._naming.get(event.key, ()))
        for one in (before, volume):
            if one is not None and one.claim_ref is not None:
                claims[one.claim_ref.key] = None
        for key in claims:
            self._wake_claim(key)
        if volume is None:
            self.index.remove(event.key)
            return
        self.index.put(volume)
        if not is_at_rest(volume):
            self._wake_volume(volume.name)
        self._offer(volume)

    def _claim_changed(self, event: Event) -> None:
        key = event.key
        before = view(Claim, event.before) if event.before is not None else None
        after = view(Claim, event.after) if event.after is not None else None
        self._file(key, after)
        named = before.volume_name if before is not None else ""
        names = after.volume_name if after is not None else ""
        if named != names:
            self._name(key, named, names)
        for name in (named, names):
            if name:
                self._wake_volume(name)
        if before is not None and (after is None or named != names):
            # Volumes made for it lose it, to its end or to another volume.
            for name in self.index.pointing_at(key, before.uid):
                self._wake_volume(name)
        if after is None or names:
            self._offer_anew(self._offers.pop(key, ""))
        if after is not None:
            self._wake_claim(key)

    def _file(self, key: str, claim: Claim | None) -> None:
        """Where a claim without volume is found by its class."""
        self._waiting.remove(key)  # it is to be looked at anew
        if key in self._class_of:
            class_ = self._class_of.pop(key)
            self._pending[class_].pop(key)
            if not self._pending[class_]:
                del self._pending[class_]
        if claim is not None and not claim.volume_name:
            class_ = claim.class_name if claim.has_class else None
            self._class_of[key] = class_
            self._pending[class_][key] = None

    def _name(self, claim_key: str, before: str, after: str) -> None:
        """A claim names another volume than before; "" is none."""
        if before:
            self._naming[before].discard(claim_key)
            if not self._naming[before]:
                del self._naming[before]
        if after:
            self._naming[after].add(claim_key)

    def _class_changed(self, event: Event) -> None:
        before, after = (
            view(StorageClass, one) if one else None for one in (event.before, event.after)
        )
        if before is None or after is None:
            for key in self._pending.get(event.key, ()):
                self._wake_claim(key)
        if after is not None and after.is_default and not (before and before.is_default):
            for key in self._pending.get(None, ()):
                self._wake_claim(key)

    def _namespace_changed(self, event: Event) -> None:
        """A limit of waste that is another one now lets claims have what they did not get."""
        if event.before is None or event.after is None:
            return
        if view(Namespace, event.before).max_waste == view(Namespace, event.after).max_waste:
            return
        for entry in self.objects.cache.shelves[Claim.resource].entries(event.key):
            if entry.key in self._class_of:
                self._wake_claim(entry.key)

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
