"""Whose the root directory of a new volume is, if its claim says so by annotations."""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple, Self

from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.model.claim import Claim
from mooring.model.names import MODE, OWNER

_OWNER = re.compile(r"(\d{1,10}):(\d{1,10})")
_MODE = re.compile(r"[0-7]{1,5}")
ID_AT_MOST: Final = 2**31 - 1  # of a user or group
MODE_AT_MOST: Final = 0o7777


class Ownership(NamedTuple):
    """uid and gid as of this host; mode as of chmod(2), None: as the backend makes it."""

    uid: int
    gid: int
    mode: int | None

    @classmethod
    def of(cls, claim: Claim) -> Self | None:
        """As it was asked for, None if it was not. What is no such text is not asked for."""
        owner = _OWNER.fullmatch(claim.annotations.get(OWNER, ""))
        mode = _MODE.fullmatch(claim.annotations.get(MODE, ""))
        uid, gid = (int(owner[1]), int(owner[2])) if owner is not None else (0, 0)
        if (owner is None and mode is None) or max(uid, gid) > ID_AT_MOST:
            return None
        return cls(uid, gid, int(mode[0], 8) & MODE_AT_MOST if mode is not None else None)

    async def give(self, root: Path, blocking: Blocking) -> None:
        """Set it on a directory, not on what a link leads to. Raises OSError, HostStuck."""
        await blocking.run(lambda: self._give(root), about=str(root))

    def _give(self, root: Path) -> None:
        with files.directory(root) as fd:
            os.fchown(fd, self.uid, self.gid)
            if self.mode is not None:
                os.fchmod(fd, self.mode)
            files.synced(fd)
