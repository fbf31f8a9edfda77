"""Fills volumes from archives and directories of this host, where its operator allows that."""

import os
from collections.abc import Sequence
from pathlib import Path

from mooring.errors import Effect, MooringError
from mooring.host import copies, files
from mooring.host.blocking import Blocking
from mooring.host.copier import Ended, Tick
from mooring.host.errors import DiskFull, OutsideRoot, TreeChanged
from mooring.model.backup import VolumeArchive
from mooring.model.claim import Claim, DataSource
from mooring.node.filling import Contents, Tell
from mooring.objects.objects import Objects
from mooring.rules.filling import Amount, shown_bytes


class SourceMissing(MooringError):
    code = "SourceMissing"

    def __init__(self, kind: str, key: str) -> None:
        self.what = f"{kind} {key} does not exist"
        self.remedy = "make it; the claim is filled then"


class NotOfThisHost(MooringError):
    code = "NotOfThisHost"

    def __init__(self, kind: str, key: str, node: str, here: str) -> None:
        self.what = f"{kind} {key} is on host {node}, and the volume is to be on {here}"
        self.remedy = f"use a StorageClass whose pool is on {node}"


class NotAllowed(MooringError):
    """The path may hold anything, such as the host's own secrets."""

    code = "NotAllowed"

    def __init__(self, path: str, allowed: Sequence[Path]) -> None:
        named = ", ".join(str(one) for one in allowed) or "none is"
        self.what = f"{path} is below no directory that this host allows ({named})"
        self.remedy = "move it there, or start Mooring with --import-dir DIRECTORY"


class Unreadable(MooringError):
    code = "Unreadable"

    def __init__(self, path: str, why: str) -> None:
        self.what = f"{path} cannot be read: {why}"
        self.remedy = "see that it is there, and is what the VolumeArchive says"


class TooLarge(MooringError):
    code, effect = "TooLarge", Effect.UNKNOWN

    def __init__(self, what: str, room_bytes: int, need_bytes: int = 0) -> None:
        """need_bytes  0 if it is not known"""
        needed = f": {shown_bytes(need_bytes)}" if need_bytes else ""
        self.what = f"{what} does not fit into {shown_bytes(room_bytes)}{needed}"
        self.remedy = "make the claim anew with a larger request"


class FillingFailed(MooringError):
    """What came out is not what went in."""

    code, effect = "FillingFailed", Effect.UNKNOWN

    def __init__(self, what: str) -> None:
        self.what = what
        self.remedy = "it is tried again; look at the disk if it stays so"


class ArchiveFiller:
    """For sources of kind VolumeArchive."""

    def __init__(self, objects: Objects, node: str, allowed: Sequence[Path]) -> None:
        """allowed  directories below which archives may lie"""
        self._objects, self._node, self._allowed = objects, node, allowed

    async def contents(self, claim: Claim, source: DataSource) -> Contents:
        key = f"{claim.namespace}/{source.name}"
        archive = self._objects.view(VolumeArchive, key)
        if archive is None:
            raise SourceMissing(source.kind, key)
        if archive.spec.node not in ("", self._node):
            raise NotOfThisHost(source.kind, key, archive.spec.node, self._node)
        return _Archive(archive, self._allowed)


class _Archive:
    """One archive or directory."""

    def __init__(self, archive: VolumeArchive, allowed: Sequence[Path]) -> None:
        self._archive, self._allowed = archive, allowed
        self._blocking = Blocking("archives")
        self.identity = f"{archive.key} ({archive.path})"

    async def fill(self, root: Path, room_bytes: int, tell: Tell) -> None:
        path = Path(self._archive.path)
        is_tar = bool(self._archive.spec.tar)
        flags = os.O_RDONLY | (os.O_NONBLOCK if is_tar else os.O_DIRECTORY)
        fd = await self._blocking.run(lambda: self._opened(path, flags), about=str(path))

        def told(tick: Tick) -> None:
            if tick.phase != "scanning":
                tell(Amount(tick.done.bytes, tick.of_all.bytes))

        try:
            if is_tar:
                await copies.unpacked(fd, root, room_bytes, told)
            else:
                await self._copied(fd, root, room_bytes, told)
        except DiskFull as error:
            raise TooLarge(str(path), room_bytes, error.need_bytes) from error
        finally:
            os.close(fd)

    def _opened(self, path: Path, flags: int) -> int:
        for root in self._allowed:
            try:
                return files.opened_under(root, path, flags)
            except OutsideRoot:
                continue
            except OSError as error:
                raise Unreadable(str(path), error.strerror or str(error)) from error
        raise NotAllowed(str(path), self._allowed)

    async def _copied(self, original: int, root: Path, room_bytes: int, told: copies.Tell) -> None:
        totals = await copies.scanned(original, told)
        if totals.bytes > room_bytes:
            raise TooLarge(self._archive.path, room_bytes, totals.bytes)
        ended: Ended = await copies.copied(original, root, told)
        if ended.changed.count:
            raise TreeChanged(ended.changed.named)
        if ended.differs.count:
            raise FillingFailed(f"the copy differs: {'; '.join(ended.differs.named)}")
