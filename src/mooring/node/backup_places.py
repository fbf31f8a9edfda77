"""Directories of this host that backups may be written to: restic is root, and writes anywhere."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mooring.errors import MooringError
from mooring.host.blocking import Blocking


class BackupDirRefused(MooringError):
    code = "BackupDirRefused"

    def __init__(self, path: str, allowed: Sequence[Path]) -> None:
        named = ", ".join(str(one) for one in allowed) or "none is"
        self.what = f"{path} is below no directory that this host allows for backups ({named})"
        self.remedy = "move it there, or start Mooring with --backup-dir DIRECTORY"


class BackupAmongVolumes(MooringError):
    """restic would write among them, or they into the repository."""

    code = "BackupAmongVolumes"

    def __init__(self, path: str, other: str) -> None:
        self.what = (
            f"{path} and {other}, which is a pool's root or Mooring's own, lie in each other"
        )
        self.remedy = "choose another directory for the repository, on another disk"


class BackupPlaces:
    """Which directories may be repositories.

    allowed  those, and what is below them
    others   which no repository may be, or be below, or be above of
    """

    def __init__(self, allowed: Sequence[Path], others: Callable[[], Sequence[str]]) -> None:
        self._allowed, self._others = allowed, others
        self._blocking = Blocking("the directories of backups and pools")

    async def check(self, path: str) -> None:
        """As it is now, links followed. Raises BackupDirRefused, BackupAmongVolumes, HostStuck."""
        await self._blocking.run(partial(self._check, path, self._others()))

    def _check(self, path: str, others: Sequence[str]) -> None:
        place = _real(path)
        if not any(place.is_relative_to(_real(str(one))) for one in self._allowed):
            raise BackupDirRefused(path, self._allowed)
        for other in others:
            real = _real(other)
            if place.is_relative_to(real) or real.is_relative_to(place):
                raise BackupAmongVolumes(path, other)


def _real(path: str) -> Path:
    return Path(os.path.realpath(path))
