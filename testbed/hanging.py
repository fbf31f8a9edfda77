"""Mooring with a backend that hangs when it is told to, as a server that is away would let it.

    python -m testbed.hanging up …      as `mooring up …`

The driver `directory.mooring.dev` of it is the real one. Before it does what it is asked it looks
for a FIFO that `hangs` put beside the root of its pool, and waits in it.
"""

import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path

from mooring.cli.main import main
from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.interface import Asset, AssetName, Source, asset_name
from mooring.drivers.registry import DRIVERS, Backend
from mooring.model.names import DIRECTORY_DRIVER
from testbed.hangs import Hangs


class HangingDriver(DirectoryDriver):
    """Keeps the contract as long as nobody makes it hang."""

    async def unpublish(self, name: AssetName) -> None:
        await self._done(partial(self._hang, "unpublish", asset_name(name)), about=name)

    # In threads, as what they stand before.

    def _create(self, name: AssetName, size_bytes: int, source: Source | None) -> Asset:
        self._hang("create", name)
        return super()._create(name, size_bytes, source)

    def _delete(self, name: str) -> None:
        self._hang("delete", name)
        super()._delete(name)

    def _publish(self, name: AssetName) -> Path:
        self._hang("publish", name)
        return super()._publish(name)

    def _hang(self, call: str, name: str) -> None:
        place = Hangs(self.place.root).place
        for cause in (place / call, place / f"{call}-{name}"):
            held = place / f"held-{cause.name}-{secrets.token_hex(4)}"
            with suppress(FileNotFoundError):
                os.link(cause, held)
                held.open("rb").close()  # returns when somebody has opened it for writing
                held.unlink()


if __name__ == "__main__":
    DRIVERS[DIRECTORY_DRIVER] = Backend(HangingDriver.at, HangingDriver.features)
    main()
