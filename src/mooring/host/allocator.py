"""How the C library keeps memory for later, where it can be told (glibc)."""

import asyncio
import ctypes
from typing import Final

from mooring.background import Background

# As glibc's malloc.h numbers them.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
LARGE_BYTES: Final = 8 * 1024 * 1024
GIVEN_BACK_EVERY_S: Final = 60.0  # some milliseconds of another thread, less if little is free


def share_one_heap() -> None:
    """Have all threads share a heap, and large blocks given back to the system when they are freed.

    To be called before there are threads. Left to itself glibc gives each thread a heap of its own,
    and raises by and by what it takes for large to 32 MiB; bodies of some MiB, read by now this
    thread and now that one, then leave holes in all of them that nothing fills. One heap costs
    nothing while Python lets one thread run at a time.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Give the pages between what is in use back to the system, which free blocks lie on."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


class Trimmer:
    """Gives back now and then what a time of large requests has left."""

    def __init__(self) -> None:
        self._work = Background("trimmer")

    async def start(self) -> None:
        self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(GIVEN_BACK_EVERY_S)
            await asyncio.to_thread(give_back)
