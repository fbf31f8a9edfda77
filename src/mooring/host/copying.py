"""A tree copied with all that belongs to it, by descriptor: for content that wants to do harm.

What is there already is made use of, so that a copy that was cut off goes on: a file that has the
size and the time of the one to be copied is left as it is. Whoever needs to know that the copy is
right compares (comparing.py). Not copied: sockets, which are nothing without the process that made
them, the flags of chattr(1), and when a file was born.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ENXIO, ESTALE
from typing import Final

from mooring.host import files
from mooring.host.scanning import Progress, content_bytes
from mooring.host.trees import Tree, opened, walk

CHUNK_BYTES: Final = 8 << 20  # after which it is told how far a file is
SYNC_EACH_BYTES: Final = 256 << 20  # so that the disk keeps up, and no wait in the end is long
SELINUX: Final = "security.selinux"
_FICLONE: Final = 0x40049409  # from <linux/fs.h>: the blocks are shared until one side is written
# Of the attributes, those that are content. Others are switches of one kind of file system.
_KEPT: Final = ("user.", "trusted.", "security.", "system.posix_acl_")
_FILE: Final = os.O_NONBLOCK  # a FIFO that took a file's place must not hold us
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Linked:
    """A file with several names, of which the first is copied."""

    def __init__(self, found: os.stat_result, inode: int) -> None:
        self.inode = inode  # of the copy
        self.place = f"{found.st_dev:x}-{found.st_ino:x}"  # where a name of it is at hand
        self.names_to_come = found.st_nlink - 1


class Copy:
    """Makes one directory what another is; what only the copy has is removed.

    Nobody else may use the copy. The other one is not changed, nor are its times of access.
    """

    def __init__(
        self, source: int, target: int, progress: Progress, note: Callable[[str], None]
    ) -> None:
        """
        source, target  directories
        note            is told what is left out, for people
        """
        self._source, self._target = Tree(source), Tree(target)
        self._progress, self._note = progress, note
        self._linked: dict[tuple[int, int], _Linked] = {}
        self._inodes: set[int] = set()  # of copies that have several names
        self._links = f".mooring-links-{secrets.token_hex(8)}"  # at the top, while there are any
        self._links_fd = -1
        self._clones = True  # until it turns out that blocks cannot be shared between the two
        self._unsynced = 0

    def run(self) -> None:
        """All is copied, and on the disk, when this returns. Raises MountInside, OSError."""
        try:
            walk([self._source, self._target], self._visit, self._leave)
        finally:
            self._source.close()
            self._target.close()
            if self._links_fd >= 0:
                os.close(self._links_fd)
        files.file_system_synced(self._target.top)

    def _visit(self) -> list[str]:
        target, below = self._target.fd, []
        surplus = set(os.listdir(target))
        with os.scandir(self._source.fd) as entries:
            for entry in entries:
                surplus.discard(entry.name)
                with self._source.blaming(entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        self._make_directory(entry.name)
                        below.append(entry.name)
                    else:
                        self._bring(entry.name)
        for name in surplus:
            files.remove_tree(name, target)
            self._progress.alive()
        return below

    def _leave(self) -> None:
        """Last, as whatever is made in a directory changes its times."""
        if self._target.is_at_top and self._links_fd >= 0:
            files.remove_tree(self._links, self._target.top)
        source, target = self._source.fd, self._target.fd
        with self._source.blaming():
            _give(os.fstat(source), source, target)
        self._progress.alive()

    def _make_directory(self, name: str) -> None:
        target = self._target.fd
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            if not stat.S_ISDIR(_stat(name, target).st_mode):
                os.unlink(name, dir_fd=target)
                os.mkdir(name, 0o700, dir_fd=target)

    def _bring(self, name: str) -> None:
        """Anything but a directory."""
        found = _stat(name, self._source.fd)
        if stat.S_ISSOCK(found.st_mode):
            self._leave_out(name, "it is a socket")
        elif found.st_nlink > 1 and self._is_another_name(name, found):
            return
        elif stat.S_ISREG(found.st_mode):
            self._bring_file(name, found)
        elif stat.S_ISLNK(found.st_mode):
            self._bring_link(name, found)
        elif not self._bring_special(name, found):
            self._leave_out(name, "this process may not make devices")
            self._progress.add(1, 0)
            return
        if found.st_nlink > 1 and not stat.S_ISSOCK(found.st_mode):
            self._expect_more_names(name, found)
        self._progress.add(1, content_bytes(found))

    def _leave_out(self, name: str, why: str) -> None:
        self._clear(name)
        self._note(f"{self._source.shown(name)} is left out: {why}")

    def _clear(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._target.fd)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            files.remove_tree(name, self._target.fd)

    # Content

    def _bring_file(self, name: str, found: os.stat_result) -> None:
        source = opened(name, _FILE, self._source.fd)
        try:
            if os.fstat(source).st_ino != found.st_ino:
                raise OSError(ESTALE, "it was exchanged meanwhile")
            target = self._kept(name, found)
            if target is None:
                self._clear(name)
                target = os.open(name, _NEW, 0o600, dir_fd=self._target.fd)
                try:
                    self._fill(source, target, found)
                except BaseException:
                    os.close(target)
                    raise
            try:
                _give(found, source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _kept(self, name: str, found: os.stat_result) -> int | None:
        """The copy that is there already, opened; None if it has to be made."""
        with suppress(FileNotFoundError):
            copy = _stat(name, self._target.fd)
            if (
                stat.S_ISREG(copy.st_mode)
                and copy.st_size == found.st_size
                and copy.st_mtime_ns == found.st_mtime_ns
                and (copy.st_nlink > 1) <= (found.st_nlink > 1)
                and copy.st_ino not in self._inodes
            ):
                return opened(name, _FILE, self._target.fd)
        return None

    def _fill(self, source: int, target: int, found: os.stat_result) -> None:
        if self._clones and found.st_size:
            try:
                fcntl.ioctl(target, _FICLONE, source)
            except OSError:
                self._clones = False
            else:
                return
        size, position = found.st_size, 0
        os.ftruncate(target, size)
        share = content_bytes(found) / size if size else 0
        while (start := written_from(source, position, size)) < size:
            position = hole_from(source, start, size)
            os.lseek(target, start, os.SEEK_SET)
            while start < position:
                sent = os.sendfile(target, source, start, min(position - start, CHUNK_BYTES))
                if not sent:
                    return  # it was made shorter meanwhile, which comparing tells
                start += sent
                self._progress.alive(int(start * share))
                self._sync_now_and_then(sent)

    def _sync_now_and_then(self, content: int) -> None:
        self._unsynced += content
        if self._unsynced >= SYNC_EACH_BYTES:
            files.file_system_synced(self._target.top)
            self._unsynced = 0

    def _bring_link(self, name: str, found: os.stat_result) -> None:
        text = os.readlink(name, dir_fd=self._source.fd)
        self._clear(name)
        os.symlink(text, name, dir_fd=self._target.fd)
        self._give_by_name(name, found)

    def _bring_special(self, name: str, found: os.stat_result) -> bool:
        """A FIFO or a device. False if that may not be made here."""
        self._clear(name)
        kind = stat.S_IFMT(found.st_mode)
        try:
            os.mknod(name, kind | 0o600, found.st_rdev, dir_fd=self._target.fd)
        except PermissionError:
            return False
        self._give_by_name(name, found)
        return True

    def _give_by_name(self, name: str, found: os.stat_result) -> None:
        """To what cannot be opened, or must not be."""
        with handle(name, self._source.fd) as source, handle(name, self._target.fd) as target:
            _give(found, source, target)

    # Names

    def _is_another_name(self, name: str, found: os.stat_result) -> bool:
        """Whether it is a file that is copied already; then it gets this name too."""
        identity = (found.st_dev, found.st_ino)
        linked = self._linked.get(identity)
        if linked is None:
            return False
        target, linked.names_to_come = self._target.fd, linked.names_to_come - 1
        has_it = False
        with suppress(FileNotFoundError):
            has_it = _stat(name, target).st_ino == linked.inode
        if not has_it:
            self._clear(name)
        if linked.names_to_come > 0:
            if not has_it:
                _link(linked.place, self._links_fd, name, target)
            return True
        del self._linked[identity]
        if has_it:
            os.unlink(linked.place, dir_fd=self._links_fd)
        else:  # so that it never has more names than it will have: there is a limit
            os.rename(linked.place, name, src_dir_fd=self._links_fd, dst_dir_fd=target)
        return True

    def _expect_more_names(self, name: str, found: os.stat_result) -> None:
        if self._links_fd < 0:
            os.mkdir(self._links, 0o700, dir_fd=self._target.top)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._links_fd = os.open(self._links, flags, dir_fd=self._target.top)
        linked = _Linked(found, _stat(name, self._target.fd).st_ino)
        _link(name, self._target.fd, linked.place, self._links_fd)
        self._linked[found.st_dev, found.st_ino] = linked
        self._inodes.add(linked.inode)


@contextmanager
def handle(name: str, dir_fd: int) -> Iterator[str]:
    """A path to exactly what is in a directory now, a link too, for calls that want a path."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def attributes(of: int | str) -> dict[str, bytes]:
    """The extended attributes that belong to the content, access lists among them."""
    return {name: os.getxattr(of, name) for name in os.listxattr(of) if name.startswith(_KEPT)}


