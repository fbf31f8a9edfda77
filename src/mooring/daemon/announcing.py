"""Says that this server is there, and which schemas of a store it knows, to those beside it."""

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from typing import Final

from mooring import __version__
from mooring.api.store import Server
from mooring.background import Background
from mooring.errors import MooringError
from mooring.store.interface import Store
from mooring.store.refusals import StoreNewer
from mooring.store.schema import LATEST, Known, announce, servers_of, withdraw

log = logging.getLogger(__name__)

BEAT_S: Final = 5.0
GONE_AFTER: Final = 6  # words that are missed, as we saw it by our own clock


class Announcing:
    """Of one server, among those of a store that several share. One that is alone tells nobody."""

    def __init__(self, store: Store, name: str, place: str, beat_s: float = BEAT_S) -> None:
        """name: of this server, not of another. place: what people call the store"""
        self._store, self._name, self._place, self._beat_s = store, name, place, beat_s
        self._own = Known(__version__, LATEST)
        self._heard: dict[str, tuple[int, float]] = {}  # by name: a beat, and when it was new
        self._work = Background("announcing")

    async def begin(self) -> None:
        """Before anything else is written there. Raises StoreNewer, Unavailable."""
        if self._store.is_shared:
            await announce(self._store, self._name, self._own, self._place)

    async def start(self) -> None:
        if self._store.is_shared:
            self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()
        if self._store.is_shared:
            with suppress(MooringError):  # the others find it silent
                await withdraw(self._store, self._name)

    async def servers(self) -> list[Server]:
        """All that are there, as far as is known."""
        if not self._store.is_shared:
            return [Server(self._name, self._own.version, self._own.knows, 0.0, is_this=True)]
        found, _ = await servers_of(self._store)
        self._hear(found)
        now = time.monotonic()
        return [
            Server(name, one.version, one.knows, now - self._heard[name][1], name == self._name)
            for name, one in sorted(found.items())
        ]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self._beat()
            except StoreNewer as error:  # we stood still while it was finalized
                log.error("this server ends: %s", error)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except MooringError as error:
                log.warning("this server is not announced: %s", error)

    async def _beat(self) -> None:
        self._own = Known(self._own.version, self._own.knows, self._own.beat + 1)
        await announce(self._store, self._name, self._own, self._place)
        found, _ = await servers_of(self._store)
        self._hear(found)
        since_s = time.monotonic() - GONE_AFTER * self._beat_s
        gone = [name for name, (_, heard_s) in self._heard.items() if heard_s < since_s]
        if gone:
            log.info("servers that say nothing any more: %s", ", ".join(gone))
            await withdraw(self._store, *gone)

    def _hear(self, found: dict[str, Known]) -> None:
        now = time.monotonic()
        before, self._heard = self._heard, {}
        for name, one in found.items():
            beat, heard_s = before.get(name, (-1, 0.0))
            self._heard[name] = (one.beat, heard_s if beat == one.beat else now)
