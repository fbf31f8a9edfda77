"""On which host the volume of a claim is made that waits for no consumer. Pure.

A class without the parameter `pool` may take from a pool of each host. Where the consumer comes
first its host is the one; else somebody has to choose, or each host would begin.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from typing import Final, NamedTuple

from mooring.model.claim import Claim
from mooring.model.node import Node
from mooring.model.pool import Pool
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.rules.draining import takes_data
from mooring.rules.provisioning import unmakeable

REASONS_AT_MOST: Final = 3  # of hosts that cannot make a volume; the others are counted


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


def takes(node: Node | None) -> bool:
    """Whether a host is there, and takes something new."""
    return node is not None and takes_data(node)


class _Rated:
    """A pool of a host. room: that can be promised yet, in billionths; None: nobody knows."""

    def __init__(self, pool: Pool, promised: int) -> None:
        self.pool, self.promised = pool, promised
        self.is_usable = not (pool.being_deleted or pool.is_known_bad)
        self._allocated = pool.allocated.nanos
        limits = [one for one in (pool.capacity, pool.overcommit_limit, pool.place_total) if one]
        self._limit = min(one.nanos for one in limits) if limits else None

    @property
    def room(self) -> int | None:
        taken = self._allocated + self.promised
        return None if self._limit is None else self._limit - taken

    def lacks(self, asked: Quantity) -> bool:
        """Whether it has not this room."""
        return (room := self.room) is not None and room < asked.nanos

    def told(self, asked: Quantity) -> str:
        """That it lacks it, for people."""
        left = Quantity(max(self.room or 0, 0), asked.family)
        return f"pool {self.pool.name} has {left} left, asked for {asked}"

    @property
    def order(self) -> tuple[int, int, str]:
        """The most room first; of those whose room nobody knows, after these, the emptiest."""
        if (room := self.room) is not None:
            return 0, -room, self.pool.name
        return 1, self._allocated + self.promised, self.pool.name


class Rooms:
    """All pools of hosts, those of a driver by their room. Kept current, so that a claim costs
    some looks at the first ones, and not one at each."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}  # those that take something new
        self._rated: dict[str, _Rated] = {}  # by name of the pool
        self._sorted: defaultdict[str, list[_Rated]] = defaultdict(list)  # by driver
        self._is_sorted: set[str] = set()
        self._of_host = defaultdict[str, Counter[str]](Counter)  # driver → host → its pools
        self._living = defaultdict[str, Counter[str]](Counter)  # the same without those that go

    def put_node(self, name: str, node: Node | None) -> None:
        """None: it is gone."""
        self._nodes.pop(name, None)
        if node is not None and takes_data(node):
            self._nodes[name] = node

    def put_pool(self, name: str, pool: Pool | None) -> None:
        """None: it is gone."""
        promised = 0
        if (old := self._rated.pop(name, None)) is not None:
            promised = old.promised
            self._sorted[old.pool.driver].remove(old)
            self._count(old.pool, -1)
        if pool is None or not pool.node:  # of what several hosts reach they choose one themselves
            return
        self._rated[name] = rated = _Rated(pool, promised)
        self._sorted[pool.driver].append(rated)
        self._count(pool, 1)
        self._is_sorted.discard(pool.driver)

    def _count(self, pool: Pool, change: int) -> None:
        for counts in (self._of_host, *([] if pool.being_deleted else [self._living])):
            counts[pool.driver][pool.node] += change
            if not counts[pool.driver][pool.node]:
                del counts[pool.driver][pool.node]

    def promise(self, pool: str, size: Quantity) -> None:
        """It is to be taken from there; a negative size: no longer."""
        if (rated := self._rated.get(pool)) is not None:
            rated.promised += size.nanos
            self._is_sorted.discard(rated.pool.driver)

    def has_several(self, driver: str) -> bool:
        """Whether several hosts have a pool of a driver."""
        return len(self._of_host[driver]) > 1

    def may_have(self, driver: str, room: int) -> bool:
        """Whether some pool has so much room, or room that nobody knows. In billionths."""
        ordered = self._ordered(driver)
        if not ordered:
            return False
        first, last = ordered[0].room, ordered[-1].room
        return last is None or (first is not None and first >= room)

    def pool_at(self, node: str, driver: str) -> Pool | None:
        """What a host that takes something new makes volumes from."""
        if node not in self._nodes:
            return None
        same = (one for one in self._sorted[driver] if one.pool.node == node)
        return next((one.pool for one in same if one.is_usable), None)

    def best(
        self, claim: Claim, class_: StorageClass, refused: Set[str] = frozenset(), only: str = ""
    ) -> Place:
        """The host with the most room for it, or why none can make it.

        refused  hosts that could not make it when they tried: only if there is no other
        only     the one host that may be chosen, "" any
        """
        reasons, others, last = list[str](), 0, Place()
        asked = claim.request
        for rated in self._able(class_, only):
            pool, lacks = rated.pool, rated.lacks(asked)
            if lacks and len(reasons) >= REASONS_AT_MOST:
                others += 1
            elif why := rated.told(asked) if lacks else unmakeable(claim, pool):
                others += len(reasons) >= REASONS_AT_MOST
                reasons = [*reasons, why][:REASONS_AT_MOST]
            elif pool.node not in refused:
                return Place(pool.node, pool.name)
            else:
                last = last if last.node else Place(pool.node, pool.name)
        return last if last.node else Place(why=_told(reasons, others, class_, only))

    def for_copy(self, driver: str, size: Quantity, others: Set[str]) -> Pool | None:
        """Where most room is for a copy of this size, on none of these other hosts."""
        for one in self._ordered(driver):
            host = one.pool.node
            if host in others or host not in self._nodes or not one.is_usable or one.lacks(size):
                continue
            if self._living[driver][host] == 1:
                return one.pool
        return None

    def _able(self, class_: StorageClass, only: str) -> Iterator[_Rated]:
        """The pools from which something may be made at all, in their order."""
        ordered = self._ordered(class_.provisioner)
        living = self._living[class_.provisioner]
        for one in ordered:
            host = one.pool.node
            node = self._nodes.get(host)
            if node is None or not one.is_usable or living[host] != 1 or only not in ("", host):
                continue
            if class_.allows(node.metadata.labels):
                yield one

    def _ordered(self, driver: str) -> list[_Rated]:
        if driver not in self._is_sorted:
            self._sorted[driver].sort(key=lambda one: one.order)
            self._is_sorted.add(driver)
        return self._sorted[driver]


def _told(reasons: list[str], others: int, class_: StorageClass, only: str) -> str:
    if not reasons:
        where = f"{only} is not" if only else "no host is"
        allowed = ", in its allowedTopologies," if class_.allowed_topologies else ""
        return f"{where} Ready{allowed} with one pool of {class_.provisioner} that is well"
    return "; ".join(reasons) + (f"; nor can {others} others" if others else "")
