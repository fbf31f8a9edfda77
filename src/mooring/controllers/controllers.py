"""All loops, wired to what wakes them."""

from mooring.controllers.binder import Binder
from mooring.controllers.landscape import Landscape
from mooring.controllers.namespaces import Namespaces
from mooring.controllers.reclaimer import Reclaimer
from mooring.controllers.recorder import Recorder
from mooring.objects.cache import Event
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Queue


class Controllers:
    """Started and stopped as one, on the server that leads."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.recorder = Recorder(objects)
        self.landscape = Landscape(
            objects, lambda key: self.claims.add(key), lambda name: self.volumes.add(name)
        )
        binder = Binder(objects, self.landscape, self.recorder)
        reclaimer = Reclaimer(
            objects, self.landscape, self.recorder, lambda key: self.claims.add(key)
        )
        self.claims = Queue("claims", binder.reconcile)
        self.volumes = Queue("volumes", reclaimer.reconcile)
        self.namespaces = Queue("namespaces", Namespaces(objects).reconcile)

    async def start(self) -> None:
        """Look at everything once, then at what changes."""
        await self.recorder.start()
        self.landscape.start()
        shelf = self._objects.cache.shelves["namespaces"]
        for entry in shelf.entries():
            self.namespaces.add(entry.key)
        self._unfollow = shelf.follow(self._namespace_changed)
        for queue in (self.claims, self.volumes, self.namespaces):
            queue.start()

    def _namespace_changed(self, event: Event) -> None:
        if event.after is not None:
            self.namespaces.add(event.key)

    async def idle(self) -> None:
        """Wait until all that was to be looked at was looked at, what that caused included.

        What waits for its time (a retry, a look later on) is not waited for.
        """
        queues = (self.claims, self.volumes, self.namespaces)
        while not all(queue.idle for queue in queues):
            for queue in queues:
                await queue.until_idle()

    async def stop(self) -> None:
        self._unfollow()
        self.landscape.stop()
        for queue in (self.claims, self.volumes, self.namespaces):
            await queue.stop()
        await self.recorder.stop()
