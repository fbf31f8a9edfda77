"""A server that can be asked what it keeps in its memory, see census.py."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.system.server import Server, eventually

NONE: Final[Mapping[str, int]] = {}
CENSUS: Final = Path(__file__).with_name("census.py")


class CountedServer(Server):
    """A server that can be asked for its census."""

    def __init__(self, place: Path, options: Sequence[str] = ()) -> None:
        super().__init__(place, options=options)
        self.program = (str(CENSUS), str(place / "census"))

    def census(self) -> dict[str, int]:
        """As `census` says, of now."""
        path = self.place / "census"
        path.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        eventually(path.exists, "its census is written")
        found: dict[str, int] = json.loads(path.read_text())
        return found


def grown(
    before: dict[str, int], after: dict[str, int], *, by: int, limits: Mapping[str, int] = NONE
) -> dict[str, tuple[int, int]]:
    """What holds more than before: by more than so many things, and more than a tenth.

    limits  of what is limited, and may have been below its limit before
    """
    return {
        name: (before.get(name, 0), count)
        for name, count in after.items()
        if count > max(before.get(name, 0) * 1.1 + by, limits.get(name, 0))
    }
