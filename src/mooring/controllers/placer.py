"""Says which host makes the volume of a claim that waits for no consumer: the one with most room.

It writes the host's name to the claim (`mooring.dev/maker`). A host that cannot make it takes its
name away again, and another one is chosen.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final

from mooring.controllers.recorder import Recorder
from mooring.model.claim import Claim
from mooring.model.names import MAKER
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Error, Outcome, Queue, Step
from mooring.rules.events import WARNING, EventNote
from mooring.rules.placing import Place, has_to_be_placed, placed
from mooring.rules.pool_room import has_news
from mooring.rules.sources import source_of

LOOK_AGAIN_S: Final = 30.0  # at a claim that no host can make, if nothing is heard before
TOGETHER_S: Final = 0.2  # pools change in numbers: those that wait are looked at once for all


class Placer:
    """Knows what it has promised of each pool, until that is in the pool's own account."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder
        self.queue = Queue("placer", self.reconcile, objects.commit_each)
        self._promised: dict[str, tuple[str, Quantity]] = {}  # claim → pool, how much of it
        self._sums: defaultdict[str, Quantity] = defaultdict(lambda: Quantity(0))  # by pool
        self._waiting: set[str] = set()  # claims that no host can make
        self._refused: dict[str, set[str]] = {}  # claim → hosts that tried
        self._hurry: asyncio.TimerHandle | None = None
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Look at all claims without a volume, then at each that changes."""
        shelves = self._objects.cache.shelves
        for entry in shelves[Claim.resource].entries():
            self._look(entry)
        follow = {
            Claim.resource: self._claim_changed,
            Volume.resource: self._volume_changed,
            Pool.resource: self._pool_changed,
            Node.resource: self._node_changed,
            StorageClass.resource: self._class_changed,
        }
        self._unfollow = [shelves[name].follow(changed) for name, changed in follow.items()]

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        if self._hurry is not None:
            self._hurry.cancel()

    # What wakes it

    def _look(self, entry: Entry) -> None:
        claim = view(Claim, entry)
        if claim.provisioner and not claim.volume_name:
            self.queue.add(entry.key)

    def _claim_changed(self, event: Event) -> None:
        if event.after is not None:
            before = view(Claim, event.before) if event.before is not None else None
            after = view(Claim, event.after)
            host = before.annotations.get(MAKER, "") if before is not None else ""
            if host and MAKER not in after.annotations and not after.volume_name:
                self._refused.setdefault(event.key, set()).add(host)
            self._look(event.after)
            if not after.volume_name:
                return
        self._forget(event.key)

    def _volume_changed(self, event: Event) -> None:
        """What is made is in its pool's account from then on."""
        if event.before is None and event.after is not None:
            ref = view(Volume, event.after).claim_ref
            if ref is not None:
                self._settle(ref.key)

    def _pool_changed(self, event: Event) -> None:
        before = view(Pool, event.before) if event.before is not None else None
        after = view(Pool, event.after) if event.after is not None else None
        if after is None or (after.is_known_bad and not (before and before.is_known_bad)):
            self._placed_anew(event.key)
        if has_news(before, after) or (before and before.is_known_bad):
            self._all_again()

    def _node_changed(self, event: Event) -> None:
        before, after = (
            view(Node, one) if one is not None else None for one in (event.before, event.after)
        )
        if _takes(before) and not _takes(after):  # others may have to make what it was to make
            for pool in self._objects.views(Pool):
                if pool.node == event.key:
                    self._placed_anew(pool.name)
        if _takes(after) and not _takes(before):
            self._all_again()

    def _placed_anew(self, pool: str) -> None:
        """Another host may have to make what one was to make from this pool."""
        for key, (promised, _) in self._promised.items():
            if promised == pool:
                self.queue.add(key)

    def _class_changed(self, event: Event) -> None:
        if event.before is None:
            self._all_again()

    def _all_again(self) -> None:
        if self._hurry is None and self._waiting:
            loop = asyncio.get_running_loop()
            self._hurry = loop.call_later(TOGETHER_S, self._look_at_waiting)

    def _look_at_waiting(self) -> None:
        self._hurry = None
        for key in self._waiting:
            self.queue.add(key)

    # What it decides

    def reconcile(self, key: str) -> Outcome | Step:
        """Choose a host for one claim, if that is to be chosen."""
        self._waiting.discard(key)
        claim = self._objects.view(Claim, key)
        if claim is None or claim.volume_name or claim.was_bound or claim.being_deleted:
            self._forget(key)
            return Done("nothing to place")
        class_ = self._objects.view(StorageClass, claim.class_name)
        if class_ is None or claim.provisioner != class_.provisioner:
            return Done("not ours")
        pools = self._objects.views(Pool)
        if not has_to_be_placed(class_, pools):
            return Done("there is one host that can make it, or its consumer chooses")
        if source_of(claim) is not None:
            return Done("it is made where its source is")
        maker = claim.annotations.get(MAKER, "")
        if (pool := self._pool_at(maker, class_, pools)) is not None:
            self._promise(claim, pool.name)
            return Done(f"{maker} makes it")
        self._settle(key)
        hosts = {one.name for one in self._objects.views(Node) if _takes(one)}
        found = placed(claim, class_, pools, hosts, self._sums, self._refused.get(key, frozenset()))
        if not found.node:
            return self._none(claim, found)
        self._promise(claim, found.pool)
        chosen = claim.annotated(**{MAKER: found.node})
        return Step(f"{found.node} is to make it", [(claim, chosen)], partial(self._written, key))

    def _none(self, claim: Claim, found: Place) -> Outcome:
        self._waiting.add(claim.key)
        why = f"no host can make the volume: {found.why}"
        about, component = claim.reference(), claim.provisioner
        self._recorder.note(EventNote(about, WARNING, "ProvisioningFailed", why, component))
        return Again(LOOK_AGAIN_S, why)

    def _written(self, key: str, error: Error) -> None:
        if error is not None:
            self._settle(key)

    def _pool_at(self, host: str, class_: StorageClass, pools: list[Pool]) -> Pool | None:
        """What a host that was chosen makes it from, if it still can."""
        if not host or not _takes(self._objects.view(Node, host)):
            return None
        same = (one for one in pools if one.driver == class_.provisioner and one.node == host)
        return next((one for one in same if not one.is_known_bad), None)

    # What is promised

    def _promise(self, claim: Claim, pool: str) -> None:
        self._settle(claim.key)
        self._promised[claim.key] = pool, claim.request
        self._sums[pool] = self._sums[pool].plus(claim.request)

    def _settle(self, key: str) -> None:
        """It is taken by now, or never will be."""
        if (promise := self._promised.pop(key, None)) is not None:
            pool, size = promise
            self._sums[pool] = self._sums[pool].minus(size)
            if not self._sums[pool].nanos:
                del self._sums[pool]
            self._all_again()

    def _forget(self, key: str) -> None:
        self._settle(key)
        self._waiting.discard(key)
        self._refused.pop(key, None)


def _takes(node: Node | None) -> bool:
    """Whether a host is there, and takes something new."""
    return node is not None and node.is_ready and not node.spec.unschedulable
