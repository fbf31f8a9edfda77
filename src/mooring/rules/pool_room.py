"""What a pool still has, and its account after a volume came or went."""

import msgspec

from mooring.model.pool import NamespaceUse, Pool
from mooring.model.quantity import Quantity
from mooring.model.volume import Volume


def refusal(pool: Pool, namespace: str, size: Quantity) -> str:
    """Why a volume of this size cannot be taken from the pool for a namespace, "" if it can."""
    if pool.being_deleted:
        return f"pool {pool.name} is being deleted"
    if not pool.allows(namespace):
        return f"pool {pool.name} is not granted to namespace {namespace}"
    quota, used = pool.quota(namespace), pool.allocated_to(namespace)
    if quota is not None and used.plus(size) > quota:
        return (
            f"pool {pool.name}: namespace {namespace} may take {quota}, has {used}, asked for "
            f"{size} more"
        )
    if _is_beyond(pool.capacity, pool, size):
        return f"pool {pool.name} has {pool.capacity}, {pool.allocated} is taken, asked for {size}"
    if _is_beyond(pool.overcommit_limit, pool, size):
        if pool.place_total is None:
            return f"pool {pool.name}: what its place has is not known yet, so nothing is promised"
        return (
            f"pool {pool.name} may promise {pool.overcommit_limit}, {pool.overcommit:g} times "
            f"the {pool.place_total} of its place; {pool.allocated} is promised, asked for {size}"
        )
    return ""


def limiting(pool: Pool, namespace: str, size: Quantity) -> str:
    """The field of a pool by which it refuses a volume of this size, "" if none does."""
    quota = pool.quota(namespace)
    if quota is not None and pool.allocated_to(namespace).plus(size) > quota:
        return "the quota in spec.namespaces"
    if _is_beyond(pool.capacity, pool, size):
        return "spec.capacity"
    return "spec.overcommit" if _is_beyond(pool.overcommit_limit, pool, size) else ""


def is_full(pool: Pool, size: Quantity) -> bool:
    """Whether the pool has not the capacity for a volume of this size, whoever asks."""
    return any(_is_beyond(limit, pool, size) for limit in (pool.capacity, pool.overcommit_limit))


def _is_beyond(limit: Quantity | None, pool: Pool, size: Quantity) -> bool:
    return limit is not None and pool.allocated.plus(size) > limit


def room_in(pool: Pool) -> Quantity | None:
    """How much can be taken from the pool, whoever asks; None: no limit but the disk's."""
    if pool.capacity is None:
        return None
    return max(pool.capacity.minus(pool.allocated), Quantity(0))


def is_told_anew(told: Quantity | None, room: Quantity, *, exact: bool) -> bool:
    """Whether those who were told how much there is have to hear of another amount.

    exact  it is counted; else it is what a disk has left, of which a hundredth is no news
    """
    if told is None or exact or not told.nanos or not room.nanos:
        return told != room
    return abs(told.nanos - room.nanos) * 100 >= told.nanos


def has_news(before: Pool | None, after: Pool | None) -> bool:
    """Whether a pool is another or has more room than before; that it has less helps nobody.

    It has if a volume went. What a growth gives back that its backend refused is no news: that
    would be tried again for it, and given back again.
    """
    if before is None or after is None:
        return after is not None
    return before.spec != after.spec or (
        after.allocated < before.allocated and after.status.volumes < before.status.volumes
    )


def room_for(pool: Pool, namespace: str) -> Quantity | None:
    """How much a namespace may still take, nothing if it was granted nothing; None: no limit."""
    if pool.being_deleted or not pool.allows(namespace):
        return Quantity(0)
    quota, limits = pool.quota(namespace), (pool.capacity, pool.overcommit_limit)
    left = [] if quota is None else [quota.minus(pool.allocated_to(namespace))]
    left += [limit.minus(pool.allocated) for limit in limits if limit is not None]
    return max(min(left), Quantity(0)) if left else None


def refused_change(pool: Pool, old: Volume | None, new: Volume | None) -> str:
    """Why a volume of the pool cannot come, or become what is wanted, "" if it can.

    One that moves to another namespace is an admin's doing, and may: no new room is taken.
    """
    takes = _share(pool, new)
    if new is None or takes is None:
        return ""
    had = _share(pool, old) or Quantity(0)
    return refusal(pool, _namespace(new), takes.minus(had)) if takes > had else ""


def pools_recharged(old: Volume | None, new: Volume | None) -> list[str]:
    """Names of the pools whose account is another after a volume came, went or changed."""
    before, after = (
        {name: (_namespace(one), takes) for name, takes in one.charges.items()} if one else {}
        for one in (old, new)
    )
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


def recharged(pool: Pool, old: Volume | None, new: Volume | None) -> Pool:
    """The pool's account after a volume came (old None), went (new None) or changed.

    What is given back is what the volume takes at that moment: so a change of its size or of its
    claim's namespace is charged when it happens.
    """
    taken, takes = (
        (_namespace(volume), share)
        if volume is not None and (share := _share(pool, volume)) is not None
        else None
        for volume in (old, new)
    )
    if taken == takes:
        return pool
    for part, count in ((taken, -1), (takes, 1)):
        if part is not None:
            pool = charged(pool, *part, count)
    return pool


def _share(pool: Pool, volume: Volume | None) -> Quantity | None:
    """What a pool is charged with for a volume, or for a copy of it; None: nothing of it."""
    return volume.charges.get(pool.name) if volume is not None else None


def _namespace(volume: Volume) -> str:
    """Whose quota it takes from, "" if it is of no claim."""
    return volume.claim_ref.namespace if volume.claim_ref else ""


def charged(pool: Pool, namespace: str, size: Quantity, volumes: int = 1) -> Pool:
    """The pool's account with a volume more, or with volumes=-1 a volume less."""
    use = pool.status.namespaces.get(namespace, NamespaceUse())
    had = pool.allocated_to(namespace)
    count = max(use.volumes + volumes, 0)
    namespaces = dict(pool.status.namespaces)
    namespaces.pop(namespace, None)
    if count:
        left = _moved(had, size, volumes).canonical()
        namespaces[namespace] = NamespaceUse(allocated=left, volumes=count)
    allocated = _moved(pool.allocated, size, volumes)
    status = msgspec.structs.replace(
        pool.status,
        allocated=allocated.canonical(),
        overcommit_ratio=ratio_text(allocated, pool.place_total),
        volumes=max(pool.status.volumes + volumes, 0),
        namespaces=namespaces,
    )
    return msgspec.structs.replace(pool, status=status)


def ratio_text(allocated: Quantity, total: Quantity | None) -> str:
    """How many times its place a pool has promised, such as "1.25"; "" if that is not known."""
    return f"{allocated.nanos / total.nanos:.2f}" if total is not None and total.nanos else ""


def _moved(amount: Quantity, size: Quantity, volumes: int) -> Quantity:
    if volumes > 0:
        return amount.plus(size)
    return max(amount.minus(size), Quantity(0))
