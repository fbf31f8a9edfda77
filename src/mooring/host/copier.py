"""The process that copies a tree and compares the copy: `python -m mooring.host.copier`.

It is one of its own so that the work of hours disturbs nobody, and ends with all it has open when
it is killed. It says how far it is in lines of JSON, and ends when nobody holds its input any more.
"""

import fcntl
import os
import sys
import threading
from collections.abc import Callable
from errno import EDQUOT, ENOENT, ENOSPC, ESTALE
from functools import partial
from typing import Final, Literal

import msgspec

from mooring.errors import MooringError
from mooring.host import files
from mooring.host.comparing import Compared, Comparison, Finding
from mooring.host.copying import Copy
from mooring.host.scanning import Counts, Progress, Totals, scanned
from mooring.host.trees import shown

Phase = Literal["scanning", "copying", "verifying"]
NICENESS: Final = 10  # those whom the host is for come first
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """It is so far; of_all is nothing while it is not known yet."""

    phase: Phase
    done: Counts
    of_all: Counts = Counts()


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """How it ended.

    totals   of the original
    left     out of the copy, with the reason
    changed  in the original, while it was copied
    differs  in the copy, though it was made twice
    """

    totals: Totals
    left: Finding = msgspec.field(default_factory=Finding)
    changed: Finding = msgspec.field(default_factory=Finding)
    differs: Finding = msgspec.field(default_factory=Finding)


class Full(msgspec.Struct, frozen=True, tag="full"):
    """The disk of the copy has not the room; free is 0 if that turned out on the way."""

    need_bytes: int
    free_bytes: int = 0


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """Something of the original went away while it was read."""

    what: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It cannot be done."""

    code: str
    what: str
    remedy: str = ""


Said = Tick | Ended | Full | Gone | Failed
Say = Callable[[Said], None]


def main(arguments: list[str]) -> None:
    """scan ORIGINAL, copy ORIGINAL COPY, or compare ORIGINAL COPY; all are directories."""
    threading.Thread(target=end_when_deserted, daemon=True).start()
    os.nice(NICENESS)
    try:
        match arguments:
            case ["scan", original]:
                say(_scan(original))
            case ["copy", original, copy]:
                say(_copy(original, copy))
            case ["compare", original, copy]:
                say(_compare(original, copy))
            case _:
                raise SystemExit(main.__doc__)
    except MooringError as error:
        say(Failed(error.code, error.what, error.remedy))
    except OSError as error:
        say(said_of(error))


def _scan(path: str) -> Said:
    with files.directory(path) as top:
        files.refuse_mounts(top)
        return Ended(scanned(top, Progress(partial(tick, "scanning", Counts()))))


def _copy(original_path: str, copy_path: str) -> Said:
    with files.directory(original_path) as original, files.directory(copy_path) as copy:
        fcntl.flock(copy, fcntl.LOCK_EX)  # one whose Mooring was killed may not have ended yet
        for top in (original, copy):
            files.refuse_mounts(top)
        before = scanned(original, Progress(partial(tick, "scanning", Counts())))
        there = scanned(copy, Progress(lambda _: None))
        need_bytes = max(0, before.room_bytes - there.room_bytes)
        disk = os.fstatvfs(copy)
        if need_bytes > (free_bytes := disk.f_bavail * disk.f_frsize):
            return Full(need_bytes, free_bytes)
        left, compared = _copied(original, copy, before)
        if compared.differs.count and not compared.changed.count:
            # What an earlier run left was not on the disk when the power went. That is made anew.
            left, compared = _copied(original, copy, before)
        return Ended(compared.totals, left, compared.changed, compared.differs)


def _compare(original_path: str, copy_path: str) -> Said:
    with files.directory(original_path) as original, files.directory(copy_path) as copy:
        for top in (original, copy):
            files.refuse_mounts(top)
        before = scanned(original, Progress(partial(tick, "scanning", Counts())))
        progress = Progress(partial(tick, "verifying", Counts(before.files, before.bytes)))
        compared = Comparison(original, copy, before.changed_ns, progress).run()
        return Ended(compared.totals, Finding(), compared.changed, compared.differs)


def _copied(original: int, copy: int, before: Totals) -> tuple[Finding, Compared]:
    """What was left out, and what became of the rest."""
    left, all_ = Finding(), Counts(before.files, before.bytes)
    Copy(original, copy, Progress(partial(tick, "copying", all_)), left.add).run()
    progress = Progress(partial(tick, "verifying", all_))
    return left, Comparison(original, copy, before.changed_ns, progress).run()


def tick(phase: Phase, of_all: Counts, done: Counts) -> None:
    """Say how far it is."""
    say(Tick(phase, done, of_all))


def say(said: Said) -> None:
    """In a line."""
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


def said_of(error: OSError) -> Said:
    """What is told of it."""
    if error.errno in (ENOSPC, EDQUOT):
        return Full(0)
    what = shown(str(error))
    return Gone(what) if error.errno in (ENOENT, ESTALE) else Failed("CopyFailed", what)


def end_when_deserted() -> None:
    """In a thread: the other end of our input is Mooring's, and closes when that is killed."""
    while os.read(0, 1 << 10):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
