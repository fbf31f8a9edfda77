"""Plain directories of one file system: no limit on size, no snapshots, nothing to set up.

ROOT/.mooring-pool     the uid of the pool: an unmounted root lacks it, another pool's has its own
ROOT/NAME/             an asset, as a whole: it comes and goes with one rename
ROOT/NAME/size         bytes promised, in decimal: beside the data, where a volume cannot reach it
ROOT/NAME/data/        what is mounted; only this belongs to the volume's user
ROOT/.making-NAME-…    half made: locked (flock) while somebody works on it, else a crash's
ROOT/.doomed-NAME      half deleted
"""

import fcntl
import os
import re
import secrets
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
    BadPoolOption,
    CannotDo,
    InUse,
    NoSuchAsset,
    PoolFailed,
    PoolFull,
    PoolMissing,
    PoolTaken,
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
from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.host.errors import MountInside
from mooring.host.mounts import holders

T = TypeVar("T")

MARK = ".mooring-pool"
_MAKING, _DOOMED = ".making-", ".doomed-"
_NO_LINK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IDS = 2**32 - 1  # the last number means "leave it as it is" to chown(2)
_PASSABLE = 0o711  # of what leads to the data: to be walked through, not to be listed
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

    place: Place
    mode: int
    uid: int
    gid: int
    blocking: Blocking = field(compare=False)
    features = Features(enforces_size=False, snapshots=False, expands=True)

    @classmethod
    def at(cls, place: Place) -> "DirectoryDriver":
        """Of a pool. Raises BadPoolOption."""
        return cls(
            place,
            mode=_mode(place),
            uid=_id(place, "uid"),
            gid=_id(place, "gid"),
            blocking=Blocking(f"pool {place.pool}"),
        )

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
        return None

    async def publish(self, name: AssetName) -> Path:
        return await self._done(partial(self._publish, asset_name(name)))

    async def unpublish(self, name: AssetName) -> None:
        """A directory is at hand always: nothing was done by publish."""
        asset_name(name)

    async def usage(self) -> Usage:
        return await self._done(self._usage)

    # What follows runs in threads, and names everything from a descriptor of the root: a root
    # that is exchanged meanwhile is then not half of one and half of the other.

    async def _done(self, work: Callable[[], T], deadline_s: float | None = None) -> T:
        try:
            return await self.blocking.run(work, deadline_s)
        except OSError as error:
            raise PoolFailed(self.place.pool, str(error)) from error

    @contextmanager
    def _root(self) -> Iterator[int]:
        """The root, if it is ours. Raises PoolMissing, PoolTaken."""
        with self._unchecked_root() as root:
            if (owner := _owner(root)) is None:
                raise PoolMissing(self.place.pool, str(self.place.root))
            if owner != self.place.uid:
                raise PoolTaken(self.place.pool, str(self.place.root), owner)
            yield root

    @contextmanager
    def _unchecked_root(self) -> Iterator[int]:
        try:
            root = os.open(self.place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PoolMissing(self.place.pool, str(self.place.root)) from error
        try:
            yield root
        finally:
            os.close(root)

    def _start(self, new: bool) -> None:
        if new:
            self.place.root.mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
            with self._unchecked_root() as root:
                self._mark(root)
            passing(START_MARKED)
        with self._root() as root:
            for name in os.listdir(root):
                if name.startswith(_DOOMED) or (
                    name.startswith(_MAKING) and _abandoned(name, root)
                ):
                    files.remove_tree(name, root)

    def _mark(self, root: int) -> None:
        """Write whose root this is, unless that is written already, be it at this moment."""
        beside = f"{_MAKING}mark-{secrets.token_hex(4)}"
        files.new_file(beside, self.place.uid.encode(), root)
        try:
            os.link(beside, MARK, src_dir_fd=root, dst_dir_fd=root)
        except FileExistsError:
            self._inherit(beside, root)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=root)
        files.synced(root)

    def _inherit(self, beside: str, root: int) -> None:
        """Put our mark in the place of that of a pool that is gone, if it left nothing here."""
        fcntl.flock(root, fcntl.LOCK_EX)  # until it is closed: of two heirs only the first is one
        if _owner(root) in self.place.former and not any(map(_may_be_asset, os.listdir(root))):
            os.rename(beside, MARK, src_dir_fd=root, dst_dir_fd=root)

    def _create(self, name: AssetName, size_bytes: int) -> Asset:
        with self._root() as root:
            found = self._found(name, root)
            if found is None:
                found = self._made(name, size_bytes, root)
        if found.size_bytes != size_bytes:
            raise SizeMismatch(name, found.size_bytes, size_bytes)
        return found

    def _made(self, name: AssetName, size_bytes: int, root: int) -> Asset:
        """Made aside, then renamed: of several who make it at once, one wins and all have it."""
        aside = f"{_MAKING}{name}-{secrets.token_hex(4)}"
        try:
            os.mkdir(aside, 0o700, dir_fd=root)
            with files.directory(aside, root) as making:
                fcntl.flock(making, fcntl.LOCK_EX)  # until it is closed, or we are dead
                self._fill(making, size_bytes)
                os.rename(aside, name, src_dir_fd=root, dst_dir_fd=root)
            passing(CREATE_RENAMED)
            files.synced(root)
        except OSError as error:
            files.remove_tree(aside, root)
            if error.errno in (ENOSPC, EDQUOT):
                raise PoolFull(self.place.pool, size_bytes, _usage(root).free_bytes) from error
            if error.errno not in (EEXIST, ENOTEMPTY, ENOTDIR):
                raise
        found = self._found(name, root)
        if found is None:  # it was made, and deleted by somebody else at once
            raise NoSuchAsset(name, self.place.pool)
        return found

    def _fill(self, making: int, size_bytes: int) -> None:
        os.mkdir("data", 0o700, dir_fd=making)
        passing(CREATE_MADE)
        with files.directory("data", making) as data:
            if os.geteuid() == 0:
                os.fchown(data, self.uid, self.gid)
            os.fchmod(data, self.mode)  # after chown, which takes set-uid bits away
            passing(CREATE_OWNED)
            files.new_file("size", b"%d\n" % size_bytes, making)
            passing(CREATE_SIZED)
            os.fsync(data)
        os.fchmod(making, _PASSABLE)
        files.synced(making)

    def _delete(self, name: AssetName) -> None:
        doomed = _DOOMED + name
        with self._root() as root:
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
        with self._root() as root, self._asset(name, root) as asset:
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
                free_bytes = _usage(root).free_bytes
                raise PoolFull(self.place.pool, size_bytes, free_bytes) from error
            passing(EXPAND_WRITTEN)
            return Asset(name, size_bytes)

    def _assets(self) -> list[Asset]:
        whole = []
        with self._root() as root:
            for name in os.listdir(root):
                with suppress(BadAssetName, AssetDamaged):  # not ours, or not whole
                    if found := self._found(asset_name(name), root):
                        whole.append(found)
        return whole

    def _publish(self, name: AssetName) -> Path:
        with self._root() as root, self._asset(name, root) as asset:
            if asset is None:
                raise NoSuchAsset(name, self.place.pool)
            self._refuse_without_data(name, asset)
        return self.place.root / name / "data"

    def _usage(self) -> Usage:
        with self._root() as root:
            return _usage(root)

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


