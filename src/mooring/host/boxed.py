"""The process that a program runs in with one directory of its own: a mount namespace around it.

`boxed BOX SOURCE ro|rw|fill|fill=BYTES -- PROGRAM …`: SOURCE is seen as BOX/volume, unless it is
"-". What is mounted for that goes with the processes, however these end. The program is told to end
when nobody holds our input any more, so that it takes its locks with it. Lines of JSON between its
own say how much it has read and written.

fill  SOURCE may be written to; once the program has succeeded, zeros in it are made holes, and all
      of it is on disk before we end. `fill=BYTES`: the program is ended if its content, without
      holes, becomes more than that
"""

import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from mooring.errors import MooringError
from mooring.host import files, mounts
from mooring.host.copying import hole_from, written_from
from mooring.host.scanning import Counts, Progress, content_bytes, scanned
from mooring.host.trees import Tree, walk

VOLUME: Final = "volume"  # what the directory is called inside
FAILED: Final = 125  # our exit status if the program was not even started
FULL: Final = 124  # if there is more in the directory than may be
IO: Final = "io"  # the message_type of our own lines
NICENESS: Final = 10
LOOK_EACH_S: Final = 0.5
END_WITHIN_S: Final = 10.0  # that the program has to take its locks away
SMALLEST_HOLE: Final = 1 << 16
SAY_EACH_BYTES: Final = 16 << 20  # that are read where nothing else is to be said
LEAST_OF_A_FILE: Final = 4096  # counts as read of each, so that many empty ones are told of
SAY_EACH_S: Final = 10.0  # while the disk takes in what was written
COUNT_EACH_BYTES: Final = 64 << 20  # so much is written at least between two counts of the content
_CLONE_NEWNS: Final = 0x20000
_PUNCH_HOLE_KEEPING_SIZE: Final = 3  # from <linux/falloc.h>
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Io(msgspec.Struct):
    """One of our lines."""

    message_type: str
    read_bytes: int
    written_bytes: int


def main(arguments: list[str]) -> int:
    box, source, mode, _, *command = arguments
    os.nice(NICENESS)
    try:
        if source != "-":
            _enter(Path(box), Path(source), read_only=mode == "ro")
    except (MooringError, OSError) as error:
        print(f"cannot be shown alone: {error}", file=sys.stderr)
        return FAILED
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=box)
    threading.Thread(target=_end_when_deserted, args=(program,), daemon=True).start()
    mode, _, most = mode.partition("=")
    room = _Room(Path(box, VOLUME), int(most)) if most else None
    last = (0, 0)
    while program.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            program.wait(LOOK_EACH_S)
        now = _io(program.pid)
        if now != last:  # silence is what tells that it hangs
            last = now
            _say(*now)
        if room is not None and room.is_exceeded(*now):
            program.kill()
            program.wait()
            return FULL
    if program.returncode == 0 and mode == "fill":
        _finish(Path(box, VOLUME), *last)
        if room is not None and room.content_bytes(*last) > room.most_bytes:
            return FULL
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def _enter(box: Path, source: Path, *, read_only: bool) -> None:
    if _libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "a mount namespace needs the rights of root")
    # What is unmounted outside is to go in here as well, and what is mounted here to stay here.
    mounts.follow_outside()
    restrictions = mounts.Restriction.NO_SUID | mounts.Restriction.NO_DEVICES
    if read_only:
        restrictions |= mounts.Restriction.READ_ONLY
    with mounts.handle(source, follow_links=False) as fd:
        mounts.bind(fd, box / VOLUME, restrictions)


def _end_when_deserted(program: subprocess.Popen[bytes]) -> None:
    """The other end of our input is in Mooring's hands, and closes when that is killed."""
    while os.read(0, 1 << 10):
        pass
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        program.send_signal(signal.SIGINT)
        program.wait(END_WITHIN_S)
    program.kill()
    os._exit(1)


def _io(pid: int) -> tuple[int, int]:
    with suppress(OSError, ValueError, KeyError):
        text = Path(f"/proc/{pid}/io").read_text()
        found = dict(line.split(": ") for line in text.splitlines())
        return int(found["rchar"]), int(found["wchar"])
    return 0, 0


def _say(read_bytes: int, written_bytes: int) -> None:
    # In one write, so that no line of the program, which has the same output, is in between.
    os.write(1, msgspec.json.encode(Io(IO, read_bytes, written_bytes)) + b"\n")


@contextmanager
def ticking(read_bytes: int, written_bytes: int, each_s: float = SAY_EACH_S) -> Iterator[None]:
    """Something is waited for that says nothing itself: it is said that we live."""
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(each_s):
            _say(read_bytes, written_bytes)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class _Room:
    """What may be written into a directory whose file system sees to no size."""

    def __init__(self, top: Path, most_bytes: int) -> None:
        self._top, self.most_bytes = top, most_bytes
        self._count_at_bytes = most_bytes  # before so much is written, it cannot be too much

    def is_exceeded(self, read_bytes: int, written_bytes: int) -> bool:
        """Holes are no content, but a program writes more than that, such as a cache."""
        if written_bytes <= self._count_at_bytes:
            return False
        left_bytes = self.most_bytes - self.content_bytes(read_bytes, written_bytes)
        self._count_at_bytes = written_bytes + max(left_bytes, COUNT_EACH_BYTES)
        return left_bytes < 0

    def content_bytes(self, read_bytes: int, written_bytes: int) -> int:
        """There is now, as far as it can be seen while it is written to."""

        def tell(_: Counts) -> None:
            _say(read_bytes, written_bytes)

        with files.directory(self._top) as fd:
            try:
                return scanned(fd, Progress(tell)).bytes
            except FileNotFoundError:  # a file of a moment; it is counted again
                return self.most_bytes


def _finish(top: Path, read_bytes: int, written_bytes: int) -> None:
    looked = told = 0

    def read(count: int) -> None:
        nonlocal looked, told
        looked += count
        if looked - told >= SAY_EACH_BYTES:
            told = looked
            _say(read_bytes + looked, written_bytes)

    with files.directory(top) as fd:
        tree = Tree(fd)

        def visit() -> list[str]:
            below = []
            with os.scandir(tree.fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        _dig(entry.name, tree.fd, read)
            _say(read_bytes + looked, written_bytes)
            return below

        walk([tree], visit)
        tree.close()
        with ticking(read_bytes + looked, written_bytes):
            files.file_system_synced(fd)


def _dig(name: str, dir_fd: int, read: Callable[[int], None]) -> None:
    """Make holes of the zeros of a file, and leave its times as they are.

    read  is told how much was read
    """
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        found = os.fstat(fd)
        read(LEAST_OF_A_FILE)
        if not stat.S_ISREG(found.st_mode) or content_bytes(found) < SMALLEST_HOLE:
            return
        if _dug(fd, found.st_size, read):
            os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
    finally:
        os.close(fd)


def _dug(fd: int, size: int, read: Callable[[int], None]) -> bool:
    """Whether anything became a hole. What is one already is not read."""
    zeros, has_dug, position = bytes(SMALLEST_HOLE), False, 0
    while (start := written_from(fd, position, size)) < size:
        end = hole_from(fd, start, size)
        position = start - start % SMALLEST_HOLE
        while position < end:
            if os.pread(fd, SMALLEST_HOLE, position) == zeros:
                has_dug |= not _libc.fallocate(
                    fd, _PUNCH_HOLE_KEEPING_SIZE, position, SMALLEST_HOLE
                )
            position += SMALLEST_HOLE
            read(SMALLEST_HOLE)
    return has_dug


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
