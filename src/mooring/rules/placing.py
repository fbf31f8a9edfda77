"""On which host the volume of a claim is made that waits for no consumer. Pure.

A class without the parameter `pool` may take from a pool of each host. Where the consumer comes
first its host is the one; else somebody has to choose, or each host would begin.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.rules.pool_room import room_for
from mooring.rules.provisioning import unmakeable

NOTHING = Quantity(0)


class Place(NamedTuple):
    """The pool of a host, or why there is none."""

    node: str = ""
    pool: str = ""
    why: str = ""


def has_to_be_placed(class_: StorageClass, pools: Sequence[Pool]) -> bool:
    """Whether several hosts could make a volume of a class, each in a pool of its own."""
    if class_.waits_for_consumer or class_.pool:
        return False
    return len({one.node for one in pools if one.driver == class_.provisioner and one.node}) > 1


def placed(
    claim: Claim,
    class_: StorageClass,
    pools: Sequence[Pool],
    hosts: Set[str],
    promised: Mapping[str, Quantity],
    refused: Set[str] = frozenset(),
) -> Place:
    """The host with the most room for it, or why none can make it.

    hosts     that are Ready, and take something new
    promised  {pool name: what is to be taken from it by claims that were placed just now}
    refused   hosts that could not make it when they tried: only if there is no other
    """
    by_host, shared = defaultdict[str, list[Pool]](list), 0
    for pool in pools:
        if pool.driver == class_.provisioner and not pool.being_deleted:
            shared += not pool.node
            if pool.node in hosts:
                by_host[pool.node].append(pool)
    reasons = []
    possible = []
    for host, found in by_host.items():
        if len(found) + shared != 1:
            reasons.append(f"{host} has not one pool of {class_.provisioner}, but several")
            continue
        (pool,) = found
        if pool.is_known_bad:
            reasons.append(f"pool {pool.name} is not Ready")
            continue
        more = promised.get(pool.name, NOTHING)
        room = _room(pool, claim.namespace, more)
        if why := unmakeable(claim, pool):
            reasons.append(why)
        elif room is not None and room < claim.request:
            reasons.append(f"pool {pool.name} has {room} left, asked for {claim.request}")
        else:
            possible.append((host in refused, *_order(pool, room, more), pool))
    if not possible:
        return Place(
            why="; ".join(sorted(reasons)) or f"no host with {class_.provisioner} is Ready"
        )
    *_, best = min(possible, key=lambda one: one[:-1])
    return Place(best.node, best.name)


def _room(pool: Pool, namespace: str, more: Quantity) -> Quantity | None:
    """What a namespace may still take, once what is promised is taken too. None: no limit."""
    room = room_for(pool, namespace)
    return None if room is None else max(room.minus(more), NOTHING)


def _order(pool: Pool, room: Quantity | None, more: Quantity) -> tuple[int, int, str]:
    """By which the best pool is the least: its room on disk and by its limits, less what was
    promised of it. A place that nobody has looked at comes last, and of those the emptiest first.
    """
    taken = pool.allocated.plus(more)
    on_disk = None if pool.place_total is None else pool.place_total.nanos - taken.nanos
    known = [one for one in (on_disk, None if room is None else room.nanos) if one is not None]
    if known:
        return 0, -min(known), pool.name
    return 1, taken.nanos, pool.name
