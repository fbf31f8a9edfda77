"""Who was given the path of a volume on this host: on disk, so that no crash forgets anybody.

STATE/users/UID/HASH  somebody who uses the volume with that uid. His ID can be any text, so what
                      stands in the path is a hash of it.
STATE/users/.epoch    how many Docker engines this host had so far: each begins an epoch

IDs do not outlive the mounts of their volumes, and none of these outlives a host. So what is
removed here need not be gone from the disk for good: it could come back after a power failure
alone, and is void then.
"""

import asyncio
import hashlib
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import msgspec

from mooring.clock import Clock
from mooring.crashpoints import crash_point, passing
from mooring.host import files
from mooring.host.blocking import Blocking
from mooring.node.errors import PublishFailed
from mooring.node.published import checked_uid

log = logging.getLogger(__name__)

T = TypeVar("T")

BY_HAND: Final = "mooring mount"  # the ID of people, who say themselves when they are done
ADOPTER: Final = "mooring adopt"  # the ID of what copies into a new volume; likewise
BACKUP: Final = "mooring backup"  # the ID of what reads a volume to back it up; likewise
OURS: Final = frozenset({BY_HAND, ADOPTER, BACKUP})  # IDs that are not of Docker
_EPOCH = ".epoch"  # no uid begins with a dot
_CALL_DEADLINE_S = 10

ADD_PLACED: Final = crash_point("ids.add.placed")
ADD_WRITTEN: Final = crash_point("ids.add.written")
DROP_UNLINKED: Final = crash_point("ids.drop.unlinked")
START_VOIDED: Final = crash_point("ids.start.voided")
EPOCH_WRITTEN: Final = crash_point("ids.epoch.written")


class User(msgspec.Struct, frozen=True):
    """Somebody who was given a volume's path.

    id       as he is called in every call about him
    volume   uid of the PV
    claim    "namespace/name"
    epoch    in which he was given it
    since    Unix time, for people: the clock it is read from may be set
    given_s  the same as Clock.monotonic_s, which goes on through a restart of the agent
    """

    id: str
    volume: str
    claim: str
    epoch: int
    since: float
    given_s: float


