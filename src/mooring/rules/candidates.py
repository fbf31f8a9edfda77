"""Which volumes there are for a claim that got none, and which would do."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.volume import Volume
from mooring.rules.matching import (
    LEFT_BEHIND,
    OF_OTHERS,
    TOO_LARGE,
    TOO_SMALL,
    UNSELECTED,
    Refusal,
    quoted,
    refusals,
    short,
)
from mooring.rules.waste import WasteLimit

KINDS_AT_MOST: Final = 4  # of refusals that are counted apart
FITTING: Final = "fitting"
OF_ONE: Final = {  # what is said in other words of one volume than of several
    LEFT_BEHIND: "of an earlier claim of this name",
    OF_OTHERS: "of another claim",
    UNSELECTED: "not selected by its labels",
}


def candidates(
    claim: Claim, volumes: Sequence[Volume], limit: WasteLimit | None = None
) -> tuple[str, ...]:
    """How many volumes were refused, each counted under the first rule that it fails, and the
    one that is nearest to fitting."""
    if not volumes:
        return ("there are no volumes at all",)
    kinds = [(one, _first_refusal(claim, one, limit)) for one in volumes]
    counts = Counter(kind for _, kind in kinds)
    common = counts.most_common(KINDS_AT_MOST)
    counted = [f"{count} {_kind(kind, count)}{_extreme(kind, kinds)}" for kind, count in common]
    if others := len(kinds) - sum(count for _, count in common):
        counted.append(f"{others} for {'other reasons' if others > 1 else 'another reason'}")
    plural = "volumes" if len(kinds) > 1 else "volume"
    details = [f"{len(kinds)} {plural} looked at: {', '.join(counted)}"]
    unbound = [one for one in volumes if one.claim_ref is None or one.phase != Phase.BOUND]
    if unbound and not counts[FITTING]:
        judged = [(one, list(refusals(claim, one, limit=limit))) for one in unbound]
        near, found = min(judged, key=lambda pair: _distance(claim, *pair))
        reasons = ", and ".join(one.why for one in found)
        details.append(f"nearest is {near.name} ({near.capacity}, {short(near.modes)}): {reasons}")
    return tuple(details)


def _first_refusal(claim: Claim, volume: Volume, limit: WasteLimit | None) -> str:
    refusal = next(refusals(claim, volume, limit=limit), None)
    return FITTING if refusal is None else refusal.kind


def _kind(kind: str, count: int) -> str:
    return OF_ONE.get(kind, kind) if count == 1 else kind


def _extreme(kind: str, kinds: Sequence[tuple[Volume, str]]) -> str:
    """Of those that have the wrong size, the one that is the least wrong."""
    sizes = [one.capacity for one, which in kinds if which == kind]
    if kind == TOO_SMALL:
        return f" (largest {max(sizes)})"
    return f" (smallest {min(sizes)})" if kind == TOO_LARGE else ""


def _distance(
    claim: Claim, volume: Volume, found: list[Refusal]
) -> tuple[bool, bool, int, bool, int, str]:
    """Less is nearer. A limit can be put aside, and all other refusals are for good."""
    anothers = volume.claim_ref is not None and volume.claim_ref.key != claim.key
    apart = abs(volume.capacity.nanos - claim.request.nanos)
    for_good = found[-1].kind != TOO_LARGE
    return anothers, volume.being_deleted, len(found), for_good, apart, volume.name


def left_behind(claim: Claim, volumes: Sequence[Volume]) -> Volume | None:
    """A volume that has the data of an earlier claim of this name, and would fit but for that."""
    ended = (one for one in volumes if one.phase in (Phase.RELEASED, Phase.FAILED))
    fitting = (one for one in ended if [refusal.rule for refusal in refusals(claim, one)] == [1])
    own = [one for one in fitting if one.claim_ref is not None and one.claim_ref.key == claim.key]
    return min(own, key=lambda one: one.name, default=None)


def lacking(claim: Claim, volume: Volume, *, by_class: bool = True) -> str:
    """Why a volume that a claim names, or that names a claim, cannot be the claim's; "" if it can.

    The reasons of §4 B, in the words of §6.
    """
    found = [
        one.why
        for one in refusals(claim, volume)
        if one.rule in (0, 2, 3, 4, 5) or (by_class and one.is_of_class)
    ]
    return ", and ".join(found)


def wanted(claim: Claim, limit: WasteLimit | None) -> str:
    """What a volume would have to be."""
    mode = f", volumeMode {claim.volume_mode}" if claim.spec.volume_mode == "Block" else ""
    selected = ", with the labels it selects" if claim.spec.selector is not None else ""
    size = f"{claim.request} or more" if limit is None else _sizes(claim, limit)
    attributes = f", attributes class {claim.attributes_class}" if claim.attributes_class else ""
    class_ = f"class {quoted(claim.class_name)}"
    return f"{class_}, {short(claim.modes)}, {size}{mode}{attributes}{selected}"


def _sizes(claim: Claim, limit: WasteLimit) -> str:
    most = limit.most(claim)
    return f"{claim.request}" if most == claim.request else f"{claim.request} to {most}"
