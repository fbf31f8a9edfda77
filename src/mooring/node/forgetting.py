"""Takes deleted backups out of their repositories: all that wait for one repository at once.

It goes on beside the looks at the objects, since it has to wait for the backups that run.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mooring.host.restic import Restic
from mooring.model.backup import VolumeBackup
from mooring.node.repositories import Repositories
from mooring.rules import backups as rules

AT_ONCE: Final = 100  # the arguments of one program


class _Ended(NamedTuple):
    uid: str
    error: Exception | None


class Forgetting:
    """Asked again and again until a backup is forgotten."""

    def __init__(self, repositories: Repositories, again: Callable[[str], None]) -> None:
        """again  is called with the key of a backup that is forgotten, or could not be"""
        self._repositories, self._again = repositories, again
        self._waiting: dict[str, dict[str, VolumeBackup]] = {}  # repository → key → backup
        self._ended: dict[str, _Ended] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by the repository

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """What is under way."""
        return tuple(self._tasks.values())

    def is_forgotten(self, backup: VolumeBackup) -> bool:
        """Whether its repository has nothing of it any more; it is seen to that it becomes so.

        raises  why it could not be forgotten; the next call begins anew
        """
        ended = self._ended.pop(backup.key, None)
        if ended is not None and ended.uid == backup.uid:
            if ended.error is not None:
                raise ended.error
            return True
        repository = backup.repository_key
        restic = self._repositories.opened(repository, is_ready=False)
        self._waiting.setdefault(repository, {})[backup.key] = backup
        if repository not in self._tasks:
            task = asyncio.create_task(self._run(repository, restic), name=f"forget {repository}")
            self._tasks[repository] = task  # which takes itself out, once nobody waits
        return False

    def drop(self, key: str) -> None:
        """The object is gone."""
        self._ended.pop(key, None)

    async def _run(self, repository: str, restic: Restic) -> None:
        try:
            while waiting := self._waiting.get(repository):
                await self._turn(repository, restic, waiting)
        finally:
            self._waiting.pop(repository, None)
            del self._tasks[repository]

    async def _turn(
        self, repository: str, restic: Restic, waiting: dict[str, VolumeBackup]
    ) -> None:
        taken: dict[str, VolumeBackup] = {}
        error: Exception | None = None
        try:
            async with self._repositories.turns(restic).alone():
                # Only now, as more may have come while we waited.
                taken = {key: waiting[key] for key in list(waiting)[:AT_ONCE]}
                await self._forget(repository, restic, taken.values())
        except Exception as one:  # those who asked say it, and ask again
            error = one
        for key, backup in taken.items():
            del waiting[key]
            self._ended[key] = _Ended(backup.uid, error)
            self._again(key)

    async def others(self, backup: VolumeBackup, keep: str) -> None:
        """Forget what there is of a backup but one snapshot, now. Raises MooringError."""
        repository = backup.repository_key
        restic = self._repositories.opened(repository, is_ready=False)
        async with self._repositories.turns(restic).alone():
            await self._forget(repository, restic, [backup], keep)

    async def _forget(
        self, repository: str, restic: Restic, backups: Iterable[VolumeBackup], keep: str = ""
    ) -> None:
        tagged = await restic.snapshots(*(rules.tag_of(one) for one in backups))
        found = [one.id for one in tagged if one.id != keep]
        if found:  # noted first: a crash in between costs a look, not the room
            await self._repositories.note_prune(repository, needed=True)
            await restic.unlock()
            await restic.forget(found)
