"""Repositories of backups, as one host reaches them: opened, made, looked at, tidied up."""

import asyncio
import binascii
import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from mooring.clock import timestamp
from mooring.crashpoints import crash_point, passing
from mooring.errors import MooringError
from mooring.host.restic import Restic
from mooring.model.backup import (
    ACCESS_KEY_ID,
    CA_CERTIFICATE,
    READY,
    SECRET_ACCESS_KEY,
    BackupRepository,
    Condition,
    with_condition,
)
from mooring.node.backup_places import BackupPlaces
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.reconcile.queue import Again, Done, Outcome
from mooring.rules.events import WARNING, EventNote
from mooring.store.interface import Conflict

log = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 600.0  # at one that is ready
DIRECTORY_AGAIN_S: Final = 5.0  # at one that is away: a look costs little
STORE_AGAIN_S: Final = 30.0
COMPONENT: Final = "backup.mooring.dev"

MADE: Final = crash_point("repository.made")
PRUNED: Final = crash_point("repository.pruned")


class RepositoryUnknown(MooringError):
    code = "RepositoryUnknown"

    def __init__(self, key: str) -> None:
        self.what = f"BackupRepository {key} does not exist"
        self.remedy = "make it; what waits for it goes on then"


class RepositoryNotReady(MooringError):
    code = "RepositoryNotReady"

    def __init__(self, repository: BackupRepository) -> None:
        self.what = f"BackupRepository {repository.key} is not ready: {repository.message}"
        self.remedy = "what waits for it goes on when it is"


class RepositoryElsewhere(MooringError):
    code = "RepositoryElsewhere"

    def __init__(self, repository: BackupRepository, here: str) -> None:
        self.what = (
            f"repository {repository.key} is a directory of host {repository.spec.node}, "
            f"which {here} does not reach"
        )
        self.remedy = "use a pool of that host, or a repository in an S3 store"


class SecretUnknown(MooringError):
    code = "SecretUnknown"

    def __init__(self, key: str, entry: str) -> None:
        self.what = f"Secret {key} does not exist, or has no entry {entry}"
        self.remedy = f"make it: kubectl create secret generic NAME --from-literal={entry}=..."


class AnotherRepository(MooringError):
    """What was backed up is not in there."""

    code = "AnotherRepository"

    def __init__(self, url: str, wanted: str, found: str | None) -> None:
        there = "there is none any more" if found is None else f"it is {found[:10]} now"
        self.what = f"the repository at {url} was {wanted[:10]}, and {there}"
        self.remedy = "mount the disk it was on, or make another BackupRepository object"


