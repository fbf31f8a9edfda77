"""All of one host that has to do with backups, wired to what wakes it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.model.backup import BackupRepository, VolumeBackup
from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot
from mooring.node.backup_places import BackupPlaces
from mooring.node.backups import Backups
from mooring.node.cutting import Cutter
from mooring.node.pools import Pools
from mooring.node.repositories import Repositories
from mooring.node.restoring import BackupFiller
from mooring.node.use import Users
from mooring.objects.cache import Event
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Queue
from mooring.rules.events import EventNote

SECRETS = "secrets"


class Backing:
    """Repositories, and backups in them."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        users: Users,
        node: str,
        state_dir: Path,
        tell: Callable[[EventNote], None],
        again: Callable[[], None],
        backup_dirs: Sequence[Path],
    ) -> None:
        """again  has claims looked at that wait for a backup or a repository"""
        self._objects, self._claims_again = objects, again
        self._node, self._state_dir = node, state_dir
        places = BackupPlaces(backup_dirs, self._others)
        repositories = Repositories(objects, node, state_dir, tell, places)
        self._repositories = repositories
        self._cutter = Cutter(objects, pools, users, state_dir)
        self._backups = Backups(objects, pools, repositories, self._cutter, node, tell)
        self.filler = BackupFiller(objects, repositories)
        self.repositories = Queue("repositories", repositories.reconcile)
        self.backups = Queue("backups", self._backups.reconcile)
        self._backups.again = self.backups.add
        self._backups.doubt = self.repositories.add
        self._unfollow: list[Callable[[], None]] = []

    def _others(self) -> list[str]:
        """Directories of this host that are no places for repositories."""
        pools = self._objects.views(Pool)
        mine = [one.root for one in pools if one.node in ("", self._node)]
        return [str(self._state_dir), *(root for root in mine if root.startswith("/"))]

    @property
    def queues(self) -> tuple[Queue, Queue]:
        return self.repositories, self.backups

    async def until_idle(self) -> None:
        """Wait until no backup is under way."""
        await self._backups.until_idle()

    async def start(self) -> None:
        """Look at all there is, and at what a crash left; then follow."""
        for key in await self._cutter.start():
            self.backups.add(key)
        shelves = self._objects.cache.shelves
        for resource, changed in (
            (BackupRepository.resource, self._repository_changed),
            (VolumeBackup.resource, self._backup_changed),
            (SECRETS, self._secret_changed),
            (Claim.resource, self._source_changed),
            (Snapshot.resource, self._source_changed),
        ):
            self._unfollow.append(shelves[resource].follow(changed))
        for resource, queue in (
            (BackupRepository.resource, self.repositories),
            (VolumeBackup.resource, self.backups),
        ):
            for entry in shelves[resource].entries():
                queue.add(entry.key)
        for one in self.queues:
            one.start()

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        for queue in self.queues:
            await queue.stop()
        await self._backups.close()
        await self._repositories.close()

    def _backup_changed(self, event: Event) -> None:
        self.backups.add(event.key)
        if event.after is not None and b'"Completed"' in event.after.body:
            self._claims_again()

    def _repository_changed(self, event: Event) -> None:
        self.repositories.add(event.key)
        self._backups.wake(event.key.partition("/")[0])
        self._claims_again()

    def _secret_changed(self, event: Event) -> None:
        namespace = event.key.partition("/")[0]
        for repository in self._objects.views(BackupRepository, namespace):
            self.repositories.add(repository.key)

    def _source_changed(self, event: Event) -> None:
        self._backups.wake(event.key.partition("/")[0])
