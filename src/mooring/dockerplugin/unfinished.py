"""Adoptions that are not finished: noted on disk before anything is made for them.

STATE/adoptions/TOKEN   a file each; the claim that it makes has the token in an annotation

What a claim says of itself is not believed alone: whoever may write claims could have any volume of
the host copied into his own.
"""

import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.model.claim import Claim
from mooring.model.names import ADOPTING

log = logging.getLogger(__name__)


class Unfinished(msgspec.Struct, frozen=True):
    """To copy Docker's volume `volume` into a claim, "namespace/name"; name is what that is to be
    called by people: the claim, or what the claim is called in Docker."""

    token: str
    volume: str
    claim: str
    name: str

    def is_of(self, claim: Claim | None) -> bool:
        """Whether a claim was made for this, and is not whole yet."""
        return claim is not None and claim.annotations.get(ADOPTING) == self.token


class Notes:
    """What this host has begun."""

    def __init__(self, state_dir: Path) -> None:
        self._place = state_dir / "adoptions"
        self._blocking = Blocking("the data directory")
        self._known: dict[str, Unfinished] = {}  # by token

    async def start(self) -> list[Unfinished]:
        """Those that an earlier process left."""
        self._known = {one.token: one for one in await self._blocking.run(self._read)}
        return list(self._known.values())

    async def add(self, one: Unfinished) -> None:
        """Noted, on disk, when this returns. Raises OSError, HostStuck."""
        await self._blocking.run(partial(self._write, one))
        self._known[one.token] = one

    async def drop(self, one: Unfinished) -> None:
        """It is finished, or given up; absent is success."""
        await self._blocking.run(partial(self._forget, one.token))
        self._known.pop(one.token, None)

    def of(self, claim: Claim) -> Unfinished | None:
        """The one that a claim was made for."""
        found = self._known.get(claim.annotations.get(ADOPTING, ""))
        return found if found is not None and found.claim == claim.key else None

    def _read(self) -> list[Unfinished]:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for path in sorted(self._place.iterdir()):
            if path.name.startswith("."):
                path.unlink()  # half written: nothing was made for it
                continue
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Unfinished))
            except msgspec.MsgspecError as error:  # no crash of ours does that
                log.warning("left alone: %s is no adoption: %s", path, error)
        return found

    def _write(self, one: Unfinished) -> None:
        with files.directory(self._place) as place:
            files.written(one.token, msgspec.json.encode(one), place, 0o600)

    def _forget(self, token: str) -> None:
        with files.directory(self._place) as place:
            with suppress(FileNotFoundError):
                os.unlink(token, dir_fd=place)
            files.synced(place)
