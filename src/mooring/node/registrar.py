"""Tells what this host's drivers are and how much they can still make. Storage semantics §19.

CSIDriver says what a driver is, CSINode which drivers a host has, CSIStorageCapacity what is left
for a class on a host; whoever places pods looks there.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Final

from mooring.drivers.registry import DRIVERS
from mooring.model.csi import (
    CAPACITY_NAMESPACE,
    DRIVER_LABEL,
    MANAGER_LABEL,
    CsiDriver,
    StorageCapacity,
)
from mooring.model.names import HOSTNAME
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.node.pools import Pools
from mooring.objects.cache import Event
from mooring.objects.errors import AlreadyExists, Invalid, NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.pool_room import is_told_anew, room_in

log = logging.getLogger(__name__)

CSI_NODES: Final = "csinodes.storage.k8s.io"
THE_NODE: Final = ""  # the key of the CSINode; all others are names of classes
# Each volume changes what is left; who places pods need not know of each of them at once.
WRITTEN_EVERY_S: Final = 1.0
# What a disk has left is changed by others, too; as external-provisioner's poll.
ASKED_EVERY_S: Final = 60.0


class Registrar:
    """Of one host."""

    def __init__(self, objects: Objects, pools: Pools, node: str) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._written_s: dict[str, float] = {}  # class → when its capacity was, monotonic
        self.queue = Queue("capacities", self.reconcile)
        self._unfollow: list[Callable[[], None]] = []

    async def start(self) -> None:
        """The drivers and the node are told of when this returns; capacities soon after."""
        with suppress(AlreadyExists):
            namespace = {"metadata": {"name": CAPACITY_NAMESPACE}}
            await self._objects.create(self._objects.kinds["namespaces"], "", namespace)
        for name in DRIVERS:
            await self._tell_driver(name)
        await self._tell_node()
        shelves = self._objects.cache.shelves
        for resource, changed in (
            (StorageClass.resource, self._class_changed),
            (Pool.resource, self._pool_changed),
            (StorageCapacity.resource, self._capacity_changed),
            (CSI_NODES, self._node_changed),
        ):
            self._unfollow.append(shelves[resource].follow(changed))
        for class_ in self._objects.views(StorageClass):
            self.queue.add(class_.name)
        for told in self._objects.views(StorageCapacity, CAPACITY_NAMESPACE):
            if self._is_ours(told):  # of a class that is gone by now, perhaps
                self.queue.add(told.storage_class_name)
        self.queue.start()

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        await self.queue.stop()

    async def reconcile(self, key: str) -> Outcome:
        """Say what is left for a class here; or, for THE_NODE, which drivers there are."""
        if key == THE_NODE:
            await self._tell_node()
            return Done("told")
        class_ = self._objects.view(StorageClass, key)
        told = self._objects.view(StorageCapacity, self._key(key))
        pool = self._pool(class_) if class_ is not None else None
        if class_ is None or pool is None:
            if told is not None:
                await self._withdraw(told)
            self._written_s.pop(key, None)
            return Done("none of ours")
        now_s = self._objects.clock.monotonic_s()
        left_s = self._written_s.get(key, now_s - WRITTEN_EVERY_S) + WRITTEN_EVERY_S - now_s
        if left_s > 0:
            return Again(left_s, "told a moment ago")
        room = await self._room(pool)
        if told is None or is_told_anew(told.limit, room, exact=pool.capacity is not None):
            await self._tell(class_, pool, told, room)
            self._written_s[key] = now_s
        if pool.capacity is None:
            return Again(ASKED_EVERY_S, "the disk is asked again later")
        return Done("told")

    def _pool(self, class_: StorageClass) -> Pool | None:
        """Where a class takes from here. What binds at once asks nobody for capacity."""
        if not class_.waits_for_consumer:
            return None
        found = self._pools.for_class(class_)
        return found if isinstance(found, Pool) else None

    async def _room(self, pool: Pool) -> Quantity:
        if pool.being_deleted:
            return Quantity(0)
        room = room_in(pool)
        if room is not None:
            return room
        usage = await self._pools.usage(pool)
        return Quantity.of_bytes(max(usage.free_bytes, 0) if usage is not None else 0)

    async def _tell(
        self, class_: StorageClass, pool: Pool, told: StorageCapacity | None, room: Quantity
    ) -> None:
        kind, size = self._objects.kinds[StorageCapacity.resource], room.canonical()
        if told is not None:
            with suppress(NotFound):  # then it is made anew, as its end is followed
                await self._objects.update(kind, told.key, lambda doc: {**doc, "capacity": size})
            return
        manager = f"external-provisioner-{self._node}"
        doc: Doc = {
            "metadata": {
                "name": self._name(class_.name),
                "labels": {DRIVER_LABEL: pool.driver, MANAGER_LABEL: manager[:63].rstrip("-._")},
                "ownerReferences": self._owners(),
            },
            "storageClassName": class_.name,
            "nodeTopology": {"matchLabels": {HOSTNAME: self._node}},
            "capacity": size,
        }
        with suppress(AlreadyExists):
            await self._objects.create(kind, CAPACITY_NAMESPACE, doc)

    async def _withdraw(self, told: StorageCapacity) -> None:
        with suppress(NotFound):
            await self._objects.delete(self._objects.kinds[StorageCapacity.resource], told.key)

    async def _tell_driver(self, name: str) -> None:
        """Once: an admin may change or delete it, and it stays so until the next start."""
        spec = {"attachRequired": True, "storageCapacity": True}
        doc: Doc = {"metadata": {"name": name}, "spec": spec}
        with suppress(AlreadyExists):
            await self._objects.create(self._objects.kinds[CsiDriver.resource], "", doc)

    async def _tell_node(self) -> None:
        kind = self._objects.kinds[CSI_NODES]
        drivers = [
            {"name": name, "nodeID": self._node, "topologyKeys": [HOSTNAME]} for name in DRIVERS
        ]

        def with_drivers(doc: Doc) -> Doc:
            others = [
                one for one in doc["spec"].get("drivers") or () if one.get("name") not in DRIVERS
            ]
            return {**doc, "spec": {**doc["spec"], "drivers": [*others, *drivers]}}

        metadata = {"name": self._node, "ownerReferences": self._owners()}
        doc: Doc = {"metadata": metadata, "spec": {"drivers": drivers}}
        try:
            await self._objects.create(kind, "", doc)
        except AlreadyExists:
            try:
                await self._objects.update(kind, self._node, with_drivers)
            except Invalid as error:  # a driver's entry cannot be changed, only taken away
                log.warning("node=%s its drivers are told otherwise: %s", self._node, error)

    def _owners(self) -> list[Doc]:
        """The Node: what is told of it goes with it."""
        node = self._objects.view(Node, self._node)
        if node is None:
            return []
        return [{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}]

    def _name(self, class_: str) -> str:
        return "csisc-" + sha256(f"{class_} {self._node}".encode()).hexdigest()[:16]

    def _key(self, class_: str) -> str:
        return f"{CAPACITY_NAMESPACE}/{self._name(class_)}"

    def _is_ours(self, told: StorageCapacity) -> bool:
        return told.name == self._name(told.storage_class_name)

    # Events

    def _class_changed(self, event: Event) -> None:
        self.queue.add(event.key)

    def _pool_changed(self, event: Event) -> None:
        entry = event.after or event.before
        assert entry is not None
        driver = view(Pool, entry).driver
        for class_ in self._objects.views(StorageClass):
            if class_.waits_for_consumer and class_.provisioner == driver:
                self.queue.add(class_.name)

    def _capacity_changed(self, event: Event) -> None:
        if event.after is None and event.before is not None:
            told = view(StorageCapacity, event.before)
            if self._is_ours(told):
                self.queue.add(told.storage_class_name)

    def _node_changed(self, event: Event) -> None:
        if event.after is None and event.key == self._node:
            self.queue.add(THE_NODE)
