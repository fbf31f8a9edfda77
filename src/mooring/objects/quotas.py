"""Charges claims to the quotas of their namespace while they are stored. Storage semantics §16.

A commit has at most one write of a kind: the last quota is charged in the claim's own commit, the
others before, in commits of their own, and the claim's commit demands that they still are so. What
a claim was charged that then was not stored is given back; after a crash all is counted anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.quantity import Quantity
from mooring.model.quota import ResourceQuota
from mooring.objects.cache import Entry
from mooring.objects.documents import unspliced
from mooring.objects.errors import Forbidden, Stale
from mooring.objects.kind import Doc, Kind
from mooring.objects.views import overlaid, view
from mooring.rules.quota import charged, exceeded, recounted, reduced
from mooring.store.interface import Check, Conflict, Write

if TYPE_CHECKING:
    from mooring.objects.objects import Objects

QUOTAS: Final = ResourceQuota.resource
TRIES: Final = 16  # against others' writes

Commit = Callable[[Sequence[Write], Sequence[Check]], Awaitable[int]]


class Charge(NamedTuple):
    """What belongs into the commit of a claim."""

    writes: list[Write]
    checks: list[Check]

    def concerns(self, key: str) -> bool:
        """Whether a conflict there is about a quota."""
        keys = {one.key for one in self.writes} | {one.key for one in self.checks}
        return key in keys


class _Due(NamedTuple):
    entry: Entry
    read: ResourceQuota
    after: ResourceQuota
    more: dict[str, Quantity]


class Quotas:
    """Of all namespaces."""

    def __init__(self, objects: "Objects") -> None:
        self._objects = objects
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def take_turns_with(self, other: "Quotas") -> None:
        """Of the same process and store."""
        self._turns = other._turns

    def turn(self, namespace: str) -> asyncio.Lock:
        """To be held while a quota there is charged or counted: our own writes would refuse each
        other's room."""
        return self._turns.setdefault(namespace, asyncio.Lock())

    def apply_in(self, namespace: str) -> bool:
        """Whether there are any: nearly always there are none."""
        return next(self._objects.cache.shelves[QUOTAS].entries(namespace), None) is not None

    def refuse(self, kind: Kind, old: Doc | None, new: Doc) -> None:
        """Raises Forbidden if a claim would exceed one; for a request that is only tried."""
        if kind.resource == Claim.resource and self.apply_in(new["metadata"]["namespace"]):
            self.due(old, new, {})

    async def commit(
        self,
        commit: Commit,
        writes: Sequence[Write],
        checks: Sequence[Check],
        old: Doc | None,
        new: Doc,
    ) -> int:
        """A write of a claim with all that it is charged. Raises Forbidden if a quota is exceeded.

        commit  stores writes and checks, all or none
        """
        async with self.turn(new["metadata"]["namespace"]):
            charging = _Charging(self._objects, self, old, new)
            try:
                for _ in range(TRIES):
                    try:
                        charge = await charging.next()
                    except Conflict:  # a quota became another while it was charged
                        continue
                    try:
                        revision = await commit(
                            [*writes, *charge.writes], [*checks, *charge.checks]
                        )
                    except Conflict as conflict:
                        if not charge.concerns(conflict.key):
                            raise
                    else:
                        charging.settled = True
                        return revision
                raise Stale(self._objects.kinds[Claim.resource], new["metadata"]["name"])
            finally:
                if not charging.settled:
                    await charging.give_back()

    def due(self, old: Doc | None, new: Doc, paid: Mapping[str, int]) -> list[_Due]:
        """What is to be charged to which quotas but those that are paid at this revision.

        raises  Forbidden if one is exceeded
        """
        claim, before = msgspec.convert(new, Claim), old and msgspec.convert(old, Claim)
        found = []
        for entry in self._objects.cache.shelves[QUOTAS].entries(claim.namespace):
            if paid.get(entry.key) == entry.revision:
                continue
            read = view(ResourceQuota, entry)
            quota = self._counted(read)
            after, more = charged(quota, before or None, claim)
            if why := exceeded(quota, after, more):
                raise Forbidden(self._objects.kinds[Claim.resource], claim.name, why)
            if more:
                found.append(_Due(entry, read, after, more))
        return found

    def _counted(self, quota: ResourceQuota) -> ResourceQuota:
        """With an account, also if nobody has counted since it was made or its limits changed."""
        if quota.status.hard == quota.spec.hard and quota.status.hard:
            return quota
        return recounted(quota, self._objects.views(Claim, quota.namespace))


class _Charging:
    """Of one claim, which may take several tries."""

    def __init__(self, objects: "Objects", quotas: Quotas, old: Doc | None, new: Doc) -> None:
        self.settled = False
        self._objects, self._quotas, self._old, self._new = objects, quotas, old, new
        self._paid: dict[str, int] = {}  # quotas, and at which revision
        self._taken: list[tuple[str, dict[str, Quantity]]] = []  # by each commit of its own

    async def next(self) -> Charge:
        """Charge all but the last. Raises Forbidden; Conflict if a quota changed meanwhile."""
        due = self._quotas.due(self._old, self._new, self._paid)
        for one in due[:-1]:
            revision = await self._objects.commit([(one.read, one.after)])
            self._taken.append((one.entry.key, one.more))
            self._paid[one.entry.key] = revision
        shelf = self._objects.cache.shelves[QUOTAS]
        checks = [Check(shelf.prefix + key, revision) for key, revision in self._paid.items()]
        writes = []
        for one in due[-1:]:
            self._paid.pop(one.entry.key, None)  # it became another since
            checks = [check for check in checks if check.key != shelf.prefix + one.entry.key]
            stored = overlaid(unspliced(one.entry.body, shelf.offset), one.read, one.after)
            writes.append(Write(shelf.prefix + one.entry.key, stored, one.entry.revision))
        return Charge(writes, checks)

    async def give_back(self) -> None:
        """What was charged in vain. What cannot be, the next count does."""
        for key, more in self._taken:
            for _ in range(TRIES):
                quota = self._objects.view(ResourceQuota, key)
                if quota is None:
                    break
                try:
                    await self._objects.commit([(quota, reduced(quota, more))])
                except Conflict:
                    continue
                except MooringError:
                    return
                break
