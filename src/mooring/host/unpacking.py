"""The process that unpacks an archive: `python -m mooring.host.unpacking FD BYTES TARGET`.

It is one of its own for the reasons of copier.py, and speaks as that does. The archive is hostile:
what it names is reached from the target by descriptor, a part after the other and through no link.
tarfile's own filters were not taken: `data` drops owners, `tar` drops modes, both work on paths.
"""

import os
import resource
import stat
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import IO, Any, Final, NamedTuple, Self, cast

import zstandard

from mooring.errors import MooringError
from mooring.host import files
from mooring.host.copier import Ended, Failed, Full, Said, end_when_deserted, said_of, say, tick
from mooring.host.copying import handle
from mooring.host.errors import DiskFull
from mooring.host.scanning import Counts, Totals
from mooring.host.trees import shown

CHUNK_BYTES: Final = 1 << 20
TICK_BYTES: Final = 4 << 20
NICENESS: Final = 10
MEMORY_BYTES: Final = 512 << 20  # that we may take, whatever the archive says
HEADER_BYTES: Final = 1 << 20  # of one header: names and attributes of a file are far less
ENTRIES: Final = 10_000_000
_MIB: Final = 1 << 20
_HOLE_BYTES: Final = 1 << 16  # zeros that are not written: as much as is looked at once
_ZEROS: Final = bytes(_HOLE_BYTES)
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_XATTR: Final = "SCHILY.xattr."  # what star, GNU tar and bsdtar call attributes in pax headers
_KEPT: Final = ("user.", "security.capability", "system.posix_acl_", "trusted.")
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ArchiveRefused(MooringError):
    """It holds what must not get into a volume."""

    code = "ArchiveRefused"

    def __init__(self, name: str, why: str) -> None:
        self.what = f"the archive's entry {shown(name)!r} is refused: {why}"
        self.remedy = "make the archive anew, of relative names below its top: tar -C DIR -c ."


class ArchiveTooCostly(MooringError):
    """It takes more of the host than an archive of files does."""

    code = "ArchiveRefused"

    def __init__(self, why: str) -> None:
        self.what = f"the archive is refused: {why}"
        self.remedy = "make it anew, in several of fewer files if it has very many"


