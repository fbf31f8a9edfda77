"""What a pool of `hanging` hangs in, seen from outside of that process.

ROOT.hangs/CALL          a FIFO that all calls of that name wait in
ROOT.hangs/CALL-ASSET    those about one asset
ROOT.hangs/held-CALL-…   is there while a call hangs
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

CALLS: Final = ("create", "delete", "publish", "unpublish")


class Hangs:
    """Of one pool."""

    def __init__(self, root: Path) -> None:
        """root  of the pool"""
        self.place = root.with_name(f"{root.name}.hangs")

    def begin(self, call: str, asset: str = "") -> None:
        """Calls hang from now on; asset "" for all."""
        self.place.mkdir(exist_ok=True)
        os.mkfifo(self._cause(call, asset))

    def end(self, call: str, asset: str = "") -> None:
        """Calls that hang go on, and no more do."""
        cause = self._cause(call, asset)
        cause.unlink()
        for held in self.place.glob(f"held-{cause.name}-*"):
            with suppress(FileNotFoundError):  # it is one FIFO, so others have woken up already
                writing = os.open(held, os.O_RDWR)  # who waits in it wakes up
                held.unlink(missing_ok=True)  # who is about to does not
                os.close(writing)

    def held(self, call: str, asset: str = "") -> int:
        """How many calls hang now."""
        return len(list(self.place.glob(f"held-{self._cause(call, asset).name}-*")))

    def _cause(self, call: str, asset: str) -> Path:
        assert call in CALLS
        return self.place / (f"{call}-{asset}" if asset else call)