class Turns:
    """Of one repository: many may add to it at once, who takes from it is alone.

    Who waits to be alone goes before those that come after, so that some that follow each other
    without an end keep nobody waiting for ever.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._many, self._alone, self._want_alone = 0, False, 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._want_alone)
            self._many += 1
        try:
            yield
        finally:
            self._many -= 1
            await self._tell()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            self._want_alone += 1
            try:
                await self._changed.wait_for(lambda: not self._alone and not self._many)
                self._alone = True
            finally:
                self._want_alone -= 1
                self._changed.notify_all()  # those whom we kept waiting, if we gave up
        try:
            yield
        finally:
            self._alone = False
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Repositories:
    """Those that this host reaches."""

    def __init__(
        self,
        objects: Objects,
        node: str,
        state_dir: Path,
        tell: Callable[[EventNote], None],
        places: BackupPlaces,
    ) -> None:
        self._objects, self._node, self._tell, self._places = objects, node, tell, places
        self._workplace = state_dir / "backup"
        self._turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()
        self._pruning: dict[str, asyncio.Task[None]] = {}

    def turns(self, restic: Restic) -> Turns:
        """Of a repository, whichever objects it is known by."""
        return self._turns.setdefault(restic.url, Turns())

    def opened(self, key: str, *, is_ready: bool = True) -> Restic:
        """A repository by its object's key, with what opens it.

        is_ready  it has to be: made, and found again at the last look
        raises    RepositoryUnknown, RepositoryNotReady, RepositoryElsewhere, SecretUnknown
        """
        repository = self._objects.view(BackupRepository, key)
        if repository is None:
            raise RepositoryUnknown(key)
        spec = repository.spec
        if spec.node not in ("", self._node):
            raise RepositoryElsewhere(repository, self._node)
        if is_ready and not repository.is_ready:
            raise RepositoryNotReady(repository)
        space = repository.namespace
        password = self._secret(space, spec.password_secret.name, spec.password_secret.key)
        keys, authority = {}, None
        if spec.credentials_secret is not None:
            name = spec.credentials_secret.name
            for entry in (ACCESS_KEY_ID, SECRET_ACCESS_KEY):
                keys[entry] = self._secret(space, name, entry).decode()
            with suppress(SecretUnknown):
                authority = self._secret(space, name, CA_CERTIFICATE)
        place = self._workplace / repository.uid
        permit = None if repository.is_remote else partial(self._places.check, spec.url)
        return Restic(spec.url, password.decode(), place, keys, authority, permit)

    def _secret(self, namespace: str, name: str, entry: str) -> bytes:
        key = f"{namespace}/{name}"
        doc = self._objects.one("secrets", key)
        value = ((doc or {}).get("data") or {}).get(entry)
        if not value:
            raise SecretUnknown(key, entry)
        try:
            decoded = b64decode(value, validate=True)
            decoded.decode()
        except (binascii.Error, ValueError) as error:
            raise SecretUnknown(key, entry) from error
        return decoded

    async def reconcile(self, key: str) -> Outcome:
        """See that a repository is there and ours, make one that never was, remove what is not
        needed any more."""
        repository = self._objects.view(BackupRepository, key)
        if repository is None or repository.being_deleted:
            return Done("the repository is gone")
        if repository.spec.node not in ("", self._node):
            return Done("of another host")
        if not repository.is_remote and not repository.spec.node:
            await self._take(repository)
            return Done("it is this host's now, and is looked at as such")
        try:
            restic = self.opened(key, is_ready=False)
            found = await self._found(repository, restic)
            await self._put(repository, _ready("True", "Found", "it can be opened"), found)
        except MooringError as error:
            return await self._failed(repository, error)
        if repository.status.prune_needed and key not in self._pruning:
            task = asyncio.create_task(self._prune(repository, restic), name=f"prune {key}")
            self._pruning[key] = task
            task.add_done_callback(lambda _: self._pruning.pop(key, None))
        if key in self._pruning:
            return Again(STORE_AGAIN_S, "what nobody has any more is removed")
        return Again(LOOK_AGAIN_S, "it can be opened")

    async def _failed(self, repository: BackupRepository, error: MooringError) -> Outcome:
        why = str(error)
        self._tell(EventNote(repository.reference(), WARNING, error.code, why, COMPONENT))
        await self._put(repository, _ready("False", error.code, why))
        return Again(STORE_AGAIN_S if repository.is_remote else DIRECTORY_AGAIN_S, why)

    async def close(self) -> None:
        """End what is under way; it is done after the next start."""
        tasks = list(self._pruning.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, repository: BackupRepository) -> None:
        """A directory is of one host; one that names none is of the first that sees it."""

        def taken(doc: Doc) -> Doc:
            doc["spec"]["node"] = doc["spec"].get("node") or self._node
            return doc

        kind, same = self._objects.kinds[BackupRepository.resource], repository.uid
        with suppress(NotFound):
            await self._objects.update(
                kind, repository.key, taken, preconditions=Preconditions(uid=same)
            )

    async def note_away(self, key: str, error: MooringError) -> None:
        """Somebody could not reach it. Said at once: a look may be under way that began while it
        was there, and restic tries again for minutes what it cannot find any more."""
        repository = self._objects.view(BackupRepository, key)
        if repository is not None:
            await self._put(repository, _ready("False", error.code, str(error)))

    async def _found(self, repository: BackupRepository, restic: Restic) -> str:
        known = repository.status.repository_id
        found = await restic.repository_id()
        if found is None and not known:
            found = await restic.make()
            log.info("repository=%s made at %s", repository.key, restic.url)
            passing(MADE)
        if found is None or (known and found != known):
            raise AnotherRepository(restic.url, known, found)
        return found

    async def _prune(self, repository: BackupRepository, restic: Restic) -> None:
        """Beside the looks, since it waits for backups that run, and takes as long as it takes."""
        try:
            async with self.turns(restic).alone():
                await restic.unlock()
                await restic.prune()
                passing(PRUNED)
                await self.note_prune(repository.key, needed=False)  # before others forget more
        except MooringError as error:  # the looks that go on begin it anew
            await self._failed(repository, error)
        except Exception:
            log.exception("repository=%s: tidying up ended unexpectedly", repository.key)

    async def note_prune(self, key: str, *, needed: bool) -> None:
        """Whether there is data in a repository that no snapshot has any more."""
        while (found := self._objects.view(BackupRepository, key)) is not None:
            status = msgspec.structs.replace(found.status, prune_needed=needed)
            with suppress(Conflict):
                await self._objects.commit([(found, msgspec.structs.replace(found, status=status))])
                return

    async def _put(self, about: BackupRepository, ready: Condition, id_: str = "") -> None:
        now = timestamp(self._objects.clock.now())
        while (found := self._objects.view(BackupRepository, about.key)) is not None:
            if found.uid != about.uid:
                return
            conditions = with_condition(found.status.conditions, ready, now)
            id_ = id_ or found.status.repository_id
            status = msgspec.structs.replace(found.status, conditions=conditions, repository_id=id_)
            if status == found.status:
                return
            with suppress(Conflict):
                await self._objects.commit([(found, msgspec.structs.replace(found, status=status))])
                return


def _ready(status: str, reason: str, message: str) -> Condition:
    return Condition(type=READY, status=status, reason=reason, message=message)
