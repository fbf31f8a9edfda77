"""nginx's own log, nginx.log, kept small: clients can have it write there as much as they like."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

LARGEST: Final = 8 << 20  # bytes; it lies in memory, as /run does
KEPT: Final = 1 << 20  # bytes, its end


def kept_small(log: Path, largest: int = LARGEST, kept: int = KEPT) -> None:
    """Once it is larger it is emptied, and its end stays beside it, in NAME.1.

    nginx appends, so it goes on with the same file; another one its workers may not open.
    """
    with suppress(OSError):
        size = log.stat().st_size
        if size <= largest:
            return
        with suppress(OSError), log.open("rb") as file:  # where there is no room it is just emptied
            file.seek(size - min(kept, size))
            log.with_name(f"{log.name}.1").write_bytes(file.read(kept))
        os.truncate(log, 0)
