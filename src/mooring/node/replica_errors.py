"""Why a volume with replicas does not come to this host, or not yet. Decision 0037."""

from mooring.errors import Effect, MooringError
from mooring.model.home import CopyState
from mooring.model.volume import Volume


def _key(volume: Volume) -> str:
    return volume.claim_ref.key if volume.claim_ref is not None else f"volume {volume.name}"


class NoReplicaHere(MooringError):
    code, effect = "DataOnOtherNode", Effect.NONE

    def __init__(self, volume: Volume, node: str) -> None:
        home = volume.home.node if volume.home is not None else "no host"
        whole = [one.node for one in volume.copies if one.state is CopyState.REPLICA]
        others = f", whole replicas are on {', '.join(whole)}" if whole else ""
        self.what = f"{_key(volume)} is on {home}{others}, and none is on {node}"
        self.remedy = "start there what needs it: the swarm's nodes have a label for it"
        super().__init__(self.what)


class NewerReplica(MooringError):
    code, effect = "DataOnOtherNode", Effect.NONE

    def __init__(self, volume: Volume, node: str, other: str) -> None:
        self.what = f"{_key(volume)}: the replica on {other} is newer than that on {node}"
        self.remedy = f"start on {other} what needs it"
        super().__init__(self.what)


class HomeSilent(MooringError):
    """It may be heard of again, or its lease runs out: either ends the waiting."""

    code, effect = "HolderUnreachable", Effect.NONE

    def __init__(self, volume: Volume, home: str, why: str) -> None:
        self.what = f"{_key(volume)} is on {home}, which does not answer: {why}"
        self.remedy = f"a replica takes its place once the Lease of {home} has run out; try again"
        super().__init__(self.what)
