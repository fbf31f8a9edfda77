"""How many connections there may be at a time: each takes one of the files we may have open."""

import logging
import math
import time
from typing import Final

log = logging.getLogger(__name__)

TOLD_EVERY_S: Final = 60.0


class Seats:
    """Refuses those who come when all are taken, so that the server has files left to work with."""

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        self._refused = 0  # since it was told last
        self._told_at_s = -math.inf

    def refuses(self, taken: int) -> bool:
        """Whether one who comes now is sent away. taken: how many are connected, it included."""
        if taken <= self.at_most:
            return False
        self._refused += 1
        now_s = time.monotonic()
        if now_s - self._told_at_s >= TOLD_EVERY_S:
            log.warning(
                "connections refused=%d: %d are open, as many as there may be; end some, or allow "
                "this process more open files (ulimit -n, LimitNOFILE= of its unit)",
                self._refused,
                self.at_most,
            )
            self._refused, self._told_at_s = 0, now_s
        return True
