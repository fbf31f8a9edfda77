"""Whether, and from which pool, a volume can be made for a claim. Storage semantics §10."""

from collections.abc import Sequence

from mooring.model.claim import Claim
from mooring.model.names import BLOCK
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.rules.pool_room import refusal


def pool_for(class_: StorageClass, pools: Sequence[Pool], node: str) -> Pool | str:
    """The pool that a class takes from, or why there is none.

    A class that names none takes from the only one of its driver on the host, or from the only one
    that is the host's own.

    pools  all that there are   node  the host that is to make the volume
    """
    if class_.pool:
        pool = next((one for one in pools if one.name == class_.pool), None)
        if pool is None:
            return f"StorageClass {class_.name} names pool {class_.pool}, which does not exist"
        if pool.driver != class_.provisioner:
            return f"pool {pool.name} is of {pool.driver}, not of {class_.provisioner}"
        return pool
    found = alike(class_, pools, node)
    living = [one for one in found if not one.being_deleted] or found
    own = [one for one in living if one.node == node]
    # A class for the pool of each host, as `host` is, cannot name them; a shared pool it could.
    for some in (living, own):
        if len(some) == 1:
            return some[0]
    names = ", ".join(sorted(one.name for one in living)) or "none"
    return (
        f"StorageClass {class_.name} has no parameter pool, and {class_.provisioner} has not one "
        f"pool on {node} but: {names}"
    )


def alike(class_: StorageClass, pools: Sequence[Pool], node: str) -> list[Pool]:
    """The pools of a class's driver that a host serves."""
    return [one for one in pools if one.driver == class_.provisioner and one.node in ("", node)]


def unmakeable(claim: Claim, pool: Pool) -> str:
    """Why no volume can be made for a claim from a pool, "" if one can."""
    if claim.spec.selector is not None:
        return "claim.spec.selector is not supported for dynamic provisioning"
    if claim.volume_mode == BLOCK:
        return f"{pool.driver} makes no Block volumes"
    return refusal(pool, claim.namespace, claim.request)
