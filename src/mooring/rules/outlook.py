"""Whether a volume would be made for a claim, in which pool, and by whose agent.

Asks the functions that the agents ask (rules.provisioning), for each host that has an agent.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.rules.pool_room import refusal, room_for
from mooring.rules.provisioning import alike, pool_for, unmakeable


class Outlook(NamedTuple):
    """pool  where, None if none was found   why  none can be made, "" if one can
    help  what would change it, "" if nothing has to
    """

    pool: Pool | None
    why: str = ""
    help: str = ""


def outlook(
    claim: Claim,
    class_: StorageClass,
    pools: Sequence[Pool],
    nodes: Sequence[Node],
    selected: str = "",
) -> Outlook:
    """selected  the node of the claim's first consumer, "" if none was chosen."""
    ready = sorted(one.name for one in nodes if one.is_ready)
    pool = _pool(claim, class_, pools, [selected] if selected else ready)
    if isinstance(pool, str):
        return Outlook(None, pool, "create the pool, or a class that names another")
    if why := unmakeable(claim, pool):
        return Outlook(pool, why, _help_in(claim, pool, why))
    if why := _unserved(pool, nodes, selected):
        host = selected or pool.node
        back = f"the agent of {host} at work" if host else "the agent of a host at work"
        others = [one for one in ready if one != host]
        elsewhere = f"a new claim of a class with a pool on {others[0]}, or " if others else ""
        return Outlook(pool, why, elsewhere + back)
    return Outlook(pool)


def _pool(
    claim: Claim, class_: StorageClass, pools: Sequence[Pool], nodes: Sequence[str]
) -> Pool | str:
    """What the agents of these nodes find: the first that can make the volume, if any can.

    Where none of them has a pool of this driver, those of hosts without an agent are looked at.
    """
    having = [node for node in nodes if alike(class_, pools, node)]
    hosts = sorted({one.node for one in pools if one.driver == class_.provisioner and one.node})
    asked = having or hosts or nodes or ["any host"]
    found = [pool_for(class_, pools, node) for node in asked]
    some = [one for one in found if isinstance(one, Pool)]
    return next((one for one in some if not unmakeable(claim, one)), (some or found)[0])


def _unserved(pool: Pool, nodes: Sequence[Node], selected: str) -> str:
    """Why no agent makes the volume, "" if one does."""
    if selected and pool.node not in ("", selected):
        return f"its first consumer is on {selected}, and pool {pool.name} is on {pool.node}"
    host, ready = selected or pool.node, {one.name: one.is_ready for one in nodes}
    if not host:
        served = any(ready.values())
        return "" if served else f"pool {pool.name} is of every host, and no Node is Ready"
    if ready.get(host):
        return ""
    why = f"Node {host} is not Ready" if host in ready else f"there is no Node {host}"
    return f"it is for the agent of {host}, in pool {pool.name}, and {why}"


def _help_in(claim: Claim, pool: Pool, why: str) -> str:
    """What would let a pool make the volume that it cannot make now."""
    if why != refusal(pool, claim.namespace, claim.request):
        return "a claim without that"
    if pool.being_deleted:
        return "a class of another pool"
    edit = f"kubectl edit pool {pool.name}"
    if not pool.allows(claim.namespace):
        return f"{edit}, to name {claim.namespace} in spec.namespaces"
    left = room_for(pool, claim.namespace)
    less = f"a claim of at most {left}, " if left is not None and left.nanos > 0 else ""
    return f"{less}fewer other claims, or {edit}, to raise the limit"
