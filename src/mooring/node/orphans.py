"""What lies in a pool's place and is named by no object. Shown; deleted only when somebody asks."""

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from mooring.drivers.interface import AssetName, Driver, asset_name
from mooring.errors import Effect, MooringError
from mooring.model.claim import Claim
from mooring.model.pool import Orphan, Pool, PoolOrphans
from mooring.model.quantity import Quantity
from mooring.model.volume import Volume
from mooring.node.intents import Intents
from mooring.node.pools import Pools
from mooring.objects.cache import Entry
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.rules.replicas import SIGN, uid_in

NAMED_AT_MOST: Final = 20  # in a pool's status, which has to stay small
SHOWN_AT_MOST: Final = 10_000  # to who asks
ASSET, SNAPSHOT = "asset", "snapshot"
MADE: Final = "pvc-"  # before the uid of a claim: its data
# What is made for these is called after their uid, and lives as long as they do or shorter.
OWNERS: Final = (
    "volumesnapshotcontents.snapshot.storage.k8s.io",
    "volumesnapshots.snapshot.storage.k8s.io",
    "volumebackups.mooring.dev",
)
_HANDLES: Final = re.compile(rb'"(?:volumeHandle|snapshotHandle)":"([^"\\]+)"')
_PATHS: Final = re.compile(rb'"path":"([^"\\]+)"')
_UID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_UIDS: Final = re.compile(rb'"uid":"(%b)"' % _UID.encode())
_IN_NAME: Final = re.compile(_UID)


class NoSuchOrphan(MooringError):
    code, effect = "NoSuchOrphan", Effect.NONE

    def __init__(self, name: str, pool: str) -> None:
        self.what = f"{name} is no orphan of pool {pool}: nothing of that name is in its place"
        self.remedy = f"see which there are: mooring pool orphans {pool}"


class NotOrphan(MooringError):
    code, effect = "NotOrphan", Effect.NONE

    def __init__(self, name: str, pool: str, by: str) -> None:
        self.what = f"{name} in pool {pool} is no orphan: {by}"
        self.remedy = "delete that first, if the data is not needed any more"


class PoolElsewhere(MooringError):
    code, effect = "PoolElsewhere", Effect.NONE

    def __init__(self, pool: Pool) -> None:
        self.what = f"pool {pool.name} is not of this host"
        self.remedy = f"ask the agent of {pool.node or 'a host that has its driver'}"


class _Lying(NamedTuple):
    """Something whole in a place."""

    kind: str
    name: str
    size_bytes: int


