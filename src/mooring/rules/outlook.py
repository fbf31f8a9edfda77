"""Whether a volume would be made for a claim, in which pool, and by whose agent.

Asks the functions that the agents ask (rules.provisioning), for each host that has an agent.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.names import BLOCK
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.rules.default_class import default_of
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


class _Source(NamedTuple):
    """Where the volumes of a class come from, whatever the claim.

    pools  in the order in which they are tried   why  a host has none   help  if there are none
    """

    pools: tuple[Pool, ...]
    why: str
    help: str


class Supply:
    """All that volumes are made of, arranged once for the questions of many claims.

    classes  by name   nodes  have an agent if they are Ready
    """

    def __init__(
        self,
        classes: Mapping[str, StorageClass],
        pools: Sequence[Pool] = (),
        nodes: Sequence[Node] = (),
    ) -> None:
        self.classes, self.pools = classes, pools
        self._is_ready = {one.name: one.is_ready for one in nodes}
        self._ready = sorted(name for name, ready in self._is_ready.items() if ready)
        self._sources: dict[tuple[str, str], _Source] = {}  # by class and selected node

    @cached_property
    def default(self) -> StorageClass | None:
        """The class of claims that name none."""
        return default_of(self.classes.values())

    def maker(self, claim: Claim) -> str:
        """The name of a class that would make a volume for a new claim like this one, the default
        first; "" if none would."""
        classes = [*([self.default] if self.default else []), *self.classes.values()]
        return next((one.name for one in classes if not self.outlook(claim, one).why), "")

    def outlook(self, claim: Claim, class_: StorageClass, selected: str = "") -> Outlook:
        """selected  the node of the claim's first consumer, "" if none was chosen."""
        source = self._source(class_, selected)
        if not source.pools:
            return Outlook(None, source.why, source.help)
        able = (one for one in source.pools if not unmakeable(claim, one))
        pool = next(able, source.pools[0])
        if why := unmakeable(claim, pool):
            return Outlook(pool, why, _help_in(claim, pool))
        if why := self._unserved(pool, selected):
            host = selected or pool.node
            away = selected and pool.node not in ("", selected)
            return Outlook(pool, why, "" if away else f"the agent of {host or 'a host'} at work")
        return Outlook(pool)

    def _source(self, class_: StorageClass, selected: str) -> _Source:
        key = class_.name, selected
        if key not in self._sources:
            found = _found(class_, self.pools, [selected] if selected else self._ready)
            pools = {one.name: one for one in found if isinstance(one, Pool)}
            why = next((one for one in found if isinstance(one, str)), "")
            help_ = "" if pools else _help_without_pool(class_, self.pools, self._ready)
            self._sources[key] = _Source(tuple(pools.values()), why, help_)
        return self._sources[key]

    def _unserved(self, pool: Pool, selected: str) -> str:
        """Why no agent makes the volume, "" if one does."""
        if selected and pool.node not in ("", selected):
            return f"its first consumer is on {selected}, and pool {pool.name} is on {pool.node}"
        host = selected or pool.node
        if not host:
            served = bool(self._ready)
            return "" if served else f"pool {pool.name} is of every host, and no Node is Ready"
        if self._is_ready.get(host):
            return ""
        there = host in self._is_ready
        why = f"Node {host} is not Ready" if there else f"there is no Node {host}"
        return f"it is for the agent of {host}, in pool {pool.name}, and {why}"


def _found(class_: StorageClass, pools: Sequence[Pool], nodes: Sequence[str]) -> list[Pool | str]:
    """What the agents of these nodes find, or why they find no pool.

    Where none of them has a pool of this driver, those of hosts without an agent are looked at.
    """
    having = [node for node in nodes if alike(class_, pools, node)]
    hosts = sorted({one.node for one in pools if one.driver == class_.provisioner and one.node})
    return [pool_for(class_, pools, node) for node in having or hosts or nodes or ["any host"]]


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
