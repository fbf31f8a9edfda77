"""Which claims are filled before they are bound, from what, and how that is told. §18."""

from typing import Final, NamedTuple

from mooring.model.backup import VolumeArchive, VolumeBackup
from mooring.model.claim import Claim, DataSource
from mooring.rules.sources import is_clone, is_restore, source_of

GROUP: Final = "mooring.dev"
FILLED_FROM: Final = frozenset({VolumeBackup.kind_name, VolumeArchive.kind_name})
POPULATING: Final = "mooring.dev/Populating"  # a condition of claims, while they are filled
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MEASURED_S: Final = 0.5  # before that the rest cannot be told


class Amount(NamedTuple):
    """How far some work on data is; of_bytes is 0 while it is not known."""

    done_bytes: int
    of_bytes: int

    @property
    def percent(self) -> int:
        """0 to 100; 100 only when all is done."""
        if self.of_bytes <= 0:
            return 0
        return min(100, self.done_bytes * 100 // self.of_bytes)

    def left_s(self, elapsed_s: float) -> int | None:
        """How long the rest takes if it goes on as before; None while that cannot be told."""
        if elapsed_s < _MEASURED_S or not 0 < self.done_bytes <= self.of_bytes:
            return None
        return round((self.of_bytes - self.done_bytes) * elapsed_s / self.done_bytes)

    def shown(self, elapsed_s: float) -> str:
        """For people: "42 % of 1.2 GiB, 12 s left"."""
        if self.of_bytes <= 0:
            return "looking at what there is"
        left_s = self.left_s(elapsed_s)
        rest = "" if left_s is None else f", {_duration(left_s)} left"
        return f"{self.percent} % of {shown_bytes(self.of_bytes)}{rest}"


def own_source(claim: Claim) -> DataSource | None:
    """What Mooring itself fills a new volume from, None if that is nothing of its own."""
    source = claim.spec.data_source_ref
    if source is None or source.api_group != GROUP or source.kind not in FILLED_FROM:
        return None
    return source


def source_for_others(claim: Claim) -> DataSource | None:
    """What a populator of somebody else is to fill it from, None if Mooring makes its volume."""
    source = source_of(claim)
    if source is None or is_clone(source) or is_restore(source) or own_source(claim) is not None:
        return None
    return source


def filling_told(claim: Claim) -> str:
    """How far its volume is filled, "" if nothing is under way."""
    for one in claim.status.conditions:
        if one.type == POPULATING and one.status == "True":
            return one.message
    return ""


def shown_bytes(count: int) -> str:
    """For people: three digits, in powers of 1024."""
    amount, power = float(count), 0
    while amount >= 1000:
        amount, power = amount / 1024, power + 1
    return f"{amount:.3g} {_UNITS[power]}"


def _duration(length_s: int) -> str:
    if length_s < 120:
        return f"{length_s} s"
    return f"{length_s // 60} min" if length_s < 7200 else f"{length_s // 3600} h"
