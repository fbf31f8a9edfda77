"""restic, the program that keeps backups: its repositories, snapshots, and what it says of both.

It runs in a process of its own mounts (boxed.py), where the volume is `volume` in its working
directory: so a snapshot has the same shape wherever it was made, with plain restic as well. The
password and the keys of a store go by its environment, which only root may read, not by arguments.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from mooring.errors import Effect, MooringError
from mooring.host import processes
from mooring.host.boxed import FULL, IO, VOLUME
from mooring.host.errors import DiskFull, HostStuck, ProgramMissing

PROGRAM: Final = "restic"
ANSWER_WITHIN_S: Final = 60.0  # of what only looks; restic itself tries for a quarter of an hour
SILENCE_S: Final = 300.0  # without a byte read or written it is taken for stuck
READS_INCOMPLETE: Final = 3  # its exit status if some files could not be read
LISTS_AT_MOST_BYTES: Final = 64 << 20  # of what it says of all snapshots asked for
_ID: Final = re.compile(r"[0-9a-f]{8,64}")
_SPARSE_SINCE: Final = (0, 15)
_VERSION: Final = re.compile(r"restic (\d+)\.(\d+)")
_AWAY: Final = (
    "connection refused",
    "no such host",
    "i/o timeout",
    "connection reset",
    "network is unreachable",
    "no route to host",
    "context deadline exceeded",
    "server misbehaving",
    "server gave http response to https client",
    "certificate",
)
_NONE_THERE: Final = ("is there a repository at the following location", "does not exist")
_FULL: Final = ("no space left on device", "disk quota exceeded", "quotaexceeded")
_DENIED: Final = ("access denied", "accessdenied", "invalidaccesskeyid", "signaturedoesnotmatch")

_T = TypeVar("_T")
Tell = Callable[[int, int], None]  # bytes done, and of how many


class ResticFailed(MooringError):
    code, effect = "BackupFailed", Effect.UNKNOWN

    def __init__(self, action: str, message: str) -> None:
        self.what = f"restic could not {action}: {message or 'it said nothing'}"
        self.remedy = "it is tried again; look at the repository if it stays so"


class BadSnapshotId(MooringError):
    code = "BadSnapshotID"

    def __init__(self, id_: str) -> None:
        self.what = f"{id_!r} is no id of a snapshot in a repository"
        self.remedy = "status.snapshotID of the backup was written by somebody; make another backup"


class WrongPassword(MooringError):
    code = "WrongPassword"

    def __init__(self, url: str) -> None:
        self.what = f"the repository {url} is encrypted with another password"
        self.remedy = "put the one it was made with into the Secret that passwordSecret names"


class RepositoryAway(MooringError):
    code = "RepositoryAway"

    def __init__(self, url: str, why: str) -> None:
        self.what = f"the repository {url} cannot be reached: {why}"
        self.remedy = "mount its disk, or see that the store answers; it is tried again"


class RepositoryDenied(MooringError):
    code = "RepositoryDenied"

    def __init__(self, url: str, why: str) -> None:
        self.what = f"the store of the repository {url} refuses us: {why}"
        self.remedy = "put keys that may read and write it into the Secret of credentialsSecret"


class RepositoryFull(MooringError):
    code, effect = "RepositoryFull", Effect.UNKNOWN

    def __init__(self, url: str) -> None:
        self.what = f"the disk of the repository {url} is full"
        self.remedy = "make room on it, or delete backups; what was uploaded already is kept"


class RepositoryLocked(MooringError):
    code = "RepositoryLocked"

    def __init__(self, url: str) -> None:
        self.what = f"somebody else works on the repository {url}"
        self.remedy = "it is tried again; a lock of a host that is gone ends after half an hour"


class ResticSnapshot(msgspec.Struct):
    """One backup in a repository."""

    id: str
    time: str
    tags: list[str] = []


class Summary(msgspec.Struct):
    """What a backup was. skipped: what could not be read, for people."""

    snapshot_id: str = ""
    data_added: int = 0
    total_bytes_processed: int = 0
    skipped: list[str] = []


class _Line(msgspec.Struct):
    """What restic and boxed.py say in a line."""

    message_type: str = ""
    bytes_done: int = 0
    total_bytes: int = 0
    total_size: int = 0
    written_bytes: int = 0
    snapshot_id: str = ""
    data_added: int = 0
    total_bytes_processed: int = 0
    item: str = ""


class _Config(msgspec.Struct):
    id: str


def _checked(snapshot: str) -> str:
    """An id may be written by whoever may write the status of a backup. Raises BadSnapshotId."""
    if not _ID.fullmatch(snapshot):
        raise BadSnapshotId(snapshot)
    return snapshot


def _decoded(action: str, output: bytes, type_: type[_T]) -> _T:
    """Raises ResticFailed: it says something else, or more than is read."""
    try:
        return msgspec.json.decode(output, type=type_)
    except msgspec.DecodeError as error:
        said = f"what it says cannot be read ({len(output)} bytes): {error}"
        raise ResticFailed(action, said) from error


@dataclass(frozen=True)
class Restic:
    """One repository, and what opens it.

    workplace  a directory of ours alone, for its caches and the mounts of its processes
    keys       variables of the environment that its store wants
    authority  of the store's certificate, in PEM; None: those that the host trusts
    permit     asked before each run. Raises MooringError: it may not be used
    """

    url: str
    password: str = field(repr=False)
    workplace: Path
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    authority: bytes | None = field(default=None, repr=False)
    permit: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    lists_at_most_bytes: int = LISTS_AT_MOST_BYTES

    async def repository_id(self) -> str | None:
        """What the repository calls itself; None if there is none. Raises RepositoryAway …"""
        finished = await self._asked("cat", "--no-lock", "--", "config")
        if finished.status:
            said = finished.message.lower()
            if any(one in said for one in _NONE_THERE) and not any(
                one in said for one in (*_AWAY, *_DENIED)
            ):
                return None
            raise self._error("open it", finished.message)
        return _decoded("open it", finished.output, _Config).id

    async def make(self) -> str:
        """A new repository, or the one that is there. Returns its id."""
        finished = await self._asked("init")
        found = await self.repository_id()
        if found is None:
            raise self._error("make a repository", finished.message)
        return found

    async def snapshots(self, *tags: str) -> list[ResticSnapshot]:
        """Those that have any of these tags, the oldest first. Ask only for tags that few have."""
        return await self._listed(*(word for tag in tags for word in ("--tag", tag)))

    async def newest(self, tag: str) -> str:
        """The id of the newest that has a tag, "" if none has, however many there are."""
        found = await self._listed("--latest", "1", "--tag", tag)  # of each host that made some
        return found[-1].id if found else ""

    async def full_id(self, begins: str, tag: str) -> str:
        """The id of a snapshot with a tag, whose first digits are known."""
        found = [one.id for one in await self.snapshots(tag) if one.id.startswith(begins)]
        if not begins or len(found) != 1:
            raise ResticFailed("find the snapshot it made", f"{len(found)} have the id {begins!r}")
        return found[0]

    async def _listed(self, *which: str) -> list[ResticSnapshot]:
        action = "list snapshots"
        output = await self._got(action, "snapshots", "--no-lock", "--json", *which)
        if output.strip() in (b"", b"null"):  # there is none
            return []
        return sorted(_decoded(action, output, list[ResticSnapshot]), key=lambda one: one.time)

    async def backup(
        self, source: Path, host: str, tags: Sequence[str], parent: str, tell: Tell
    ) -> Summary:
        """Keep a directory as it is, with all that belongs to it.

        parent  the id of a snapshot that is mostly alike: what it has is not read again
        """
        arguments = ["backup", "--json", "--host", host]
        for tag in tags:
            arguments += ["--tag", tag]
        if parent:
            arguments += ["--parent", _checked(parent)]
        summary = Summary()

        def heard(line: _Line) -> None:
            if line.message_type == "status":
                tell(line.bytes_done, line.total_bytes)
            elif line.message_type == "error":
                summary.skipped.append(line.item.removeprefix(str(self.box / VOLUME)))
            elif line.message_type == "summary":
                summary.snapshot_id = line.snapshot_id
                summary.data_added = line.data_added
                summary.total_bytes_processed = line.total_bytes_processed

        finished = await self._followed([*arguments, "--", f"./{VOLUME}"], heard, source, "ro")
        if finished.status not in (0, READS_INCOMPLETE) or not summary.snapshot_id:
            raise self._error("back it up", finished.message)
        if finished.status == READS_INCOMPLETE and not summary.skipped:
            summary.skipped.append(finished.message)
        return summary

    async def restore_size(self, snapshot: str) -> int:
        """How many bytes the files of a snapshot have, holes included."""
        size_bytes = 0

        def heard(line: _Line) -> None:
            nonlocal size_bytes
            size_bytes = line.total_size or size_bytes

        # It reads all directories of the snapshot, which may take as long as it goes on.
        arguments = ("stats", "--no-lock", "--json", "--", _checked(snapshot))
        finished = await self._followed(arguments, heard, None, "-")
        if finished.status:
            raise self._error("look at the snapshot", finished.message)
        return size_bytes

    async def restore(
        self, snapshot: str, target: Path, tell: Tell, of_bytes: int = 0, room_bytes: int = 0
    ) -> None:
        """Fill an empty directory from a snapshot. All is on disk when this returns.

        of_bytes    its size, for those who are told; 0 has it found out
        room_bytes  for its content without holes, if that is limited by nobody else; or 0
        raises      DiskFull: there is more
        """
        of_bytes = of_bytes or await self.restore_size(snapshot)
        arguments = ["restore", "--target", "."]
        if await self.makes_holes():
            arguments.append("--sparse")

        def heard(line: _Line) -> None:
            if line.message_type == IO:  # it says nothing itself, in this version
                tell(min(line.written_bytes, of_bytes), of_bytes)

        mode = f"fill={room_bytes}" if room_bytes else "fill"
        command = [*arguments, "--", _checked(snapshot)]
        finished = await self._followed(command, heard, target, mode)
        if room_bytes and finished.status == FULL:
            raise DiskFull(str(target), 0, 0)
        if finished.status:
            raise self._error("restore it", finished.message)

    async def makes_holes(self) -> bool:
        """Whether this restic can leave out zeros where it restores."""
        finished = await processes.run(PROGRAM, "version", deadline_s=ANSWER_WITHIN_S)
        found = _VERSION.match(finished.output.decode(errors="replace"))
        return found is not None and (int(found[1]), int(found[2])) >= _SPARSE_SINCE

    async def forget(self, snapshots: Sequence[str]) -> None:
        """The snapshots are gone, their data is not yet: see `prune`."""
        if snapshots:
            await self._got("forget snapshots", "forget", "--", *map(_checked, snapshots))

    async def prune(self) -> None:
        """Remove what no snapshot has any more."""
        await self._worked("remove what is forgotten", "prune")

    async def check(self, subset: str = "") -> None:
        """See that the repository is whole; read so much of the data as well."""
        reading = [f"--read-data-subset={subset}"] if subset else []
        await self._worked("find the repository whole", "check", *reading)

    async def unlock(self) -> None:
        """Remove locks of processes of this host that have ended, and very old ones of others."""
        await self._got("remove old locks", "unlock")

    @property
    def box(self) -> Path:
        """Where its processes see what they work on."""
        return self.workplace / "box"

    # How it is run

    async def _asked(self, *arguments: str) -> processes.Finished:
        command, environment = await self._permitted(arguments)
        try:
            return await processes.run(
                *command,
                deadline_s=ANSWER_WITHIN_S,
                environment=environment,
                limit_bytes=self.lists_at_most_bytes,
            )
        except HostStuck as error:
            why = f"no answer within {ANSWER_WITHIN_S:.0f} s"
            raise RepositoryAway(self.url, why) from error

    async def _got(self, action: str, *arguments: str) -> bytes:
        finished = await self._asked(*arguments)
        if finished.status:
            raise self._error(action, finished.message)
        return finished.output

    async def _worked(self, action: str, *arguments: str) -> None:
        finished = await self._followed(arguments, lambda _: None, None, "-")
        if finished.status:
            raise self._error(action, finished.message)

    async def _followed(
        self,
        arguments: Sequence[str],
        heard: Callable[[_Line], None],
        source: Path | None,
        mode: str,
    ) -> processes.Finished:
        command, environment = await self._permitted(arguments)

        def decoded(line: bytes) -> None:
            if line.startswith(b"{"):
                heard(_decoded("say how far it is", line, _Line))

        boxed = processes.own("mooring.host.boxed")
        shown = "-" if source is None else str(source)
        return await processes.followed(
            *(*boxed, str(self.box), shown, mode, "--", *command),
            heard=decoded,
            silence_s=SILENCE_S,
            environment=environment,
        )

    async def _permitted(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        if self.permit is not None:
            await self.permit()
        return await asyncio.to_thread(self._command, arguments)

    def _command(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        first, *rest = arguments
        self._made(f"box/{VOLUME}")
        command = [PROGRAM, first, "--cleanup-cache", "--cache-dir", str(self.workplace / "cache")]
        if self.authority is not None:
            command += ["--cacert", self._authority_file(self.authority)]
        environment = {
            "RESTIC_REPOSITORY": self.url,
            "RESTIC_PASSWORD": self.password,
            "RESTIC_PROGRESS_FPS": "2",
            "TMPDIR": str(self._made("tmp")),
            **self.keys,
        }
        return [*command, *rest], environment

    def _made(self, name: str) -> Path:
        place = self.workplace / name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    def _authority_file(self, pem: bytes) -> str:
        """Written once for each: certificates are no secret."""
        path = self._made("authorities") / f"{hashlib.sha256(pem).hexdigest()}.pem"
        if not path.exists():
            beside = path.with_suffix(f".{os.getpid()}")
            beside.write_bytes(pem)
            beside.rename(path)
        return str(path)

    def _error(self, action: str, message: str) -> MooringError:
        """In our words, where we know what is meant."""
        said = message.lower()
        if "wrong password or no key found" in said:
            return WrongPassword(self.url)
        if any(one in said for one in _FULL):
            return RepositoryFull(self.url)
        if "already locked" in said:
            return RepositoryLocked(self.url)
        if any(one in said for one in _DENIED):
            return RepositoryDenied(self.url, message)
        if any(one in said for one in _AWAY):
            return RepositoryAway(self.url, message)
        if any(one in said for one in _NONE_THERE):
            return RepositoryAway(self.url, "there is no repository any more")
        if "executable file not found" in said:
            return ProgramMissing(PROGRAM)
        return ResticFailed(action, message)
