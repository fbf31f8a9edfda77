"""The loops that look at pods, for a node and for claims of their own, and what wakes them."""

from collections.abc import Callable, Iterable

from mooring.controllers.ephemeral import Ephemeral
from mooring.controllers.landscape import Landscape
from mooring.controllers.recorder import Recorder
from mooring.controllers.scheduler import Scheduler
from mooring.model.claim import Claim
from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.names import Phase
from mooring.model.namespace import Namespace
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Queue
from mooring.rules.nodes import looks_alike
from mooring.rules.waiting_pods import A_NODE, of_class, of_volume


class PodLoops:
    """Follows what pods depend on. Started after the landscape, whose answers it asks for."""

    def __init__(self, objects: Objects, landscape: Landscape, recorder: Recorder) -> None:
        self._objects, self._landscape = objects, landscape
        self.scheduler = Scheduler(
            *(objects, landscape, recorder),
            lambda key: self.pods.add(key),
            lambda key, delay_s: self.pods.add_after(key, delay_s),
        )
        self.pods = Queue("pods", self.scheduler.reconcile, objects.commit_each)
        self.ephemeral = Queue("ephemeral", Ephemeral(objects, recorder).reconcile)
        self.queues = (self.pods, self.ephemeral)
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Have all pods looked at, and follow."""
        follow = (
            (Pod.resource, self._pod_changed),
            (Claim.resource, self._claim_changed),
            (Volume.resource, self._volume_changed),
            (Node.resource, self._node_changed),
            (StorageClass.resource, self._class_changed),
            (StorageCapacity.resource, self._capacity_changed),
            (CsiDriver.resource, self._driver_changed),
            (Namespace.resource, self._namespace_changed),
        )
        shelves = self._objects.cache.shelves
        for resource, changed in follow:
            self._unfollow.append(shelves[resource].follow(changed))
        shelf = shelves[Pod.resource]
        for entry in shelf.entries():
            self._pod_changed(Event(None, entry, entry.revision, shelf.offset))

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        self.scheduler.stop()

    def _pod_changed(self, event: Event) -> None:
        before = view(Pod, event.before) if event.before is not None else None
        after = view(Pod, event.after) if event.after is not None else None
        if after is None or before is None or _asks_anew(before, after):
            self.pods.add(event.key)
            if after is not None and after.ephemeral_claims:
                self.ephemeral.add(event.key)
        if before is not None and _uses(before) and not (after is not None and _uses(after)):
            for name in before.claim_names:  # one of these claims may be for a single pod
                self._place_users(f"{before.namespace}/{name}")

    def _claim_changed(self, event: Event) -> None:
        for pod in self._landscape.pods_of(event.key):
            if pod.is_to_be_placed:
                self.pods.add(pod.key)
            if event.after is None and event.key.partition("/")[2] in pod.ephemeral_claims:
                self.ephemeral.add(pod.key)

    def _place_users(self, claim: str) -> None:
        for pod in self._landscape.pods_of(claim):
            if pod.is_to_be_placed:
                self.pods.add(pod.key)

    def _volume_changed(self, event: Event) -> None:
        waiting = self.scheduler.waiting
        if not len(waiting):
            return
        self._wake(waiting.of(of_volume(event.key)))
        if event.after is None:
            return
        after = view(Volume, event.after)
        if after.claim_ref is not None:
            if after.phase != Phase.BOUND:
                self._place_users(after.claim_ref.key)
        elif after.phase == Phase.AVAILABLE:
            self._wake(waiting.of(of_class(after.class_name)))

    def _node_changed(self, event: Event) -> None:
        if (
            event.before is None
            or event.after is None
            or not looks_alike(view(Node, event.before), view(Node, event.after))
        ):
            self._wake(self.scheduler.waiting.of(A_NODE))

    def _class_changed(self, event: Event) -> None:
        self._wake(self.scheduler.waiting.of(of_class(event.key)))

    def _capacity_changed(self, event: Event) -> None:
        entry = event.after or event.before
        assert entry is not None
        name = view(StorageCapacity, entry).storage_class_name
        self._wake(self.scheduler.waiting.of(of_class(name)))

    def _driver_changed(self, _: Event) -> None:
        self._wake(self.scheduler.waiting.all())

    def _namespace_changed(self, event: Event) -> None:
        """Its limit of waste may be another one now."""
        waiting = self.scheduler.waiting.all()
        self._wake(key for key in waiting if key.startswith(f"{event.key}/"))

    def _wake(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.scheduler.hurry(key)
            self.pods.add(key)


def _asks_anew(before: Pod, after: Pod) -> bool:
    """Whether more of a pod changed than what it says of itself."""
    return (
        before.uid != after.uid
        or before.spec != after.spec
        or before.is_to_be_placed != after.is_to_be_placed
    )


def _uses(pod: Pod) -> bool:
    return bool(pod.node_name) and not pod.has_ended
