"""Counts anew what the claims of a namespace take of its quotas. Storage semantics §16.

Claims that come are charged as they are stored; this gives back what they leave.
"""

from mooring.model.claim import Claim
from mooring.model.quota import ResourceQuota
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Done, Outcome
from mooring.rules.quota import recounted, use_of


class Quotas:
    """Looks at one quota at a time."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def reconcile(self, key: str) -> Outcome:
        """Have its account say what the claims of its namespace take."""
        quota = self._objects.view(ResourceQuota, key)
        if quota is None:
            return Done("the quota is gone")
        counted = recounted(quota, self._objects.views(Claim, quota.namespace))
        if counted is quota:
            return Done("as it was")
        await self._objects.commit([(quota, counted)])
        return Done("counted anew")


def gives_back(before: Claim, after: Claim | None) -> bool:
    """Whether a claim takes less than before, or of another class."""
    if after is None:
        return True
    uses = use_of(before), use_of(after)
    return any(uses[1].get(key) is None or uses[1][key] < amount for key, amount in uses[0].items())
