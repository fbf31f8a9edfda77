"""Trees by rsync from one host to another: all of it, nothing else, and what differs is found."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.host import files, rsync
from mooring.host.errors import DiskFull, ProgramFailed
from tests.host.hostile_tree import PAST_PATHS, STRANGE, planted
from tests.host.privileges import needs_mounts
from tests.host.trees import Trees

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="keeping owners needs root"),
    pytest.mark.skipif(
        shutil.which("rsync") is None,
        reason="there is no rsync (`make programs` as root brings it)",
    ),
]
WITH_PATHS = 15  # so deep a directory of long names has a path yet
LEVELS = 300


class Cut(Exception):
    """The network is gone."""


class Way:
    """One direction of a channel; after so many bytes it is cut."""

    def __init__(self, cut_after: int = 1 << 60) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(8)
        self._left, self.passed = cut_after, bytearray()

    async def write(self, content: bytes) -> None:
        self._left -= len(content)
        if self._left < 0:
            raise Cut
        self.passed += content[: 1 << 16]
        await self._queue.put(content)

    async def read(self) -> bytes:
        return await self._queue.get()

    def end(self) -> None:
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(b"")


async def bring(trees: Trees, *, compares: bool = False, cut_after: int = 1 << 60) -> list[str]:
    """As two agents do. Returns what differed."""
    to, back = Way(cut_after), Way()
    lock = os.open("/dev/null", os.O_RDONLY)
    with files.directory(trees.original) as source, files.directory(trees.copy) as target:
        sending = asyncio.create_task(rsync.sent(source, rsync.Channel(back.read, to.write)))
        sending.add_done_callback(lambda _: to.end())
        try:
            async with asyncio.timeout(60):
                channel = rsync.Channel(to.read, back.write)
                brought = await rsync.brought(target, channel, compares=compares, lock=lock)
        finally:
            back.end()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            os.close(lock)
    return brought.changes


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    """Empty ones, beside a directory that nothing may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("kept")
    made = Trees(tmp_path / "original", tmp_path / "copy")
    made.original.mkdir()
    made.copy.mkdir()
    yield made
    assert [one.name for one in (tmp_path / "outside").iterdir()] == ["precious"]
    assert (tmp_path / "outside" / "precious").read_text() == "kept"
    with files.directory(tmp_path) as fd:  # pytest itself cannot remove what is too deep
        for name in ("original", "copy"):
            files.remove_tree(name, fd)


async def test_a_hostile_tree_comes_whole(trees: Trees, tmp_path: Path) -> None:
    planted(trees.original, tmp_path / "outside", WITH_PATHS)
    for depth in range(1, LEVELS + 1):
        os.mkdir(trees.original / "/".join(["d"] * depth))
    (trees.original / "/".join(["d"] * LEVELS) / "bottom").write_text("down here")
    await bring(trees)
    assert await bring(trees, compares=True) == []
    assert trees.differs() == []  # by another than rsync
    names = {os.fsencode(one) for one in os.listdir(trees.copy)}
    assert names == {os.fsencode(one) for one in os.listdir(trees.original)}
    assert names >= set(STRANGE)
    assert os.stat(trees.copy / "sparse").st_blocks * 512 < 10 << 20
    assert os.stat(trees.copy / "third").st_nlink == 3


async def test_what_only_the_copy_has_goes_whatever_it_is(trees: Trees, tmp_path: Path) -> None:
    planted(trees.copy, tmp_path / "outside", WITH_PATHS)
    (trees.original / "alone").write_text("this")
    (trees.original / "program").mkdir()  # was a file
    (trees.copy / "alone").symlink_to(tmp_path / "outside" / "precious")
    await bring(trees)
    await bring(trees, compares=True)
    assert sorted(os.listdir(trees.copy)) == ["alone", "program"]
    assert not (trees.copy / "alone").is_symlink()
    assert trees.differs() == []


async def test_what_differs_though_size_and_time_are_alike_is_found_and_mended(
    trees: Trees,
) -> None:
    (trees.original / "f").write_bytes(b"right" * 1000)
    await bring(trees)
    seen = os.stat(trees.copy / "f")
    (trees.copy / "f").write_bytes(b"wrong" * 1000)
    os.utime(trees.copy / "f", ns=(seen.st_atime_ns, seen.st_mtime_ns))
    await bring(trees)
    assert (trees.copy / "f").read_bytes() == b"wrong" * 1000  # not looked into
    (change,) = await bring(trees, compares=True)
    assert change.endswith(" f")
    assert (trees.copy / "f").read_bytes() == b"right" * 1000
    assert await bring(trees, compares=True) == []


