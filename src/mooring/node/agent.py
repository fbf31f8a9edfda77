"""The node agent: what concerns one host's volumes."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mooring.model.names import HOSTNAME, STORAGE_PROVISIONER
from mooring.node.mounting import Mounting
from mooring.node.pools import Pools
from mooring.node.provisioning import Provisioner
from mooring.node.published import Publisher
from mooring.objects.cache import Event
from mooring.objects.errors import AlreadyExists
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Queue
from mooring.rules.events import EventNote


class Agent:
    """Provisions and deletes the assets of this host's pools."""

    def __init__(
        self, objects: Objects, node: str, state_dir: Path, tell: Callable[[EventNote], None]
    ) -> None:
        self._objects, self._node = objects, node
        pools = Pools(objects, node, state_dir, tell)
        self._publisher = Publisher(state_dir)
        self.mounting = Mounting(objects, pools, self._publisher, node)
        provisioner = Provisioner(objects, pools, node, self.mounting.release)
        self.claims = Queue("provision", provisioner.provision)
        self.volumes = Queue("delete", provisioner.delete)
        self._unfollow: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Take over the mounts of an earlier process and make the Node object if there is none.

        Then look at everything once, and follow.
        """
        await self._publisher.start()
        kind = self._objects.kinds["nodes"]
        labels = {HOSTNAME: self._node}
        with suppress(AlreadyExists):
            node = {"metadata": {"name": self._node, "labels": labels}}
            await self._objects.create(kind, "", node)
        self._follow("persistentvolumeclaims", self.claims, STORAGE_PROVISIONER.encode())
        self._follow("persistentvolumes", self.volumes, b'"volumeHandle"')
        for resource in ("pools.mooring.dev", "storageclasses.storage.k8s.io"):
            shelf = self._objects.cache.shelves[resource]
            self._unfollow.append(shelf.follow(self._all_claims_again))
        self.claims.start()
        self.volumes.start()

    def _follow(self, resource: str, queue: Queue, sign: bytes) -> None:
        """Look at those that have the sign: the others are no agent's, as a glance tells."""
        shelf = self._objects.cache.shelves[resource]
        for entry in shelf.entries():
            if sign in entry.body:
                queue.add(entry.key)

        def changed(event: Event) -> None:
            if event.after is not None and sign in event.after.body:
                queue.add(event.key)

        self._unfollow.append(shelf.follow(changed))

    def _all_claims_again(self, event: Event) -> None:
        """A pool or a class came or changed: claims that failed for it may go on at once."""
        self.claims.hurry()

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        await self.claims.stop()
        await self.volumes.stop()
