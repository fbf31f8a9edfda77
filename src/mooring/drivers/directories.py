"""What backends have in common whose assets are directories of the pool's own file system.

ROOT/NAME/             an asset, as a whole: it comes and goes with one rename
ROOT/NAME/size         bytes promised, in decimal: beside the data, where a volume cannot reach it
ROOT/NAME/data/        what is mounted; only this belongs to the volume's user

What else is in ROOT: drivers/root.py.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import EDQUOT, EEXIST, ELOOP, ENOSPC, ENOTDIR, ENOTEMPTY
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple, Self, TypeVar

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
    Source,
    Usage,
    asset_name,
    checked_attributes,
)
from mooring.drivers.root import (
    DOOMED,
    ITSELF,
    PASSABLE,
    PoolRoot,
    drop_unwritten,
    flag_of,
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


class Content(NamedTuple):
    """What a new asset begins with.

    fd          the open data of another one, None for an empty asset
    size_bytes  at least that large is the new one
    """

    fd: int | None
    size_bytes: int


NOTHING = Content(None, 0)

START_MARKED = crash_point("directory.start.marked")
CREATE_MADE = crash_point("directory.create.made")
CREATE_OWNED = crash_point("directory.create.owned")
CREATE_LIMITED = crash_point("directory.create.limited")
CREATE_SIZED = crash_point("directory.create.sized")
CREATE_RENAMED = crash_point("directory.create.renamed")
DELETE_RENAMED = crash_point("directory.delete.renamed")
DELETE_EMPTIED = crash_point("directory.delete.emptied")
EXPAND_LIMITED = crash_point("directory.expand.limited")
EXPAND_WRITTEN = crash_point("directory.expand.written")


@dataclass(frozen=True)
class Directories:
    """Makes, finds and deletes them. A backend says what is in one, and what else it can do.

    mode      of a new volume's directory
    uid, gid  its owner. Without root's rights it can only be whoever runs this.
    """

    root: PoolRoot
    mode: int
    uid: int
    gid: int
    blocking: Blocking = field(compare=False)
    deleting: Blocking = field(compare=False)  # apart: large ones would be in everybody's way
    features: ClassVar[Features]
    start_deadline_s: ClassVar[float | None] = None  # as any other call
    call_deadline_s: ClassVar[float] = 30
    # Millions of files take minutes; the next try goes on where this one is.
    delete_deadline_s: ClassVar[float] = 600

    @classmethod
    def at(cls, place: Place) -> Self:
        """Of a pool. Raises BadPoolOption."""
        return cls(
            PoolRoot(place, shared=cls.features.shared or flag_of(place, "shared")),
            mode=mode_of(place),
            uid=id_of(place, "uid"),
            gid=id_of(place, "gid"),
            blocking=Blocking(f"pool {place.pool}", deadline_s=cls.call_deadline_s),
            deleting=Blocking(f"pool {place.pool}", deadline_s=cls.delete_deadline_s),
        )

    @property
    def place(self) -> Place:
        return self.root.place

    async def start(self, *, new: bool) -> None:
        work = partial(self._start, new)
        await self._done(work, about=ITSELF, deadline_s=self.start_deadline_s)

    async def stop(self) -> None:
        await self._done(self.root.let_go)

    async def create(self, name: AssetName, size_bytes: int, source: Source | None = None) -> Asset:
        work = partial(self._create, asset_name(name), size_bytes, source)
        return await self._done(work, about=name)

    async def delete(self, name: AssetName) -> None:
        work = partial(self._delete, asset_name(name))
        await self._done(work, about=name, where=self.deleting)

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        return await self._done(partial(self._expand, asset_name(name), size_bytes), about=name)

    async def modify(self, name: AssetName, attributes: Mapping[str, str]) -> None:
        checked_attributes(attributes, self.features.attributes, f"pool {self.place.pool}")
        work = partial(self._modify, asset_name(name), attributes)
        await self._done(work, about=name)

    async def assets(self) -> list[Asset]:
        return await self._done(self._assets, about=ITSELF)

    async def publish(self, name: AssetName) -> Path:
        return await self._done(partial(self._publish, asset_name(name)), about=name)

    async def unpublish(self, name: AssetName) -> None:
        """A directory is at hand always: nothing was done by publish."""
        asset_name(name)

    async def usage(self) -> Usage:
        return await self._done(self._usage, about=ITSELF)

    # What a backend does in its own way. All that follows runs in threads.

    def _prepared(self, root: int) -> None:
        """Called at each start, after the leftovers of crashes are gone."""

    def _aside_name(self, name: str) -> str:
        """What a new asset is called until it is whole."""
        return making(name)

    def _is_left_over(self, name: str, root: int) -> bool:
        """Whether something that looks like a leftover of a crash is one."""
        return True

    @contextmanager
    def _content(self, source: Source | None, root: int) -> Iterator[Content]:
        """What a new asset is to be filled from. Raises NoSuchAsset, NoSuchSnapshot, CannotDo."""
        if source is not None:
            raise CannotDo("volume with content", self.place.pool)
        yield NOTHING

    def _make_data(self, aside: int, content: Content) -> None:
        """Make the directory `data` in a new asset's."""
        os.mkdir("data", 0o700, dir_fd=aside)

    def _limited(self, asset: int, data: int, size_bytes: int) -> None:
        """Hold an asset to its size, both its directory and its data being open."""

    def _modified(self, data: int, attributes: Mapping[str, str]) -> None:
        """Change what is offered of an asset whose data is open."""

    def _remove(self, name: str, root: int) -> None:
        """A whole asset, or what is left of one; absent is success. Raises MountInside, OSError."""
        files.remove_tree(name, root)

    async def _done(
        self,
        work: Callable[[], T],
        *,
        about: str = "",
        where: Blocking | None = None,
        deadline_s: float | None = None,
    ) -> T:
        """about: the name of an asset, so that one that hangs is not in the way of the others."""
        try:
            return await (where or self.blocking).run(work, deadline_s, about)
        except OSError as error:
            raise PoolFailed(self.place.pool, str(error)) from error

    def _start(self, new: bool) -> None:
        if new:
            self.root.make(START_MARKED)
        with self.root.opened() as root:
            for name in leftovers(root):
                if self._is_left_over(name, root):
                    self._remove(name, root)
            if not self.root.shared:
                drop_unwritten(root)
            self._prepared(root)

    def _create(self, name: AssetName, size_bytes: int, source: Source | None) -> Asset:
        with self.root.opened() as root:
            found = self._found(name, root)
            if found is None:
                with self._content(source, root) as content:
                    size_bytes = max(size_bytes, content.size_bytes)
                    fill = partial(self._fill, content, size_bytes)
                    found = self._made(name, size_bytes, root, fill)
        if found < size_bytes or (source is None and found != size_bytes):
            raise SizeMismatch(name, found, size_bytes)
        return Asset(name, found)

    def _made(self, name: str, size_bytes: int, root: int, fill: Callable[[int], None]) -> int:
        """Made aside, then renamed: of several who make it at once, one wins and all have it.

        fill     is given the directory that will be called so
        returns  the size of what has the name now
        """
        aside = self._aside_name(name)
        try:
            os.mkdir(aside, 0o700, dir_fd=root)
            with files.directory(aside, root) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX)  # until it is closed, or we are dead
                fill(fd)
                os.rename(aside, name, src_dir_fd=root, dst_dir_fd=root)
            passing(CREATE_RENAMED)
            files.synced(root)
        except OSError as error:
            self._remove(aside, root)
            if error.errno in (ENOSPC, EDQUOT):
                raise PoolFull(self.place.pool, size_bytes, usage_of(root).free_bytes) from error
            if error.errno not in (EEXIST, ENOTEMPTY, ENOTDIR):
                raise
        found = self._found(name, root)
        if found is None:  # it was made, and deleted by somebody else at once
            raise NoSuchAsset(name, self.place.pool)
        return found

    def _fill(self, content: Content, size_bytes: int, fd: int) -> None:
        """The journal of a disk takes all in one go that was done before the first fsync."""
        self._make_data(fd, content)
        os.fchmod(fd, PASSABLE)
        passing(CREATE_MADE)
        with files.directory("data", fd) as data:
            if content.fd is None:
                self._own(data)
            passing(CREATE_OWNED)
            self._limited(fd, data, size_bytes)
            passing(CREATE_LIMITED)
            files.new_file("size", b"%d\n" % size_bytes, fd)
            passing(CREATE_SIZED)
            os.fsync(data)
        files.synced(fd)

    def _own(self, data: int) -> None:
        if os.geteuid() == 0:
            os.fchown(data, self.uid, self.gid)
        os.fchmod(data, self.mode)  # after chown, which takes set-uid bits away

    def _delete(self, name: str) -> None:
        doomed = DOOMED + name
        with self.root.opened() as root:
            self._refuse_in_use(name, root)
            # Renamed before it is emptied: a crash in between must leave nothing that could be
            # mounted. Emptied before that as well: such a crash left one of this name, in the way.
            self._remove(doomed, root)
            with suppress(FileNotFoundError):
                os.rename(name, doomed, src_dir_fd=root, dst_dir_fd=root)
            passing(DELETE_RENAMED)
            files.synced(root)
            self._remove(doomed, root)
            passing(DELETE_EMPTIED)

    def _refuse_in_use(self, name: str, root: int) -> None:
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
            has_bytes = self._sized(name, asset)
            if has_bytes >= size_bytes:
                return Asset(name, has_bytes)
            try:
                with files.directory("data", asset) as data:
                    self._limited(asset, data, size_bytes)
                passing(EXPAND_LIMITED)
                files.written("size", b"%d\n" % size_bytes, asset)
            except OSError as error:
                if error.errno not in (ENOSPC, EDQUOT):
                    raise
                free_bytes = usage_of(root).free_bytes
                raise PoolFull(self.place.pool, size_bytes, free_bytes) from error
            passing(EXPAND_WRITTEN)
            return Asset(name, size_bytes)

    def _modify(self, name: AssetName, attributes: Mapping[str, str]) -> None:
        with self.root.opened() as root, self._asset(name, root) as asset:
            if asset is None:
                raise NoSuchAsset(name, self.place.pool)
            self._refuse_without_data(name, asset)
            with files.directory("data", asset) as data:
                self._modified(data, attributes)
                files.synced(data)

    def _assets(self) -> list[Asset]:
        whole = []
        with self.root.opened() as root:
            for name in os.listdir(root):
                with suppress(BadAssetName, AssetDamaged):  # not ours, or not whole
                    if found := self._found(asset_name(name), root):
                        whole.append(Asset(AssetName(name), found))
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

    def _found(self, name: str, root: int) -> int | None:
        """The size of an asset if it is whole, None if there is none. Raises AssetDamaged."""
        with self._asset(name, root) as asset:
            if asset is None:
                return None
            self._refuse_without_data(name, asset)
            return self._sized(name, asset)

    @contextmanager
    def _asset(self, name: str, root: int) -> Iterator[int | None]:
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

    def _sized(self, name: str, asset: int) -> int:
        try:
            return int(files.small_file("size", asset))
        except FileNotFoundError as error:
            raise AssetDamaged(name, self.place.pool, "its file `size` is missing") from error
        except (ValueError, OSError) as error:
            raise AssetDamaged(name, self.place.pool, f"its file `size`: {error}") from error

    def _refuse_without_data(self, name: str, asset: int) -> None:
        try:
            data = os.stat("data", dir_fd=asset, follow_symlinks=False)
        except FileNotFoundError as error:
            raise AssetDamaged(name, self.place.pool, "its directory `data` is missing") from error
        if not stat.S_ISDIR(data.st_mode):
            raise AssetDamaged(name, self.place.pool, "its `data` is a file or a link")
