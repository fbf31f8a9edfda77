"""Disks of iSCSI targets as static PVs have them: log in, see that it is whole, mount; and back.

STATE/remote/.sessions/NAME   a target that we logged in to, written before: so that we end what we
                              began, and nothing that an admin did
"""

import asyncio
import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2s
from pathlib import Path
from typing import Final

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.errors import MooringError
from mooring.host import files, iscsi, mounts, nfs
from mooring.host.blankness import is_blank
from mooring.host.errors import HostStuck, ProgramFailed
from mooring.host.iscsi import Disk, Target
from mooring.host.mounts import Restriction
from mooring.host.processes import checked, run
from mooring.model.volume import ISCSISource, Volume
from mooring.node.errors import (
    BadMountOption,
    BadSource,
    DiskNeedsRepair,
    DiskUnreadable,
    NoDisk,
    NoFileSystemOnDisk,
    OtherFileSystem,
)
from mooring.node.remote import STRICT, RemotePlaces, mount_options

SESSIONS: Final = ".sessions"
KINDS: Final = ("ext4", "xfs")
_OPTIONS: Final = frozenset({"discard", "nodiscard", "nouuid"})
_SAID_ELSEWHERE: Final = frozenset({"ro", "rw", "_netdev", "defaults", "nosuid", "nodev"})
_PORT: Final = 3260
_SHOWN_WITHIN_S: Final = 15.0  # after the login
_LOOK_S: Final = 0.05  # between two looks at what the kernel shows
_PROBE_S: Final = 20.0
_MAKE_S: Final = 120.0
_CHECK_S: Final = 600.0  # of terabytes with errors; a clean one takes milliseconds
_MOUNT_S: Final = 60.0  # a large log is replayed
_NOTHING: Final = 2  # exit status of blkid: there is nothing that it knows
_CORRECTED: Final = 2  # the highest exit status of e2fsck -p after which all is well

SESSION_NOTED = crash_point("remote.iscsi.noted")
LOGGED_IN = crash_point("remote.iscsi.login")
MADE = crash_point("remote.iscsi.made")
DISK_MOUNTED = crash_point("remote.iscsi.mounted")
LOGGED_OUT = crash_point("remote.iscsi.logout")


class Session(msgspec.Struct, frozen=True):
    """As it is kept on disk."""

    portal: str
    iqn: str
    interface: str

    @property
    def target(self) -> Target:
        return Target(self.portal, self.iqn, self.interface)


