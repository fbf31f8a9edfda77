"""The best volume for a claim, without looking at them all. Storage semantics §6.

Free volumes lie in groups of one class, volume mode, attributes class and set of access modes,
ordered by capacity; volumes with a claimRef lie by the claim they point at. A change of a volume
and a question each cost O(log n). A claim with a selector costs a look at the volumes that have
the rarest of the labels it asks for, the smallest that is large enough first, until one matches;
only selectors that do nothing but exclude may look at many.

`refusals` judges one volume by the same rules and tells which it fails; tests hold the index to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from mooring.model.claim import Claim
from mooring.model.metadata import ObjectReference
from mooring.model.names import SHORT_MODES, Phase
from mooring.model.volume import Volume
from mooring.rules.rows import LabelledRow
from mooring.rules.waste import WasteLimit

TOO_SMALL: Final = "too small"
OF_CLASS: Final = "of class "
OF_OTHERS: Final = "of other claims"
LEFT_BEHIND: Final = "of earlier claims of this name"
UNSELECTED: Final = "not selected by their labels"
TOO_LARGE: Final = "too large"  # by the limit of waste
NO_LABELS: Final[dict[str, str]] = {}  # one for all volumes that have none


class Shelfmark(NamedTuple):
    """What a free volume must equal to be in question at all, but for its access modes."""

    class_name: str
    volume_mode: str
    attributes_class: str

    @staticmethod
    def of(thing: Claim | Volume) -> "Shelfmark":
        """Where a free volume lies, or a claim looks."""
        return Shelfmark(thing.class_name, thing.volume_mode, thing.attributes_class)


class Slim(NamedTuple):
    """What the index keeps of a volume."""

    mark: Shelfmark
    modes: frozenset[str]
    capacity: int  # in nanos
    labels: dict[str, str]
    claim: str  # "ns/name" that it points at, "" if none
    claim_uid: str
    free: bool  # may be given to any claim
    deleting: bool


class VolumeIndex:
    """All volumes, arranged for the question `best`."""

    def __init__(self) -> None:
        self._slim: dict[str, Slim] = {}
        self._groups: defaultdict[Shelfmark, dict[frozenset[str], LabelledRow]] = defaultdict(dict)
        # By claim and uid: the volumes that earlier claims of a name left behind may be many.
        self._pointing: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._assumed: set[str] = set()

    def __len__(self) -> int:
        return len(self._slim)

    def put(self, volume: Volume) -> None:
        """Take in a volume as it is now."""
        slim = _slim(volume)
        if self._slim.get(volume.name) == slim:
            return
        self.remove(volume.name)
        self._slim[volume.name] = slim
        if slim.free:
            groups = self._groups[slim.mark]
            if slim.modes not in groups:
                groups[slim.modes] = LabelledRow()
            groups[slim.modes].add((slim.capacity, 0, volume.name), slim.labels)
        elif slim.claim:
            self._pointing[slim.claim, slim.claim_uid].add(volume.name)

    def remove(self, name: str) -> None:
        """Forget a volume; unknown is fine."""
        slim = self._slim.pop(name, None)
        if slim is None:
            return
        if slim.free:
            groups = self._groups[slim.mark]
            groups[slim.modes].remove((slim.capacity, 0, name), slim.labels)
            if not groups[slim.modes]:
                del groups[slim.modes]
            if not groups:
                del self._groups[slim.mark]
        elif slim.claim:
            pointing = self._pointing[slim.claim, slim.claim_uid]
            pointing.discard(name)
            if not pointing:
                del self._pointing[slim.claim, slim.claim_uid]

    def pointing_at(self, claim_key: str, uid: str) -> list[str]:
        """Names of the volumes whose claimRef has this namespace, name and uid ("": none)."""
        return sorted(self._pointing.get((claim_key, uid), ()))

    def is_free(self, name: str) -> bool:
        """Whether any claim that it fits may have it, and none is about to get it."""
        return name in self._slim and self._slim[name].free and name not in self._assumed

    def assume(self, name: str) -> None:
        """Offer it to nobody else while a bind to it is being stored."""
        self._assumed.add(name)

    def release(self, name: str) -> None:
        """The bind was stored and is in the index, or failed."""
        self._assumed.discard(name)

    def best(
        self, claim: Claim, *, delay: bool = False, limit: WasteLimit | None = None
    ) -> str | None:
        """The volume to bind the claim to, or None.

        delay  the claim waits for its first consumer: only volumes that point at it count
        limit  none that wastes more, unless it points at the claim
        """
        wanted, most = claim.modes, None if limit is None else limit.most(claim).nanos
        pointing = self._pointing_at(claim)
        mark = Shelfmark.of(claim)
        groups = self._groups.get(mark, {}) if not delay else {}
        # Fewest modes first, a tie in the same order every time; a volume that points at the
        # claim counts when its group's turn has come.
        mode_sets = {modes for modes in groups if wanted <= modes} | pointing.keys()
        for modes in sorted(mode_sets, key=lambda modes: (len(modes), sorted(modes))):
            if modes in pointing:
                return min(pointing[modes])
            if name := self._smallest(groups[modes], claim, most):
                return name
        return None

    def _pointing_at(self, claim: Claim) -> dict[frozenset[str], list[str]]:
        """Names by mode set of the volumes that point at it and could hold it."""
        found: dict[frozenset[str], list[str]] = {}
        for name in self._pointing_names(claim):
            slim = self._slim[name]
            if (
                slim.capacity >= claim.request.nanos
                and slim.mark.volume_mode == claim.volume_mode
                and slim.mark.attributes_class == claim.attributes_class
                and claim.modes <= slim.modes
                and not slim.deleting
            ):
                found.setdefault(slim.modes, []).append(name)
        return found

    def _pointing_names(self, claim: Claim) -> set[str]:
        names: set[str] = set()
        for uid in {"", claim.metadata.uid}:
            names |= self._pointing.get((claim.key, uid), set())
        return names

    def _smallest(self, group: LabelledRow, claim: Claim, most: int | None) -> str | None:
        selector = claim.spec.selector
        for _, _, name in group.from_size(claim.request.nanos, selector, most):
            if name in self._assumed:
                continue
            if selector is None or selector.matches(self._slim[name].labels):
                return name
        return None


def _slim(volume: Volume) -> Slim:
    ref = volume.claim_ref
    return Slim(
        Shelfmark.of(volume),
        volume.modes,
        volume.capacity.nanos,
        volume.metadata.labels or NO_LABELS,
        ref.key if ref else "",
        ref.uid if ref else "",
        ref is None and volume.phase == Phase.AVAILABLE and not volume.being_deleted,
        volume.being_deleted,
    )


class Refusal(NamedTuple):
    """A rule of §6 by which a volume is no candidate for a claim.

    rule  its number in §6; 0: the access modes, by which the groups are chosen; 10: the limit of
          waste, which is ours
    kind  to go on with "3 volumes are", the same for all that fail in the same way
    why   of this one, to go on with "it is": what it would have to be
    """

    rule: int
    kind: str
    why: str

    @property
    def is_of_class(self) -> bool:
        return self.kind.startswith(OF_CLASS)


def refusals(
    claim: Claim, volume: Volume, *, delay: bool = False, limit: WasteLimit | None = None
) -> Iterator[Refusal]:
    """Each rule that the volume fails, the hardest to mend first; none: it is a candidate.

    Whoever asks for the first alone does not pay for the others.

    delay, limit  as in VolumeIndex.best
    """
    mine = volume.points_at(claim)  # then phase, class and labels are not looked at, by rule 6
    ref = volume.claim_ref
    if ref is not None and not mine:
        if ref.key == claim.key:
            yield Refusal(1, LEFT_BEHIND, "of an earlier claim of this name")
        else:
            yield Refusal(1, OF_OTHERS, owned(volume, ref))
    if volume.being_deleted:
        yield Refusal(5, "being deleted", "being deleted")
    if ref is None and volume.phase != Phase.AVAILABLE:
        yield Refusal(8, "not Available", volume.phase or "not Available yet")
    if ref is None and volume.class_name != claim.class_name:
        kind = f"{OF_CLASS}{quoted(volume.class_name)}"
        yield Refusal(8, kind, f"{kind}, not {quoted(claim.class_name)}")
    if volume.volume_mode != claim.volume_mode:
        kind = f"of volumeMode {volume.volume_mode}"
        yield Refusal(3, kind, f"{kind}, not {claim.volume_mode}")
    if volume.attributes_class != claim.attributes_class:
        kind = f"of attributes class {quoted(volume.attributes_class)}"
        yield Refusal(4, kind, f"{kind}, not {quoted(claim.attributes_class)}")
    if lacking := claim.modes - volume.modes:
        kind = f"without {short(lacking)}"
        yield Refusal(0, kind, kind)
    selector = claim.spec.selector
    if ref is None and selector is not None and not selector.matches(volume.metadata.labels):
        yield Refusal(8, UNSELECTED, "not selected by its labels")
    if volume.capacity < claim.request:
        missing = claim.request.minus(volume.capacity)
        yield Refusal(2, TOO_SMALL, f"{missing} too small")
    if limit is not None and ref is None and volume.capacity > limit.most(claim):
        yield Refusal(10, TOO_LARGE, limit.forbidden)
    if delay and not mine:
        kind = "left for the first consumer to choose"
        yield Refusal(7, kind, kind)


def owned(volume: Volume, ref: ObjectReference) -> str:
    """Whose it is, by its claimRef."""
    if not ref.uid:
        return f"reserved for claim {ref.key}"
    return (
        f"{'left by' if volume.phase in (Phase.RELEASED, Phase.FAILED) else 'of'} claim {ref.key}"
    )


def fits(
    claim: Claim, volume: Volume, *, delay: bool = False, limit: WasteLimit | None = None
) -> bool:
    """Whether a volume is a candidate: no rule refuses it."""
    return next(refusals(claim, volume, delay=delay, limit=limit), None) is None


def short(modes: Iterable[str]) -> str:
    """Access modes as kubectl prints them."""
    return ",".join(sorted(SHORT_MODES.get(mode, mode) for mode in modes)) or "no access modes"


def quoted(class_name: str) -> str:
    """A class's name, seen even if it is none."""
    return class_name or '""'
