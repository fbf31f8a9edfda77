"""What the first consumer of a claim does for it: it chooses the volume. Semantics §6, at its end.

Kubernetes has this in its scheduler, for Pods. Here the host where a claim is first used does it.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from mooring.model.claim import Claim
from mooring.model.names import BOUND_BY_CONTROLLER, HOSTNAME, SELECTED_NODE
from mooring.model.node import Node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.errors import NoCapacityHere, ProvisioningElsewhere
from mooring.node.pools import Pools
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.binding import YES
from mooring.rules.consumers import ConsumerIndex
from mooring.rules.provisioning import unmakeable

# In the bytes of a volume that is bound. Labels can look like that, but then no volume is taken.
BOUND_SIGNS: Final = (b'"claimRef":{', b'"phase":"Bound"')


class Consumer:
    """Speaks for one host."""

    def __init__(self, objects: Objects, pools: Pools, node: str) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._index = ConsumerIndex()
        self._unfollow: Callable[[], None] | None = None

    def stop(self) -> None:
        """Follow no volumes any longer."""
        if self._unfollow is not None:
            self._unfollow()

    async def chose(self, claim: Claim) -> bool:
        """Choose a volume for a claim that waits for its first consumer, or have one made here.

        returns  whether it is about to be bound; False also if it waits for something else
        raises   ProvisioningElsewhere, NoCapacityHere.
                 Conflict: somebody else changed the volume or the claim at the same time
        """
        class_ = self._objects.view(StorageClass, claim.class_name) if claim.class_name else None
        if class_ is None or not class_.waits_for_consumer or claim.being_deleted:
            return False
        if claim.volume_name or claim.was_bound:
            return False
        if SELECTED_NODE in claim.annotations:
            if (other := claim.annotations[SELECTED_NODE]) != self._node:
                raise ProvisioningElsewhere(claim, other, self._node)
            return True
        if (chosen := self._choice(claim)) is not None:
            # The binder does the rest, for a volume that points at the claim.
            pointing = chosen.claimed_by(claim).annotated(**{BOUND_BY_CONTROLLER: YES})
            await self._objects.commit([(chosen, pointing)])
            return True
        pool = self._pools.for_class(class_)
        if pool == "":  # of another's driver
            return False
        if why := pool if isinstance(pool, str) else unmakeable(claim, pool):
            raise NoCapacityHere(claim, self._node, why)
        await self._objects.commit([(claim, claim.annotated(**{SELECTED_NODE: self._node}))])
        return True

    def _choice(self, claim: Claim) -> Volume | None:
        """A volume that is there. Where no claim waits for its consumer, none is ever taken in."""
        if self._unfollow is None:
            shelf = self._objects.cache.shelves[Volume.resource]
            self._unfollow = shelf.follow(self._volume_changed)
            for entry in shelf.entries():
                self._take_in(entry)
        volume_of = partial(self._objects.view, Volume)
        return self._index.choice(claim, volume_of, self.labels(), self._node)

    def _volume_changed(self, event: Event) -> None:
        if event.after is None:
            self._index.remove(event.key)
        else:
            self._take_in(event.after)

    def _take_in(self, entry: Entry) -> None:
        if all(sign in entry.body for sign in BOUND_SIGNS):  # most are, and need not be decoded
            self._index.remove(entry.key)
        else:
            self._index.put(view(Volume, entry))

    def reaches(self, volume: Volume) -> bool:
        """Whether a volume can be used on this host."""
        affinity = volume.spec.node_affinity
        return affinity is None or affinity.allows(self.labels(), self._node)

    def labels(self) -> dict[str, str]:
        """Of the Node."""
        node = self._objects.view(Node, self._node)
        return node.metadata.labels if node is not None else {HOSTNAME: self._node}
