"""What can go wrong between Mooring and the Docker engine of its host."""

from mooring.errors import Effect, MooringError


class EngineAway(MooringError):
    """It is not there, does not answer in time, or answers what cannot be used."""

    code, effect = "EngineAway", Effect.NONE

    def __init__(self, address: str, why: str) -> None:
        self.what = f"the Docker engine at {address} cannot be asked: {why}"
        self.remedy = "see that dockerd runs, and that this is its socket or address"
        super().__init__(self.what)
