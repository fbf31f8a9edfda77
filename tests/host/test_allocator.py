"""What is free goes back to the system."""

import ctypes
import os
from pathlib import Path

import pytest

from mooring.host.allocator import give_back

MIB = 1 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_free_memory_between_what_is_in_use_is_given_back() -> None:
    blocks = [b"x" * 60_000 for _ in range(600)]
    kept = blocks[::100]
    del blocks
    before = resident_bytes()
    give_back()
    assert resident_bytes() < before - 16 * MIB
    assert len(kept) == 6