def written_from(fd: int, position: int, size: int) -> int:
    """Where content begins, from a position on; the size if there is only a hole."""
    try:
        return min(os.lseek(fd, position, os.SEEK_DATA), size)
    except OSError as error:
        return size if error.errno == ENXIO else position


def hole_from(fd: int, position: int, size: int) -> int:
    """Where content ends that begins at a position."""
    try:
        return min(os.lseek(fd, position, os.SEEK_HOLE), size)
    except OSError:
        return size


def _give(found: os.stat_result, source: int | str, target: int | str) -> None:
    """Owner, permissions, attributes, times, in an order in which none takes another back.

    source, target  descriptors, or paths by `handle`
    """
    now = os.stat(target)
    if (now.st_uid, now.st_gid) != (found.st_uid, found.st_gid):
        os.chown(target, found.st_uid, found.st_gid)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    wanted, there = attributes(source), attributes(target)
    for name in there.keys() - wanted.keys() - {SELINUX}:  # the host may label what is made here
        os.removexattr(target, name)
    for name, value in wanted.items():
        if there.get(name) != value:
            os.setxattr(target, name, value)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _stat(name: str, dir_fd: int) -> os.stat_result:
    return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)


def _link(name: str, dir_fd: int, new_name: str, new_dir_fd: int) -> None:
    os.link(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False)
