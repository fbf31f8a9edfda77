"""Where the data of a volume is that may come to other hosts: its home, and copies. Decision 0033.

The affinity of a volume cannot change, so where such a volume is stands in annotations: its home,
which is the one truth, and copies, which are on their way to be one or from having been one.
"""

import re
from enum import StrEnum
from typing import Final, Self

import msgspec

from mooring.model.metadata import Part
from mooring.model.quantity import Quantity, QuantityError, parse_quantity

REPLICAS_AT_MOST: Final = 4
REPLICAS, REPLICA_EVERY_S = 1, 10.0
EVERY_AT_LEAST_S, EVERY_AT_MOST_S = 1.0, 86400.0
EVERY_TEXT: Final = "must be a time from 1s to 24h, such as 10s or 5m"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_TIME: Final = re.compile(r"([0-9]{1,5})([smh])", re.ASCII)


class Elsewhere(StrEnum):
    """What becomes of a use on a host that has not the data: a class's parameter `elsewhere`."""

    REFUSE = "refuse"
    MOVE = "move"  # the data moves there, from a host that lives and does not use it
    REPLICA = "replica"  # as move; and other hosts have copies, one of which may become the home


_ELSEWHERE: Final = frozenset(one.value for one in Elsewhere)


class CopyState(StrEnum):
    """What a copy is good for. Only the first two may become the home."""

    ARRIVING = "arriving"  # it is being filled
    REPLICA = "replica"  # whole, as of `at`
    STALE = "stale"  # it was the home, and another is: to become a replica
    LEAVING = "leaving"  # to be deleted


MAY_BE_HOME: Final = frozenset({CopyState.ARRIVING, CopyState.REPLICA})


class Home(msgspec.Struct, frozen=True):
    """The host whose data counts, and its Pool there."""

    node: str
    pool: str

    def __str__(self) -> str:
        return f"{self.node}/{self.pool}"


NOWHERE: Final = Home("", "")


class Copy(Part, frozen=True):
    """Of a volume's data, on a host that is not its home.

    size  that its pool is charged with
    at    RFC 3339; "" if it is not known
    told  how far it is, for people
    """

    node: str = ""
    pool: str = ""
    state: CopyState = CopyState.ARRIVING
    size: str = "0"
    at: str = ""
    told: str = ""

    @property
    def takes(self) -> Quantity:
        try:
            return parse_quantity(self.size)
        except QuantityError:  # written by hand
            return Quantity(0)

    @property
    def shown(self) -> str:
        """For people: what that node has."""
        known = f" as of {self.at}" if self.at else f", {self.told}" if self.told else ""
        return f"{self.node}: {self.state}{known}"

    def as_(self, state: CopyState, at: str = "", told: str = "") -> Self:
        return msgspec.structs.replace(self, state=state, at=at, told=told)


def elsewhere(text: str | None) -> Elsewhere:
    """What nobody knows is refused."""
    return Elsewhere(text) if text in _ELSEWHERE else Elsewhere.REFUSE


def home_of(text: str) -> Home:
    """NOWHERE if it is none: such data is nobody's, rather than what it was long ago."""
    node, slash, pool = text.partition("/")
    return Home(node, pool) if node and slash and pool and "/" not in pool else NOWHERE


def copies_of(text: str) -> tuple[Copy, ...]:
    """Raises ValueError."""
    return msgspec.json.decode(text, type=tuple[Copy, ...])


def copies_text(copies: tuple[Copy, ...]) -> str:
    """In the order of their nodes, so that what is the same looks the same."""
    ordered = sorted(copies, key=lambda one: (one.node, one.pool))
    return msgspec.json.encode(ordered).decode()


def replica_every_s(text: str | None) -> float | None:
    """How often replicas are sent, in seconds: "10s", "5m", "1h"; None if it is no such time."""
    if text is None:
        return REPLICA_EVERY_S
    if (found := _TIME.fullmatch(text)) is None:
        return None
    time_s = float(found[1]) * _SECONDS[found[2]]
    return time_s if EVERY_AT_LEAST_S <= time_s <= EVERY_AT_MOST_S else None


def replica_count(text: str | None) -> int | None:
    """How many hosts have a replica beside the home; None if it is no such number."""
    if text is None:
        return REPLICAS
    known = {str(one): one for one in range(1, REPLICAS_AT_MOST + 1)}
    return known.get(text)
