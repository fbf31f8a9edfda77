"""Where the volumes of this host are: each at one path, named by its PV's uid, for all users.

STATE/mounts                shared with itself while there is something in it, so that other mount
                            namespaces, as Docker may have one, get what is mounted below
STATE/mounts/PV-UID/intent  what is to be seen there, written before anything is mounted
STATE/mounts/PV-UID/fs      where it is seen: a bind mount, without set-uid and devices

A path that is bare (after a crash, or because somebody unmounted it) must not take in data that
nobody would find again. So both directories below are immutable: even root cannot write there.
"""

import asyncio
import os
import re
import secrets
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
from mooring.host.mountinfo import Place
from mooring.host.mounts import Restriction
from mooring.node.errors import (
    BadVolumeUid,
    NotReadOnly,
    PathMissing,
    PublishedElsewhere,
    PublishFailed,
)
from mooring.node.shared_root import SharedRoot
from mooring.node.sources import Source

T = TypeVar("T")

NO_MOUNTS: Final = (
    "this process may not mount (it lacks CAP_SYS_ADMIN), so users get the volume's own path"
)
_UID = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,62}[0-9A-Za-z])?")
_INTENT, _POINT, _PROBE = "intent", "fs", ".probe-"
_CALL_DEADLINE_S = 10  # of mount(2), umount2(2) and what goes with them
_LEAVES_WITHIN_S = 2  # of a count: one step of it, and what it has open closed
_BARE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

PUBLISH_INTENDED = crash_point("publish.intended")
PUBLISH_PROTECTED = crash_point("publish.protected")
PUBLISH_BOUND = crash_point("publish.bound")
PUBLISH_RESTRICTED = crash_point("publish.restricted")
UNPUBLISH_UNMOUNTED = crash_point("unpublish.unmounted")
UNPUBLISH_UNPROTECTED = crash_point("unpublish.unprotected")
UNPUBLISH_FORGOTTEN = crash_point("unpublish.forgotten")
UNPUBLISH_REMOVED = crash_point("unpublish.removed")


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


class Reader:
    """One that looks into a volume for itself."""

    def __init__(self) -> None:
        self.sent_away, self.left = asyncio.Event(), asyncio.Event()


class Intent(msgspec.Struct, frozen=True):
    """What is to be seen at a volume's path, as it is kept on disk."""

    source: str
    mounted: bool  # False: this process may not mount


