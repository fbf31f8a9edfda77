"""Looks at the volumes that have, or are to have, something on this host beside their home."""

import logging
from collections.abc import Callable
from typing import Final

from mooring.errors import MooringError
from mooring.model.home import CopyState, Elsewhere, Home
from mooring.model.names import COPIES, MOVE_TO
from mooring.model.volume import Volume
from mooring.node.moving import Mover
from mooring.node.replicating import Replicator
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.reconcile.backoff import Backoff
from mooring.reconcile.queue import Again, Done, Outcome, Queue
from mooring.rules.moving import expecting, is_to_be_deleted, is_wanted_on
from mooring.rules.replicas import is_whole_on
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

RETRY_S: Final = 5.0
SIGNS: Final = tuple(f'"{name}"'.encode() for name in (COPIES, MOVE_TO))  # in a volume's bytes


class Copies:
    """Of one host."""

    def __init__(self, objects: Objects, mover: Mover, replicator: Replicator, node: str) -> None:
        self._objects, self._mover, self._node = objects, mover, node
        self._replicator = replicator
        self._moving = Backoff(objects.clock)
        self.queue = Queue("copies", self._looked_at)
        self._shelf = objects.cache.shelves[Volume.resource]
        self._unfollow: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Go on with what an earlier process left, then follow."""
        for entry in self._shelf.entries():
            self._look(entry)
        self._unfollow = self._shelf.follow(self._changed)
        self.queue.start()

    async def stop(self) -> None:
        self._unfollow()
        await self.queue.stop()
        await self._mover.stop()

    def _changed(self, event: Event) -> None:
        if event.after is not None:
            self._look(event.after)

    def _look(self, entry: Entry) -> None:
        if any(sign in entry.body for sign in SIGNS):
            self.queue.add(entry.key)

    async def _looked_at(self, name: str) -> Outcome:
        volume = self._objects.view(Volume, name)
        is_coming = volume is not None and (
            self._mover.is_coming(volume.uid) or self._replicator.is_coming(volume.uid)
        )
        if volume is None or volume.home is None or is_coming:
            return Done("nothing of it is here, or it is coming")
        copy = volume.copy_on(self._node)
        begun = copy is not None and copy.state is CopyState.ARRIVING
        try:
            if copy is not None and is_to_be_deleted(volume, copy):
                await self._mover.forget(name)
                return Done("what was left of it is deleted")
            if volume.annotations.get(MOVE_TO) == self._node == volume.home.node:
                await self._objects.commit([(volume, volume.without_annotations(MOVE_TO))])
                return Done("it has come")
            if begun and volume.elsewhere is Elsewhere.MOVE:
                return await self._gone_on(volume)
            if is_wanted_on(volume, self._node) and not is_whole_on(volume, self._node):
                return await self._replicated(volume)
        except Conflict:
            return Again(0, "it is another by now")
        except MooringError as error:
            log.warning("volume=%s what is left of it stays: %s", name, error)
            return Again(RETRY_S, str(error))
        if is_wanted_on(volume, self._node):
            if users := self._mover.held_by_others(volume):
                return Again(RETRY_S, f"it is in use on {', '.join(users)}")
            return self._begun(volume)
        return Done("nothing to do")

    async def _gone_on(self, volume: Volume) -> Outcome:
        """With a move that was cut off; unless it is used where it was again."""
        if self._mover.held_by_others(volume):
            await self._mover.forget(volume.name, gives_up=True)
            return Done("it is in use where it was, and what had come of it is deleted")
        return self._begun(volume)

    def _begun(self, volume: Volume) -> Outcome:
        if (left_s := self._moving.left_s(volume.name, volume.uid)) > 0:
            return Again(left_s, "it did not come, and is tried again later")
        if volume.elsewhere is Elsewhere.REPLICA:
            self._replicator.begin(volume, RETRY_S, self._mover.ended)
        else:
            self._mover.begin(volume)
        return Done("it is on its way")

    async def _replicated(self, volume: Volume) -> Outcome:
        """Have a replica here first, where one that is to be used here has none."""
        if volume.copy_on(self._node) is None:
            home = Home(self._node, self._mover.place(volume).name)
            await self._objects.commit([(volume, expecting(volume, home))])
        return Again(RETRY_S, "its replica is not whole yet")

    def ended(self, volume: Volume, came: bool) -> None:
        """A move came to its end."""
        if came:
            self._moving.forget(volume.name)
        else:
            self._moving.failed(volume.name, volume.uid)
        self.queue.add(volume.name)
