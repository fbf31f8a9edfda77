"""A safety net: everything is looked at now and then, whether anything woke it or not."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

from mooring.background import Background
from mooring.objects.cache import Entry, Shelf

# Kubernetes looks at all every 15 s, since new volumes wake no claims there. Here all that matters
# wakes what it concerns; what is found this way is a fault of ours, mended without a restart.
EVERY_S: Final = 600.0
AT_ONCE: Final = 200  # keys; the next after a pause, so that nobody waits for the net


class Resync:
    """Walks over a shelf, again and again, a slice at a time."""

    def __init__(self, shelf: Shelf, look: Callable[[Entry], None]) -> None:
        self._shelf, self._look = shelf, look
        self._after = ""
        self._work = Background(f"resync {self._shelf.prefix}")

    def start(self) -> None:
        self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()

    async def _run(self) -> None:
        pause_s = EVERY_S  # at the start all was looked at
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self.look_at_slice()

    def look_at_slice(self) -> float:
        """Have the next ones looked at. Returns how many seconds to wait before the slice after."""
        found = list(islice(self._shelf.entries(after=self._after), AT_ONCE))
        for entry in found:
            self._look(entry)
        self._after = found[-1].key if len(found) == AT_ONCE else ""
        return EVERY_S / (len(self._shelf) // AT_ONCE + 1)
