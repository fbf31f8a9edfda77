"""A node that cannot make a volume gives the claim back to whoever chose it. Semantics §10."""

from mooring.model.claim import Claim
from mooring.model.names import SELECTED_NODE
from mooring.model.pod import Pod
from mooring.objects.cache import Entry
from mooring.objects.index import Index
from mooring.objects.objects import Objects
from mooring.objects.using import claims_of
from mooring.objects.views import view


class Rescheduler:
    """Only for pods that wait for a node: a container is on its host already, and goes nowhere."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._waiting = Index(objects.cache.shelves[Pod.resource], _claims_waited_for)

    async def give_back(self, claim: Claim) -> None:
        """Have another node chosen. Nothing may have been begun for the claim on this one.

        raises  Conflict: the claim is another by now
        """
        if SELECTED_NODE in claim.annotations and self._waiting.keys(claim.key):
            await self._objects.commit([(claim, claim.without_annotations(SELECTED_NODE))])


def _claims_waited_for(entry: Entry) -> list[str]:
    claims = claims_of(entry)
    return claims if claims and view(Pod, entry).is_to_be_placed else []
