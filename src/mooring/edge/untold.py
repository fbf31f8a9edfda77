"""What an edge cannot tell by its status, since its directory takes no file any more.

It is written in place, into room that was taken while there was some.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from mooring.edge.errors import NotWritten
from mooring.edge.place import Place

NAME: Final = "untold"
ROOM: Final = 4096  # bytes


class Untold:
    """Of one edge."""

    def __init__(self, place: Place) -> None:
        self._place, self._said = place, untold(place.path)

    def make(self) -> None:
        """Take the room, if there is any. Raises nothing."""
        path = self._place.path / NAME
        if not path.exists():
            with suppress(NotWritten):
                self._place.write(NAME, " " * ROOM)

    def tell(self, why: str) -> bool:
        """Whether it is another than before. Empty: there is nothing. Raises nothing."""
        if why == self._said:
            return False
        self._said = why
        with suppress(OSError):
            file = os.open(self._place.path / NAME, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(file, why.encode()[:ROOM].ljust(ROOM), 0)
            finally:
                os.close(file)
        return True


def untold(place: Path) -> str:
    """Empty: its status tells all."""
    try:
        return (place / NAME).read_text(errors="replace").strip()
    except OSError:
        return ""
