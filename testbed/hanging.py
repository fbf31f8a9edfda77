"""Mooring with a backend that hangs when it is told to, as a server that is away would let it.

    python -m testbed.hanging up …      as `mooring up …`

The driver `directory.mooring.dev` of it is the real one. Before it does what it is asked it looks
for a FIFO beside the root of its pool, and waits in the kernel until that is removed:

ROOT.hangs/CALL          all calls of that name: create, delete, publish, unpublish
ROOT.hangs/CALL-ASSET    those about one asset
ROOT.hangs/held-CALL-…   is there while a call hangs
"""

import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from mooring.cli.main import main
from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.interface import Asset, AssetName, asset_name
from mooring.drivers.registry import DRIVERS, Backend
from mooring.model.names import DIRECTORY_DRIVER

CALLS: Final = ("create", "delete", "publish", "unpublish")


class HangingDriver(DirectoryDriver):
    """Keeps the contract as long as nobody makes it hang."""

    async def unpublish(self, name: AssetName) -> None:
        await self._done(partial(self._hang, "unpublish", asset_name(name)))

    # In threads, as what they stand before.

    def _create(self, name: AssetName, size_bytes: int) -> Asset:
        self._hang("create", name)
        return super()._create(name, size_bytes)

    def _delete(self, name: AssetName) -> None:
        self._hang("delete", name)
        super()._delete(name)

    def _publish(self, name: AssetName) -> Path:
        self._hang("publish", name)
        return super()._publish(name)

    def _hang(self, call: str, name: AssetName) -> None:
        place = Hangs(self.place.root).place
        for cause in (place / call, place / f"{call}-{name}"):
            held = place / f"held-{cause.name}-{secrets.token_hex(4)}"
            with suppress(FileNotFoundError):
                os.link(cause, held)
                held.open("rb").close()  # returns when somebody has opened it for writing
                held.unlink()


class Hangs:
    """What a pool hangs in, seen from outside of Mooring's process."""

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
            writing = os.open(held, os.O_RDWR)  # who waits in it wakes up
            held.unlink(missing_ok=True)  # who is about to does not
            os.close(writing)

    def held(self, call: str, asset: str = "") -> int:
        """How many calls hang now."""
        return len(list(self.place.glob(f"held-{self._cause(call, asset).name}-*")))

    def _cause(self, call: str, asset: str) -> Path:
        assert call in CALLS
        return self.place / (f"{call}-{asset}" if asset else call)


if __name__ == "__main__":
    DRIVERS[DIRECTORY_DRIVER] = Backend(HangingDriver.at, HangingDriver.features)
    main()
