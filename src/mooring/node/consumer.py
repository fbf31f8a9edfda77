"""What the first consumer of a claim does for it: it chooses the volume. Semantics §6, at its end.

Kubernetes has this in its scheduler, for Pods. Here the host where a claim is first used does it.
"""

from mooring.model.claim import Claim
from mooring.model.names import HOSTNAME, SELECTED_NODE
from mooring.model.node import Node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.errors import NoCapacityHere, ProvisioningElsewhere
from mooring.node.pools import Pools
from mooring.objects.objects import Objects
from mooring.objects.unclaimed import UnclaimedVolumes
from mooring.rules.binding import pointing
from mooring.rules.provisioning import unmakeable


class Consumer:
    """Speaks for one host."""

    def __init__(self, objects: Objects, pools: Pools, node: str) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._unclaimed = UnclaimedVolumes(objects)

    def stop(self) -> None:
        """Follow no volumes any longer."""
        self._unclaimed.stop()

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
        node = self._objects.view(Node, self._node)
        if node is not None and node.spec.unschedulable:
            why = f"{self._node} is cordoned, see `mooring node uncordon {self._node}`"
            raise NoCapacityHere(claim, self._node, why)
        if (chosen := self._unclaimed.choice(claim, self.labels(), self._node)) is not None:
            # The binder does the rest, for a volume that points at the claim.
            if (wanted := pointing(chosen, claim)) is not chosen:
                await self._objects.commit([(chosen, wanted)])
            return True
        pool = self._pools.for_class(class_)
        if pool == "":  # of another's driver
            return False
        if why := pool if isinstance(pool, str) else unmakeable(claim, pool):
            raise NoCapacityHere(claim, self._node, why)
        await self._objects.commit([(claim, claim.annotated(**{SELECTED_NODE: self._node}))])
        return True

    def reaches(self, volume: Volume) -> bool:
        """Whether a volume can be used on this host."""
        return volume.reached_from(self.labels(), self._node)

    def labels(self) -> dict[str, str]:
        """Of the Node."""
        node = self._objects.view(Node, self._node)
        return node.metadata.labels if node is not None else {HOSTNAME: self._node}
