"""All loops, wired to what wakes them."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from mooring.controllers.attributes_classes import AttributesClasses
from mooring.controllers.binder import Binder
from mooring.controllers.data_sources import DataSources
from mooring.controllers.expander import Expander
from mooring.controllers.expiry import Expiry
from mooring.controllers.garbage import Garbage
from mooring.controllers.homes import Homes
from mooring.controllers.landscape import Landscape
from mooring.controllers.liveness import Liveness
from mooring.controllers.namespaces import Namespaces
from mooring.controllers.placer import Placer
from mooring.controllers.pod_loops import PodLoops
from mooring.controllers.pools import Pools
from mooring.controllers.quotas import Quotas
from mooring.controllers.reclaimer import Reclaimer
from mooring.controllers.recorder import Recorder
from mooring.controllers.replicas import Replicas
from mooring.controllers.schedules import Schedules
from mooring.controllers.snapshots import Snapshots
from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quota import ResourceQuota
from mooring.model.schedule import SnapshotSchedule
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Queue
from mooring.reconcile.resync import Resync
from mooring.rules.volumes import is_at_rest


class Follower(Protocol):
    """Something that is kept current by events."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Controllers:
    """Started and stopped as one, on the server that leads."""

    def __init__(self, objects: Objects, recorder: Recorder | None = None) -> None:
        """recorder: of this server, which others tell of events, too; None: one of their own"""
        self._objects, self._has_recorder = objects, recorder is None
        self.recorder = recorder or Recorder(objects)
        self.landscape = Landscape(
            objects, lambda key: self.claims.add(key), lambda name: self.volumes.add(name)
        )
        binder = Binder(objects, self.landscape, self.recorder)
        reclaimer = Reclaimer(
            objects, self.landscape, self.recorder, lambda key: self.claims.add(key)
        )
        self.claims = Queue("claims", binder.reconcile, objects.commit_each)
        self.volumes = Queue("volumes", reclaimer.reconcile, objects.commit_each)
        self.namespaces = Queue("namespaces", Namespaces(objects).reconcile)
        self.nodes = Queue("nodes", Liveness(objects).reconcile)
        pools = Pools(objects, lambda name: self.pools.add(name))
        self.pools = Queue("pools", pools.reconcile)
        quotas = Quotas(objects, lambda key: self.quotas.add(key))
        self.quotas = Queue("quotas", quotas.reconcile)
        self._owned = Garbage(objects, lambda key: self.garbage.add(key), self.recorder.note)
        self.garbage = Queue("garbage", self._owned.reconcile)
        schedules = Schedules(objects, self.recorder, lambda key: self.schedules.add(key))
        self.schedules = Queue("schedules", schedules.reconcile)
        self.snapshots = Snapshots(objects, self.recorder)
        protection = AttributesClasses(objects, lambda name: self.attributes_classes.add(name))
        self.attributes_protection = protection
        self.attributes_classes = Queue("attributes classes", protection.reconcile)
        self.expander = Expander(objects, self.recorder)
        self.placer = Placer(objects, self.recorder)
        self.replicas = Replicas(objects, self.recorder)
        self.homes = Homes(objects)
        self.pod_loops = PodLoops(objects, self.landscape, self.recorder)
        self.queues = (
            *(self.claims, self.volumes, self.namespaces),
            *(self.nodes, self.pools, self.quotas, self.garbage, self.schedules),
            *(self.attributes_classes, self.expander.queue, self.placer.queue, self.replicas.queue),
            self.homes.queue,
            *self.snapshots.queues,
            *self.pod_loops.queues,
        )
        self._followers: tuple[Follower, ...] = (
            self.landscape,
            self.pod_loops,
            self.placer,
            self.replicas,
            self.homes,
            pools,
            self.snapshots,
            quotas,
            schedules,
            DataSources(objects, self.recorder.note),
        )
        self.expiry = Expiry(objects)
        self._unfollow: list[Callable[[], None]] = []
        self.resyncs = self._looks_now_and_then(quotas)

    def _looks_now_and_then(self, quotas: Quotas) -> tuple[Resync, ...]:
        shelves = self._objects.cache.shelves
        return (
            Resync(shelves[Claim.resource], lambda entry: self.claims.add(entry.key)),
            Resync(shelves[Volume.resource], self._look_at_volume),
            Resync(shelves[ResourceQuota.resource], lambda entry: quotas.count_anew(entry.key)),
            *(
                Resync(shelf, partial(self._owned.look, resource))
                for resource, shelf in shelves.items()
            ),
        )

    @property
    def _parts(self) -> tuple[Queue | Resync, ...]:
        return (*self.queues, *self.resyncs)

    async def start(self) -> None:
        """Look at everything once, then at what changes.

        Each loop goes through all there is of its kinds at once. Others have their turn in between:
        a server that comes to lead is serving.
        """
        if self._has_recorder:
            await self.recorder.start()
        for follower in self._followers:
            follower.start()
            await asyncio.sleep(0)
        self._follow(Node.resource, self.nodes)
        self._follow("namespaces", self.namespaces)
        self._follow(Pool.resource, self.pools)
        self._owned.start()
        await asyncio.sleep(0)
        self._follow(SnapshotSchedule.resource, self.schedules)
        self.attributes_protection.start()
        self.expander.start()
        await asyncio.sleep(0)
        self._follow(AttributesClass.resource, self.attributes_classes)
        await self.expiry.start()
        for part in self._parts:
            part.start()

    def _look_at_volume(self, entry: Entry) -> None:
        if not is_at_rest(view(Volume, entry)):
            self.volumes.add(entry.key)

    def _follow(self, resource: str, queue: Queue) -> None:
        """Have each looked at now, and when it changes."""
        shelf = self._objects.cache.shelves[resource]
        for entry in shelf.entries():
            queue.add(entry.key)

        def changed(event: Event) -> None:
            if event.after is not None:
                queue.add(event.key)

        self._unfollow.append(shelf.follow(changed))

    async def idle(self) -> None:
        """Wait until all that was to be looked at was looked at, what that caused included.

        What waits for its time (a retry, a look later on) is not waited for. Events that were to
        be told are written.
        """
        while not all(queue.idle for queue in self.queues):
            for queue in self.queues:
                await queue.until_idle()
        await self.recorder.written()

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        for follower in self._followers:
            follower.stop()
        self._owned.stop()
        self.attributes_protection.stop()
        self.expander.stop()
        for part in (*self._parts, self.expiry):
            await part.stop()
        if self._has_recorder:
            await self.recorder.stop()
