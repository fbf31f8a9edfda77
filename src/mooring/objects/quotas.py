"""Charges claims to the quotas of their namespace while they are stored. Storage semantics §16.

A commit has at most one write of a kind: the last quota is charged in the claim's own commit, the
others before, in commits of their own, and the claim's commit demands that they still are so. What
a claim was charged that then was not stored, the controller counts anew.
"""

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from mooring.model.claim import Claim
from mooring.model.quota import ResourceQuota
from mooring.objects.cache import Entry
from mooring.objects.documents import unspliced
from mooring.objects.errors import Forbidden
from mooring.objects.kind import Doc
from mooring.objects.views import overlaid, view
from mooring.rules.quota import charged, exceeded, recounted
from mooring.store.interface import Check, Write

if TYPE_CHECKING:
    from mooring.objects.objects import Objects

QUOTAS: Final = ResourceQuota.resource


class Charge(NamedTuple):
    """What belongs into the commit of a claim."""

    writes: list[Write]
    checks: list[Check]

    def concerns(self, key: str) -> bool:
        """Whether a conflict there is about a quota."""
        keys = {one.key for one in self.writes} | {one.key for one in self.checks}
        return key in keys


class Quotas:
    """Of all namespaces."""

    def __init__(self, objects: "Objects") -> None:
        self._objects = objects
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, namespace: str) -> asyncio.Lock:
        """To be held from charging to storing: our own writes would refuse each other's room."""
        return self._turns.setdefault(namespace, asyncio.Lock())

    def apply_in(self, namespace: str) -> bool:
        """Whether there are any: nearly always there are none."""
        return next(self._objects.cache.shelves[QUOTAS].entries(namespace), None) is not None

    async def charge(self, old: Doc | None, new: Doc, paid: dict[str, int]) -> Charge:
        """Charge the quotas of its namespace with a claim that comes or changes.

        paid    those that were charged already for this claim, at which revision; kept up to date
        raises  Forbidden if one is exceeded; Conflict if somebody else wrote one meanwhile
        """
        objects = self._objects
        claim, before = msgspec.convert(new, Claim), old and msgspec.convert(old, Claim)
        due: list[tuple[Entry, ResourceQuota, ResourceQuota]] = []
        checks = []
        shelf = objects.cache.shelves[QUOTAS]
        for entry in shelf.entries(claim.namespace):
            if paid.get(entry.key) == entry.revision:
                checks.append(Check(shelf.prefix + entry.key, entry.revision))
                continue
            quota = self._counted(view(ResourceQuota, entry))
            after, more = charged(quota, before or None, claim)
            if why := exceeded(quota, after, more):
                raise Forbidden(objects.kinds[Claim.resource], claim.name, why)
            if more:
                due.append((entry, view(ResourceQuota, entry), after))
        for entry, read, after in due[:-1]:
            paid[entry.key] = await objects.commit([(read, after)])
            checks.append(Check(shelf.prefix + entry.key, paid[entry.key]))
        writes = []
        for entry, read, after in due[-1:]:
            stored = overlaid(unspliced(entry.body, shelf.offset), read, after)
            writes.append(Write(shelf.prefix + entry.key, stored, entry.revision))
        return Charge(writes, checks)

    def _counted(self, quota: ResourceQuota) -> ResourceQuota:
        """With an account, also if nobody has counted since it was made or its limits changed."""
        if quota.status.hard == quota.spec.hard and quota.status.hard:
            return quota
        return recounted(quota, self._objects.views(Claim, quota.namespace))
