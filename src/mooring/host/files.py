"""Directories with hostile contents: walked by descriptor, links and mounts never followed."""

import ctypes
import fcntl
import os
import secrets
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EBUSY, EEXIST, EISDIR, ELOOP, ENOTDIR, ENOTEMPTY
from pathlib import Path

from mooring.host.errors import MountInside, OutsideRoot
from mooring.host.mounts import mount_id, mounts_below

_libc = ctypes.CDLL(None, use_errno=True)
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # flags to open one
UNWRITTEN = ".new-"  # begins the names of what `written` was killed in
# From <linux/fs.h>, for the machines Docker is used on; another one refuses these numbers.
_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
_SET_FLAGS = 0x40006602 | struct.calcsize("l") << 16
_IMMUTABLE = 0x10


@contextmanager
def directory(path: str | Path, dir_fd: int | None = None) -> Iterator[int]:
    """A descriptor of a directory. Raises OSError (ENOTDIR or ELOOP if the last part is a link)."""
    fd = os.open(path, DIRECTORY, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def synced(fd: int) -> None:
    """The entries of a directory are on disk when this returns."""
    os.fsync(fd)


def file_system_synced(fd: int) -> None:
    """All of the file system that an open file is on is on disk when this returns."""
    if _libc.syncfs(fd):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def regular_file(name: str, dir_fd: int) -> Iterator[int]:
    """One for reading. Raises OSError; ELOOP for a link, EISDIR for anything else."""
    # O_NONBLOCK: a FIFO planted in its place must not hold us.
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(EISDIR, "not a regular file", name)
        yield fd
    finally:
        os.close(fd)


def small_file(name: str, dir_fd: int, limit_bytes: int = 4096) -> bytes:
    """The start of a regular file. Raises OSError; ELOOP for a link, EISDIR for anything else."""
    with regular_file(name, dir_fd) as fd:
        return os.read(fd, limit_bytes)


def written(
    name: str, content: bytes, dir_fd: int, mode: int = 0o644, *, lasting: bool = True
) -> None:
    """Make or replace a file: whoever looks sees the old one or the whole new one, on disk.

    lasting  False: it outlives processes, and need not outlive the host
    """
    beside = f"{UNWRITTEN}{name}-{secrets.token_hex(4)}"
    new_file(beside, content, dir_fd, mode, lasting=lasting)
    os.rename(beside, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    if lasting:
        synced(dir_fd)


def new_file(
    name: str, content: bytes, dir_fd: int, mode: int = 0o644, *, lasting: bool = True
) -> None:
    """Make a file with this content, on disk. Leaves none behind if it fails."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=dir_fd)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(fd, left) :]
        if lasting:
            os.fsync(fd)
    except OSError:
        os.unlink(name, dir_fd=dir_fd)
        raise
    finally:
        os.close(fd)


def set_immutable(fd: int, immutable: bool) -> bool:
    """Keep everybody, root as well, from changing an open file or the entries of a directory.

    It has to be taken back before the file or directory can be removed. What is mounted on it is
    not concerned.

    returns  False if it is not so now: its file system cannot, or this process may not
    """
    try:
        (flags,) = struct.unpack("=i", fcntl.ioctl(fd, _GET_FLAGS, bytes(4)))
        wanted = flags | _IMMUTABLE if immutable else flags & ~_IMMUTABLE
        if wanted != flags:
            fcntl.ioctl(fd, _SET_FLAGS, struct.pack("=i", wanted))
    except OSError:
        return False
    return True


def remove_tree(name: str, dir_fd: int) -> None:
    """Remove a directory and all in it; absent is success. A link or file is unlinked.

    raises  MountInside: something is mounted in there, so nothing was removed. OSError.
    """
    with suppress(FileNotFoundError):
        try:
            with _entered(name, dir_fd, mount_id(dir_fd)) as top:
                _empty(top)
            os.rmdir(name, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in (ENOTDIR, ELOOP):
                raise
            os.unlink(name, dir_fd=dir_fd)


def empty_directory_under(allowed_root: Path, path: Path) -> None:
    """Remove all that is in a directory that must lie below a root, and keep the directory itself.

    The path is resolved once, as by remove_tree_under.

    raises  OutsideRoot, MountInside, OSError (FileNotFoundError if it is not there)
    """
    with _parent_below(allowed_root, path) as (parent, last), directory(last, parent) as top:
        _empty(top)


def refuse_mounts(fd: int) -> None:
    """Raises MountInside if anything is mounted below an open directory."""
    if inside := mounts_below(os.readlink(f"/proc/self/fd/{fd}")):
        raise MountInside(inside[0])


def remove_tree_under(allowed_root: Path, path: Path) -> None:
    """Remove a tree that must lie below a root; absent is success.

    raises  OutsideRoot: it lies elsewhere after links are resolved, or is the root itself
    """
    with suppress(FileNotFoundError), _parent_below(allowed_root, path) as (parent, last):
        remove_tree(last, parent)
        synced(parent)


def opened_under(allowed_root: Path, path: Path, flags: int) -> int:
    """Open what must lie below a root after links are resolved, by descriptors from the root on.

    raises  OutsideRoot, OSError
    """
    with _parent_below(allowed_root, path) as (parent, last):
        return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


@contextmanager
def _parent_below(allowed_root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that holds the path, and the path's last part.

    The path is resolved once; what is changed is reached from the root by descriptors, so that
    a link put into the path meanwhile is an error and not a way out. Raises OutsideRoot.
    """
    root, target = Path(os.path.realpath(allowed_root)), Path(os.path.realpath(path))
    if root not in target.parents:
        raise OutsideRoot(str(path), str(allowed_root))
    *between, last = target.relative_to(root).parts
    fd = os.open(root, DIRECTORY)
    try:
        for part in between:
            deeper = os.open(part, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = deeper
        yield fd, last
    finally:
        os.close(fd)


@contextmanager
def _entered(name: str, dir_fd: int, mount: int) -> Iterator[int]:
    """A directory that is to be emptied; one that forbids us to is made to let us.

    raises  MountInside: another mount than the one given begins here
    """
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if mount_id(handle) != mount:
            raise MountInside(os.readlink(f"/proc/self/fd/{handle}"))
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{handle}", mode | stat.S_IRWXU)
        with directory(".", handle) as fd:
            yield fd
    finally:
        os.close(handle)


def _empty(top: int) -> None:
    """Remove everything below an open directory, with few descriptors however deep it is.

    A directory that is not empty is renamed up to the top before it is emptied: so no path grows
    long and no recursion deep. Whatever a crash leaves is found again at the top.
    """
    refuse_mounts(top)
    mount, token, moved, found = mount_id(top), secrets.token_hex(4), 0, True
    while found:  # what is moved up while a listing runs may be in it or not
        found = False
        for entry in _listed(top):
            found = True
            if _removed(entry, top):
                continue
            with suppress(FileNotFoundError):  # somebody else is removing it as well
                with _entered(entry.name, top, mount) as inner:
                    for below in _listed(inner):
                        if not _removed(below, inner):
                            moved += 1
                            _moved_up(below.name, inner, f".removing-{token}-{moved}", top, mount)
                _removed(entry, top)


def _removed(entry: "os.DirEntry[str]", dir_fd: int) -> bool:
    """It is gone, or will be found again. False for a directory with something in it."""
    try:
        if entry.is_dir(follow_symlinks=False):
            os.rmdir(entry.name, dir_fd=dir_fd)
        else:
            os.unlink(entry.name, dir_fd=dir_fd)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        pass  # changed under our hands: the next listing says how
    except OSError as error:
        if error.errno == EBUSY:
            raise MountInside(entry.name) from error
        if error.errno in (ENOTEMPTY, EEXIST):
            return False
        raise
    return True


def _moved_up(name: str, dir_fd: int, new_name: str, top: int, mount: int) -> None:
    with suppress(FileNotFoundError):
        try:
            os.rename(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=top)
        except PermissionError:  # moving a directory writes its `..`, which its mode may forbid
            with _entered(name, dir_fd, mount):
                os.rename(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=top)
        except OSError as error:
            if error.errno == EBUSY:
                raise MountInside(name) from error
            raise


def _listed(fd: int) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(fd) as entries:
        yield from entries
