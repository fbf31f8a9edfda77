"""What would let a volume be made, where an agent tried that and failed."""

from typing import Final

from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.snapshot import Snapshot
from mooring.model.storage_class import StorageClass
from mooring.rules.remedies import asking
from mooring.rules.sight import Sight
from mooring.rules.sources import is_clone, is_restore, source_of

BY_ITSELF: Final = "put that right, and it is made by itself"
OTHERWISE: Final = "or a new claim with another source or none"


def mending(claim: Claim, class_: StorageClass, sight: Sight) -> str:
    """What names the action where what is missing is seen, and else refers to the failure."""
    source, found = source_of(claim), sight.source
    if source is not None and (is_clone(source) or is_restore(source)):
        if found is None:
            made = f"create {source.kind} {source.name} in namespace {claim.namespace}"
            return f"{made}; {OTHERWISE}"
        if isinstance(found, Snapshot) and not found.is_ready:
            return f"{asking('snapshot', found)} says what that waits for; {OTHERWISE}"
        if isinstance(found, Claim) and found.phase != Phase.BOUND:
            return f"{asking('pvc', found)} says what that waits for; {OTHERWISE}"
    if claim.attributes_class and sight.attributes is None:
        without = "a new claim without spec.volumeAttributesClassName"
        made = f"create VolumeAttributesClass {claim.attributes_class}"
        return f"{without}; or {made}, if {class_.provisioner} offers attributes"
    return BY_ITSELF
