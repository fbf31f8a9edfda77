"""Where a new volume's content comes from, and what keeps that until it is made. Semantics §18."""

from collections.abc import Callable
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import Source, asset_name
from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import CLONING_PROTECTION, SNAPSHOT_AS_SOURCE
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot, SnapshotContent
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.waiting import Unmade
from mooring.objects.cache import Event
from mooring.objects.objects import Objects
from mooring.objects.sourced import Waiting
from mooring.objects.views import view
from mooring.rules.sources import (
    Origin,
    cloned,
    elsewhere,
    is_clone,
    is_restore,
    restored,
    source_of,
)

PROTECTED: Final = crash_point("provision.source-protected")


class Origins:
    """Of claims that name another claim, or a snapshot.

    wake  is told of a claim whose source is another than it was
    """

    def __init__(self, objects: Objects, wake: Callable[[str], None]) -> None:
        self._objects, self._wake = objects, wake
        self._waiting = Waiting(objects)
        self._unfollow: list[Callable[[], None]] = []

    def start(self) -> None:
        """Follow what claims may wait for."""
        shelves = self._objects.cache.shelves
        claims, snapshots, contents = (
            shelves[one.resource] for one in (Claim, Snapshot, SnapshotContent)
        )
        self._unfollow = [
            claims.follow(lambda event: self._wake_for(Claim.kind_name, event.key)),
            snapshots.follow(lambda event: self._wake_for(Snapshot.kind_name, event.key)),
            contents.follow(self._content_changed),
        ]

    def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        self._waiting.stop()

    def _content_changed(self, event: Event) -> None:
        entry = event.after or event.before
        assert entry is not None
        self._wake_for(Snapshot.kind_name, view(SnapshotContent, entry).snapshot_key)

    def _wake_for(self, kind: str, key: str) -> None:
        for waiting in self._waiting.keys(kind, key):
            self._wake(waiting)

    def pool(self, claim: Claim, class_: StorageClass) -> Pool | None:
        """Where the source is, for a class that leaves the pool open; None if that is not known."""
        origin = None if class_.pool else self._origin(claim, class_)[0]
        return self._objects.view(Pool, origin.pool) if isinstance(origin, Origin) else None

    async def source(self, claim: Claim, class_: StorageClass, pool: Pool) -> Source | None:
        """What the claim's volume is to be filled from, kept from now on; None: it is to be empty.

        raises  Unmade: it cannot be filled now, or in this pool; Conflict, BadAssetName
        """
        origin, holder, finalizer = self._origin(claim, class_)
        if origin is None:
            return None
        if isinstance(origin, str):
            raise Unmade(claim, origin)
        if why := elsewhere(origin, pool, self._objects.view(Pool, origin.pool)):
            raise Unmade(claim, why)
        assert holder is not None
        if (held := holder.with_finalizer(finalizer)) is not holder:
            await self._objects.commit([(holder, held)])
        passing(PROTECTED)
        if origin.snapshot:
            return Source(snapshot=asset_name(origin.snapshot))
        return Source(asset=asset_name(origin.asset))

    def _origin(
        self, claim: Claim, class_: StorageClass
    ) -> tuple[Origin | str | None, View | None, str]:
        """It, or why there is none; what has to stay, and by which finalizer."""
        source = source_of(claim)
        if source is None:
            return None, None, ""
        key = f"{claim.namespace}/{source.name}"
        if is_clone(source):
            other = self._objects.view(Claim, key)
            name = other.volume_name if other is not None else ""
            volume = self._objects.view(Volume, name) if name else None
            return cloned(claim, class_, other, volume), other, CLONING_PROTECTION
        if not is_restore(source):
            return None, None, ""
        snapshot = self._objects.view(Snapshot, key)
        name = snapshot.content_name if snapshot is not None else ""
        content = self._objects.view(SnapshotContent, name) if name else None
        return restored(claim, class_, snapshot, content), snapshot, SNAPSHOT_AS_SOURCE
