"""Storage semantics §6 as it is written: look at every volume. What the index must agree with."""

from collections.abc import Iterable

from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.volume import Volume
from mooring.rules.waste import WasteLimit


def acceptable(
    volumes: Iterable[Volume],
    claim: Claim,
    *,
    delay: bool = False,
    limit: WasteLimit | None = None,
) -> set[str]:
    """Names of the volumes any one of which is right; empty if the claim must get none.

    More than one where §6 leaves the order open: groups of equally many modes, volumes of equal
    capacity, several volumes that point at the claim.
    """
    groups: dict[frozenset[str], list[Volume]] = {}
    for volume in volumes:
        if claim.modes <= volume.modes:
            groups.setdefault(volume.modes, []).append(volume)
    found: set[str] = set()
    for count in sorted({len(modes) for modes in groups}):
        for modes, group in groups.items():
            if len(modes) == count:
                found |= _of_group(group, claim, delay, limit)
        if found:
            break
    return found


def _of_group(group: list[Volume], claim: Claim, delay: bool, limit: WasteLimit | None) -> set[str]:
    """What rules 1 to 9 leave of volumes with the same access modes."""
    could = [volume for volume in group if not _skipped(volume, claim)]
    if pointing := {volume.name for volume in could if volume.points_at(claim)}:
        return pointing
    if delay:
        return set()
    free = [volume for volume in could if _is_free_for(volume, claim)]
    if limit is not None:  # which is no rule of Kubernetes
        free = [one for one in free if one.capacity.nanos <= claim.request.nanos * limit.times]
    smallest = min((volume.capacity for volume in free), default=None)
    return {volume.name for volume in free if volume.capacity == smallest}


def _skipped(volume: Volume, claim: Claim) -> bool:
    """Rules 1 to 5."""
    return (
        (volume.claim_ref is not None and not volume.points_at(claim))
        or volume.capacity < claim.request
        or (volume.spec.volume_mode or "Filesystem") != (claim.spec.volume_mode or "Filesystem")
        or volume.attributes_class != claim.attributes_class
        or volume.being_deleted
    )


def _is_free_for(volume: Volume, claim: Claim) -> bool:
    """Rule 8."""
    selector = claim.spec.selector
    return (
        volume.phase == Phase.AVAILABLE
        and (selector is None or selector.matches(volume.metadata.labels))
        and volume.class_name == claim.class_name
    )
