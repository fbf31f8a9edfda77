"""Plain directories of one file system: no limit on size, no snapshots, nothing to set up.

ROOT/NAME/             an asset, as a whole: it comes and goes with one rename
ROOT/NAME/size         bytes promised, in decimal: beside the data, where a volume cannot reach it
ROOT/NAME/data/        what is mounted; only this belongs to the volume's user

What else is in ROOT: drivers/root.py.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import EDQUOT, EEXIST, ELOOP, ENOSPC, ENOTDIR, ENOTEMPTY
from functools import partial
from pathlib import Path
from typing import TypeVar

from mooring.crashpoints import crash_point, passing
from mooring.drivers.errors import (
    AssetDamaged,
    BadAssetName,
    CannotDo,
    InUse,
    NoSuchAsset,
    PoolFailed,
    PoolFull,
    SizeMismatch,
)
from mooring.drivers.interface import (
    Asset,
    AssetName,
    Features,
    Place,
    Snapshot,
    Source,
    Usage,
    asset_name,
)
from mooring.drivers.root import (
    DOOMED,
    PASSABLE,
    PoolRoot,
    id_of,
    leftovers,
    making,
    mode_of,
    usage_of,
)
from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.host.errors import MountInside
from mooring.host.mounts import holders

T = TypeVar("T")

_NO_LINK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DELETE_DEADLINE_S = 600  # millions of files take minutes; the next try goes on where this one is

START_MARKED = crash_point("directory.start.marked")
CREATE_MADE = crash_point("directory.create.made")
CREATE_OWNED = crash_point("directory.create.owned")
CREATE_SIZED = crash_point("directory.create.sized")
CREATE_RENAMED = crash_point("directory.create.renamed")
DELETE_RENAMED = crash_point("directory.delete.renamed")
DELETE_EMPTIED = crash_point("directory.delete.emptied")
EXPAND_WRITTEN = crash_point("directory.expand.written")


@dataclass(frozen=True)
class DirectoryDriver:
    """One directory per volume below the root. The size is a promise: nothing here enforces it.

    mode      of a new volume's directory
    uid, gid  its owner. Without root's rights it can only be whoever runs this.
    """

    root: PoolRoot
    mode: int
    uid: int
    gid: int
    blocking: Blocking = field(compare=False)
    features = Features(enforces_size=False, snapshots=False, expands=True)

    @classmethod
    def at(cls, place: Place) -> "DirectoryDriver":
        """Of a pool. Raises BadPoolOption."""
        return cls(
            PoolRoot(place),
            mode=mode_of(place),
            uid=id_of(place, "uid"),
            gid=id_of(place, "gid"),
            blocking=Blocking(f"pool {place.pool}"),
        )

    @property
    def place(self) -> Place:
        return self.root.place

    async def start(self, *, new: bool) -> None:
        await self._done(partial(self._start, new))

    async def create(self, name: AssetName, size_bytes: int, source: Source | None = None) -> Asset:
        if source is not None:
            raise CannotDo("volume with content", self.place.pool)
        return await self._done(partial(self._create, asset_name(name), size_bytes))

    async def delete(self, name: AssetName) -> None:
        await self._done(partial(self._delete, asset_name(name)), _DELETE_DEADLINE_S)

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        return await self._done(partial(self._expand, asset_name(name), size_bytes))

    async def assets(self) -> list[Asset]:
        return await self._done(self._assets)

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

    async def publish(self, name: AssetName) -> Path:
        return await self._done(partial(self._publish, asset_name(name)))

    async def unpublish(self, name: AssetName) -> None:
        """A directory is at hand always: nothing was done by publish."""
        asset_name(name)

    async def usage(self) -> Usage:
        return await self._done(self._usage)

    # What follows runs in threads.

    async def _done(self, work: Callable[[], T], deadline_s: float | None = None) -> T:
        try:
            return await self.blocking.run(work, deadline_s)
        except OSError as error:
            raise PoolFailed(self.place.pool, str(error)) from error

    def _start(self, new: bool) -> None:
        if new:
            self.root.make(START_MARKED)
        with self.root.opened() as root:
            for name in leftovers(root):
                files.remove_tree(name, root)

    def _create(self, name: AssetName, size_bytes: int) -> Asset:
        with self.root.opened() as root:
            found = self._found(name, root)
            if found is None:
                found = self._made(name, size_bytes, root)
        if found.size_bytes != size_bytes:
            raise SizeMismatch(name, found.size_bytes, size_bytes)
        return found

    def _made(self, name: AssetName, size_bytes: int, root: int) -> Asset:
        """Made aside, then renamed: of several who make it at once, one wins and all have it."""
        aside = making(name)
        try:
            os.mkdir(aside, 0o700, dir_fd=root)
            with files.directory(aside, root) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX)  # until it is closed, or we are dead
                self._fill(fd, size_bytes)
                os.rename(aside, name, src_dir_fd=root, dst_dir_fd=root)
            passing(CREATE_RENAMED)
            files.synced(root)
        except OSError as error:
            files.remove_tree(aside, root)
            if error.errno in (ENOSPC, EDQUOT):
                raise PoolFull(self.place.pool, size_bytes, usage_of(root).free_bytes) from error
            if error.errno not in (EEXIST, ENOTEMPTY, ENOTDIR):
                raise
        found = self._found(name, root)
        if found is None:  # it was made, and deleted by somebody else at once
            raise NoSuchAsset(name, self.place.pool)
        return found

    def _fill(self, fd: int, size_bytes: int) -> None:
        os.mkdir("data", 0o700, dir_fd=fd)
        passing(CREATE_MADE)
        with files.directory("data", fd) as data:
            if os.geteuid() == 0:
                os.fchown(data, self.uid, self.gid)
            os.fchmod(data, self.mode)  # after chown, which takes set-uid bits away
            passing(CREATE_OWNED)
            files.new_file("size", b"%d\n" % size_bytes, fd)
            passing(CREATE_SIZED)
            os.fsync(data)
        os.fchmod(fd, PASSABLE)
        files.synced(fd)

    def _delete(self, name: AssetName) -> None:
        doomed = DOOMED + name
        with self.root.opened() as root:
            self._refuse_in_use(name, root)
            # Renamed before it is emptied: a crash in between must leave nothing that could be
            # mounted. Emptied before that as well: such a crash left one of this name, in the way.
            files.remove_tree(doomed, root)
            with suppress(FileNotFoundError):
                os.rename(name, doomed, src_dir_fd=root, dst_dir_fd=root)
            passing(DELETE_RENAMED)
            files.synced(root)
            files.remove_tree(doomed, root)
            passing(DELETE_EMPTIED)

    def _refuse_in_use(self, name: AssetName, root: int) -> None:
        """Raises InUse; AssetDamaged for something that we did not make, and so do not delete."""
        with self._asset(name, root) as asset:
            if asset is None:
                return
            if "size" not in os.listdir(asset):
                raise AssetDamaged(name, self.place.pool, "its file `size` is missing")
            if where := holders(asset):
                raise InUse(name, ", ".join(where[:3]))
            try:
                files.refuse_mounts(asset)
            except MountInside as error:
                raise InUse(name, str(error)) from error

    def _expand(self, name: AssetName, size_bytes: int) -> Asset:
        with self.root.opened() as root, self._asset(name, root) as asset:
            if asset is None:
                raise NoSuchAsset(name, self.place.pool)
            has = self._sized(name, asset)
            if has.size_bytes >= size_bytes:
                return has
            try:
                files.written("size", b"%d\n" % size_bytes, asset)
            except OSError as error:
                if error.errno not in (ENOSPC, EDQUOT):
                    raise
                free_bytes = usage_of(root).free_bytes
                raise PoolFull(self.place.pool, size_bytes, free_bytes) from error
            passing(EXPAND_WRITTEN)
            return Asset(name, size_bytes)

    def _assets(self) -> list[Asset]:
        whole = []
        with self.root.opened() as root:
            for name in os.listdir(root):
                with suppress(BadAssetName, AssetDamaged):  # not ours, or not whole
                    if found := self._found(asset_name(name), root):
                        whole.append(found)
        return whole

    def _publish(self, name: AssetName) -> Path:
        with self.root.opened() as root, self._asset(name, root) as asset:
            if asset is None:
                raise NoSuchAsset(name, self.place.pool)
            self._refuse_without_data(name, asset)
        return self.place.root / name / "data"

    def _usage(self) -> Usage:
        with self.root.opened() as root:
            return usage_of(root)

    def _found(self, name: AssetName, root: int) -> Asset | None:
        """The asset if it is whole, None if there is none. Raises AssetDamaged."""
        with self._asset(name, root) as asset:
            if asset is None:
                return None
            self._refuse_without_data(name, asset)
            return self._sized(name, asset)

    @contextmanager
    def _asset(self, name: AssetName, root: int) -> Iterator[int | None]:
        """The directory of an asset, None if there is none. Raises AssetDamaged: something else."""
        try:
            asset = os.open(name, _NO_LINK, dir_fd=root)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            if error.errno not in (ENOTDIR, ELOOP):
                raise
            raise AssetDamaged(name, self.place.pool, "it is a file or a link") from error
        try:
            yield asset
        finally:
            os.close(asset)

    def _sized(self, name: AssetName, asset: int) -> Asset:
        try:
            return Asset(name, int(files.small_file("size", asset)))
        except FileNotFoundError as error:
            raise AssetDamaged(name, self.place.pool, "its file `size` is missing") from error
        except (ValueError, OSError) as error:
            raise AssetDamaged(name, self.place.pool, f"its file `size`: {error}") from error

    def _refuse_without_data(self, name: AssetName, asset: int) -> None:
        try:
            data = os.stat("data", dir_fd=asset, follow_symlinks=False)
        except FileNotFoundError as error:
            raise AssetDamaged(name, self.place.pool, "its directory `data` is missing") from error
        if not stat.S_ISDIR(data.st_mode):
            raise AssetDamaged(name, self.place.pool, "its `data` is a file or a link")
