"""Why a volume does not come to this host, or not yet. Docker volumes §10, decision 0033."""

from collections.abc import Sequence

from mooring.errors import Effect, MooringError
from mooring.model.volume import Volume


def _key(volume: Volume) -> str:
    return volume.claim_ref.key if volume.claim_ref is not None else f"volume {volume.name}"


class Moving(MooringError):
    """It goes on, and a later try finds it here."""

    code, effect = "Moving", Effect.NONE

    def __init__(self, volume: Volume, home: str, told: str, error: MooringError | None) -> None:
        """told: how far it is. error: that kept the last try from going on"""
        why = f"; its last try: {error.what}" if error is not None else ""
        self.what = f"{_key(volume)} is on its way from {home}, {told}{why}"
        self.remedy = "try again; `mooring status` says how far it is"
        super().__init__(self.what)


class HomeUnreachable(MooringError):
    """All there is of it is on a host that does not answer; nothing is begun without that."""

    code, effect = "HolderUnreachable", Effect.NONE

    def __init__(self, volume: Volume, home: str, why: str) -> None:
        self.what = f"{_key(volume)} is on {home} alone, and cannot move from there: {why}"
        self.remedy = f"see that the agent of {home} runs and is reached from here"
        super().__init__(self.what)


class MovesNowhere(MooringError):
    code, effect = "MovesNowhere", Effect.NONE

    def __init__(self, volume: str, why: str) -> None:
        self.what = f"volume {volume} does not move here: {why}"
        self.remedy = "make a pool for its class here, or use it where it is"
        super().__init__(self.what)


class HostRefuses(MooringError):
    """It is tried again."""

    code, effect = "HostRefuses", Effect.NONE

    def __init__(self, volume: str, error: OSError) -> None:
        self.what = f"volume {volume} cannot be had or deleted here: {error}"
        self.remedy = "see the disks of this host, and its kernel's log"
        super().__init__(self.what)


class NotEqual(MooringError):
    """Compared again and again, it differed each time. It stays where it was."""

    code, effect = "NotEqual", Effect.NONE

    def __init__(self, volume: str, changes: Sequence[str]) -> None:
        self.what = f"what came of volume {volume} differs from what it is: {'; '.join(changes)}"
        self.remedy = "see whether the disks of both hosts are sound"
        super().__init__(self.what)
