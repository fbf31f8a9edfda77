"""Claims at paths of this host, for `mooring mount` and whatever else brings volumes to users."""

import asyncio
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from mooring.drivers.errors import NoSuchAsset
from mooring.drivers.interface import asset_name
from mooring.errors import Effect, MooringError
from mooring.measures import operation, plugin_of
from mooring.model.claim import Claim
from mooring.model.names import (
    BLOCK,
    ONLY_READ,
    USED,
    Phase,
)
from mooring.model.node import Node
from mooring.model.volume import Volume
from mooring.node.consumer import Consumer
from mooring.node.errors import (
    BeingDeleted,
    ClaimLost,
    DataMissing,
    DataOnOtherNode,
    NotBound,
    NoWayToMount,
    PathMissing,
)
from mooring.node.pools import Pools
from mooring.node.published import Published, Publisher
from mooring.node.remotes import Remotes
from mooring.node.sources import AssetSource, PathSource, Source, paths_of_host
from mooring.node.waiting import Waiting
from mooring.objects.cache import Entry
from mooring.objects.errors import NotFound
from mooring.objects.objects import Objects
from mooring.store.interface import Conflict

BOUND_WITHIN_S: Final = 20.0  # of a claim whose volume was just chosen; commands wait longer
LOOKED_AT_WITHIN_S: Final = 0.5  # of a claim that was made a moment ago: by then it is being bound


class Mounted(NamedTuple):
    """A claim that is at hand on this host; note as of Published."""

    claim: str  # "ns/name"
    volume: str
    path: Path
    note: str


class Growth(Protocol):
    """What waits for a volume to be mounted nowhere."""

    async def before_mount(self, volume: Volume) -> None:
        """It is about to be mounted. Raises nothing: it is mounted as it is."""

    def after_unmount(self, volume: Volume) -> None:
        """Its path was taken away."""


