"""Where the volumes of this host are: each at one path, named by its PV's uid, for all users.

STATE/mounts/PV-UID/intent  what is to be seen there, written before anything is mounted
STATE/mounts/PV-UID/fs      where it is seen: a bind mount, without set-uid and devices
"""

import asyncio
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.host import files, mounts
from mooring.host.blocking import Blocking
from mooring.host.errors import MountFailed
from mooring.host.mounts import Restriction
from mooring.node.errors import (
    BadVolumeUid,
    NotReadOnly,
    PathMissing,
    PublishedElsewhere,
    PublishFailed,
)
from mooring.node.sources import Source

T = TypeVar("T")

NO_MOUNTS: Final = (
    "this process may not mount (it lacks CAP_SYS_ADMIN), so users get the volume's own path"
)
_UID = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,62}[0-9A-Za-z])?")
_INTENT, _POINT = "intent", "fs"
_CALL_DEADLINE_S = 10  # of mount(2), umount2(2) and what goes with them

PUBLISH_INTENDED = crash_point("publish.intended")
PUBLISH_BOUND = crash_point("publish.bound")
PUBLISH_RESTRICTED = crash_point("publish.restricted")
UNPUBLISH_UNMOUNTED = crash_point("unpublish.unmounted")
UNPUBLISH_FORGOTTEN = crash_point("unpublish.forgotten")


class Published(NamedTuple):
    """A volume that is at hand on this host.

    uid     of its PV
    path    what users mount or enter
    source  where its data is
    note    for people, "" if all is as it should be: why this is not a mount
    """

    uid: str
    path: Path
    source: Path
    note: str = ""


class Intent(msgspec.Struct, frozen=True):
    """What is to be seen at a volume's path, as it is kept on disk."""

    source: str
    mounted: bool  # False: this process may not mount


