"""The contract of a backend. tests/conformance/test_drivers.py says what each must do."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NewType, Protocol

from mooring.drivers.errors import BadAssetName, BadAttribute

AssetName = NewType("AssetName", str)  # "pvc-<uid>": [a-z0-9-], never text from outside
_ASSET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,198}[a-z0-9])?")  # backends add to it, up to 255


def asset_name(text: str) -> AssetName:
    """A name that is safe in a path and as an argument. Raises BadAssetName.

    volumeHandle of a PV may be written by anybody who may write PVs, so every driver checks.
    """
    if not _ASSET_NAME.fullmatch(text):
        raise BadAssetName(text)
    return AssetName(text)


def checked_attributes(
    asked: Mapping[str, str], offered: Mapping[str, tuple[str, ...]], whose: str
) -> None:
    """Raises BadAttribute, for the first that is not offered."""
    for name, value in asked.items():
        if value not in offered.get(name, ()):
            raise BadAttribute(f"{name}={value}", offered, whose)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pool keeps its assets, as its Pool object says.

    pool     its name, for people
    uid      its uid: what marks the root as its own
    options  of the driver: the field of the Pool's spec that is called as the driver
    former   uids of pools of this host that are gone: a root of theirs without assets is free
    """

    pool: str
    uid: str
    root: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    former: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Features:
    """What a driver can do beyond the contract; asked as data, never by the driver's name."""

    enforces_size: bool = False
    snapshots: bool = False  # and new assets from them
    clones: bool = False  # new assets from others
    expands: bool = False
    shared: bool = False
    block: bool = False
    streams: bool = False  # snapshots can be sent to other pools of it: see Streaming
    min_size_bytes: int = 0
    # What can be changed while an asset lives, by name, and what may be said of each.
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Asset(NamedTuple):
    """What a backend made for one volume."""

    name: AssetName
    size_bytes: int


class Snapshot(NamedTuple):
    """What an asset was at one moment. It lives on its own: the asset may go."""

    name: AssetName
    size_bytes: int  # at least that large is what is made from it
    created_ns: int  # since the epoch


class Source(NamedTuple):
    """What a new asset is to be filled from, one of these."""

    snapshot: AssetName | None = None
    asset: AssetName | None = None


class Usage(NamedTuple):
    """Of a pool's place: as the backend itself counts."""

    total_bytes: int
    used_bytes: int
    available_bytes: int | None = None  # to volumes; None: all that is free
    inodes: int | None = None  # None: as many as there is room for
    inodes_used: int | None = None
    read_only: bool = False

    @property
    def free_bytes(self) -> int:
        return self.total_bytes - self.used_bytes


class Driver(Protocol):
    """A backend with no memory: what exists is what `assets` finds. Any call may be repeated."""

    @property
    def features(self) -> Features:
        """Constant from the start on: before it, what the driver can do where its place lets it."""

    async def start(self, *, new: bool) -> None:
        """Called before anything else: see that the place is this pool's, remove what a crash left.

        From then on no other process may serve the place, until this one ends or `stop` is called;
        a place that several hosts share is served by all of them.

        new     the pool was never used on this host, so its place may be made and marked as its own
        raises  PoolMissing, PoolTaken, PoolFailed
        """

    async def stop(self) -> None:
        """Let go of the place, and leave all as it is. The next call takes it again."""

    async def create(self, name: AssetName, size_bytes: int, source: Source | None = None) -> Asset:
        """Make the asset, or return the one of that name; at least as large as asked.

        source  what is in it from the beginning: empty if None. Not asked of one that exists.
        raises  PoolFull, SizeMismatch, PoolMissing, NoSuchAsset, NoSuchSnapshot, CannotDo;
                BadAssetName and PoolFailed, as all others do
        """

    async def delete(self, name: AssetName) -> None:
        """Remove it and its data; absent is success. Raises InUse, PoolMissing."""

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        """Raise its size; equal or smaller changes nothing.

        raises  NoSuchAsset, PoolFull; GrowsLater: not while it is published
        """

    async def modify(self, name: AssetName, attributes: Mapping[str, str]) -> None:
        """Change what `features.attributes` offers; what is not named stays as it is.

        It holds for what is written from now on, also where the asset is published.

        raises  NoSuchAsset, BadAttribute
        """

    async def assets(self) -> list[Asset]:
        """Everything whole in this pool; half-made and half-deleted things are left out."""

    async def snapshot(self, name: AssetName, of: AssetName) -> Snapshot:
        """Keep an asset as it is now, whole and consistent also while it is written to.

        Repeated, it returns the one of that name. Raises NoSuchAsset, PoolFull, CannotDo.
        """

    async def delete_snapshot(self, name: AssetName) -> None:
        """Absent is success."""

    async def snapshots(self) -> list[Snapshot]:
        """Everything whole; half-made and half-deleted ones are left out."""

    async def used_bytes(self, name: AssetName) -> int | None:
        """What is written in an asset; None if that would take a walk through it."""

    async def publish(self, name: AssetName) -> Path:
        """Where its root directory can be bind-mounted from on this host. Raises NoSuchAsset."""

    async def unpublish(self, name: AssetName) -> None:
        """Undo publish; not published is success."""

    async def usage(self) -> Usage:
        """Of the whole pool."""


class Streaming(Protocol):
    """What a driver with the feature `streams` can do beside all others."""

    async def is_unchanged(self, name: AssetName, since: AssetName) -> bool:
        """Whether nothing was written to an asset since a snapshot of it was made here.

        raises  NoSuchAsset, NoSuchSnapshot
        """

    async def send(
        self,
        name: AssetName,
        write: Callable[[bytes], Awaitable[None]],
        since: AssetName | None = None,
    ) -> None:
        """Give a snapshot away, piece by piece; it is whole only once this returns.

        since   an earlier snapshot of the same asset: what it has already is left out
        raises  NoSuchSnapshot, and what `write` raises
        """

    async def receive(
        self,
        name: AssetName,
        size_bytes: int,
        read: Callable[[], Awaitable[bytes]],
        as_of_ns: int | None = None,
    ) -> Snapshot:
        """Make a snapshot of what `send` gives, on this pool or another; repeated, return it.

        size_bytes  of the snapshot that was sent
        read        b"" at the end; of a host that we trust
        as_of_ns    when it was made, since the epoch; None: now
        raises      AssetDamaged, PoolFull, and what `read` raises
        """
