"""Copies of a volume on other hosts, one of which may become its home. Pure. Decision 0037.

A replica is a read-only snapshot that the home has sent. Its name says when it was cut, by the
clock of the home of then, and has a part by chance: `replica-UID-MILLISECONDS-HEX`. So what two
hosts have of one name is the same, also if clocks go back and homes come and go.
"""

import re
from collections.abc import Iterable, Mapping, Set
from datetime import UTC, datetime
from typing import Final

from mooring.clock import timestamp
from mooring.model.home import Copy, CopyState, Elsewhere, Home
from mooring.model.names import ELSEWHERE
from mooring.model.volume import Volume
from mooring.rules.moving import is_for_nothing

PREFIX: Final = "replica-"
_UID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME: Final = re.compile(f"replica-({_UID})-([0-9]{{13}})-[0-9a-f]{{8}}")
SIGN: Final = f'"{ELSEWHERE}":"{Elsewhere.REPLICA}"'.encode()  # in the bytes of such a volume
KEPT_AT_MOST: Final = 8  # by a home that does not know yet what others have


def replica_name(uid: str, at_ms: int, mark: str) -> str:
    """mark: eight hexadecimal digits, by chance"""
    return f"{PREFIX}{uid}-{at_ms:013}-{mark}"


def uid_in(name: str) -> str:
    """Of the volume that a snapshot is a replica of, "" if it is none."""
    found = _NAME.fullmatch(name)
    return found[1] if found is not None else ""


def cut_ms(name: str) -> int:
    """When it was cut, in milliseconds since the epoch; 0 if it is no replica."""
    found = _NAME.fullmatch(name)
    return int(found[2]) if found is not None else 0


def cut_at(name: str) -> str:
    """The same, RFC 3339."""
    return timestamp(datetime.fromtimestamp(cut_ms(name) / 1000, UTC))


def newest(names: Iterable[str]) -> str:
    """The one that was cut last, "" of none."""
    return max(names, key=cut_ms, default="")


def is_replicated(volume: Volume) -> bool:
    """Whether other hosts are to have replicas of it."""
    is_one = volume.elsewhere is Elsewhere.REPLICA and volume.home is not None
    return is_one and not is_for_nothing(volume)


def is_kept_on(volume: Volume, node: str) -> bool:
    """Whether a node is to have a replica."""
    copy = volume.copy_on(node)
    return is_replicated(volume) and copy is not None and copy.state is not CopyState.LEAVING


def replica_hosts(volume: Volume) -> tuple[str, ...]:
    """The nodes with whole replicas of it."""
    if not is_replicated(volume):
        return ()
    return tuple(one.node for one in volume.copies if one.state is CopyState.REPLICA)


def is_whole_on(volume: Volume, node: str) -> bool:
    """Whether a node has all that it needs to become the home: at once, of a volume that moves."""
    return volume.elsewhere is not Elsewhere.REPLICA or node in replica_hosts(volume)


def lacks(volume: Volume, count: int, nodes: Set[str]) -> int:
    """How many replicas are to be begun yet.

    count  wanted   nodes  that there are: what others had is of no use
    """
    there = [one for one in volume.copies if one.node in nodes and one.state != CopyState.LEAVING]
    return max(count - len(there), 0) if is_replicated(volume) else 0


def beginning(volume: Volume, home: Home) -> Volume:
    """With a replica to be made in that pool, charged with all that it may take."""
    size = volume.takes.canonical()
    return volume.with_copy(Copy(node=home.node, pool=home.pool, size=size))


def received(volume: Volume, node: str, name: str) -> Volume:
    """With what a node has of it as of a snapshot that is whole there."""
    copy = volume.copy_on(node)
    assert copy is not None
    size = volume.takes.canonical()
    whole = Copy(node=node, pool=copy.pool, state=CopyState.REPLICA, size=size, at=cut_at(name))
    return volume.with_copy(whole)


def promoted(volume: Volume, node: str) -> Volume:
    """With its home on a node that had a replica. What the former home has is not to be used until
    it is a replica, too."""
    copy, was = volume.copy_on(node), volume.home
    assert copy is not None
    assert was is not None
    size = volume.takes.canonical()
    left = Copy(node=was.node, pool=was.pool, state=CopyState.STALE, size=size)
    others = (one for one in volume.copies if one.node != node)
    return volume.at_home(Home(copy.node, copy.pool)).with_copies(*others, left)


def kept_at_home(mine: Set[str], had: Mapping[str, Set[str]], others: Set[str]) -> set[str]:
    """Which snapshots a home keeps: the newest, and of each other host the two newest that it has,
    or was sent: what it did not get to its disk it asks for again.

    had     {node: what it may have}; those that have said nothing yet may have any
    others  nodes that are to have a replica
    """
    kept = {newest(mine)}
    for node in others:
        if node in had:
            kept.update(sorted(mine & had[node], key=cut_ms)[-2:])
        else:
            kept.update(sorted(mine, key=cut_ms)[-KEPT_AT_MOST:])
    return kept - {""}
