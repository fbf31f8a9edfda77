"""Whether a volume would be made for a claim, in which pool, and by whose agent.

Asks the functions that the agents ask (rules.provisioning), for each host that has an agent.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.names import BLOCK
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.rules.pool_room import limiting, room_for
from mooring.rules.provisioning import alike, pool_for, unmakeable
from mooring.rules.remedies import editing


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
        return Outlook(None, pool, _help_without_pool(class_, pools, ready))
    if why := unmakeable(claim, pool):
        return Outlook(pool, why, _help_in(claim, pool))
    if why := _unserved(pool, nodes, selected):
        host = selected or pool.node
        away = selected and pool.node not in ("", selected)
        return Outlook(pool, why, "" if away else f"the agent of {host or 'a host'} at work")
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


def _help_in(claim: Claim, pool: Pool) -> str:
    """What would let a pool make the volume that it cannot make now."""
    if claim.spec.selector is not None or claim.volume_mode == BLOCK or pool.being_deleted:
        return ""  # nothing would but another claim
    edit = f"kubectl edit pool {pool.name}"
    if not pool.allows(claim.namespace):
        return f"{edit}, to name {claim.namespace} in spec.namespaces"
    left = room_for(pool, claim.namespace)
    less = f"a claim of at most {left}, " if left is not None and left.nanos > 0 else ""
    return f"{less}fewer other claims, or {raising(pool, claim.namespace, claim.request)}"


def raising(pool: Pool, namespace: str, size: Quantity) -> str:
    """What lets a pool give a namespace a size that it has no room for now."""
    return f"{editing('pool', pool.name)}, to raise {limiting(pool, namespace, size)}"


def _help_without_pool(class_: StorageClass, pools: Sequence[Pool], nodes: Sequence[str]) -> str:
    """What would let a class find its pool."""
    if (named := next((one for one in pools if one.name == class_.pool), None)) is not None:
        return f"a class whose provisioner is {named.driver}"
    if class_.pool:
        return f"create Pool {class_.pool} of driver {class_.provisioner}"
    several = sorted({one.name for node in nodes for one in alike(class_, pools, node)})
    if several:
        return f"a class with parameter pool, such as pool: {several[0]}"
    return f"create a Pool of driver {class_.provisioner}"
