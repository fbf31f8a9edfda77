"""Why a volume does not grow, or is not changed, though its claim asks for it."""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules import modifying, resizing
from mooring.rules.outlook import raising
from mooring.rules.pool_room import refusal
from mooring.rules.remedies import expanding


class Unfinished(NamedTuple):
    """details  what is not as asked, a sentence each   help  what would change that, "" if nothing
    has to"""

    details: tuple[str, ...] = ()
    help: str = ""


def unfinished(claim: Claim, volume: Volume, pools: Sequence[Pool]) -> Unfinished:
    """Of a claim and the volume that it is bound to."""
    found = (_growth(claim, volume, pools), _change(claim))
    details = tuple(one for part in found for one in part.details)
    return Unfinished(details, "; ".join(part.help for part in found if part.help))


def _growth(claim: Claim, volume: Volume, pools: Sequence[Pool]) -> Unfinished:
    target = resizing.growth_target(claim)
    if target is None or not claim.status.capacity:
        return Unfinished()
    what = f"it is to grow from {claim.capacity} to {target}"
    pool = next((one for one in pools if one.name == volume.pool), None)
    if pool is None:
        why = f"{what}, but Mooring grows no volume that is {volume.source_name or 'of no'} storage"
        return Unfinished((why,), "a new claim of that size, and its data copied")
    progress = resizing.progress(claim)
    if progress == resizing.Progress.NODE_TO_DO:
        why = f"{what}, and has the room; its file system grows once nobody mounts it"
        return Unfinished((why,), "stop what uses it for a moment")
    if progress in resizing.INFEASIBLE:
        more, said = target.minus(volume.takes), _said(claim)
        mend = "put that right"
        if more.nanos > 0 and (now := refusal(pool, claim.namespace, more)):
            said = now
            mend = raising(pool, claim.namespace, more) if pool.allows(claim.namespace) else mend
        less = f"ask for less, but more than {claim.capacity}"
        return Unfinished((f"{what}, which cannot be done: {said}",), f"{less}; or {mend}")
    where = f"the agent of {pool.node}" if pool.node else "the agent of any host"
    return Unfinished((f"{what}, which {where} is to do",))


def forbidden_growth(claim: Claim, volume: Volume, class_: StorageClass | None) -> Unfinished:
    """Why a volume of a pool will not grow when its claim asks for that, which is refused then."""
    if not volume.pool or class_ is None or class_.allow_volume_expansion:
        return Unfinished()
    if resizing.growth_target(claim) is not None:  # it was allowed when that was asked
        return Unfinished()
    why = f"it cannot be made larger: class {class_.name} does not let it"
    return Unfinished((why,), f"to let it grow: {expanding(class_.name)}")


def _said(claim: Claim) -> str:
    errors = (resizing.CONTROLLER_ERROR, resizing.NODE_ERROR)
    found = (one.message for one in claim.status.conditions if one.type in errors)
    return next(found, "") or "nobody said why"


def _change(claim: Claim) -> Unfinished:
    progress, wanted = modifying.progress(claim), modifying.target(claim)
    if not wanted:
        return Unfinished()
    what = f"it is to become of VolumeAttributesClass {wanted}"
    if progress == modifying.Progress.PENDING:
        create = f"create VolumeAttributesClass {wanted}"
        return Unfinished((f"{what}, which does not exist",), f"{create}; or name another")
    if progress == modifying.Progress.INFEASIBLE:
        found = (one.message for one in claim.status.conditions if one.type == modifying.ERROR)
        why = modifying.plain(next(found, "nobody said why"))
        return Unfinished((f"{what}, which failed: {why}",), "name another VolumeAttributesClass")
    return Unfinished((what,))
