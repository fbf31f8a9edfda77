"""Gives back what claims leave of the quotas of their namespace. Storage semantics §16.

Claims that come are charged as they are stored. What they give back is noted from their events, and
taken off the account soon after: so what it costs does not grow with the namespace. Everything is
counted anew at the start, when limits change, now and then, and where a claim's share may have
risen without being charged.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from mooring.model.claim import Claim
from mooring.model.quantity import Quantity
from mooring.model.quota import ResourceQuota
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Done, Outcome
from mooring.rules.quota import attributes_classes, given_back, recounted, reduced
from mooring.store.interface import Conflict

QUOTAS: Final = ResourceQuota.resource


class Quotas:
    """Looks at one quota at a time."""

    def __init__(self, objects: Objects, wake: Callable[[str], None]) -> None:
        self._objects, self._wake = objects, wake
        self._owed: dict[str, dict[str, Quantity]] = {}  # by quota: what claims gave back
        self._counted: set[str] = set()  # quotas whose account is right but for what is owed
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Have all that are there counted, and follow."""
        shelves = self._objects.cache.shelves
        for entry in shelves[QUOTAS].entries():
            self._wake(entry.key)
        self._unfollow.append(shelves[QUOTAS].follow(self._quota_changed))
        self._unfollow.append(shelves[Claim.resource].follow(self._claim_changed))

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()

    def count_anew(self, key: str) -> None:
        """Whatever its account says."""
        self._counted.discard(key)
        self._wake(key)

    def _quota_changed(self, event: Event) -> None:
        before, after = (
            view(ResourceQuota, one) if one else None for one in (event.before, event.after)
        )
        if after is None:
            self._counted.discard(event.key)
            self._owed.pop(event.key, None)
        elif before is None or before.spec != after.spec:
            self.count_anew(event.key)

    def _claim_changed(self, event: Event) -> None:
        shelf = self._objects.cache.shelves[QUOTAS]
        if event.before is None or not len(shelf):
            return  # what comes is charged as it is stored
        quotas = list(shelf.entries(event.key.partition("/")[0]))
        if not quotas:
            return
        before = view(Claim, event.before)
        after = view(Claim, event.after) if event.after else None
        for entry in quotas:
            if after is not None and _may_rise_unseen(before, after):
                self.count_anew(entry.key)
            else:
                self._owe(entry, before, after)

    def _owe(self, entry: Entry, before: Claim, after: Claim | None) -> None:
        less = given_back(view(ResourceQuota, entry), before, after)
        if less:
            owed = self._owed.setdefault(entry.key, {})
            for key, amount in less.items():
                owed[key] = owed[key].plus(amount) if key in owed else amount
            self._wake(entry.key)

    async def reconcile(self, key: str) -> Outcome:
        """Have its account say what the claims of its namespace take."""
        if self._objects.view(ResourceQuota, key) is None:
            return Done("the quota is gone")
        if key not in self._counted:
            return await self._count(key)
        # Creators of claims charge it in turns, too: nobody's write is in another's way.
        async with self._objects.quotas.turn(key.partition("/")[0]):
            quota, owed = self._objects.view(ResourceQuota, key), self._owed.pop(key, {})
            if quota is None or not owed:
                return Done("nothing was given back")
            try:
                await self._objects.commit([(quota, reduced(quota, owed))])
            except Conflict:
                self._put_back(key, owed)
                raise
        return Done("given back")

    def _put_back(self, key: str, owed: Mapping[str, Quantity]) -> None:
        now = self._owed.setdefault(key, {})
        for name, amount in owed.items():
            now[name] = now[name].plus(amount) if name in now else amount

    async def _count(self, key: str) -> Outcome:
        """All claims of the namespace, in a thread. What comes meanwhile changes the quota, so the
        count is not stored then; what goes meanwhile is owed on top of it."""
        namespace = key.partition("/")[0]
        async with self._objects.quotas.turn(namespace):
            quota = self._objects.view(ResourceQuota, key)
            if quota is None:
                return Done("the quota is gone")
            entries = list(self._objects.cache.shelves[Claim.resource].entries(namespace))
            self._owed.pop(key, None)
            self._counted.add(key)
            try:
                counted = await asyncio.to_thread(_recounted, quota, entries)
                if counted is not quota:
                    await self._objects.commit([(quota, counted)])
            except BaseException:
                self._counted.discard(key)
                raise
        return Done("counted anew")


def _recounted(quota: ResourceQuota, entries: list[Entry]) -> ResourceQuota:
    return recounted(quota, (view(Claim, entry) for entry in entries))


def _may_rise_unseen(before: Claim, after: Claim) -> bool:
    """Whether its share may be another by what controllers write, who charge nobody."""
    return (
        before.status.allocated_resources != after.status.allocated_resources
        or attributes_classes(before) != attributes_classes(after)
    )
