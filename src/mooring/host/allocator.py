"""How the C library keeps memory for later, where it can be told."""

import ctypes
from typing import Final

# As glibc's malloc.h numbers them.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
LARGE_BYTES: Final = 8 * 1024 * 1024


def give_back_what_is_large() -> None:
    """Have large blocks given back to the system when they are freed, and all threads share a heap.

    To be called before there are threads. Left to itself glibc raises by and by what it takes for
    large to 32 MiB and gives each thread a heap of its own; bodies of some MiB, read by now this
    thread and now that one, then leave holes in all of them that nothing fills. One heap costs
    nothing while Python lets one thread run at a time.
    A C library that has no such settings is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)