class Publisher:
    """Gives volumes their paths on this host. Any call may be repeated, also after a crash.

    One process does this for a state directory. Calls for different volumes go side by side.
    """

    def __init__(self, state_dir: Path) -> None:
        self._root = Path(os.path.realpath(state_dir)) / "mounts"  # as mountinfo will call it
        self._blocking = Blocking("the volumes' mounts", deadline_s=_CALL_DEADLINE_S)
        self._mounts: bool | None = None  # not started yet
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self) -> list[Published]:
        """Take over what an earlier process left, and forget what it only began.

        Mounts are never touched here: containers may use them. What was intended and is not
        mounted (a crash came between, or the host was restarted) is forgotten; publish it anew.

        returns  what is published
        """
        return await self._done(self._start)

    async def publish(self, uid: str, source: Source, *, read_only: bool = False) -> Published:
        """Have a volume at its path.

        raises  PublishedElsewhere: other data is there, and perhaps in use. NotReadOnly.
                MountFailed, PublishFailed, HostStuck, and what the source raises.
        """
        assert self._mounts is not None, "start comes first"
        restrictions = source.restrictions
        if read_only:
            restrictions |= Restriction.READ_ONLY
        async with self._turn(uid):
            path = await source.path()
            if not self._mounts:
                return await self._done(partial(self._lend, uid, path, read_only))
            return await self._done(
                partial(self._show, uid, path, restrictions, source.follows_links)
            )

    async def unpublish(self, uid: str, source: Source | None = None) -> None:
        """Take the path away, then release the source. Not published is success.

        source  None if it is not known any more: the mount goes all the same
        raises  MountBusy: a process on this host has files open in it
        """
        async with self._turn(uid):
            await self._done(partial(self._hide, uid))
            if source is not None:
                await source.release()

    async def published(self) -> list[Published]:
        """What is at hand now."""
        return await self._done(self._published)

    def may_have(self, uid: str) -> bool:
        """Whether a volume is or was meant to be at hand; a glance at a directory."""
        return os.path.lexists(self._root / uid)

    def _turn(self, uid: str) -> asyncio.Lock:
        """One call at a time for one volume. Raises BadVolumeUid."""
        return self._turns.setdefault(checked_uid(uid), asyncio.Lock())

    # What follows runs in threads.

    async def _done(self, work: Callable[[], T]) -> T:
        try:
            return await self._blocking.run(work)
        except OSError as error:
            raise PublishFailed(str(error)) from error

    def _start(self) -> list[Published]:
        self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._mounts = mounts.can_bind(self._root)
        found = {volume.uid: volume for volume in self._published()}
        for uid in self._uids():
            if uid not in found:
                self._hide(uid)
        return list(found.values())

    def _uids(self) -> list[str]:
        return [name for name in os.listdir(self._root) if _UID.fullmatch(name)]

    def _published(self) -> list[Published]:
        """Mounts count by themselves; without a mount, an intent to lend the volume's own path."""
        points = {mount.point: mount for mount in mounts.mount_table()}
        found = []
        for uid in self._uids():
            intent, point = self._intent(uid), self._root / uid / _POINT
            if mount := points.get(str(point)):
                source = intent.source if intent else mount.root
                found.append(Published(uid, point, Path(source)))
            elif intent and not intent.mounted and os.path.exists(intent.source):
                found.append(Published(uid, Path(intent.source), Path(intent.source), NO_MOUNTS))
        return found

    def _intent(self, uid: str) -> Intent | None:
        try:
            with files.directory(self._root / uid) as directory:
                return msgspec.json.decode(files.small_file(_INTENT, directory), type=Intent)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _intend(self, uid: str, intent: Intent) -> None:
        if self._intent(uid) == intent:
            return
        with suppress(FileExistsError):
            os.mkdir(self._root / uid, 0o711)
        with files.directory(self._root) as root, files.directory(uid, root) as directory:
            files.written(_INTENT, msgspec.json.encode(intent), directory, mode=0o600)
            files.synced(root)
        passing(PUBLISH_INTENDED)

    def _lend(self, uid: str, source: Path, read_only: bool) -> Published:
        if read_only:
            raise NotReadOnly(str(source))
        if mounts.mounts_at(str(self._root / uid / _POINT)):
            raise PublishedElsewhere(str(self._root / uid / _POINT), str(source))
        self._intend(uid, Intent(str(source), mounted=False))
        return Published(uid, source, source, NO_MOUNTS)

    def _show(
        self, uid: str, source: Path, restrictions: Restriction, follows_links: bool
    ) -> Published:
        point = self._root / uid / _POINT
        with _handle(source, follows_links) as wanted:
            if not mounts.mounts_at(str(point)):
                self._intend(uid, Intent(str(source), mounted=True))
                _make_point(point, wanted)
                mounts.bind(wanted, point)
                passing(PUBLISH_BOUND)
            elif not _same(wanted, point):
                raise PublishedElsewhere(str(point), str(source))
            # Also for a mount that was found: a crash may have come before this.
            mounts.restrict(point, restrictions)
            passing(PUBLISH_RESTRICTED)
            if not _same(wanted, point):
                raise MountFailed("see the volume at", str(point), "the mount does not show")
        return Published(uid, point, source)

    def _hide(self, uid: str) -> None:
        point = self._root / uid / _POINT
        mounts.unmount(point)
        passing(UNPUBLISH_UNMOUNTED)
        with suppress(FileNotFoundError), files.directory(self._root) as root:
            with files.directory(uid, root) as directory:
                with suppress(FileNotFoundError):
                    os.unlink(_INTENT, dir_fd=directory)
                passing(UNPUBLISH_FORGOTTEN)
            # A mount that came meanwhile is refused here, not entered.
            files.remove_tree(uid, root)


def checked_uid(uid: str) -> str:
    """The uid of a PV, as a part of a path. Raises BadVolumeUid."""
    if not _UID.fullmatch(uid):
        raise BadVolumeUid(uid)
    return uid


@contextmanager
def _handle(path: Path, follows_links: bool) -> Iterator[int]:
    """What is at a path now. Raises PathMissing, also for a link that is not to be followed."""
    try:
        with mounts.handle(path, follow_links=follows_links) as handle:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise PathMissing(str(path))
            yield handle
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PathMissing(str(path)) from error


def _make_point(point: Path, shown: int) -> None:
    """What a mount can cover: a directory for a directory, else a file. Of no use to anybody bare.

    Mode 0 keeps all but root from writing beside the volume while nothing is mounted.
    """
    if stat.S_ISDIR(os.fstat(shown).st_mode):
        if point.exists() and not point.is_dir():
            point.unlink()
        point.mkdir(mode=0, exist_ok=True)
    else:
        if point.is_dir():
            point.rmdir()
        point.touch(mode=0)


def _same(handle: int, point: Path) -> bool:
    """They are one file: what was mounted is what is wanted, and is seen."""
    wanted, seen = os.fstat(handle), os.stat(point)
    return (wanted.st_dev, wanted.st_ino) == (seen.st_dev, seen.st_ino)