class Ids:
    """The users of the volumes on this host. Any call may be repeated, also after a crash.

    What is asked is answered from memory. A call that is cancelled is done all the same, and calls
    about one volume go in turn: a drop undoes the add that was given up before it.
    """

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._place, self._clock = state_dir / "users", clock
        self._blocking = Blocking("the data directory", deadline_s=_CALL_DEADLINE_S)
        self._users: dict[str, dict[str, User]] = {}  # by uid of the volume and ID
        self._of_claims: dict[str, Counter[str]] = {}  # how many by claim and uid of the volume
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.epoch = 0

    async def start(self, host_is_new: bool, lent: Set[str] = frozenset()) -> None:
        """Take over what an earlier process left.

        host_is_new  no mount has survived, so nobody has a path any more: all are forgotten
        lent         but those of these volumes, by uid: they had paths that no mount was needed for
        """
        self.epoch, users = await self._done(partial(self._start, host_is_new, lent))
        now_s = self._clock.monotonic_s()
        self._users, self._of_claims = {}, {}
        for user in sorted(users, key=lambda one: one.given_s):
            if user.given_s > now_s:  # by a clock that started elsewhere; so he ages from now on
                user = msgspec.structs.replace(user, given_s=now_s)
            self._put(user)

    async def new_epoch(self) -> int:
        """A new Docker engine is there. The users of the one before stay."""

        async def work() -> int:
            await self._done(partial(self._write_epoch, self.epoch + 1))
            self.epoch += 1
            return self.epoch

        return await self._in_turn(_EPOCH, work())

    async def add(self, uid: str, id_: str, claim: str) -> None:
        """A user is given the path of a volume, or given it anew. On disk when this returns.

        uid     of the PV
        claim   "namespace/name"
        raises  PublishFailed: the disk said no. HostStuck. BadVolumeUid.
        """
        moment, now_s = self._clock.now().timestamp(), self._clock.monotonic_s()
        user = User(id_, checked_uid(uid), claim, self.epoch, moment, now_s)

        async def work() -> None:
            await self._done(partial(self._write, user, is_first=uid not in self._users))
            self._put(user)

        await self._in_turn(uid, work())

    async def drop(self, uid: str, id_: str) -> None:
        """A user is done with a volume, or never got it; absent is success. Raises as add."""
        checked_uid(uid)

        async def work() -> None:
            await self._done(partial(self._remove, uid, id_))
            self._pop(uid, id_)

        await self._in_turn(uid, work())

    async def drop_all(self, uid: str) -> None:
        """Nobody uses a volume. Raises as add."""
        checked_uid(uid)

        async def work() -> None:
            await self._done(partial(self._remove_all, uid))
            for id_ in list(self._users.get(uid, ())):
                self._pop(uid, id_)

        await self._in_turn(uid, work())

    def of(self, uid: str) -> list[User]:
        """The users of a volume, in the order they came."""
        return list(self._users.get(uid, {}).values())

    def ages_s(self, uid: str) -> list[float]:
        """How long ago each user of a volume was given its path; OURS never age."""
        now_s = self._clock.monotonic_s()
        return [0.0 if one.id in OURS else now_s - one.given_s for one in self.of(uid)]

    def youngest_s(self, uid: str) -> float:
        """How long ago the last of its users was given a volume by Docker; infinite if none was."""
        now_s = self._clock.monotonic_s()
        ages_s = (now_s - one.given_s for one in self.of(uid) if one.id not in OURS)
        return min(ages_s, default=math.inf)

    def all(self) -> list[User]:
        """Every user of every volume."""
        return [user for uid in self.uids() for user in self.of(uid)]

    def uids(self) -> list[str]:
        """Of the volumes that have users."""
        return list(self._users)

    def uids_of(self, claim: str) -> list[str]:
        """Of the volumes that were given out for a claim: one, but if that was made anew."""
        return list(self._of_claims.get(claim, ()))

    def _put(self, user: User) -> None:
        self._pop(user.volume, user.id)
        self._users.setdefault(user.volume, {})[user.id] = user
        self._of_claims.setdefault(user.claim, Counter())[user.volume] += 1

    def _pop(self, uid: str, id_: str) -> None:
        users = self._users.get(uid, {})
        if (user := users.pop(id_, None)) is None:
            return
        if not users:
            del self._users[uid]
        of_claim = self._of_claims[user.claim]
        of_claim[uid] -= 1
        if not of_claim[uid]:
            del of_claim[uid]
        if not of_claim:
            del self._of_claims[user.claim]

    async def _in_turn(self, key: str, work: Coroutine[Any, Any, T]) -> T:
        """One call at a time about one volume, to its end even if the caller is cancelled."""

        async def whole() -> T:
            async with self._turns.setdefault(key, asyncio.Lock()):
                return await work

        task = asyncio.create_task(whole(), name=f"users of {key}")
        self._tasks.add(task)  # or nobody might hold it once the caller is gone
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _done(self, work: Callable[[], T]) -> T:
        try:
            return await self._blocking.run(work)
        except OSError as error:
            raise PublishFailed(str(error)) from error

    # What follows runs in threads.

    def _start(self, host_is_new: bool, lent: Set[str]) -> tuple[int, list[User]]:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.directory(self._place.parent) as state:
            files.synced(state)
        users = []
        with files.directory(self._place) as place:
            for name in os.listdir(place):
                if name == _EPOCH:
                    continue
                is_void = host_is_new and name not in lent
                if is_void or name.startswith("."):  # or half written
                    files.remove_tree(name, place)
                    passing(START_VOIDED)
                else:
                    users += self._users_in(name)
            files.synced(place)
        return self._read_epoch(), users

    def _users_in(self, uid: str) -> list[User]:
        found = []
        for path in (self._place / uid).iterdir():
            if path.name.startswith("."):
                path.unlink()  # half written: nobody was told
                continue
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=User))
            except msgspec.MsgspecError as error:  # no crash of ours does that
                log.warning("left alone: %s is no user of a volume: %s", path, error)
        self._tidy(uid)
        return found

    def _tidy(self, uid: str) -> None:
        """No directory without users stays."""
        with suppress(OSError):  # it has some
            os.rmdir(self._place / uid)

    def _read_epoch(self) -> int:
        try:
            return int((self._place / _EPOCH).read_bytes())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            log.warning("epochs are counted anew: %s: %s", self._place / _EPOCH, error)
            return 0

    def _write_epoch(self, epoch: int) -> None:
        with files.directory(self._place) as place:
            files.written(_EPOCH, b"%d\n" % epoch, place, 0o600)
        passing(EPOCH_WRITTEN)

    def _write(self, user: User, *, is_first: bool) -> None:
        with files.directory(self._place) as place:
            with suppress(FileExistsError):
                os.mkdir(user.volume, 0o700, dir_fd=place)
            passing(ADD_PLACED)
            with files.directory(user.volume, place) as directory:
                files.written(_file_name(user.id), msgspec.json.encode(user), directory, 0o600)
            if is_first:
                files.synced(place)
        passing(ADD_WRITTEN)

    def _remove(self, uid: str, id_: str) -> None:
        with suppress(FileNotFoundError), files.directory(self._place / uid) as directory:
            with suppress(FileNotFoundError):
                os.unlink(_file_name(id_), dir_fd=directory)
            passing(DROP_UNLINKED)
            self._tidy(uid)

    def _remove_all(self, uid: str) -> None:
        with files.directory(self._place) as place:
            files.remove_tree(uid, place)


def _file_name(id_: str) -> str:
    return hashlib.sha256(id_.encode()).hexdigest()
