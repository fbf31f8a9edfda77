"""Claims at paths of this host, for `mooring mount` and whatever else brings volumes to users."""

import asyncio
from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mooring.drivers.interface import asset_name
from mooring.errors import MooringError
from mooring.host.errors import MountBusy
from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.volume import Volume
from mooring.node.consumer import Consumer
from mooring.node.errors import BeingDeleted, NotBound, NoWayToMount, OnOtherHost
from mooring.node.pools import Pools
from mooring.node.published import Published, Publisher
from mooring.node.sources import AssetSource, PathSource, Source
from mooring.objects.cache import Entry, Event
from mooring.objects.errors import NotFound
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Again, Done, Outcome

FORGOTTEN_AFTER_S: Final = 15.0  # tried again, while a process has files open in it
BOUND_WITHIN_S: Final = 20.0  # of a claim whose volume was just chosen; commands wait longer


class Mounted(NamedTuple):
    """A claim that is at hand on this host; note as of Published."""

    claim: str  # "ns/name"
    volume: str
    path: Path
    note: str


class Mounting:
    """Finds the volume of a claim, and its data, and has it at its path."""

    def __init__(self, objects: Objects, pools: Pools, publisher: Publisher, node: str) -> None:
        self._objects, self.pools = objects, pools
        self._publisher, self._node = publisher, node
        self._consumer = Consumer(objects, pools, node)
        self._names: dict[str, str] = {}  # of volumes that are or were at hand, by uid

    async def mount(self, key: str) -> Mounted:
        """Have a claim at its path; repeatable. This may be its first consumer.

        key     "namespace/name"
        raises  NotFound, NotBound, BeingDeleted, OnOtherHost, NoWayToMount, and what the Publisher
                raises
        """
        if await self._consumer.chose(self._claim(key)):
            await self._until_bound(key)
        volume = self._bound(key)
        if not self._consumer.reaches(volume):
            raise OnOtherHost(volume, self._node)
        source = await self._source(volume)
        self._names[volume.uid] = volume.name
        published = await self._publisher.publish(volume.uid, source)
        try:
            self._bound(key)
        except MooringError:  # deleted meanwhile, and whoever deletes the data looked before us
            await self._publisher.unpublish(volume.uid, source)
            raise
        return _mounted(key, volume, published)

    async def unmount(self, key: str) -> Mounted | None:
        """Take the path away; None if it was not there. Raises MountBusy if it is in use."""
        at_hand = await self._at_hand()
        found = [pair for pair in at_hand if pair[0].claim_ref and pair[0].claim_ref.key == key]
        for volume, _ in found:  # one, but for a claim that was deleted and made anew
            await self.release(volume)
        return _mounted(key, *found[0]) if found else None

    async def release(self, volume: Volume) -> None:
        """Take a volume's path away, whatever became of its claim. Raises MountBusy."""
        source = await self._source(volume) if self._consumer.reaches(volume) else None
        await self._publisher.unpublish(volume.uid, source)

    async def forget(self, uid: str) -> Outcome:
        """Take away the path of a volume that does not exist any more, once nobody uses it."""
        try:
            await self._publisher.unpublish(uid)
        except MountBusy as error:
            return Again(FORGOTTEN_AFTER_S, str(error))
        return Done("its path is gone too")

    async def leftovers(self) -> list[str]:
        """Uids of what is at hand though its volume does not exist any more."""
        uids = {one.uid for one in await self._publisher.published()}
        return sorted(uids - (await self._volumes(uids)).keys())

    async def mounts(self) -> list[Mounted]:
        """What is at hand now, by claim."""
        return sorted(
            _mounted(volume.claim_ref.key, volume, published)
            for volume, published in await self._at_hand()
            if volume.claim_ref is not None
        )

    async def _at_hand(self) -> list[tuple[Volume, Published]]:
        by_uid = {one.uid: one for one in await self._publisher.published()}
        volumes = await self._volumes(by_uid.keys())
        return [(volume, by_uid[uid]) for uid, volume in volumes.items()]

    async def _volumes(self, uids: Set[str]) -> dict[str, Volume]:
        """The volumes of these uids, as far as they exist. Objects are found by name; names are
        kept here, and looked for among all volumes after a restart."""
        found = self._known(uids)
        if missing := uids - found.keys():
            shelf = self._objects.cache.shelves[Volume.resource]
            names = await asyncio.to_thread(_mentioning, shelf.snapshot(), missing)
            for volume in (self._objects.view(Volume, name) for name in names):
                if volume is not None:
                    self._names[volume.uid] = volume.name
            found |= self._known(missing)
        for uid in self._names.keys() - uids:
            del self._names[uid]
        return found

    def _known(self, uids: Set[str]) -> dict[str, Volume]:
        named = {uid: self._objects.view(Volume, self._names.get(uid, "")) for uid in uids}
        return {uid: one for uid, one in named.items() if one is not None and one.uid == uid}

    async def _until_bound(self, key: str) -> None:
        """Wait until a claim is Bound or gone, but not for ever."""
        changed = asyncio.Event()

        def look(event: Event) -> None:
            if event.key == key:
                changed.set()

        unfollow = self._objects.cache.shelves[Claim.resource].follow(look)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(BOUND_WITHIN_S):
                    while (claim := self._objects.view(Claim, key)) and claim.phase != Phase.BOUND:
                        changed.clear()
                        await changed.wait()
        finally:
            unfollow()

    def _claim(self, key: str) -> Claim:
        claim = self._objects.view(Claim, key)
        if claim is None:
            raise NotFound(self._objects.kinds[Claim.resource], key.rpartition("/")[2])
        return claim

    def _bound(self, key: str) -> Volume:
        claim = self._claim(key)
        if claim.being_deleted:
            raise BeingDeleted(claim)
        volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
        if volume is None or claim.phase != Phase.BOUND or not volume.points_at(claim):
            raise NotBound(claim)
        return volume

    async def _source(self, volume: Volume) -> Source:
        pool = self.pools.of_volume(volume)
        if pool is not None and pool.driver == volume.driver:
            return AssetSource(await self.pools.driver(pool), asset_name(volume.handle))
        if (host_path := volume.spec.host_path) is not None:
            return PathSource(Path(host_path.path), host_path.type or "")
        if (local := volume.spec.local) is not None:
            return PathSource(Path(local.path), "Directory")
        raise NoWayToMount(volume)


def _mentioning(volumes: Sequence[Entry], uids: Set[str]) -> list[str]:
    """Names of those in whose documents a uid is, as their own or another's."""
    wanted = [uid.encode() for uid in uids]
    return [entry.key for entry in volumes if any(uid in entry.body for uid in wanted)]


def _mounted(key: str, volume: Volume, published: Published) -> Mounted:
    return Mounted(key, volume.name, published.path, published.note)
