"""How volumes of other hosts come to this one: as their class said when they were made."""

from mooring.model.home import Elsewhere
from mooring.model.volume import Volume
from mooring.node.moving import Mover
from mooring.node.replicating import Replicator


class Arrivals:
    """Of one host."""

    def __init__(self, mover: Mover, replicator: Replicator) -> None:
        self._mover, self._replicator = mover, replicator

    def may_come(self, volume: Volume) -> bool:
        """Whether a volume that is not here can be used here, once it has come."""
        return self._mover.may_come(volume) or self._replicator.may_come(volume)

    def is_coming(self, uid: str) -> bool:
        """Whether it is on its way here: its attachment is needed for that."""
        return self._mover.is_coming(uid) or self._replicator.is_coming(uid)

    async def here(self, volume: Volume, within_s: float) -> None:
        """Have a volume that this host may use at home here. Raises MooringError."""
        is_replica = volume.elsewhere is Elsewhere.REPLICA
        by = self._replicator if is_replica else self._mover
        await by.here(volume, within_s)
