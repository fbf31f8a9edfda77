"""How much larger than its claim a volume may be. Mooring's own: no limit unless one is said.

A limit is for volumes that are chosen, by the binder, the scheduler or a first consumer. Who names
a volume in a claim, or a claim in a volume, chose it, and gets it whatever its size.
"""

from fractions import Fraction
from typing import NamedTuple

from mooring.model.claim import Claim
from mooring.model.factor import shown_factor
from mooring.model.names import MAX_WASTE
from mooring.model.namespace import Namespace
from mooring.model.quantity import Quantity
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume


class WasteLimit(NamedTuple):
    """times  as large as its claim asks a volume may be   by  who says so: "namespace default" """

    times: Fraction
    by: str

    def most(self, claim: Claim) -> Quantity:
        """The size of the largest volume that the claim may be given."""
        request = claim.request
        nanos = request.nanos * self.times.numerator // self.times.denominator
        return Quantity(nanos, request.family)

    def __str__(self) -> str:
        return f"more than {shown_factor(self.times)} times as large as asked"

    @property
    def forbidden(self) -> str:
        """What is, and by whom, to go on with "it is"."""
        return f"{self}, which {self.by} forbids by {MAX_WASTE}"


def waste_limit(
    claim: Claim, namespace: Namespace | None, class_: StorageClass | None
) -> WasteLimit | None:
    """The stricter of what the claim's namespace and its class say, None if neither does."""
    times = namespace.max_waste if namespace is not None else None
    of_class = class_.max_waste if class_ is not None else None
    if of_class is not None and (times is None or of_class < times):
        return WasteLimit(of_class, f"class {claim.class_name}")
    return None if times is None else WasteLimit(times, f"namespace {claim.namespace}")


def waste(claim: Claim, volume: Volume) -> Quantity:
    """How much of a volume its claim did not ask for."""
    return max(volume.capacity.minus(claim.request), Quantity(0))