@dataclass(frozen=True)
class IscsiSource:
    """A disk of a target.

    kind      of file system, "" for what is on it, or ext4 where nothing is
    is_new    nobody has used the volume: only then is a file system made on an empty disk
    settings  of the session: names and secrets of CHAP
    """

    places: RemotePlaces
    uid: str
    portals: tuple[str, ...]
    iqn: str
    lun: int
    interface: str = "default"
    kind: str = ""
    read_only: bool = False
    is_new: bool = False
    options: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    restrictions: Restriction = STRICT
    follows_links: bool = False

    @classmethod
    def of(
        cls, places: RemotePlaces, volume: Volume, secret: Mapping[str, str], *, is_new: bool
    ) -> "IscsiSource":
        """Of a volume that has the source iscsi. secret: in base64, as Secrets have it"""
        source = volume.spec.iscsi
        assert source is not None
        return cls(
            places,
            volume.uid,
            tuple(map(_with_port, dict.fromkeys((source.target_portal, *source.portals)))),
            source.iqn,
            source.lun,
            source.iscsi_interface or "default",
            source.fs_type,
            source.read_only,
            is_new,
            mount_options(volume),
            _chap(source, secret),
        )

    async def path(self) -> Path:
        """Raises what is in node/errors.py about disks, BadSource, BadMountOption, LoginFailed."""
        self._refuse_bad()
        options = self._checked_options()
        async with self.places.turn(self.uid):
            try:
                with self.places.using(self.iqn):  # nobody logs out until it is mounted
                    return await self._mounted(options)
            except Exception:
                with suppress(MooringError, OSError):  # why it failed is what is told
                    await end_unused(self.places, self.iqn)
                raise

    async def _mounted(self, options: tuple[str, ...]) -> Path:
        point = self.places.point(self.uid)
        async with self.places.turn(self.iqn):
            disk = await self._disk()
        if not await self.places.run(partial(self._is_there, point, disk), str(point)):
            kind = await self._kind(disk)
            if kind == "ext4" and not self.read_only:
                await self._check(disk)
            mount = partial(self._mount, point, disk, kind, options)
            await self.places.run(mount, str(point), _MOUNT_S)
            passing(DISK_MOUNTED)
        return point

    async def release(self) -> None:
        async with self.places.turn(self.uid):
            await self.places.unmount(self.places.point(self.uid))
            await end_unused(self.places, self.iqn)

    def _refuse_bad(self) -> None:
        for what, text in (
            *(("targetPortal", one) for one in self.portals),
            ("iqn", self.iqn),
            ("iscsiInterface", self.interface),
        ):
            if text.startswith("-") or not text.isascii() or not text.isprintable() or " " in text:
                raise BadSource(f"iscsi.{what} {text!r}", "is none")
        if self.kind not in ("", *KINDS):
            raise BadSource(f"iscsi.fsType {self.kind!r}", f"is not one of {', '.join(KINDS)}")

    def _checked_options(self) -> tuple[str, ...]:
        given = [one.strip() for option in self.options for one in option.split(",")]
        for option in given:
            if option not in _OPTIONS | _SAID_ELSEWHERE:
                allowed = ", ".join(sorted(_OPTIONS))
                raise BadMountOption(option, f"is not one of those for disks: {allowed}")
        return tuple(option for option in given if option in _OPTIONS)

    async def _disk(self) -> Disk:
        """Once it is shown. Logs in where nobody has."""
        if not await self.places.run(partial(iscsi.has_session, self.iqn), self.iqn):
            await self._login()
        clock = asyncio.get_running_loop()
        until = clock.time() + _SHOWN_WITHIN_S
        while True:
            found = await self.places.run(partial(iscsi.disks, self.iqn, self.lun), self.iqn)
            if found:
                return found[0]
            if clock.time() > until:
                raise NoDisk(self.iqn, self.lun)
            await asyncio.sleep(_LOOK_S)

    async def _login(self) -> None:
        """By the first portal that lets us in."""
        failure: MooringError | None = None
        for portal in self.portals:
            target = Target(portal, self.iqn, self.interface)
            await self.places.run(partial(_note, self.places, target), self.iqn)
            passing(SESSION_NOTED)
            try:
                await iscsi.login(target, self.settings)
            except MooringError as error:
                failure = error
                await _ended(self.places, target)
            else:
                passing(LOGGED_IN)
                return
        assert failure is not None
        raise failure

    def _is_there(self, point: Path, disk: Disk) -> bool:
        found = mounts.mounts_at(str(point))
        if not found:
            nfs.make_point(point)
            return False
        if found[-1].device == disk.device:
            return True
        # Of a session that ended: the kernel gave the disk another number.
        mounts.unmount(point)
        nfs.make_point(point)
        return False

    async def _kind(self, disk: Disk) -> str:
        """Of the file system that is on it; of one that is made, if that may be."""
        found = await self._probed(disk)
        if found is None:
            return await self._made(disk)
        kind = found.get("TYPE", "")
        if kind not in ((self.kind,) if self.kind else KINDS):
            what = kind or f"a partition table ({found.get('PTTYPE', '?')})"
            raise OtherFileSystem(disk.node, what, (self.kind,) if self.kind else KINDS)
        return kind

    async def _probed(self, disk: Disk) -> dict[str, str] | None:
        """None: blkid finds nothing, or could not read it, which it does not tell apart."""
        done = await run("blkid", "-p", "-o", "export", disk.node, deadline_s=_PROBE_S)
        if done.status == _NOTHING:
            return None
        if done.status:
            raise OtherFileSystem(disk.node, f"blkid cannot tell what: {done.message}", KINDS)
        return dict(line.partition("=")[::2] for line in done.output.decode().splitlines())

    async def _made(self, disk: Disk) -> str:
        """On a disk that could be read, and is zero where anything would be."""
        try:
            blank = await self.places.run(partial(is_blank, disk.node), self.iqn, _PROBE_S)
        except OSError as error:
            raise DiskUnreadable(disk.node, str(error)) from error
        if not self.is_new or self.read_only:
            raise NoFileSystemOnDisk(self.iqn, self.lun)
        if not blank:
            raise OtherFileSystem(disk.node, "something that blkid does not know", KINDS)
        # It may have come back only after the first look at it.
        if (found := await self._probed(disk)) is not None:
            raise DiskUnreadable(disk.node, f"it was empty, and now has {found}")
        kind = self.kind or KINDS[0]
        how = ("-m", "0") if kind == "ext4" else ()  # no -F: mkfs shall refuse what it doubts
        await checked(f"mkfs.{kind}", "-q", *how, disk.node, deadline_s=_MAKE_S)
        passing(MADE)
        return kind

    async def _check(self, disk: Disk) -> None:
        done = await run("e2fsck", "-p", disk.node, deadline_s=_CHECK_S)
        if done.status < 0:
            raise ProgramFailed("e2fsck", done.status, done.message)
        if done.status > _CORRECTED:
            said = " ".join(done.output.decode(errors="replace").split())[:400]
            raise DiskNeedsRepair(disk.node, said or done.message)

    def _mount(self, point: Path, disk: Disk, kind: str, options: tuple[str, ...]) -> None:
        restrictions = self.restrictions
        if self.read_only:
            restrictions |= Restriction.READ_ONLY
            options = (*options, "ro")
        with mounts.file_system(disk.node, kind, options, restrictions) as top:
            with files.directory(point) as opened:
                mounts.attach(top, opened)