class Orphans:
    """Finds and removes them."""

    def __init__(self, objects: Objects, pools: Pools, intents: Intents) -> None:
        self._objects, self._pools, self._intents = objects, pools, intents
        self._turn = asyncio.Lock()  # each look takes time for all volumes

    async def of(self, pool: Pool, driver: Driver, at_most: int = NAMED_AT_MOST) -> PoolOrphans:
        """All that are there now, some of them by name. Raises what the driver raises."""
        async with self._turn:
            found = await self._found(pool, driver)
        items = [await _shown(driver, one) for one in found[:at_most]]
        counted = [Quantity.parse(one.used) for one in items if one.used is not None]
        used = Quantity.of_bytes(sum(one.bytes() for one in counted)).canonical()
        return PoolOrphans(
            count=len(found),
            size=Quantity.of_bytes(sum(one.size_bytes for one in found)).canonical(),
            used=used if counted else None,
            items=tuple(items),
        )

    async def now(self, pool: Pool) -> PoolOrphans:
        """All by name. Raises PoolElsewhere, and what the driver raises."""
        if not self._pools.mine(pool):
            raise PoolElsewhere(pool)
        return await self.of(pool, await self._pools.driver(pool), SHOWN_AT_MOST)

    async def remove(self, pool: Pool, name: str) -> Orphan:
        """Delete one with its data. Returns what it was.

        raises  NotOrphan: an object or work in progress names it. NoSuchOrphan, PoolElsewhere, and
                what the driver raises: InUse, PoolMissing
        """
        if not self._pools.mine(pool):
            raise PoolElsewhere(pool)
        driver = await self._pools.driver(pool)
        checked = asset_name(name)
        async with self._turn:
            lying = [one for one in await _all_in(driver) if one.name == name]
            if not lying:
                raise NoSuchOrphan(name, pool.name)
            shown = await _shown(driver, lying[0])
            by = await self._mentioned_by(name) or await self._claim_of(name)
            # Last, with nothing awaited after it: what is begun meanwhile notes that first.
            if by := by or self._named_by(name):
                raise NotOrphan(name, pool.name, by)
            if lying[0].kind == ASSET:
                await driver.delete(checked)
            else:
                await driver.delete_snapshot(checked)
        return shown

    async def _found(self, pool: Pool, driver: Driver) -> list[_Lying]:
        """In the order of their names."""
        lying = await _all_in(driver)
        # The objects are read after the place: whoever makes something notes that before, and
        # stores its object before the note goes.
        if not (candidates := await self._without_object(pool, lying)):
            return []
        # And the place once more: what was just deleted lost its object after its data.
        still = {(one.kind, one.name) for one in await _all_in(driver)}
        return sorted(one for one in candidates if (one.kind, one.name) in still)

    async def _without_object(self, pool: Pool, lying: Sequence[_Lying]) -> list[_Lying]:
        if not lying:
            return []
        intended = {one.asset for one in self._intents.all()}
        shelves = self._objects.cache.shelves
        volumes = shelves[Volume.resource].snapshot()
        owners = [one for kind in OWNERS for one in shelves[kind].snapshot()]
        named = await asyncio.to_thread(_named, [*volumes, *owners], pool.root)
        uids = await asyncio.to_thread(_uids, owners)
        uids |= await asyncio.to_thread(_replicated, volumes)
        found = [
            one
            for one in lying
            if one.name not in named
            and one.name not in intended
            and uids.isdisjoint(_IN_NAME.findall(one.name))
        ]
        claimed = await self._claimed([one.name for one in found])
        return [one for one in found if one.name not in claimed]

    async def _claimed(self, names: Iterable[str]) -> dict[str, str]:
        """Those that a claim would call its own, with its key: it may get the volume yet, or again.

        A claim is older than its data, so none comes that a look at all did not see.
        """
        sought = {one.removeprefix(MADE) for one in names if one.startswith(MADE)}
        entries = self._objects.cache.shelves[Claim.resource].snapshot() if sought else []
        return await asyncio.to_thread(_owning, entries, sought)

    async def _claim_of(self, name: str) -> str:
        key = (await self._claimed([name])).get(name, "")
        return f"it is the data of claim {key}" if key else ""

    def _named_by(self, name: str) -> str:
        if any(one.asset == name for one in self._intents.all()):
            return "it is being made"
        same = self._objects.view(Volume, name)
        return f"it is the data of volume {name}" if same is not None else ""

    async def _mentioned_by(self, name: str) -> str:
        """Any object that has the name in it, wherever: rather one too many than data that goes."""
        for resource in (Volume.resource, *OWNERS):
            by_uid = resource in OWNERS or bool(uid_in(name))
            sought = [name, *(_IN_NAME.findall(name) if by_uid else ())]
            entries = self._objects.cache.shelves[resource].snapshot()
            by = await asyncio.to_thread(_first_with, entries, [one.encode() for one in sought])
            if by:
                return f"{self._objects.kinds[resource].kind} {by} names it"
        return ""


async def _all_in(driver: Driver) -> list[_Lying]:
    lying = [_Lying(ASSET, one.name, one.size_bytes) for one in await driver.assets()]
    if driver.features.snapshots:
        kept = await driver.snapshots()
        lying += [_Lying(SNAPSHOT, one.name, one.size_bytes) for one in kept]
    return lying


async def _shown(driver: Driver, one: _Lying) -> Orphan:
    used = None
    if one.kind == ASSET:
        with suppress(MooringError):  # a damaged one is shown all the same
            used = await driver.used_bytes(AssetName(one.name))
    return Orphan(
        name=one.name,
        kind=one.kind,
        size=Quantity.of_bytes(one.size_bytes).canonical(),
        used=None if used is None else Quantity.of_bytes(used).canonical(),
    )


def _named(entries: Iterable[Entry], root: str) -> set[str]:
    """All names that volumes and contents of snapshots give to data; a glance at their bytes.

    Of a hundred thousand it takes a third of a second, where decoding them would take several.
    """
    below = os.path.normpath(root).encode() + b"/"
    named: set[bytes] = set()
    for entry in entries:
        for handle in _HANDLES.findall(entry.body):
            named.update((handle, handle.rpartition(b"/")[2]))
        for path in _PATHS.findall(entry.body):
            if path.startswith(below):
                named.add(path[len(below) :].partition(b"/")[0])
    return {one.decode(errors="replace") for one in named}


def _uids(entries: Iterable[Entry]) -> set[str]:
    """Their own, and those that they mention."""
    return {uid.decode() for entry in entries for uid in _UIDS.findall(entry.body)}


def _replicated(entries: Iterable[Entry]) -> set[str]:
    """Of volumes with replicas, which are called after them."""
    return {view(Volume, entry).uid for entry in entries if SIGN in entry.body}


def _owning(entries: Iterable[Entry], uids: set[str]) -> dict[str, str]:
    """Names of data by the uids of claims, unless the claim has a volume of another name."""
    found = {}
    for entry in entries:
        if any(uid.decode() in uids for uid in _UIDS.findall(entry.body)):
            claim = view(Claim, entry)
            name = MADE + claim.uid
            if claim.uid in uids and claim.volume_name in ("", name):
                found[name] = claim.key
    return found


def _first_with(entries: Iterable[Entry], sought: Sequence[bytes]) -> str:
    for entry in entries:
        if any(one in entry.body for one in sought):
            return entry.key
    return ""
