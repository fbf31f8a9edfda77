"""The limit of waste of a claim, as its namespace and its class say it now."""

from mooring.model.claim import Claim
from mooring.model.namespace import Namespace
from mooring.model.storage_class import StorageClass
from mooring.objects.objects import Objects
from mooring.rules.waste import WasteLimit, waste_limit


def limit_for(objects: Objects, claim: Claim) -> WasteLimit | None:
    """None: a volume of any size will do."""
    class_ = objects.view(StorageClass, claim.class_name) if claim.class_name else None
    return waste_limit(claim, objects.view(Namespace, claim.namespace), class_)
