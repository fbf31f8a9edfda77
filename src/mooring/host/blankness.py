"""Whether a disk has anything on it: found by reading, for who would write to it otherwise."""

import mmap
import os
from errno import EIO
from typing import Final

LOOKED_AT_BYTES: Final = 1 << 20  # at either end; what marks a disk as used is in there


def is_blank(node: str) -> bool:
    """Whether the first and the last MiB of a disk are zero. Past the page cache. Blocks.

    raises  OSError: it is not there, does not answer, or has no size; never taken for blank
    """
    fd = os.open(node, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        size_bytes = os.lseek(fd, 0, os.SEEK_END)
        if not size_bytes:
            raise OSError(EIO, "it has no size", node)
        with mmap.mmap(-1, LOOKED_AT_BYTES) as buffer:  # aligned to a page, as O_DIRECT wants it
            last = max(size_bytes - LOOKED_AT_BYTES, 0)
            return all(_is_zero(fd, start, size_bytes, buffer) for start in sorted({0, last}))
    finally:
        os.close(fd)


def _is_zero(fd: int, start: int, size_bytes: int, buffer: mmap.mmap) -> bool:
    """Of a piece. What cannot be read whole is an error."""
    wanted = min(size_bytes - start, LOOKED_AT_BYTES)
    got = os.preadv(fd, [buffer], start)
    if got < wanted:
        raise OSError(EIO, f"only {got} of {wanted} bytes at {start} could be read")
    return not buffer[:got].strip(b"\0")
