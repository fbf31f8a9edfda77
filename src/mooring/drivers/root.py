"""The directory that is a pool's own: marked with its uid, and made things come by one rename.

ROOT/.mooring-pool     the uid of the pool: an unmounted root lacks it, another pool's has its own;
                       locked by the process that serves it (tenure.py)
ROOT/.making-NAME-…    half made: locked (flock) while somebody works on it, else a crash's
ROOT/.doomed-NAME      half deleted
ROOT/.snapshot-NAME    a snapshot; everything else that may be an asset's name is an asset
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from errno import ELOOP, ENOTDIR
from typing import Final

from mooring.crashpoints import passing
from mooring.drivers.errors import BadAssetName, BadPoolOption, PoolMissing, PoolServed, PoolTaken
from mooring.drivers.interface import Place, Usage, asset_name
from mooring.drivers.tenure import Served, Tenure
from mooring.host import files

MARK: Final = ".mooring-pool"
MAKING: Final = ".making-"
DOOMED: Final = ".doomed-"
SNAPSHOT: Final = ".snapshot-"
ITSELF: Final = "its place"  # what calls into a pool are about that are about no asset of it
PASSABLE: Final = 0o711  # of what leads to the data: to be walked through, not to be listed
_IDS: Final = 2**32 - 1  # the last number means "leave it as it is" to chown(2)


@dataclass(frozen=True)
class PoolRoot:
    """Of one pool. Its calls block, so they are made in threads.

    Whoever works on it names everything from a descriptor of it: a root that is exchanged meanwhile
    is then not half of one and half of the other.

    shared  processes of several hosts serve it side by side, so none has it for itself
    """

    place: Place
    shared: bool = False
    tenure: Tenure = field(default_factory=Tenure, compare=False)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the root, if it is ours. Raises PoolMissing, PoolTaken."""
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._unchecked())
                mark = stack.enter_context(self._mark(root))
            except (PoolMissing, PoolTaken):
                self.let_go()  # so that a disk that is taken away can go
                raise
            if not self.shared:
                self._keep(stack, mark)
            yield root

    def let_go(self) -> None:
        """Another process may serve it from now on."""
        self.tenure.let_go()

    @contextmanager
    def _mark(self, root: int) -> Iterator[int]:
        """A descriptor of our mark. Raises PoolMissing, PoolTaken."""
        try:
            with files.regular_file(MARK, root) as mark:
                if (owner := _uid_in(mark)) != self.place.uid:
                    raise PoolTaken(self.place.pool, str(self.place.root), owner)
                yield mark
        except FileNotFoundError as error:
            raise PoolMissing(self.place.pool, str(self.place.root)) from error

    def _keep(self, stack: ExitStack, mark: int) -> None:
        """Raises PoolServed."""
        try:
            stack.enter_context(self.tenure.kept(mark))
        except Served as error:
            raise PoolServed(self.place.pool, str(self.place.root), str(error)) from error

    def make(self, marked: str) -> None:
        """Make it, and write whose it is unless that is written already, be it at this moment.

        marked  the crash point to pass then
        """
        self.place.root.mkdir(mode=PASSABLE, parents=True, exist_ok=True)
        with self._unchecked() as root:
            beside = f"{MAKING}mark-{secrets.token_hex(4)}"
            files.new_file(beside, self.place.uid.encode(), root)
            try:
                os.link(beside, MARK, src_dir_fd=root, dst_dir_fd=root)
            except FileExistsError:
                self._inherit(beside, root)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=root)
            files.synced(root)
        passing(marked)

    def _inherit(self, beside: str, root: int) -> None:
        """Put our mark in the place of that of a pool that is gone, if it left nothing here."""
        fcntl.flock(root, fcntl.LOCK_EX)  # until it is closed: of two heirs only the first is one
        if _owner(root) in self.place.former and not any(map(_may_hold_data, os.listdir(root))):
            os.rename(beside, MARK, src_dir_fd=root, dst_dir_fd=root)

    @contextmanager
    def _unchecked(self) -> Iterator[int]:
        try:
            root = os.open(self.place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PoolMissing(self.place.pool, str(self.place.root)) from error
        try:
            yield root
        finally:
            os.close(root)


def making(name: str) -> str:
    """A name to make something under, of nobody else's."""
    return f"{MAKING}{name}-{secrets.token_hex(4)}"


def leftovers(root: int) -> list[str]:
    """What nobody works on any more: half made by a process that died, or half deleted."""
    return [
        name
        for name in os.listdir(root)
        if name.startswith(DOOMED) or (name.startswith(MAKING) and _abandoned(name, root))
    ]


def drop_unwritten(root: int) -> None:
    """Files beside the data of assets that a process died writing, while nobody else works here."""
    for name in os.listdir(root):
        with suppress(BadAssetName, FileNotFoundError, NotADirectoryError):
            with files.directory(asset_name(name), root) as asset:
                for one in os.listdir(asset):
                    if one.startswith(files.UNWRITTEN):
                        os.unlink(one, dir_fd=asset)


def usage_of(root: int) -> Usage:
    """Of the whole file system, as it counts itself."""
    disk = os.fstatvfs(root)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bfree * disk.f_frsize
    inodes = disk.f_files or None  # 0 of those that make them as they need them, such as btrfs
    return Usage(
        total,
        total - free,
        available_bytes=disk.f_bavail * disk.f_frsize,
        inodes=inodes,
        inodes_used=None if inodes is None else disk.f_files - disk.f_ffree,
        read_only=bool(disk.f_flag & os.ST_RDONLY),
    )


def mode_of(place: Place) -> int:
    """The pool's option `mode`: of the directory of a new volume. Raises BadPoolOption."""
    text = place.options.get("mode", "0755")
    if not isinstance(text, str) or not re.fullmatch(r"0?[0-7]{3,4}", text):
        raise BadPoolOption(place.pool, "mode", text, 'octal digits in quotes, such as "0755"')
    return int(text, 8)


def id_of(place: Place, option: str) -> int:
    """The pool's option `uid` or `gid`: who owns that directory. Raises BadPoolOption."""
    value = place.options.get(option, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _IDS:
        raise BadPoolOption(place.pool, option, value, f"a number from 0 to {_IDS - 1}")
    return value


def flag_of(place: Place, option: str) -> bool:
    """An option of the pool that is false unless it is said. Raises BadPoolOption."""
    value = place.options.get(option, False)
    if not isinstance(value, bool):
        raise BadPoolOption(place.pool, option, value, "true or false")
    return value


def _owner(root: int) -> str | None:
    """The uid of the pool that a root is marked for."""
    with suppress(FileNotFoundError), files.regular_file(MARK, root) as mark:
        return _uid_in(mark)
    return None


def _uid_in(mark: int) -> str:
    return os.pread(mark, 4096, 0).decode(errors="replace").strip()


def _may_hold_data(name: str) -> bool:
    """An asset or snapshot, whole, damaged, or half deleted. What is half made was nobody's yet."""
    with suppress(BadAssetName):
        asset_name(name.removeprefix(DOOMED).removeprefix(SNAPSHOT))
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
