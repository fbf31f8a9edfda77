"""How the data of a volume comes to another host, step by step. Pure. Decision 0033."""

from typing import NamedTuple

from mooring.model.home import Copy, CopyState, Elsewhere, Home
from mooring.model.names import DELETE, MOVE_TO, Phase
from mooring.model.volume import Volume


def may_come(volume: Volume, node: str) -> bool:
    """Whether a host that has not its data, and wants to use it, gets it: by a move, or where there
    are replicas by one of them."""
    home = volume.home
    return home is not None and home.node != node and volume.elsewhere is not Elsewhere.REFUSE


def is_wanted_on(volume: Volume, node: str) -> bool:
    """Whether an operator has said that it is to move to that node."""
    return volume.annotations.get(MOVE_TO) == node and may_come(volume, node)


def expecting(volume: Volume, home: Home) -> Volume:
    """With a copy that is being filled in that pool, charged with all that it takes."""
    known = volume.copy_on(home.node)
    copy = Copy(node=home.node, pool=home.pool, size=volume.takes.canonical())
    if known is None or known.pool != home.pool:
        return volume.with_copy(copy)
    if known.state in (CopyState.ARRIVING, CopyState.REPLICA) and known.takes == copy.takes:
        return volume
    return volume.with_copy(copy)


def is_charged(volume: Volume, node: str) -> bool:
    """Whether what a node has of it may be its home: charged with all that it takes now."""
    copy = volume.copy_on(node)
    return copy is not None and copy.takes == volume.takes


def moved(volume: Volume, node: str) -> Volume:
    """With its home on a node that has all of it; what the former home has is to be deleted."""
    copy, was = volume.copy_on(node), volume.home
    assert copy is not None
    assert was is not None
    left = Copy(
        node=was.node, pool=was.pool, state=CopyState.LEAVING, size=volume.takes.canonical()
    )
    others = (one for one in volume.copies if one.node != node)
    return volume.at_home(Home(copy.node, copy.pool)).with_copies(*others, left)


def is_to_be_deleted(volume: Volume, copy: Copy) -> bool:
    """Whether a host deletes what it has: nobody wants it any more."""
    is_over = volume.being_deleted or volume.phase in (Phase.RELEASED, Phase.FAILED)
    stays = volume.elsewhere is Elsewhere.REPLICA and not is_for_nothing(volume)
    return copy.state is CopyState.LEAVING or (is_over and not stays)


def is_for_nothing(volume: Volume) -> bool:
    """Whether its data is to be deleted: nobody gets it any more."""
    is_over = volume.phase in (Phase.RELEASED, Phase.FAILED) and volume.reclaim_policy == DELETE
    return volume.being_deleted or is_over


class Way(NamedTuple):
    """Of a volume that moves, or is to. told: how far it is, for people."""

    source: str  # a node, as is the other
    target: str
    told: str


def way_of(volume: Volume) -> Way | None:
    """Where it moves, None if it stays."""
    home, wanted = volume.home, volume.annotations.get(MOVE_TO, "")
    if home is None or volume.elsewhere is not Elsewhere.MOVE:
        return None
    if (copy := on_its_way(volume)) is not None:
        return Way(home.node, copy.node, copy.told or "it begins")
    if wanted not in ("", home.node):
        return Way(home.node, wanted, "as soon as nobody uses it")
    return None


def on_its_way(volume: Volume) -> Copy | None:
    """What is being filled for a move, None if nothing is."""
    return next((one for one in volume.copies if one.state is CopyState.ARRIVING), None)