def _owner(root: int) -> str | None:
    """The uid of the pool that a root is marked for."""
    try:
        return files.small_file(MARK, root).decode(errors="replace").strip()
    except FileNotFoundError:
        return None


def _may_be_asset(name: str) -> bool:
    """Whole, damaged, or half deleted. What is half made was nobody's yet."""
    with suppress(BadAssetName):
        asset_name(name.removeprefix(_DOOMED))
        return True
    return False


def _abandoned(name: str, root: int) -> bool:
    """Nobody works on this half-made thing any more: its maker died, and so its lock is gone."""
    try:
        with files.directory(name, root) as half_made:
            fcntl.flock(half_made, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        return error.errno in (ENOTDIR, ELOOP)


def _usage(root: int) -> Usage:
    disk = os.fstatvfs(root)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bfree * disk.f_frsize
    return Usage(total, total - free)


def _mode(place: Place) -> int:
    text = place.options.get("mode", "0755")
    if not isinstance(text, str) or not re.fullmatch(r"0?[0-7]{3,4}", text):
        raise BadPoolOption(place.pool, "mode", text, 'octal digits in quotes, such as "0755"')
    return int(text, 8)


def _id(place: Place, option: str) -> int:
    value = place.options.get(option, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _IDS:
        raise BadPoolOption(place.pool, option, value, f"a number from 0 to {_IDS - 1}")
    return value