class _Entry(tarfile.TarInfo):
    """One whose headers are looked at before they are read, which is all at once."""

    _HEADERS: Final = (
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        # The way in for whoever reads other kinds of headers, as tarfile.py says above it.
        if self.type in self._HEADERS and not 0 <= self.size <= HEADER_BYTES:
            raise ArchiveTooCostly(f"a header in it has more than {HEADER_BYTES // _MIB} MiB")
        return cast(tarfile.TarInfo, super()._proc_member(archive))  # type: ignore[misc]


class _Given(NamedTuple):
    """What of an entry is given to the file it becomes."""

    owner: tuple[int, int]
    mode: int
    attributes: tuple[tuple[str, bytes], ...]
    times_ns: tuple[int, int]

    @classmethod
    def of(cls, member: tarfile.TarInfo) -> Self:
        """Raises ArchiveRefused."""
        attributes = tuple(
            (name, value.encode("utf-8", "surrogateescape"))
            for key, value in member.pax_headers.items()
            if (name := key.removeprefix(_XATTR)) != key and name.startswith(_KEPT)
        )
        owner = (member.uid, member.gid)
        return cls(owner, stat.S_IMODE(member.mode), attributes, _times_ns(member))


class _Counted:
    """An archive that is read, and says how far."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size, self._told = file, size, 0
        self.files = self.position = 0

    def read(self, count: int = -1) -> bytes:
        chunk = self._file.read(count)
        self.position += len(chunk)
        if self.position - self._told >= TICK_BYTES:
            self._told = self.position
            tick("copying", Counts(0, self._size), Counts(self.files, self.position))
        return chunk


class Unpacking:
    """Of one archive into one directory that nobody else uses."""

    def __init__(self, target: int, room_bytes: int, entries: int = ENTRIES) -> None:
        """room_bytes  how much content there may be at most
        entries     how many files and directories
        """
        self._target, self._room_bytes, self._entries = target, room_bytes, entries
        self.bytes = 0
        self._directories: list[tuple[tuple[str, ...], _Given]] = []

    def run(self, archive: tarfile.TarFile, counted: _Counted) -> None:
        """All of it is there, and on disk.

        raises  ArchiveRefused, ArchiveTooCostly, DiskFull, OSError, TarError
        """
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
            if counted.files >= self._entries:
                raise ArchiveTooCostly(f"it has more than {self._entries:,} entries")
            parts = _parts(member.name)
            if member.isdir():
                self._make_directory(parts, member)
            elif not parts:
                raise ArchiveRefused(member.name, "it would take the place of the volume itself")
            else:
                with self._parent(parts) as parent:
                    self._bring(archive, member, parts, parent)
            counted.files += 1
        # Last, and those below first, since what is made in a directory changes its times.
        for parts, given in reversed(self._directories):
            with self._opened(parts) as directory:
                _give(given, directory)
        files.file_system_synced(self._target)

    def _make_directory(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> None:
        with self._opened(parts, make=True):
            self._directories.append((parts, _Given.of(member)))

    @contextmanager
    def _parent(self, parts: tuple[str, ...]) -> Iterator[int]:
        with self._opened(parts[:-1], make=True) as parent:
            with suppress(FileNotFoundError):  # a later entry of a name takes the earlier's place
                if stat.S_ISDIR(os.lstat(parts[-1], dir_fd=parent).st_mode):
                    raise ArchiveRefused("/".join(parts), "it would take a directory's place")
                os.unlink(parts[-1], dir_fd=parent)
            yield parent

    @contextmanager
    def _opened(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        fd = os.dup(self._target)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=fd)
                try:
                    deeper = os.open(part, files.DIRECTORY, dir_fd=fd)
                except OSError as error:
                    why = "its directory is a link, or no directory"
                    raise ArchiveRefused("/".join(parts), why) from error
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)

    def _bring(
        self,
        archive: tarfile.TarFile,
        member: tarfile.TarInfo,
        parts: tuple[str, ...],
        parent: int,
    ) -> None:
        name = parts[-1]
        if member.islnk():
            self._link(member, name, parent)
        elif member.issym():
            _refuse_leading_out(member, parts)
            os.symlink(member.linkname, name, dir_fd=parent)
            with handle(name, parent) as there:
                os.chown(there, member.uid, member.gid)
                os.utime(there, ns=_times_ns(member))
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
            with handle(name, parent) as there:
                _give(_Given.of(member), there)
        elif member.isreg():
            content = archive.extractfile(member)
            assert content is not None
            fd = os.open(name, _NEW, 0o600, dir_fd=parent)
            try:
                self._write(content, fd, member.size)
                _give(_Given.of(member), fd)
            finally:
                os.close(fd)
        else:
            raise ArchiveRefused(member.name, "it is a device, or of a kind that is not known")

    def _link(self, member: tarfile.TarInfo, name: str, parent: int) -> None:
        to = _parts(member.linkname)
        if not to:
            raise ArchiveRefused(member.name, "it is a link to the volume itself")
        with self._opened(to[:-1]) as there:
            os.link(to[-1], name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)

    def _write(self, content: IO[bytes], fd: int, size: int) -> None:
        position = 0
        while chunk := content.read(CHUNK_BYTES):
            for start in range(0, len(chunk), _HOLE_BYTES):
                piece = chunk[start : start + _HOLE_BYTES]
                if piece != _ZEROS[: len(piece)]:
                    self.bytes += len(piece)
                    if self.bytes > self._room_bytes:
                        raise DiskFull("the volume", 0, 0)
                    os.pwrite(fd, piece, position)
                position += len(piece)
        os.ftruncate(fd, size)
        if position != size:
            raise tarfile.ReadError("unexpected end of data")


def _parts(name: str) -> tuple[str, ...]:
    """Of a name in the archive. Raises ArchiveRefused if it leads out."""
    if name.startswith("/"):
        raise ArchiveRefused(name, "its name is absolute")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchiveRefused(name, "its name has '..'")
    return parts


def _refuse_leading_out(member: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
    # Where it ends is decided by its text alone: what lies on the way may become a link later.
    depth = len(parts) - 1
    for part in member.linkname.split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0 or member.linkname.startswith("/"):
            raise ArchiveRefused(member.name, "it is a link that leads out of the volume")


def _give(given: _Given, to: int | str) -> None:
    """Owner, mode, attributes, times, in an order in which none takes another back."""
    os.chown(to, *given.owner)
    os.chmod(to, given.mode)
    for name, value in given.attributes:
        os.setxattr(to, name, value)
    os.utime(to, ns=given.times_ns)


def _times_ns(member: tarfile.TarInfo) -> tuple[int, int]:
    """Exact, unlike tarfile's own: where there is a fraction, it is in a header's text."""
    with suppress(ArithmeticError, ValueError):
        exact = int(Decimal(member.pax_headers.get("mtime", member.mtime)) * 10**9)
        return exact, exact
    raise ArchiveRefused(member.name, "its time is none")


def main(arguments: list[str]) -> None:
    """FD BYTES TARGET: an open archive, how much content it may bring, and the directory for it."""
    threading.Thread(target=end_when_deserted, daemon=True).start()
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    fd, room, target = arguments
    try:
        say(_unpacked(int(fd), target, int(room)))
    except DiskFull:
        say(Full(0))
    except MooringError as error:
        say(Failed(error.code, error.what, error.remedy))
    except (MemoryError, RecursionError):
        why = f"it takes more than {MEMORY_BYTES // _MIB} MiB of memory to unpack"
        refused = ArchiveTooCostly(why)
        say(Failed(refused.code, refused.what, refused.remedy))
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        say(Failed("ArchiveDamaged", f"the archive cannot be read: {error}", "make it anew"))
    except OSError as error:
        say(said_of(error))


def _unpacked(fd: int, target: str, room_bytes: int) -> Said:
    size = os.fstat(fd).st_size
    with open(fd, "rb") as file, files.directory(target) as top:
        is_zstd = os.pread(fd, len(_ZSTD), 0) == _ZSTD
        counted = _Counted(file, size)
        stream: Any = zstandard.ZstdDecompressor().stream_reader(
            cast(IO[bytes], counted), read_across_frames=True
        ) if is_zstd else counted  # fmt: skip
        work = Unpacking(top, room_bytes)
        mode = "r|" if is_zstd else "r|*"
        with tarfile.open(
            fileobj=stream, mode=mode, errors="surrogateescape", tarinfo=_Entry
        ) as archive:  # type: ignore[call-overload]
            work.run(archive, counted)
    return Ended(Totals(counted.files, work.bytes, work.bytes))


if __name__ == "__main__":
    main(sys.argv[1:])
