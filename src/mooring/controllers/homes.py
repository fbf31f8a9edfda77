"""Has the labels of Nodes follow the homes of volumes, and forgets what hosts had that are gone.

The affinity of a volume that may move names a label, `volume.mooring.dev/NAME`. Whoever goes by
that, as Kubernetes' own tools do, sees the volume where it is. Decision 0033.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from mooring.model.names import HOME, HOME_LABEL
from mooring.model.node import Node
from mooring.model.volume import Volume
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Done, Outcome, Queue

SIGN: Final = f'"{HOME}"'.encode()  # in a volume's bytes
LABELLED: Final = f'"{HOME_LABEL}'.encode()  # in a Node's
YES: Final = "true"


class Homes:
    """Looks at one volume at a time, also at one that is gone."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.queue = Queue("homes", self.reconcile)
        self._volumes = objects.cache.shelves[Volume.resource]
        self._nodes = objects.cache.shelves[Node.resource]
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        self._look_at_all()
        for node in self._objects.views(Node):
            for label in node.labels:  # also of volumes that went while nobody looked
                if label.startswith(HOME_LABEL):
                    self.queue.add(label.removeprefix(HOME_LABEL))
        self._unfollow = [
            self._volumes.follow(self._volume_changed),
            self._nodes.follow(self._node_changed),
        ]

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()

    def _look_at_all(self) -> None:
        for entry in self._volumes.entries():
            self._look(entry)

    def _look(self, entry: Entry) -> None:
        if SIGN in entry.body:
            self.queue.add(entry.key)

    def _volume_changed(self, event: Event) -> None:
        entry = event.after or event.before
        assert entry is not None
        self._look(entry)

    def _node_changed(self, event: Event) -> None:
        """One came, or is gone, or somebody else changed its labels."""
        before, after = event.before, event.after
        if before is None or after is None or (LABELLED in before.body) != (LABELLED in after.body):
            self._look_at_all()

    async def reconcile(self, name: str) -> Outcome:
        """Bring its labels to where its home is, and drop copies of hosts that are gone."""
        volume = self._objects.view(Volume, name)
        home = volume.home if volume is not None else None
        if volume is not None:
            gone = [one for one in volume.copies if self._nodes.get(one.node) is None]
            if gone:  # one commit for each, as each is another pool's
                await self._objects.commit([(volume, volume.without_copy(gone[0].node))])
                return Done(f"{gone[0].node} is gone, and what it had of it")
        label, kind = HOME_LABEL + name, self._objects.kinds[Node.resource]
        for node in self._objects.views(Node):
            wanted = home is not None and node.name == home.node
            if (label in node.labels) != wanted:
                try:
                    change = partial(_labelled, label=label, wanted=wanted)
                    await self._objects.update(kind, node.name, change)
                except NotFound:
                    continue
        return Done("its label is where its home is")


def _labelled(doc: Doc, *, label: str, wanted: bool) -> Doc:
    labels = doc["metadata"].setdefault("labels", {})
    if wanted:
        labels[label] = YES
    else:
        labels.pop(label, None)
    return doc
