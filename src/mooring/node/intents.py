"""Assets that are being made: noted before they exist, so that none is left that nobody knows.

STATE/provisioning/NAME   a file per asset, there from before it is made until its volume is stored
STATE/snapshotting/NAME   likewise of snapshots, until their contents have their handles

What a pool holds beyond its volumes is never removed for that reason alone: the database may be an
older copy, and the data all there is. Only what is noted here is ours to take back.
"""

import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from mooring.host import files
from mooring.host.blocking import Blocking

log = logging.getLogger(__name__)


class Intent(msgspec.Struct, frozen=True, omit_defaults=True):
    """To make an asset for a claim ("namespace/name"), or a snapshot for a content, by its name.

    filled  it has what the claim's data source has, all of it
    """

    asset: str
    claim: str
    pool: str
    pool_uid: str
    filled: bool = False


class Intents:
    """What this host has begun to make."""

    def __init__(self, state_dir: Path, of: str = "provisioning") -> None:
        self._place = state_dir / of
        self._blocking = Blocking("the data directory")
        self._known: dict[str, Intent] = {}
        self._left: dict[str, Intent] = {}

    async def start(self) -> list[Intent]:
        """Those that an earlier process left."""
        found = await self._blocking.run(self._read)
        self._known = {intent.asset: intent for intent in found}
        return found

    async def begin(self, intent: Intent) -> None:
        """Noted, on disk, when this returns; what is filled stays so. Raises OSError.

        One of the same name in another pool has to be taken back before: see `elsewhere`.
        """
        known = self._known.get(intent.asset)
        if known is not None and known.filled and _place(known) == _place(intent):
            intent = msgspec.structs.replace(intent, filled=True)
        await self._note(intent)

    def elsewhere(self, intent: Intent) -> Intent | None:
        """What was begun under this name in another pool, or in one of that name that is gone."""
        known = self._known.get(intent.asset)
        return known if known is not None and _place(known) != _place(intent) else None

    async def filled(self, asset: str) -> None:
        """The asset has all that it is to have. Raises OSError."""
        await self._note(msgspec.structs.replace(self._known[asset], filled=True))

    async def not_filled(self, asset: str) -> None:
        """It is not there any more, or not whole. Raises OSError."""
        await self._note(msgspec.structs.replace(self._known[asset], filled=False))

    def is_filled(self, asset: str) -> bool:
        known = self._known.get(asset)
        return known is not None and known.filled

    async def _note(self, intent: Intent) -> None:
        if self._known.get(intent.asset) != intent:
            await self._blocking.run(partial(self._write, intent))
            self._known[intent.asset] = intent

    async def end(self, asset: str) -> None:
        """The asset has its volume, or is gone."""
        if asset in self._known:
            await self._blocking.run(partial(self._forget, asset))
            self._known.pop(asset, None)

    def leave(self, asset: str) -> None:
        """Nothing more is done for it now; the next start finds it again."""
        if (intent := self._known.pop(asset, None)) is not None:
            self._left[asset] = intent

    def all(self) -> list[Intent]:
        """Also those that are left to the next start."""
        return [*self._known.values(), *self._left.values()]

    def of_claim(self, key: str) -> list[Intent]:
        return [intent for intent in self._known.values() if intent.claim == key]

    def _read(self) -> list[Intent]:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for path in sorted(self._place.iterdir()):
            if path.name.startswith("."):
                path.unlink()  # half written: what it was for was not begun
                continue
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Intent))
            except msgspec.MsgspecError as error:  # no crash of ours does that
                log.warning("left alone: %s is no intent: %s", path, error)
        return found

    def _write(self, intent: Intent) -> None:
        with files.directory(self._place) as place:
            files.written(intent.asset, msgspec.json.encode(intent), place, 0o600)

    def _forget(self, asset: str) -> None:
        with files.directory(self._place) as place:
            with suppress(FileNotFoundError):
                os.unlink(asset, dir_fd=place)
            files.synced(place)  # or it might come back and take away what was kept since


def _place(intent: Intent) -> tuple[str, str]:
    return intent.pool, intent.pool_uid
