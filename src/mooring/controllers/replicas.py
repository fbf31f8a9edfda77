"""Says which hosts are to have replicas of a volume: those with most room. Decision 0037."""

from collections.abc import Callable
from typing import Final

from mooring.controllers.recorder import Recorder
from mooring.model.home import Home, replica_count
from mooring.model.names import REPLICAS_PARAMETER
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import Forbidden
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.events import WARNING, EventNote
from mooring.rules.placing import Rooms
from mooring.rules.replicas import SIGN, beginning, is_replicated, lacks

LOOK_AGAIN_S: Final = 30.0  # at a volume with too few replicas
COMPONENT: Final = "mooring"


class Replicas:
    """Looks at one volume at a time."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._recorder = objects, recorder
        self.queue = Queue("replicas", self.reconcile)
        self._rooms = Rooms()
        self._told: dict[str, str] = {}  # volume → why it has too few
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        shelves = self._objects.cache.shelves
        for entry in shelves[Node.resource].entries():
            self._rooms.put_node(entry.key, view(Node, entry))
        for entry in shelves[Pool.resource].entries():
            self._rooms.put_pool(entry.key, view(Pool, entry))
        for entry in shelves[Volume.resource].entries():
            self._look(entry)
        self._unfollow = [
            shelves[Volume.resource].follow(self._volume_changed),
            shelves[Pool.resource].follow(self._pool_changed),
            shelves[Node.resource].follow(self._node_changed),
        ]

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()

    def _look(self, entry: Entry) -> None:
        if SIGN in entry.body:
            self.queue.add(entry.key)

    def _volume_changed(self, event: Event) -> None:
        if event.after is not None:
            self._look(event.after)
        else:
            self._told.pop(event.key, None)

    def _pool_changed(self, event: Event) -> None:
        after = event.after
        self._rooms.put_pool(event.key, view(Pool, after) if after is not None else None)

    def _node_changed(self, event: Event) -> None:
        """What was on one that is gone, others are to have: few volumes have replicas at all."""
        after = event.after
        if after is None:
            for entry in self._objects.cache.shelves[Volume.resource].entries():
                self._look(entry)
        self._rooms.put_node(event.key, view(Node, after) if after is not None else None)

    async def reconcile(self, name: str) -> Outcome:
        """Have one more host begin a replica, if there are too few. Each is a commit of its own,
        as it is charged to another pool."""
        volume = self._objects.view(Volume, name)
        if volume is None or not is_replicated(volume) or volume.home is None:
            return Done("it has no replicas")
        class_ = self._objects.view(StorageClass, volume.spec.storage_class_name)
        parameter = class_.parameters.get(REPLICAS_PARAMETER) if class_ is not None else None
        nodes = {entry.key for entry in self._objects.cache.shelves[Node.resource].entries()}
        if not lacks(volume, replica_count(parameter) or 1, nodes):
            self._told.pop(name, None)
            return Done("it has its replicas")
        others = {volume.home.node, *(one.node for one in volume.copies)}
        pool = self._rooms.for_copy(volume.driver, volume.takes, others)
        if pool is None:
            return self._none(volume)
        try:
            wanted = beginning(volume, Home(pool.node, pool.name))
            await self._objects.commit([(volume, wanted)])
        except Forbidden as error:
            return Again(LOOK_AGAIN_S, str(error))
        return Done(f"{pool.node} is to have a replica")

    def _none(self, volume: Volume) -> Outcome:
        why = f"no other host that is Ready has a pool of {volume.driver} with {volume.takes} left"
        if self._told.get(volume.name) != why:
            self._told[volume.name] = why
            about = volume.claim_ref or volume.reference()
            note = EventNote(about, WARNING, "TooFewReplicas", why, COMPONENT)
            self._recorder.note(note)
        return Again(LOOK_AGAIN_S, why)
