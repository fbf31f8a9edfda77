"""Disks to measure on: files with a loop device and a file system, gone after the measurement."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.client import BenchError

MAKE: Final = {"xfs": ("mkfs.xfs", "-q", "-K"), "btrfs": ("mkfs.btrfs", "-q", "-K")}
DEADLINE_S: Final = 120.0


@contextmanager
def disk(kind: str, place: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of this kind, mounted below a directory. Raises BenchError.

    The device goes with its mount. It writes past the page cache, as disks do.
    """
    file, point = place / "image", place / "fs"
    point.mkdir(parents=True)
    with file.open("wb") as opened:
        opened.truncate(size_bytes)
    _ran(*MAKE[kind], str(file))
    device = _ran("losetup", "--find", "--show", "--direct-io=on", str(file))
    try:
        _ran("mount", device, str(point))
    finally:
        _ran("losetup", "--detach", device)  # with its last user: that is the mount now
    try:
        yield point
    finally:
        _ran("umount", str(point))
        file.unlink()


def _ran(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except FileNotFoundError:
        raise BenchError(f"the program {command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"`{' '.join(command)}` did not end within {DEADLINE_S:.0f} s") from None
    if done.returncode:
        raise BenchError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout.strip()
