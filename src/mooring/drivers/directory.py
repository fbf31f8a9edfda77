"""Plain directories of one file system: no limit on size, no snapshots, nothing to set up."""

from dataclasses import dataclass
from typing import ClassVar

from mooring.drivers.directories import Directories
from mooring.drivers.errors import CannotDo
from mooring.drivers.interface import AssetName, Features, Snapshot, asset_name


@dataclass(frozen=True)
class DirectoryDriver(Directories):
    """One directory per volume below the root. The size is a promise: nothing here enforces it."""

    features: ClassVar[Features] = Features(enforces_size=False, snapshots=False, expands=True)

    async def snapshot(self, name: AssetName, of: AssetName) -> Snapshot:
        raise CannotDo("snapshots", self.place.pool)

    async def delete_snapshot(self, name: AssetName) -> None:
        """There are none."""
        asset_name(name)

    async def snapshots(self) -> list[Snapshot]:
        return []

    async def used_bytes(self, name: AssetName) -> int | None:
        """Nobody has counted it."""
        asset_name(name)
        return None
