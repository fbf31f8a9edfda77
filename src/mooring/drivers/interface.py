"""The contract of a backend. tests/conformance/test_drivers.py says what each must do."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NewType, Protocol

AssetName = NewType("AssetName", str)  # "pvc-<uid>": [a-z0-9-], never text from outside


@dataclass(frozen=True, slots=True)
class Features:
    """What a driver can do beyond the contract; asked as data, never by the driver's name."""

    enforces_size: bool = False
    snapshots: bool = False
    expands: bool = False
    shared: bool = False
    block: bool = False
    min_size_bytes: int = 0


class Asset(NamedTuple):
    """What a backend made for one volume."""

    name: AssetName
    size_bytes: int


class Usage(NamedTuple):
    """Of a pool's place: as the backend itself counts."""

    total_bytes: int
    used_bytes: int


class Driver(Protocol):
    """A backend with no memory: what exists is what `assets` finds. Any call may be repeated."""

    @property
    def features(self) -> Features:
        """Constant for the life of the driver."""

    async def create(self, name: AssetName, size_bytes: int) -> Asset:
        """Make the asset, or return the one of that name. Raises PoolFull, SizeMismatch,
        PoolMissing."""

    async def delete(self, name: AssetName) -> None:
        """Remove it and its data; absent is success. Raises InUse, PoolMissing."""

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        """Raise its size; equal or smaller changes nothing. Raises NoSuchAsset, PoolFull."""

    async def assets(self) -> list[Asset]:
        """Everything whole in this pool; half-made and half-deleted things are left out."""

    async def publish(self, name: AssetName) -> Path:
        """Where its root directory can be bind-mounted from on this host. Raises NoSuchAsset."""

    async def unpublish(self, name: AssetName) -> None:
        """Undo publish; not published is success."""

    async def usage(self) -> Usage:
        """Of the whole pool."""