class Mounting:
    """Finds the volume of a claim, and its data, and has it at its path."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        publisher: Publisher,
        waiting: Waiting,
        node: str,
        hurry: Callable[[str], None],
        growth: "Growth",
    ) -> None:
        """hurry  has a claim's volume made now, even if that failed a moment ago"""
        self._growth = growth
        self._objects, self.pools = objects, pools
        self._publisher, self._waiting, self._node = publisher, waiting, node
        self._hurry = hurry
        self._consumer = Consumer(objects, pools, node)
        self._looking = paths_of_host()
        self.remotes = Remotes(objects, publisher.root.parent)
        self.may_come: Callable[[Volume], bool] = lambda _: False  # here, from another host
        self._names: dict[str, str] = {}  # of volumes that are or were at hand, by uid

    def stop(self) -> None:
        """Follow no volumes any longer."""
        self._consumer.stop()

    async def bound(self, key: str, within_s: float = BOUND_WITHIN_S) -> Volume:
        """The volume of a claim, for a use on this host; that may be the first, which chooses it.

        key       "namespace/name"
        within_s  how long to wait for what ends by itself: that its volume is made
        raises    NotFound, NotBound, BeingDeleted, ClaimLost, DataOnOtherNode, NoCapacityHere,
                  ProvisioningElsewhere, and what kept its volume from being made
        """
        is_on_its_way = await self._chose(key) or self._is_on_its_way(self._claim(key))
        if not is_on_its_way:
            await self._waiting.until_bound(key, min(LOOKED_AT_WITHIN_S, within_s))
            is_on_its_way = self._is_on_its_way(self._claim(key))
        if is_on_its_way:
            self._hurry(key)
            await self._waiting.until_bound(key, within_s)
        volume = self.bound_now(key)
        if not self._consumer.reaches(volume) and not self.may_come(volume):
            nodes = self._objects.cache.shelves[Node.resource]
            is_gone = bool(volume.hosts) and all(nodes.get(one) is None for one in volume.hosts)
            raise DataOnOtherNode(key, volume, self._node, is_gone=is_gone)
        return volume

    async def _chose(self, key: str) -> bool:
        """As Consumer, whoever writes to claim and volume at the same time."""
        while True:
            with suppress(Conflict):
                return await self._consumer.chose(self._claim(key))

    def _is_on_its_way(self, claim: Claim) -> bool:
        """Whether it will be bound without anybody doing anything about it."""
        if claim.phase in (Phase.BOUND, Phase.LOST) or claim.being_deleted:
            return False
        if claim.volume_name:
            return self._objects.entry(Volume.resource, claim.volume_name) is not None
        return bool(claim.provisioner)

    def bound_now(self, key: str) -> Volume:
        """The volume of a claim that may be used. Raises as `bound`."""
        claim = self._claim(key)
        if claim.being_deleted:
            raise BeingDeleted(claim)
        volume = self._objects.view(Volume, claim.volume_name) if claim.volume_name else None
        if claim.phase == Phase.LOST or (volume is None and claim.was_bound):
            raise ClaimLost(claim)
        if volume is None or claim.phase != Phase.BOUND or not volume.points_at(claim):
            raise NotBound(claim)
        return volume

    async def stage(self, volume: Volume) -> Published:
        """Have a volume's data at its path; repeatable.

        raises  NoWayToMount, DataMissing, PoolMissing, and what the Publisher raises
        """
        if volume.volume_mode == BLOCK:  # its users want the device, and no mount of anything
            raise NoWayToMount(volume)
        source = await self._source(volume)
        await self._growth.before_mount(volume)
        self._names[volume.uid] = volume.name
        try:
            with operation(plugin_of(volume.driver, volume.source_name), "volume_mount"):
                return await self._publisher.publish(
                    volume.uid, source, read_only=volume.modes == ONLY_READ
                )
        except (NoSuchAsset, PathMissing) as error:
            if USED not in volume.annotations:
                raise
            path = error.path if isinstance(error, PathMissing) else ""
            raise DataMissing(volume, self._node, path) from error

    async def release(self, volume: Volume) -> None:
        """Take a volume's path away, whatever became of its claim. Raises MountBusy."""
        source = await self._source_to_release(volume)
        if self._publisher.published_path(volume.uid) is None:
            await self._publisher.unpublish(volume.uid, source)
            return
        with operation(plugin_of(volume.driver, volume.source_name), "volume_unmount"):
            await self._publisher.unpublish(volume.uid, source)
        self._growth.after_unmount(volume)

    async def _source_to_release(self, volume: Volume) -> Source | None:
        """None if it is not, and cannot be, at hand here."""
        if not self._consumer.reaches(volume):
            return None
        try:
            return await self._source(volume)
        except MooringError as error:
            if error.effect is Effect.UNKNOWN:
                raise
            return None  # what was refused when it was to be mounted

    async def release_uid(self, uid: str) -> str:
        """The same, for one that may not exist any more.

        returns  its name, "" if that is not known any more
        raises   MountBusy: somebody has files open in it
        """
        name = self._names.get(uid, "")
        if (volume := (await self.volumes({uid})).get(uid)) is not None:
            await self.release(volume)
            return volume.name
        await self._publisher.unpublish(uid)
        return name

    async def at_hand(self) -> list[tuple[Volume | None, Published]]:
        """What has a path now; None for a volume that does not exist any more."""
        published = await self._publisher.published()
        uids = {one.uid for one in published}
        volumes = await self.volumes(uids)
        for gone in self._names.keys() - uids:
            if self._publisher.published_path(gone) is None:  # nor was it mounted meanwhile
                del self._names[gone]
        return [(volumes.get(one.uid), one) for one in published]

    async def mounts(self) -> list[Mounted]:
        """What is at hand now, by claim."""
        return sorted(
            Mounted(volume.claim_ref.key, volume.name, published.path, published.note)
            for volume, published in await self.at_hand()
            if volume is not None and volume.claim_ref is not None
        )

    def paths(self) -> dict[str, Path]:
        """Of all volumes that are at hand, by name; from memory."""
        found = ((name, self._publisher.published_path(uid)) for uid, name in self._names.items())
        return {name: path for name, path in found if path is not None}

    def reaches(self, volume: Volume) -> bool:
        """Whether its data is on this host, as far as its affinity tells."""
        return self._consumer.reaches(volume)

    def known(self, uid: str) -> Volume | None:
        """A volume that is or was at hand, as far as its name is known and it exists."""
        return self._known({uid}).get(uid)

    async def volumes(self, uids: Set[str]) -> dict[str, Volume]:
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
        return found

    def _known(self, uids: Set[str]) -> dict[str, Volume]:
        named = {uid: self._objects.view(Volume, self._names.get(uid, "")) for uid in uids}
        return {uid: one for uid, one in named.items() if one is not None and one.uid == uid}

    def _claim(self, key: str) -> Claim:
        claim = self._objects.view(Claim, key)
        if claim is None:
            raise NotFound(self._objects.kinds[Claim.resource], key.rpartition("/")[2])
        return claim

    async def _source(self, volume: Volume) -> Source:
        pool = self.pools.of_volume(volume)
        if pool is not None and pool.driver == volume.driver:
            return AssetSource(await self.pools.driver(pool), asset_name(volume.handle))
        if (host_path := volume.spec.host_path) is not None:
            is_new = USED not in volume.annotations
            return PathSource(Path(host_path.path), host_path.type or "", is_new, self._looking)
        if (local := volume.spec.local) is not None:
            return PathSource(Path(local.path), "Directory", blocking=self._looking)
        if (remote := self.remotes.source(volume)) is not None:
            return remote
        raise NoWayToMount(volume)


def _mentioning(volumes: Sequence[Entry], uids: Set[str]) -> list[str]:
    """Names of those in whose documents a uid is, as their own or another's."""
    wanted = [uid.encode() for uid in uids]
    return [entry.key for entry in volumes if any(uid in entry.body for uid in wanted)]