class Publisher:
    """Gives volumes their paths on this host. Any call may be repeated, also after a crash.

    One process does this for a state directory. Calls for different volumes go side by side.

    root         all paths are below it
    host_is_new  at the start no volume was mounted here: nothing has survived, so nobody uses any
    lent         uids of those whose own path was given to users before the start: no mount tells
                 whether that was on this host as it runs now
    """

    def __init__(self, state_dir: Path) -> None:
        self.root = Path(os.path.realpath(state_dir)) / "mounts"  # as mountinfo will call it
        self._blocking = Blocking("the volumes' mounts", deadline_s=_CALL_DEADLINE_S)
        # Apart, since a volume whose backend hangs must not keep others from being looked at.
        self._looking = Blocking("the mounts of other processes", deadline_s=_CALL_DEADLINE_S)
        self._mounts: bool | None = None  # not started yet
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()  # by uid
        self._paths: dict[str, Path] = {}  # of what is published, by uid
        self._readers: dict[str, set[Reader]] = {}  # by uid
        self._leaving: set[str] = set()  # uids of what is about to be hidden
        self._shared = SharedRoot(self.root)
        self.host_is_new = True
        self.lent: frozenset[str] = frozenset()

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
        turn = self._turn(uid)
        async with turn.lock:
            path = await source.path()
            work = partial(self._lend, uid, path, read_only)
            if self._mounts:
                work = partial(self._show, uid, path, restrictions, source.follows_links)
            return await self._done(work, turn)

    async def unpublish(self, uid: str, source: Source | None = None) -> None:
        """Take the path away, then release the source. Not published is success.

        source  None if it is not known any more: the mount goes all the same
        raises  MountBusy: a process on this host has files open in it
        """
        turn = self._turn(uid)
        async with turn.lock:
            self._leaving.add(uid)
            try:
                await self._send_away(uid)
                await self._done(partial(self._hide, uid), turn)
            finally:
                self._leaving.discard(uid)
            if source is not None:
                await source.release()

    @contextmanager
    def reading(self, uid: str) -> Iterator["Reader"]:
        """For who looks into a volume at its path for itself, and so keeps it mounted meanwhile.

        It leaves as soon as it is sent away: a user's unmount does not wait for a count.
        """
        reader, readers = Reader(), self._readers.setdefault(uid, set())
        if uid in self._leaving:
            reader.sent_away.set()
        readers.add(reader)
        try:
            yield reader
        finally:
            readers.discard(reader)
            reader.left.set()
            if not readers:
                self._readers.pop(uid, None)

    async def _send_away(self, uid: str) -> None:
        readers = list(self._readers.get(uid, ()))
        for reader in readers:
            reader.sent_away.set()
        with suppress(TimeoutError):  # it hangs, as its disk may: the mount is busy then
            async with asyncio.timeout(_LEAVES_WITHIN_S):
                for reader in readers:
                    await reader.left.wait()

    async def published(self) -> list[Published]:
        """What is at hand now."""
        return await self._done(self._published)

    def point(self, uid: str) -> Path:
        """Where a volume is seen, if it is mounted."""
        return self.root / uid / _POINT

    def published_path(self, uid: str) -> Path | None:
        """Where a volume is as far as this process knows, which looks at no disk; None: nowhere."""
        return self._paths.get(uid)

    async def held_by(self, uid: str, *, engine: int | None = None) -> list[str]:
        """Who has a volume mounted in another mount namespace, and would keep it: containers.

        engine   process id of Docker's engine, if its mount namespace is another than ours:
                 what is mounted there is not a container's either
        returns  for people: "/data of process 4711 (postgres)"
        """
        work = partial(self._held_by, checked_uid(uid), engine)
        return await self._done(work, self._looking)

    async def held(self, *, engine: int | None = None) -> dict[str, list[str]]:
        """What held_by says of every volume that is held, by uid, from one look at all of them."""
        return await self._done(partial(self._held, engine), self._looking)

    async def visible_to(self, process: int) -> bool:
        """Whether a process sees what is mounted here, at the same paths. False if it is gone."""
        return await self._done(partial(self._visible_to, process), self._looking)

    def may_have(self, uid: str) -> bool:
        """Whether a volume is or was meant to be at hand; a glance at a directory."""
        return os.path.lexists(self.root / uid)

    def _turn(self, uid: str) -> "_Turn":
        """Of a volume. Raises BadVolumeUid."""
        return self._turns.setdefault(checked_uid(uid), _Turn())

    # What follows runs in threads.

    async def _done(self, work: Callable[[], T], where: "Blocking | _Turn | None" = None) -> T:
        try:
            return await (where or self._blocking).run(work)
        except OSError as error:
            raise PublishFailed(str(error)) from error

    def _start(self) -> list[Published]:
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._mounts = mounts.can_bind(self.root)
        found = {volume.uid: volume for volume in self._published()}
        self.lent = frozenset(one.uid for one in found.values() if one.note == NO_MOUNTS)
        self.host_is_new = found.keys() <= self.lent
        self._shared.take_over()
        for name in os.listdir(self.root):
            if name.startswith(_PROBE):
                self._end_probe(name)
            elif _UID.fullmatch(name) and name not in found:
                self._hide(name)
        self._shared.end_if_empty()
        self._paths = {volume.uid: volume.path for volume in found.values()}
        return list(found.values())

    def _uids(self) -> list[str]:
        return [name for name in os.listdir(self.root) if _UID.fullmatch(name)]

    def _published(self) -> list[Published]:
        """Mounts count by themselves; without a mount, an intent to lend the volume's own path."""
        points = {mount.point: mount for mount in mounts.mount_table()}
        found = []
        for uid in self._uids():
            intent, point = self._intent(uid), self.point(uid)
            if mount := points.get(str(point)):
                source = intent.source if intent else mount.root
                found.append(Published(uid, point, Path(source)))
            elif intent and not intent.mounted and os.path.exists(intent.source):
                found.append(Published(uid, Path(intent.source), Path(intent.source), NO_MOUNTS))
        return found

    def _intent(self, uid: str) -> Intent | None:
        try:
            with files.directory(self.root / uid) as directory:
                return msgspec.json.decode(files.small_file(_INTENT, directory), type=Intent)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _intend(self, uid: str, intent: Intent) -> None:
        if self._intent(uid) == intent:
            return
        self._protect(uid, False)  # a crash may have left it protected
        with suppress(FileExistsError):
            os.mkdir(self.root / uid, 0o711)
        lasting = not intent.mounted  # no mount outlives its host
        with files.directory(self.root) as root, files.directory(uid, root) as directory:
            content = msgspec.json.encode(intent)
            files.written(_INTENT, content, directory, mode=0o600, lasting=lasting)
            if lasting:
                files.synced(root)
        passing(PUBLISH_INTENDED)

    def _lend(self, uid: str, source: Path, read_only: bool) -> Published:
        if read_only:
            raise NotReadOnly(str(source))
        if mounts.mounts_at(str(self.point(uid))):
            raise PublishedElsewhere(str(self.point(uid)), str(source))
        self._intend(uid, Intent(str(source), mounted=False))
        self._paths[uid] = source
        return Published(uid, source, source, NO_MOUNTS)

    def _show(
        self, uid: str, source: Path, restrictions: Restriction, follows_links: bool
    ) -> Published:
        point = self.point(uid)
        with _handle(source, follows_links) as wanted, self._shared.in_use():
            if not mounts.mounts_at(str(point)):
                self._intend(uid, Intent(str(source), mounted=True))
                self._make_point(uid, wanted)
                mounts.bind(wanted, point)
                passing(PUBLISH_BOUND)
            elif not _same(wanted, point):
                raise PublishedElsewhere(str(point), str(source))
            # Also for a mount that was found: a crash may have come before this.
            mounts.restrict(point, restrictions)
            passing(PUBLISH_RESTRICTED)
            if not _same(wanted, point):
                raise MountFailed("see the volume at", str(point), "the mount does not show")
        self._paths[uid] = point
        return Published(uid, point, source)

    def _make_point(self, uid: str, shown: int) -> None:
        """What a mount can cover: a directory for a directory, else a file. Mode 0 keeps all but
        root from it while it is bare, even where a file system cannot make it immutable."""
        point = self.point(uid)
        wants_directory = stat.S_ISDIR(os.fstat(shown).st_mode)
        if not os.path.lexists(point) or point.is_dir() != wants_directory:
            self._protect(uid, False)
            with files.directory(self.root / uid) as directory:
                files.remove_tree(_POINT, directory)
            if wants_directory:
                point.mkdir(mode=0)
            else:
                point.touch(mode=0)
        self._protect(uid, True)
        passing(PUBLISH_PROTECTED)

    def _protect(self, uid: str, immutable: bool) -> None:
        """The bare directories of a volume: nothing is mounted there."""
        with suppress(FileNotFoundError), files.directory(self.root / uid) as directory:
            with suppress(OSError):  # as a rule because there is none yet
                point = os.open(_POINT, _BARE, dir_fd=directory)
                try:
                    if mounts.mount_id(point) == mounts.mount_id(directory):
                        files.set_immutable(point, immutable)
                finally:
                    os.close(point)
            files.set_immutable(directory, immutable)

    def _hide(self, uid: str) -> None:
        mounts.unmount(self.point(uid))
        self._paths.pop(uid, None)
        passing(UNPUBLISH_UNMOUNTED)
        self._protect(uid, False)
        passing(UNPUBLISH_UNPROTECTED)
        with suppress(FileNotFoundError), files.directory(self.root) as root:
            with files.directory(uid, root) as directory:
                with suppress(FileNotFoundError):
                    os.unlink(_INTENT, dir_fd=directory)
                passing(UNPUBLISH_FORGOTTEN)
            # A mount that came meanwhile is refused here, not entered.
            files.remove_tree(uid, root)
        passing(UNPUBLISH_REMOVED)
        self._shared.end_if_empty()

    def _held_by(self, uid: str, engine: int | None) -> list[str]:
        published = mounts.mounts_at(str(self.point(uid)))
        place = published[-1].place if published else self._intended_place(uid)
        if place is None:
            return []
        held = mounts.held_elsewhere({place}, [] if engine is None else [engine])
        return held.get(place, [])

    def _held(self, engine: int | None) -> dict[str, list[str]]:
        seen = {one.point: one.place for one in mounts.mount_table()}
        places = {}
        for uid in self._uids():
            point = str(self.point(uid))
            place = seen[point] if point in seen else self._intended_place(uid)
            if place is not None:
                places[uid] = place
        held = mounts.held_elsewhere(set(places.values()), [] if engine is None else [engine])
        return {uid: held[place] for uid, place in places.items() if place in held}

    def _intended_place(self, uid: str) -> Place | None:
        if (intent := self._intent(uid)) is None:
            return None
        try:
            with mounts.handle(Path(intent.source)) as source:
                return mounts.place_of(source)
        except FileNotFoundError:
            return None

    def _visible_to(self, process: int) -> bool:
        """One directory is mounted on another; who sees the other one there sees no mounts."""
        if mounts.in_our_namespace(process):
            return True
        if not self._mounts:  # nothing is: users get the volume's own path
            return _seen_by(process, self.root, self.root)
        name = f"{_PROBE}{secrets.token_hex(4)}"
        shown, point = self.root / name / "shown", self.root / name / "point"
        try:
            with self._shared.in_use():
                for directory in (shown, point):
                    directory.mkdir(parents=True)
                with mounts.handle(shown) as handle:
                    mounts.bind(handle, point)
                return _seen_by(process, point, shown)
        finally:
            self._end_probe(name)
            self._shared.end_if_empty()

    def _end_probe(self, name: str) -> None:
        mounts.unmount(self.root / name / "point")
        with files.directory(self.root) as root:
            files.remove_tree(name, root)


class _Turn:
    """One call at a time about one volume. One that hangs in its backend is in nobody else's way,
    and the next one about this volume waits for it, so that they do not become more and more."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._blocking = Blocking("the volume's mount", width=1, deadline_s=_CALL_DEADLINE_S)

    async def run(self, work: Callable[[], T]) -> T:
        """As Blocking.run."""
        return await self._blocking.run(partial(self._kept, work))

    def _kept(self, work: Callable[[], T]) -> T:
        """The turn is not forgotten while the thread has it."""
        return work()


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


def _same(handle: int, point: Path) -> bool:
    """They are one file: what was mounted is what is wanted, and is seen."""
    wanted, seen = os.fstat(handle), os.stat(point)
    return (wanted.st_dev, wanted.st_ino) == (seen.st_dev, seen.st_ino)


def _seen_by(process: int, path: Path, wanted: Path) -> bool:
    """A process sees at a path what we see at another one."""
    try:
        return os.path.samefile(f"/proc/{process}/root{path}", wanted)
    except OSError:
        return False
