"""Subvolumes of a btrfs: quotas hold their size; snapshots and clones cost nothing to make.

ROOT/NAME/data             a subvolume, limited to the size beside it (drivers/directories.py)
ROOT/.snapshot-NAME/data   a read-only one
ROOT/.snapshot-NAME/size   of what it was made of; its time is the snapshot's
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ELOOP, ENOTDIR, ENOTEMPTY
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Self

from mooring.crashpoints import crash_point, passing
from mooring.drivers.directories import NOTHING, Content, Directories
from mooring.drivers.errors import (
    AssetDamaged,
    BadAssetName,
    BadPoolOption,
    NoSuchAsset,
    NoSuchSnapshot,
    WrongFileSystem,
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
from mooring.drivers.root import DOOMED, ITSELF, PASSABLE, SNAPSHOT, making
from mooring.host import btrfs, btrfs_streams, files
from mooring.host.btrfs import Quotas
from mooring.host.btrfs_streams import Read, Write
from mooring.host.errors import NotBtrfs

# With less, the file system's own blocks take more than a tenth of it.
MIN_SIZE_BYTES: Final = 4 << 20

COMPRESSION: Final = "compression"  # an attribute

_SYNC_DEADLINE_S: Final = 600.0  # all that others write there is in its way

CLONE_TAKEN = crash_point("btrfs.clone.taken")
SNAPSHOT_TAKEN = crash_point("btrfs.snapshot.taken")
SNAPSHOT_SIZED = crash_point("btrfs.snapshot.sized")
RECEIVE_WRITTEN = crash_point("streams.received")
RECEIVE_SYNCED = crash_point("streams.synced")
DELETE_DESTROYED = crash_point("btrfs.delete.destroyed")
DELETE_SNAPSHOT_DESTROYED = crash_point("btrfs.delete_snapshot.destroyed")


@dataclass(frozen=True)
class BtrfsDriver(Directories):
    """One subvolume per volume. What it holds, metadata included, is limited to its size.

    A container may make subvolumes inside its own. They are removed with it, and are in none of its
    snapshots. Simple quotas count them in the outer one; full ones do not, so there they are
    limited only from when somebody asks what is used (docs/weak.md).
    """

    features: ClassVar[Features] = Features(
        enforces_size=True,
        snapshots=True,
        clones=True,
        expands=True,
        streams=True,
        min_size_bytes=MIN_SIZE_BYTES,
        attributes={COMPRESSION: ("none", "zlib", "lzo", "zstd")},
    )
    start_deadline_s: ClassVar[float | None] = 600  # quotas are counted: at first, or again

    @classmethod
    def at(cls, place: Place) -> Self:
        _quotas(place)
        return super().at(place)

    async def snapshot(self, name: AssetName, of: AssetName) -> Snapshot:
        return await self._done(partial(self._snapshot, asset_name(name), asset_name(of)), about=of)

    async def delete_snapshot(self, name: AssetName) -> None:
        work = partial(self._delete, SNAPSHOT + asset_name(name))
        await self._done(work, about=name, where=self.deleting)

    async def snapshots(self) -> list[Snapshot]:
        return await self._done(self._snapshots, about=ITSELF)

    async def used_bytes(self, name: AssetName) -> int | None:
        """As of the last commit of the file system, up to 30 s ago."""
        return await self._done(partial(self._used, asset_name(name)), about=name)

    async def is_unchanged(self, name: AssetName, since: AssetName) -> bool:
        """What is only in memory yet is written for it, of all that is on the file system."""
        work = partial(self._is_unchanged, asset_name(name), asset_name(since))
        return await self._done(work, about=name, deadline_s=_SYNC_DEADLINE_S)

    async def send(self, name: AssetName, write: Write, since: AssetName | None = None) -> None:
        """Give a snapshot away, piece by piece; it is whole only once this returns.

        since   an earlier snapshot of the same asset: what it has already is left out
        raises  NoSuchSnapshot, ProgramMissing, ProgramFailed, HostStuck, and what `write` raises
        """
        sent = await self._done(partial(self._sendable, asset_name(name)))
        earlier = None if since is None else await self._done(partial(self._sendable, since))
        await btrfs_streams.sent(sent, earlier, write)

    async def receive(
        self, name: AssetName, size_bytes: int, read: Read, as_of_ns: int | None = None
    ) -> Snapshot:
        """Make a snapshot of what `send` gives, on this pool or another; repeated, return it.

        If something was left out of it, the snapshot that has that must be on this file system.

        size_bytes  of the snapshot that was sent
        read        of a host that we trust: what is made up may name files outside of the pool
        as_of_ns    when it was made, by our clock; None: now
        raises      ProgramMissing, ProgramFailed, HostStuck, AssetDamaged, PoolFull, and what
                    `read` raises
        """
        begun = await self._done(partial(self._begun, asset_name(name)))
        if isinstance(begun, Snapshot):
            return begun
        aside, lock = begun
        try:
            await btrfs_streams.received(self.place.root / aside, read, lock)
            passing(RECEIVE_WRITTEN)
            work = partial(self._received, name, size_bytes, as_of_ns, aside, lock)
            return await self._done(work, deadline_s=_SYNC_DEADLINE_S)
        finally:
            await self._done(partial(self._let_go, aside, lock))

    # In threads.

    def _start(self, new: bool) -> None:
        if new:
            self._refuse_other_file_systems()
        super()._start(new)

    def _refuse_other_file_systems(self) -> None:
        """Before anything is made there. Raises WrongFileSystem."""
        there = self.place.root
        while not there.exists():
            there = there.parent
        with files.directory(os.path.realpath(there)) as fd:
            try:
                btrfs.file_system_id(fd)
            except NotBtrfs as error:
                raise WrongFileSystem(self.place.pool, str(self.place.root), "btrfs") from error

    def _prepared(self, root: int) -> None:
        """Quotas are on, counted, and set: also after somebody turned them off."""
        try:
            btrfs.enable_quotas(root, wanted := _quotas(self.place))
        except OSError as error:
            if error.errno != EINVAL or wanted is Quotas.FULL:
                raise
            other = "full: this kernel has no simple ones, 6.7 has"
            raise BadPoolOption(self.place.pool, "quotas", "simple", other) from error
        if btrfs.quotas(root) is Quotas.FULL:  # simple ones are never wrong
            btrfs.recounted(root)
        btrfs.forget_gone(root)
        for name in os.listdir(root):
            with suppress(BadAssetName, AssetDamaged):
                if size_bytes := self._found(asset_name(name), root):
                    with self._data(name, root) as data:
                        if data is not None and self._limit_of(data) != size_bytes:
                            self._limited(root, data, size_bytes)

    def _create(self, name: AssetName, size_bytes: int, source: Source | None) -> Asset:
        self._keep_counting()
        return super()._create(name, size_bytes, source)

    def _expand(self, name: AssetName, size_bytes: int) -> Asset:
        self._keep_counting()
        return super()._expand(name, size_bytes)

    def _keep_counting(self) -> None:
        """Somebody may have turned quotas off since we began."""
        with self.root.opened() as root:
            if btrfs.quotas(root) is Quotas.OFF:
                self._prepared(root)

    @contextmanager
    def _content(self, source: Source | None, root: int) -> Iterator[Content]:
        if source is None:
            yield NOTHING
        elif source.snapshot is not None:
            name = asset_name(source.snapshot)
            with self._whole(SNAPSHOT + name, root) as content:
                if content is None:
                    raise NoSuchSnapshot(name, self.place.pool)
                yield content
        else:
            name = asset_name(source.asset or "")
            with self._whole(name, root) as content:
                if content is None:
                    raise NoSuchAsset(name, self.place.pool)
                yield content

    @contextmanager
    def _whole(self, name: str, root: int) -> Iterator[Content | None]:
        """An asset or snapshot; None if it is absent. Raises AssetDamaged."""
        size_bytes = self._found(name, root)
        with self._data(name, root) as data:
            missing = size_bytes is None or data is None
            yield None if missing else Content(data, size_bytes or 0)

    @contextmanager
    def _data(self, name: str, root: int) -> Iterator[int | None]:
        """The subvolume of an asset or of what is left of one; None if there is none."""
        with self._asset(name, root) as asset:
            try:
                data = None if asset is None else os.open("data", files.DIRECTORY, dir_fd=asset)
            except FileNotFoundError:
                data = None
            except OSError as error:
                if error.errno not in (ENOTDIR, ELOOP):
                    raise
                data = None
            try:
                yield data if data is not None and btrfs.is_subvolume(data) else None
            finally:
                if data is not None:
                    os.close(data)

    def _make_data(self, aside: int, content: Content) -> None:
        if content.fd is None:
            btrfs.create_subvolume("data", aside)
        else:
            btrfs.snapshot(content.fd, "data", aside, read_only=False)
            passing(CLONE_TAKEN)

    def _limited(self, asset: int, data: int, size_bytes: int) -> None:
        # Asked by what is beside the data: by an open file of a full subvolume it may be refused.
        subvolume = btrfs.subvolume_id(data)
        if btrfs.quotas(asset) is Quotas.SIMPLE:
            btrfs.make_group(asset, subvolume)
        btrfs.set_limit(asset, size_bytes, _counted(asset, subvolume))

    def _modified(self, data: int, attributes: Mapping[str, str]) -> None:
        """New files and directories take it from the one that they are made in."""
        if (wanted := attributes.get(COMPRESSION)) is not None:
            os.setxattr(data, "btrfs.compression", wanted.encode())

    def _limit_of(self, data: int) -> int | None:
        return btrfs.limit_of(data, _counted(data, btrfs.subvolume_id(data)))

    def _refuse_without_data(self, name: str, asset: int) -> None:
        super()._refuse_without_data(name, asset)
        with files.directory("data", asset) as data:
            if not btrfs.is_subvolume(data):
                raise AssetDamaged(name, self.place.pool, "its `data` is not a subvolume")

    def _remove(self, name: str, root: int) -> None:
        with suppress(AssetDamaged):
            with self._data(name, root) as data:
                outer = None if data is None else btrfs.subvolume_id(data)
            if outer is not None:
                inside = btrfs.subvolumes_in(root, outer)
                if btrfs.quotas(root) is Quotas.SIMPLE:
                    btrfs.remove_group(root, outer, inside)
                for one in (*inside, outer):
                    btrfs.destroy(root, one)
                is_snapshot = name.startswith(DOOMED + SNAPSHOT)
                passing(DELETE_SNAPSHOT_DESTROYED if is_snapshot else DELETE_DESTROYED)
                btrfs.committed(root)  # else a crash brings back what somebody was told is gone
                btrfs.forget_gone(root)  # this one is there until its blocks are free
        super()._remove(name, root)

    def _snapshot(self, name: AssetName, of: AssetName) -> Snapshot:
        with self.root.opened() as root:
            if self._found(SNAPSHOT + name, root) is None:
                with self._whole(of, root) as content:
                    if content is None:
                        raise NoSuchAsset(of, self.place.pool)
                    fill = partial(self._keep, content)
                    self._made(SNAPSHOT + name, content.size_bytes, root, fill)
            if (found := self._kept(name, root)) is None:
                raise NoSuchSnapshot(name, self.place.pool)
            return found

    def _keep(self, content: Content, fd: int) -> None:
        assert content.fd is not None
        btrfs.snapshot(content.fd, "data", fd, read_only=True)
        passing(SNAPSHOT_TAKEN)
        self._complete(fd, content.size_bytes)

    def _complete(self, fd: int, size_bytes: int) -> None:
        """What a snapshot is beside its data."""
        files.new_file("size", b"%d\n" % size_bytes, fd)
        passing(SNAPSHOT_SIZED)
        os.fchmod(fd, PASSABLE)
        files.synced(fd)

    def _snapshots(self) -> list[Snapshot]:
        whole = []
        with self.root.opened() as root:
            for name in os.listdir(root):
                with suppress(BadAssetName, AssetDamaged):
                    if name.startswith(SNAPSHOT):
                        kept = self._kept(asset_name(name.removeprefix(SNAPSHOT)), root)
                        whole += [kept] if kept else []
        return whole

    def _kept(self, name: AssetName, root: int) -> Snapshot | None:
        """A snapshot if it is whole, None if there is none. Raises AssetDamaged."""
        size_bytes = self._found(SNAPSHOT + name, root)
        with self._asset(SNAPSHOT + name, root) as kept:
            if size_bytes is None or kept is None:
                return None
            return Snapshot(name, size_bytes, os.stat("size", dir_fd=kept).st_mtime_ns)

    def _is_unchanged(self, name: AssetName, since: AssetName) -> bool:
        with self.root.opened() as root:
            files.file_system_synced(root)
            with self._data(name, root) as data, self._data(SNAPSHOT + since, root) as kept:
                if data is None:
                    raise NoSuchAsset(name, self.place.pool)
                if kept is None:
                    raise NoSuchSnapshot(since, self.place.pool)
                return btrfs.last_written(data) == btrfs.made_in(kept)

    def _sendable(self, name: AssetName) -> Path:
        with self.root.opened() as root:
            if self._kept(asset_name(name), root) is None:
                raise NoSuchSnapshot(name, self.place.pool)
        return self.place.root / (SNAPSHOT + name) / "data"

    def _begun(self, name: AssetName) -> Snapshot | tuple[str, int]:
        """The snapshot if it is there, else a directory to make it in, and what keeps it ours."""
        with self.root.opened() as root:
            if (found := self._kept(name, root)) is not None:
                return found
            aside = making(SNAPSHOT + name)
            os.mkdir(aside, 0o700, dir_fd=root)
            lock = os.open(aside, files.DIRECTORY, dir_fd=root)
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed, or we are dead
            return aside, lock

    def _received(
        self, name: AssetName, size_bytes: int, as_of_ns: int | None, aside: str, fd: int
    ) -> Snapshot:
        with self.root.opened() as root:
            # Opened anew: a directory that is open does not list what came since.
            with self._data(aside, root) as data, files.directory(aside, root) as made:
                if data is None or os.listdir(made) != ["data"]:
                    raise AssetDamaged(name, self.place.pool, "the stream is of something else")
            self._complete(fd, size_bytes)
            if as_of_ns is not None:
                os.utime("size", ns=(as_of_ns, as_of_ns), dir_fd=fd, follow_symlinks=False)
            files.file_system_synced(fd)  # what is in its files, too
            passing(RECEIVE_SYNCED)
            try:
                os.rename(aside, SNAPSHOT + name, src_dir_fd=root, dst_dir_fd=root)
            except OSError as error:
                if error.errno not in (EEXIST, ENOTEMPTY):  # somebody received it at the same time
                    raise
            files.synced(root)
            if (found := self._kept(name, root)) is None:
                raise NoSuchSnapshot(name, self.place.pool)
            return found

    def _let_go(self, aside: str, lock: int) -> None:
        with self.root.opened() as root:
            self._remove(aside, root)  # if it did not become a snapshot
        os.close(lock)

    def _used(self, name: AssetName) -> int | None:
        with self.root.opened() as root:
            with self._data(name, root) as data:
                if data is None:
                    raise NoSuchAsset(name, self.place.pool)
                outer = btrfs.subvolume_id(data)
            used = btrfs.referenced(root, _counted(root, outer))
            if btrfs.quotas(root) is Quotas.SIMPLE:
                return used
            for inner in btrfs.subvolumes_in(root, outer):
                btrfs.set_limit(root, 1, inner)  # they are no way around the limit of the outer
                used = (used or 0) + (btrfs.referenced(root, inner) or 0)
            return used

    def _usage(self) -> Usage:
        with self.root.opened() as root:
            if btrfs.is_inconsistent(root):
                btrfs.begin_count(root)
            btrfs.forget_gone(root)
        return super()._usage()


def _counted(fd: int, subvolume: int) -> int:
    """By what an asset is counted and limited: full quotas know single subvolumes only."""
    is_simple = btrfs.quotas(fd) is Quotas.SIMPLE
    return btrfs.group_of(subvolume) if is_simple else subvolume


def _quotas(place: Place) -> Quotas:
    """The pool's option `quotas`: which ones are turned on if none are. Raises BadPoolOption."""
    known = {"full": Quotas.FULL, "simple": Quotas.SIMPLE}
    text = place.options.get("quotas", "full")
    if text not in known:
        raise BadPoolOption(place.pool, "quotas", text, "full or simple")
    return known[text]