@pytest.mark.parametrize("what", ["mode", "owner", "attribute", "acl", "extra"])
async def test_a_difference_beside_the_content_is_found_too(trees: Trees, what: str) -> None:
    for top in (trees.original, trees.copy):
        (top / "f").write_text("same")
        os.utime(top / "f", ns=(5, 5))
        os.utime(top, ns=(7, 7))
    assert await bring(trees, compares=True) == []
    match what:
        case "mode":
            (trees.copy / "f").chmod(0o600)
        case "owner":
            os.chown(trees.copy / "f", 5, 6)
        case "attribute":
            os.setxattr(trees.copy / "f", "user.x", b"1")
        case "acl":
            entries = "0200000001000600ffffffff020006000500000004000400ffffffff"
            acl = bytes.fromhex(entries + "10000600ffffffff20000400ffffffff")
            os.setxattr(trees.copy / "f", "system.posix_acl_access", acl)
        case "extra":
            (trees.copy / "more").touch()
    assert await bring(trees, compares=True) != []
    assert await bring(trees, compares=True) == []
    assert trees.differs() == []


async def test_a_tree_without_paths_is_refused_and_not_left_out(
    trees: Trees, tmp_path: Path
) -> None:
    planted(trees.original, tmp_path / "outside", PAST_PATHS)
    with pytest.raises(ProgramFailed):
        await bring(trees)


async def test_a_copy_that_was_cut_goes_on(trees: Trees) -> None:
    for number in range(64):
        (trees.original / f"{number:02}").write_bytes(os.urandom(1 << 18))
    with pytest.raises((ProgramFailed, Cut)):
        await bring(trees, cut_after=8 << 20)
    there = {one.name: one.stat().st_ino for one in trees.copy.iterdir() if one.name[0] != "."}
    assert 8 < len(there) < 64
    await bring(trees)
    whole = {name for name, inode in there.items() if (trees.copy / name).stat().st_ino == inode}
    assert len(whole) >= len(there) - 1  # were not brought again
    assert trees.differs() == []


@pytest.fixture
def full(trees: Trees) -> Iterator[Trees]:
    """Whose copy has no room."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", trees.copy], check=True)
    yield trees
    subprocess.run(["umount", trees.copy], check=True)


@needs_mounts
async def test_a_full_disk_is_told_as_that(full: Trees) -> None:
    (full.original / "large").write_bytes(os.urandom(4 << 20))
    with pytest.raises(DiskFull):
        await bring(full)


async def test_who_is_sent_a_tree_cannot_write_to_it_nor_leave_it(
    trees: Trees, tmp_path: Path
) -> None:
    """The other host may ask its rsync for anything."""
    (trees.original / "f").write_text("kept")
    (trees.original / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "evil").write_text("evil")
    asked: tuple[tuple[str, ...], ...] = (
        (f"{tmp_path}/mine/", "peer::volume/"),
        ("peer::volume/../outside/", f"{tmp_path}/got/"),
        ("--copy-links", "peer::volume/", f"{tmp_path}/got/"),
        ("peer::volume/out/", f"{tmp_path}/got/"),
        ("peer::etc/", f"{tmp_path}/got/"),
    )
    for arguments in asked:
        with files.directory(trees.original) as source:
            bridge = await _bridged(source, arguments)
        assert bridge != 0 or not list((tmp_path / "got").rglob("precious"))
    assert (trees.original / "f").read_text() == "kept"
    assert sorted(os.listdir(trees.original)) == ["f", "out"]
    assert not list(tmp_path.glob("got/**/precious"))


async def _bridged(source: int, arguments: tuple[str, ...]) -> int:
    """How an rsync of somebody else ends that is given our sender."""
    import shlex
    import socket

    from mooring.host import processes

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours)

    async def write(content: bytes) -> None:
        writer.write(content)
        await writer.drain()

    channel = rsync.Channel(lambda: reader.read(1 << 16), write)
    sending = asyncio.create_task(rsync.sent(source, channel))
    sending.add_done_callback(lambda _: writer.close())
    shell = shlex.join([*processes.own("mooring.host.bridge"), str(theirs.fileno())])
    process = await asyncio.create_subprocess_exec(
        *("rsync", "--archive", f"--rsh={shell}", *arguments),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    theirs.close()
    async with asyncio.timeout(60):
        status = await process.wait()
    writer.transport.abort()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return status
