"""Copies of trees, made and compared by a process of their own (copier.py)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mooring.host import processes
from mooring.host.copier import Ended, Failed, Full, Gone, Said, Tick
from mooring.host.errors import CopyFailed, DiskFull, HostStuck, ProgramFailed, TreeChanged
from mooring.host.scanning import Totals

# After so long without a word it is taken for stuck: it speaks several times a second, but not
# while the disk takes in what was written.
SILENCE_S: Final = 300.0
_said: Final = msgspec.json.Decoder(Said)

Tell = Callable[[Tick], None]


async def scanned(original: Path | int, tell: Tell) -> Totals:
    """What is in a directory. Original and raises as of `copied`."""
    path, inherits = _reached(original)
    return (await _ended(tell, "scan", path, inherits=inherits)).totals


async def copied(original: Path | int, copy: Path, tell: Tell) -> Ended:
    """Make a directory what another is, and compare them. May be repeated, also after a crash.

    original a directory, or a descriptor of one: then it is that one, whatever its path leads to
    copy     used by nobody else
    tell     is told how far it is
    returns  what was found. If anything changed or differs, the copy is not to be used.
    raises   DiskFull, TreeChanged, CopyFailed, HostStuck, ProgramFailed
    """
    path, inherits = _reached(original)
    return await _ended(tell, "copy", path, str(copy), inherits=inherits)


async def compared(original: Path, copy: Path, tell: Tell) -> Ended:
    """What differs between two directories, and what changed meanwhile. Raises as `copied`."""
    return await _ended(tell, "compare", str(original), str(copy))


async def unpacked(archive: int, target: Path, room_bytes: int, tell: Tell) -> Ended:
    """Fill an empty directory from a tar archive, plain or compressed.

    archive     open to read
    room_bytes  how much content it may take at most
    raises      as `copied`; CopyFailed has the codes ArchiveRefused and ArchiveDamaged as well
    """
    arguments = (str(archive), str(room_bytes), str(target))
    return await _ended(tell, *arguments, module="unpacking", inherits=(archive,))


def _reached(original: Path | int) -> tuple[str, tuple[int, ...]]:
    """How the process reaches a directory, and what it inherits for that."""
    if isinstance(original, Path):
        return str(original), ()
    # Only what comes last must be no link, and the descriptor's entry in /proc looks like one.
    return f"/proc/self/fd/{original}/.", (original,)


async def _ended(
    tell: Tell, *arguments: str, module: str = "copier", inherits: Sequence[int] = ()
) -> Ended:
    last: Said | None = None

    def heard(line: bytes) -> None:
        nonlocal last
        last = _said.decode(line)
        if isinstance(last, Tick):
            tell(last)

    command = (*processes.own(f"mooring.host.{module}"), *arguments)
    try:
        finished = await processes.followed(
            *command, heard=heard, silence_s=SILENCE_S, inherits=inherits
        )
    except HostStuck as error:
        raise HostStuck(f"a sign of life from copying {arguments[-1]}", SILENCE_S) from error
    match last:
        case Ended():
            return last
        case Full(need_bytes, free_bytes):
            raise DiskFull(arguments[-1], need_bytes, free_bytes)
        case Gone(what):
            raise TreeChanged([what])
        case Failed(code, what, remedy):
            raise CopyFailed(code, what, remedy)
        case _:
            raise ProgramFailed(f"the process {module}", finished.status, finished.message)
