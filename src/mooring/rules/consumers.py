"""The volume that a first consumer chooses, without looking at them all. Storage semantics §6.

Free volumes lie by class, and by their host if they are of one, in the order of their size; volumes
that point at a claim lie by that. A choice looks at those that are large enough, the smallest
first, until one fits.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from heapq import merge
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.names import HOSTNAME, Phase
from mooring.model.selector import only_node
from mooring.model.volume import Volume
from mooring.rules.matching import fits
from mooring.rules.rows import Item, Row
from mooring.rules.waste import WasteLimit

NOTHING: frozenset[str] = frozenset()


class _Place(NamedTuple):
    """Where a volume lies: among those that point at a claim, else among the free of a class."""

    claim: str  # "ns/name", "" if none
    class_name: str
    host: str = ""  # of a free one that only the node of this label is let to; "" for all others


class ConsumerIndex:
    """All volumes that are no claim's yet."""

    def __init__(self) -> None:
        self._lies: dict[str, tuple[_Place, Item]] = {}
        self._rows: defaultdict[_Place, Row] = defaultdict(Row)

    def put(self, volume: Volume) -> None:
        """Take in a volume as it is now. A bound one is left out: its claim is bound with it."""
        self.remove(volume.name)
        ref = volume.claim_ref
        if ref is not None and volume.phase == Phase.BOUND:
            return
        if ref is not None:
            place = _Place(ref.key, "")
        else:
            place = _Place("", volume.class_name, _only_host(volume))
        item = (volume.capacity.nanos, 0, volume.name)
        self._lies[volume.name] = place, item
        self._rows[place].add(item)

    def remove(self, name: str) -> None:
        """Forget a volume; unknown is fine."""
        if (lies := self._lies.pop(name, None)) is None:
            return
        place, item = lies
        self._rows[place].remove(item)
        if not self._rows[place]:
            del self._rows[place]

    def choice(
        self,
        claim: Claim,
        volume_of: Callable[[str], Volume | None],
        labels: Mapping[str, str],
        node: str,
        taken: Collection[str] = NOTHING,
        limit: WasteLimit | None = None,
    ) -> Volume | None:
        """One that points at the claim, else the smallest that a consumer on a node can reach.

        Where one points at the claim, and the node does not reach it, no other will do.

        volume_of     by name
        labels, node  of the node. Access modes are no matter of groups here: §6, the last paragraph
        taken         names of volumes that are not in question
        limit         none that wastes more, unless it points at the claim
        """
        most = None if limit is None else limit.most(claim).nanos
        free = _Place("", claim.class_name)
        places = [_Place(claim.key, "")], [free, free._replace(host=labels.get(HOSTNAME, ""))]
        for together in places:
            unreached = False
            points = bool(together[0].claim)
            for _, _, name in self._large_enough(claim, together, None if points else most):
                volume = volume_of(name) if name not in taken else None
                if volume is None or not fits(claim, volume):
                    continue
                affinity = volume.spec.node_affinity
                if affinity is None or affinity.allows(labels, node):
                    return volume
                unreached = points
            if unreached:
                return None
        return None

    def _large_enough(
        self, claim: Claim, places: Iterable[_Place], most: int | None
    ) -> Iterator[Item]:
        rows = [self._rows[place] for place in dict.fromkeys(places) if place in self._rows]
        return merge(*(row.from_size(claim.request.nanos, most) for row in rows))


def _only_host(volume: Volume) -> str:
    """What the label of the one host is that has the volume, "" if its affinity is another."""
    affinity = volume.spec.node_affinity
    hosts = affinity.hosts() if affinity is not None else ()
    return hosts[0] if len(hosts) == 1 and affinity == only_node(HOSTNAME, hosts[0]) else ""