async def end_unused(places: RemotePlaces, iqn: str = "") -> None:
    """Log out of targets that we logged in to and of which no disk is used, nor is about to be.

    iqn  only of this one
    """
    for session in await places.run(partial(_noted, places), SESSIONS):
        if iqn in ("", session.iqn):
            async with places.turn(session.iqn):
                if not places.is_in_use(session.iqn):
                    await _end_if_unused(places, session)


async def _end_if_unused(places: RemotePlaces, session: Session) -> None:
    if not await places.run(partial(_is_used, session.iqn), session.iqn):
        await _ended(places, session.target)


async def _ended(places: RemotePlaces, target: Target) -> None:
    """Log out, then forget that we had logged in. What fails is tried again at the next end."""
    with suppress(ProgramFailed, HostStuck):
        await iscsi.logout(target)
        passing(LOGGED_OUT)
        await places.run(partial(_forget, places, target), target.iqn)


def _is_used(iqn: str) -> bool:
    return any(iscsi.is_held(disk) for disk in iscsi.disks(iqn))


def _note(places: RemotePlaces, target: Target) -> None:
    place = places.root / SESSIONS
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    session = Session(target.portal, target.iqn, target.interface)
    with files.directory(place) as directory:
        content = msgspec.json.encode(session)
        files.written(_name(target), content, directory, mode=0o600)


def _forget(places: RemotePlaces, target: Target) -> None:
    (places.root / SESSIONS / _name(target)).unlink(missing_ok=True)


def _noted(places: RemotePlaces) -> list[Session]:
    found = []
    with suppress(FileNotFoundError):
        for file in sorted((places.root / SESSIONS).iterdir()):
            with suppress(msgspec.DecodeError, OSError):
                found.append(msgspec.json.decode(file.read_bytes(), type=Session))
    return found


def _name(target: Target) -> str:
    return blake2s("\0".join(target).encode(), digest_size=16).hexdigest()


def _with_port(portal: str) -> str:
    """As iscsiadm takes it."""
    has_port = portal.rpartition(":")[2].isdigit() and (
        portal.count(":") == 1 or portal.startswith("[")
    )
    if has_port and not portal.endswith("]"):
        return portal
    return (
        f"[{portal}]:{_PORT}" if portal.count(":") > 1 and portal[0] != "[" else f"{portal}:{_PORT}"
    )


def _chap(source: ISCSISource, secret: Mapping[str, str]) -> dict[str, str]:
    """Settings of the session, as iscsiadm calls them; Secrets call them likewise."""
    if not source.chap_auth_session:
        return {}
    settings = {"node.session.auth.authmethod": "CHAP"}
    for name in ("username", "password", "username_in", "password_in"):
        key = f"node.session.auth.{name}"
        if key in secret:
            settings[key] = base64.b64decode(secret[key]).decode()
    return settings
