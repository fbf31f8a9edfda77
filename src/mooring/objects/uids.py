"""Names of objects that nothing else ever has."""

import os
from collections.abc import Iterator
from typing import Final

UIDS_AT_ONCE: Final = 64


def uids() -> Iterator[str]:
    """UUIDs of version 4. The randomness is fetched in blocks: asking the system for it gives
    Python's lock away, which a thread of the store may then keep for long."""
    while True:
        block = os.urandom(UIDS_AT_ONCE * 16).hex()
        for start in range(0, len(block), 32):
            digits = block[start : start + 32]
            variant = "89ab"[int(digits[16], 16) % 4]
            yield (
                f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
            )
