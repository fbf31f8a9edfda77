"""Taking a host out of use for a while: who stays away from it, and what becomes of its volumes.

A Node that is cordoned (spec.unschedulable) takes no new volumes, and its swarm's node no new tasks
(`pause`). One with the taint DRAIN as well is to be empty: its swarm's node is set to `drain`.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from mooring.model.home import Elsewhere
from mooring.model.names import AVAILABILITY_LABEL
from mooring.model.node import Node, Taint
from mooring.model.volume import Volume

DRAIN: Final = Taint(key="mooring.dev/drain", effect="NoExecute")


class Availability(StrEnum):
    """Of a node of a swarm: from the most that it takes to the least."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


_LESS: Final = tuple(Availability)
_KNOWN: Final = frozenset(one.value for one in Availability)


class Settled(NamedTuple):
    """What managers are to be told of a node of a swarm."""

    labels: dict[str, str]
    availability: str


class Fate(StrEnum):
    """What becomes of a volume while a host is out of use."""

    STAYS = "stays"  # its data is there alone, and out of reach
    MOVES = "moves"  # to the host that wants it next
    SHARED = "shared"  # others reach it


def wanted_availability(node: Node) -> Availability:
    """Of the node of a swarm that a Node is."""
    if not node.spec.unschedulable:
        return Availability.ACTIVE
    return Availability.DRAIN if is_drained(node) else Availability.PAUSE


def is_drained(node: Node) -> bool:
    """Whether an operator wants it to be empty."""
    return node.spec.unschedulable and any(one.key == DRAIN.key for one in node.spec.taints)


def takes_data(node: Node) -> bool:
    """Whether data may be brought to a node that has it not: made there, or moved there."""
    return node.is_ready and not node.spec.unschedulable


def settled(labels: Mapping[str, str], availability: str, wanted: Availability) -> Settled:
    """As managers are to know a node of a swarm; what they know already if there is nothing to do.

    A label keeps what its availability was and what was made of it, until that is taken back. What
    an operator has set since by another way stays: it was the later word. Never more than it was.
    """
    before, _, made = labels.get(AVAILABILITY_LABEL, "").partition("/")
    if not {before, made} <= _KNOWN:  # written by hand
        before = made = ""
    others = {name: value for name, value in labels.items() if name != AVAILABILITY_LABEL}
    is_ours = bool(made) and availability == made
    if wanted is Availability.ACTIVE:
        return Settled(others, before if is_ours else availability)
    if made and not is_ours:
        return Settled(dict(labels), availability)
    before = before or availability
    least = max(wanted, before, key=lambda one: _LESS.index(Availability(one)))
    return Settled({**others, AVAILABILITY_LABEL: f"{before}/{least}"}, str(least))


def fate(volume: Volume, node: Node, others: Iterable[Node]) -> Fate | None:
    """What becomes of a volume while a host is out of use; None if it is not on that host.

    others  nodes, which need not be Ready: the host may be, and they may be by then
    """
    if not volume.reached_from(node.labels, node.name):
        return None
    if volume.elsewhere is not Elsewhere.REFUSE:
        return Fate.MOVES
    if any(volume.reached_from(one.labels, one.name) for one in others if one.name != node.name):
        return Fate.SHARED
    return Fate.STAYS
