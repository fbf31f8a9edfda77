"""The volume that a first consumer chooses, without looking at them all. Storage semantics §6.

Free volumes lie by class, volume mode, attributes class, set of access modes, and by their host if
they are of one, in the order of their size; volumes that point at a claim lie by that. A choice
looks at those that are large enough and may match its selector, the smallest first, until one fits.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from heapq import merge
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.names import HOSTNAME, Phase
from mooring.model.selector import only_node
from mooring.model.volume import Volume
from mooring.rules.matching import NO_LABELS, Shelfmark, fits
from mooring.rules.rows import Item, LabelledRow
from mooring.rules.waste import WasteLimit

NOTHING: frozenset[str] = frozenset()


class _Place(NamedTuple):
    """Where a volume lies: among those that point at a claim, else among the free of its kind."""

    claim: str  # "ns/name", "" if none
    mark: Shelfmark | None = None  # of a free one
    host: str = ""  # of a free one that only the node of this label is let to; "" for all others


class _Lying(NamedTuple):
    """How a volume is found again, to be removed."""

    place: _Place
    modes: frozenset[str]
    item: Item
    labels: dict[str, str]


class ConsumerIndex:
    """All volumes that are no claim's yet."""

    def __init__(self) -> None:
        self._lies: dict[str, _Lying] = {}
        self._rows: defaultdict[_Place, dict[frozenset[str], LabelledRow]] = defaultdict(dict)

    def put(self, volume: Volume) -> None:
        """Take in a volume as it is now. A bound one is left out: its claim is bound with it."""
        self.remove(volume.name)
        ref = volume.claim_ref
        if ref is not None and volume.phase == Phase.BOUND:
            return
        if ref is not None:
            place = _Place(ref.key)
        else:
            place = _Place("", Shelfmark.of(volume), _only_host(volume))
        item, labels = (volume.capacity.nanos, 0, volume.name), volume.metadata.labels or NO_LABELS
        self._lies[volume.name] = _Lying(place, volume.modes, item, labels)
        rows = self._rows[place]
        if volume.modes not in rows:
            rows[volume.modes] = LabelledRow()
        rows[volume.modes].add(item, labels)

    def remove(self, name: str) -> None:
        """Forget a volume; unknown is fine."""
        if (lies := self._lies.pop(name, None)) is None:
            return
        rows = self._rows[lies.place]
        rows[lies.modes].remove(lies.item, lies.labels)
        if not rows[lies.modes]:
            del rows[lies.modes]
        if not rows:
            del self._rows[lies.place]

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
        free = _Place("", Shelfmark.of(claim))
        places = [_Place(claim.key)], [free, free._replace(host=labels.get(HOSTNAME, ""))]
        for together in places:
            unreached = False
            points = bool(together[0].claim)
            for _, _, name in self._large_enough(claim, together, None if points else most):
                volume = volume_of(name) if name not in taken else None
                if volume is None or not fits(claim, volume):
                    continue
                if volume.reached_from(labels, node):
                    return volume
                unreached = points
            if unreached:
                return None
        return None

    def _large_enough(
        self, claim: Claim, places: Iterable[_Place], most: int | None
    ) -> Iterator[Item]:
        rows = (
            (row, None if place.claim else claim.spec.selector)  # one that points needs no labels
            for place in dict.fromkeys(places)
            for modes, row in self._rows.get(place, {}).items()
            if claim.modes <= modes
        )
        return merge(*(row.from_size(claim.request.nanos, asks, most) for row, asks in rows))


def _only_host(volume: Volume) -> str:
    """What the label of the one host is that has the volume, "" if its affinity is another."""
    if (home := volume.home) is not None:
        return home.node  # as its label says, too
    affinity = volume.spec.node_affinity
    hosts = affinity.hosts() if affinity is not None else ()
    return hosts[0] if len(hosts) == 1 and affinity == only_node(HOSTNAME, hosts[0]) else ""
