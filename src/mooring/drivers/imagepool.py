"""The images of a pool by name, as directories below its root. All calls block."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EEXIST, ELOOP, ENOTDIR, ENOTEMPTY
from typing import Final

import msgspec
from msgspec.structs import replace

from mooring.crashpoints import passing
from mooring.drivers import images
from mooring.drivers.errors import (
    AssetDamaged,
    BadAssetName,
    InUse,
    NoFileSystem,
    NoSuchSnapshot,
    PoolFull,
)
from mooring.drivers.imagefs import ImageFs, kind_in
from mooring.drivers.images import IMAGE, About, Held
from mooring.drivers.interface import AssetName, Snapshot, asset_name
from mooring.drivers.root import (
    DOOMED,
    PASSABLE,
    SNAPSHOT,
    PoolRoot,
    drop_unwritten,
    leftovers,
    making,
    usage_of,
)
from mooring.errors import MooringError
from mooring.host import files, loops, mounts
from mooring.host.errors import MountBusy
from mooring.host.loops import Loop

log = logging.getLogger(__name__)

_NO_DIRECTORY: Final = (ENOTDIR, ELOOP)
_TAKEN: Final = (EEXIST, ENOTEMPTY, ENOTDIR)


class Busy(Exception):
    """Somebody else works on it now."""


@dataclass(frozen=True)
class Aside:
    """What is being made, under a name that nobody looks for; locked while we live."""

    name: str
    held: Held


@dataclass(frozen=True)
class ImagePool:
    """Of one root.

    allocate  take the whole size of an image from the disk at once
    """

    root: PoolRoot
    allocate: bool

    @property
    def _pool(self) -> str:
        return self.root.place.pool

    def start(self, marked: str | None) -> bool:
        """See that the root is ours, and remove what a crash left.

        marked   crash point: the root may be made, and is passed then
        returns  whether files there can share their blocks
        """
        if marked is not None:
            self.root.make(marked)
        with self.root.opened() as root:
            for name in leftovers(root):
                files.remove_tree(name, root)
            drop_unwritten(root)
            self._take_over_devices(root)
            return images.can_clone(root)

    def _take_over_devices(self, root: int) -> None:
        """Devices that nobody uses end; what somebody froze who died is thawed."""
        below = os.readlink(f"/proc/self/fd/{root}").rstrip("/") + "/"
        ours = dict(_backings(root))
        for loop in loops.loops():
            name = ours.get(loop.backing)
            if name is None and not loop.path.startswith(below):
                continue
            try:
                if not loops.is_held(loop):
                    loops.detach(loop)
                elif name is not None:
                    with files.directory(name, root) as fd, images.opened_image(fd) as image:
                        images.thaw(image, loop)
            except (OSError, MooringError) as error:  # it must not keep the others from starting
                log.warning("pool=%s device=%s of %s: %s", self._pool, loop.node, name, error)

    def free_bytes(self) -> int:
        with self.root.opened() as root:
            return usage_of(root).free_bytes

    def sure_bytes(self) -> int:
        """What is free and may be written: an ext4 keeps some of it from root, too."""
        with self.root.opened() as root:
            disk = os.fstatvfs(root)
            return disk.f_bavail * disk.f_frsize

    def described(self, name: str) -> About | None:
        """What is known of an asset or a snapshot, None if it is not there. AssetDamaged."""
        with self.root.opened() as root, self._directory(name, root) as fd:
            return None if fd is None else self.about(name, fd)

    def about(self, name: str, fd: int) -> About:
        """Raises AssetDamaged: it is not as we make it."""
        try:
            os.stat(IMAGE, dir_fd=fd, follow_symlinks=False)
            return images.about(fd)
        except FileNotFoundError as error:
            what = f"its file `{error.filename or images.ABOUT}` is missing"
            raise AssetDamaged(name, self._pool, what) from error
        except (msgspec.DecodeError, OSError) as error:
            raise AssetDamaged(name, self._pool, f"its file `about`: {error}") from error

    def all(self, prefix: str) -> dict[AssetName, About]:
        """Everything whole whose directory is the prefix and an asset's name."""
        whole = {}
        with self.root.opened() as root:
            for entry in os.listdir(root):
                if not entry.startswith(prefix):
                    continue
                with suppress(BadAssetName, AssetDamaged):  # not ours, or not whole
                    name = asset_name(entry.removeprefix(prefix))
                    with self._directory(entry, root) as fd:
                        if fd is not None:
                            whole[name] = self.about(entry, fd)
        return whole

    def locked(self, name: AssetName) -> Held | None:
        """The directory of an asset for us alone, None if there is none. Raises Busy."""
        with self.root.opened() as root:
            try:
                return images.locked_directory(name, root)
            except BlockingIOError as error:
                raise Busy from error
            except OSError as error:
                raise self._no_directory(name, error) from error

    def snapshot_directory(self, name: AssetName) -> Held:
        """Raises NoSuchSnapshot."""
        with self.root.opened() as root, self._directory(SNAPSHOT + name, root) as fd:
            if fd is None:
                raise NoSuchSnapshot(name, self._pool)
            return Held(os.dup(fd), SNAPSHOT + name)

    def aside(self, name: str) -> Aside:
        """Begin to make something."""
        with self.root.opened() as root:
            beside = making(name)
            os.mkdir(beside, 0o700, dir_fd=root)
            held = Held(os.open(beside, images.NO_LINK, dir_fd=root), name)
            fcntl.flock(held.fd, fcntl.LOCK_EX)  # until it is closed, or we are dead
            return Aside(beside, held)

    def finish(self, aside: Aside, name: str, has: About, renamed: tuple[str, str]) -> None:
        """It is whole: give it its name, unless there is one of that name already.

        renamed  crash points before and after
        """
        fd = aside.held.fd
        images.write_about(fd, has)
        os.fchmod(fd, PASSABLE)
        with images.opened_image(fd) as image:
            os.fsync(image)
        files.synced(fd)
        passing(renamed[0])
        with self.root.opened() as root:
            try:
                os.rename(aside.name, name, src_dir_fd=root, dst_dir_fd=root)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            passing(renamed[1])
            files.synced(root)

    def drop(self, aside: Aside) -> None:
        """What was not finished, or is not needed; finished is success."""
        with self.root.opened() as root:
            files.remove_tree(aside.name, root)

    def remove(self, name: str, passed: tuple[str, str | None]) -> None:
        """It and its data; absent is success. passed: crash points, once renamed and emptied."""
        doomed = DOOMED + name
        with self.root.opened() as root:
            # Renamed before it is emptied: a crash in between must leave nothing that could be
            # mounted. Emptied before that as well: such a crash left one of this name, in the way.
            files.remove_tree(doomed, root)
            with suppress(FileNotFoundError):
                os.rename(name, doomed, src_dir_fd=root, dst_dir_fd=root)
            passing(passed[0])
            files.synced(root)
            files.remove_tree(doomed, root)
            if passed[1] is not None:
                passing(passed[1])

    # Of an asset whose directory is locked

    def kind(self, name: str, image: int) -> ImageFs:
        """Of its file system. Raises NoFileSystem."""
        if (found := kind_in(image)) is None:
            raise NoFileSystem(name, self._pool)
        return found

    def is_shown(self, name: str, fd: int) -> bool:
        """Whether it is mounted at its point. Raises AssetDamaged: something else is."""
        if (shown := images.shown_device(fd)) is None:
            return False
        with images.opened_image(fd) as image:
            loop = loops.loop_of(image)
        if loop is None or images.device_of(loop) != shown:
            raise AssetDamaged(name, self._pool, "something else is mounted at its `fs`")
        return True

    def hide(self, fd: int) -> None:
        """Take it from its point. Raises MountBusy."""
        if images.shown_device(fd) is not None:
            mounts.unmount(images.point_of(fd))

    def hide_to_delete(self, name: AssetName, fd: int) -> None:
        """Raises InUse; AssetDamaged: we did not make it, and so do not delete it."""
        self.about(name, fd)
        if (loop := self.loop(fd)) is None:
            return
        if where := images.users(loop, str(images.point_of(fd))):
            raise InUse(name, ", ".join(where[:3]))
        try:
            self.hide(fd)
        except MountBusy as error:
            raise InUse(name, str(images.point_of(fd))) from error

    def loop(self, fd: int) -> Loop | None:
        """The device it has. That of an image that is missing is none."""
        with suppress(FileNotFoundError), images.opened_image(fd) as image:
            return loops.loop_of(image)
        return None

    def new_image(self, aside: Aside, size_bytes: int, first_bytes: int) -> Held:
        """An empty one. Raises PoolFull."""
        if (free_bytes := self.free_bytes()) < first_bytes:
            raise PoolFull(self._pool, first_bytes, free_bytes)
        with images.new_image(aside.held.fd, size_bytes, self.allocate) as image:
            return Held(os.dup(image), aside.held.about)

    def copy(self, aside: Aside, name: str, fd: int) -> About:
        """Give what is being made the content of an asset or snapshot."""
        has = self.about(name, fd)
        with images.opened_image(fd) as source:
            with images.new_image(aside.held.fd, 0, False) as target:
                images.copy_image(source, target, self.kind(name, source))
        return has

    def take_snapshot(self, name: AssetName, of: AssetName, fd: int, renamed: str) -> Snapshot:
        """Of an asset. renamed: the crash point"""
        aside = self.aside(f"snapshot-{name}")
        try:
            has = self.copy(aside, of, fd)
            kept = replace(has, asked_bytes=has.size_bytes, made_ns=time.time_ns(), grows_to=0)
            self.finish(aside, SNAPSHOT + name, kept, (images.SNAPSHOT_COPIED, renamed))
        finally:
            self.drop(aside)
            aside.held.close()
        found = self.described(SNAPSHOT + name)
        if found is None:  # somebody else deleted it at once
            raise NoSuchSnapshot(name, self._pool)
        return Snapshot(name, found.size_bytes, found.made_ns)

    def used_bytes(self, fd: int) -> int:
        """What is written in an asset: as its file system counts, if that is at hand."""
        if images.shown_device(fd) is not None:
            disk = os.statvfs(images.point_of(fd))
            return (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        return os.stat(IMAGE, dir_fd=fd, follow_symlinks=False).st_blocks * 512

    @contextmanager
    def _directory(self, name: str, root: int) -> Iterator[int | None]:
        """Of an asset or snapshot, None if there is none. Raises AssetDamaged: something else."""
        try:
            fd = os.open(name, images.NO_LINK, dir_fd=root)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise self._no_directory(name, error) from error
        try:
            yield fd
        finally:
            os.close(fd)

    def _no_directory(self, name: str, error: OSError) -> Exception:
        if error.errno not in _NO_DIRECTORY:
            return error
        return AssetDamaged(name, self._pool, "it is a file or a link")


def _backings(root: int) -> Iterator[tuple[loops.Backing, str]]:
    """Which file each image of the pool is."""
    for name in os.listdir(root):
        with suppress(OSError, BadAssetName):
            found = os.stat(f"{asset_name(name)}/{IMAGE}", dir_fd=root, follow_symlinks=False)
            yield loops.Backing(found.st_dev, found.st_ino), name
