"""Named places where a test makes this process die as kill -9 would. Inert in normal use.

`MOORING_CRASH_AT=name[:n]` kills at the n-th time (default the first) that place is passed.
"""

import os
import signal
from typing import Final

POINTS: Final[set[str]] = set()
_armed, _left = "", 0


def crash_point(name: str) -> str:
    """Declare a place, at import time, so that a test can list every one and hit it."""
    POINTS.add(name)
    return name


def arm(place: str) -> None:
    """From now on, as the variable says it; "" for nowhere."""
    global _armed, _left
    _armed, _, count = place.partition(":")
    _left = int(count or 1)


def passing(name: str) -> None:
    """Die here if this is the place asked for."""
    global _left
    if name == _armed:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("MOORING_CRASH_AT", ""))
