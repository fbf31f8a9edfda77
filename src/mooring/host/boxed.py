"""The process that a program runs in with one directory of its own: a mount namespace around it.

`boxed BOX SOURCE ro|rw|fill -- PROGRAM …`: SOURCE is seen as BOX/volume, unless it is "-". What is
mounted for that goes with the processes, however these end. The program is told to end when nobody
holds our input any more, so that it takes its locks with it. Lines of JSON between its own say how
much it has read and written.

fill  SOURCE may be written to; once the program has succeeded, zeros in it are made holes, and all
      of it is on disk before we end
"""

import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from mooring.errors import MooringError
from mooring.host import files, mounts
from mooring.host.scanning import content_bytes
from mooring.host.trees import Tree, walk

VOLUME: Final = "volume"  # what the directory is called inside
FAILED: Final = 125  # our exit status if the program was not even started
IO: Final = "io"  # the message_type of our own lines
NICENESS: Final = 10
LOOK_EACH_S: Final = 0.5
END_WITHIN_S: Final = 10.0  # that the program has to take its locks away
SMALLEST_HOLE: Final = 1 << 16
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
    last = (0, 0)
    while program.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            program.wait(LOOK_EACH_S)
        now = _io(program.pid)
        if now != last:  # silence is what tells that it hangs
            last = now
            _say(*now)
    if program.returncode == 0 and mode == "fill":
        _finish(Path(box, VOLUME), *last)
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


def _finish(top: Path, read_bytes: int, written_bytes: int) -> None:
    with files.directory(top) as fd:
        tree, looked = Tree(fd), 0

        def visit() -> list[str]:
            nonlocal looked
            below = []
            with os.scandir(tree.fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        looked += _dig(entry.name, tree.fd)
                        _say(read_bytes + looked, written_bytes)
            return below

        walk([tree], visit)
        tree.close()
        files.file_system_synced(fd)


def _dig(name: str, dir_fd: int) -> int:
    """Make holes of the zeros of a file, and leave its times as they are. How much was read."""
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        found, has_dug = os.fstat(fd), False
        if not stat.S_ISREG(found.st_mode) or content_bytes(found) < SMALLEST_HOLE:
            return 0
        zeros = bytes(SMALLEST_HOLE)
        for start in range(0, found.st_size, SMALLEST_HOLE):
            if os.pread(fd, SMALLEST_HOLE, start) == zeros:
                has_dug |= not _libc.fallocate(fd, _PUNCH_HOLE_KEEPING_SIZE, start, SMALLEST_HOLE)
        if has_dug:
            os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        return found.st_size
    finally:
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
