"""What a pool still has, and its account after a volume came or went."""

import msgspec

from mooring.model.pool import NamespaceUse, Pool
from mooring.model.quantity import Quantity


def refusal(pool: Pool, namespace: str, size: Quantity) -> str:
    """Why a volume of this size cannot be taken from the pool for a namespace, "" if it can."""
    if not pool.allows(namespace):
        return f"pool {pool.name} is not granted to namespace {namespace}"
    quota, used = pool.quota(namespace), pool.allocated_to(namespace)
    if quota is not None and used.plus(size) > quota:
        return (
            f"pool {pool.name}: namespace {namespace} may take {quota}, has {used}, asked for "
            f"{size} more"
        )
    if pool.capacity is not None and pool.allocated.plus(size) > pool.capacity:
        return f"pool {pool.name} has {pool.capacity}, {pool.allocated} is taken, asked for {size}"
    return ""


def charged(pool: Pool, namespace: str, size: Quantity, volumes: int = 1) -> Pool:
    """The pool's account with a volume more, or with volumes=-1 a volume less."""
    use = pool.status.namespaces.get(namespace, NamespaceUse())
    had = pool.allocated_to(namespace)
    count = max(use.volumes + volumes, 0)
    namespaces = dict(pool.status.namespaces)
    namespaces.pop(namespace, None)
    if count:
        allocated = _moved(had, size, volumes).canonical()
        namespaces[namespace] = NamespaceUse(allocated=allocated, volumes=count)
    status = msgspec.structs.replace(
        pool.status,
        allocated=_moved(pool.allocated, size, volumes).canonical(),
        volumes=max(pool.status.volumes + volumes, 0),
        namespaces=namespaces,
    )
    return msgspec.structs.replace(pool, status=status)


def _moved(amount: Quantity, size: Quantity, volumes: int) -> Quantity:
    if volumes > 0:
        return amount.plus(size)
    return max(amount.minus(size), Quantity(0))
