"""Trees between two hosts, by rsync: one of its two processes runs here, bytes come and go.

The one that sends is rsync's own server for anybody, read-only and shut in the tree (chroot); it
reads what is asked of it itself, so no argument comes from the other host. What is there already
is made use of, so that a copy that was cut off goes on.
"""

import asyncio
import os
import re
import shlex
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from mooring.host import processes
from mooring.host.errors import DiskFull, ProgramFailed, ProgramMissing

SILENT_S: Final = 900  # without a byte: reading one large file is silent, on both sides
PART_BYTES: Final = 1 << 18
CHANGES_AT_MOST: Final = 5  # that are shown
_TREE: Final = "volume"
_NO_SPACE: Final = re.compile(r"No space left|Disk quota exceeded|\(28\)|\(122\)")
_PERCENT: Final = re.compile(rb"(\d{1,3})%")
# All that belongs to a tree. Names of attributes: of those that are switches of one kind of file
# system (btrfs.compression) and of those that the kernel makes (system.) none; ACLs have a flag.
_WHOLE: Final = (
    *("--archive", "--hard-links", "--acls", "--xattrs", "--xattrs", "--sparse"),
    *("--filter=-x system.*", "--filter=-x btrfs.*"),
    *("--numeric-ids", "--delete", "--partial", "--no-inc-recursive", "--protect-args"),
    "--modify-window=-1",  # else times within a second are alike
)
_CONFIGURATION: Final = """\
use chroot = {chroot}
munge symlinks = no
numeric ids = yes
read only = yes
list = no
log file = /dev/null
timeout = {timeout}
uid = {uid}
gid = {gid}
[{tree}]
path = /proc/self/fd/{fd}
"""

Read = Callable[[], Awaitable[bytes]]  # b"" at the end
Write = Callable[[bytes], Awaitable[None]]


class Channel(NamedTuple):
    """Bytes to and from the other host."""

    read: Read
    write: Write


def refuse_without() -> None:
    """Raises ProgramMissing."""
    if shutil.which("rsync", path=processes.PATH) is None:
        raise ProgramMissing("rsync")


async def sent(tree: int, channel: Channel) -> None:
    """Serve one reader of a tree, an open directory, to the end.

    raises  ProgramMissing, OSError, and what the channel raises
    """
    text = _CONFIGURATION.format(
        chroot="yes" if os.geteuid() == 0 else "no",
        timeout=SILENT_S,
        uid=os.geteuid(),
        gid=os.getegid(),
        tree=_TREE,
        fd=tree,
    )
    with _in_memory(text.encode()) as said:
        command = ("rsync", "--server", "--daemon", f"--config=/proc/self/fd/{said}", ".")
        await _conversed(command, (tree, said), channel)


async def _conversed(command: tuple[str, ...], inherits: tuple[int, ...], channel: Channel) -> None:
    async with processes.conversing(*command, inherits=inherits) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin = process.stdin

        async def write(content: bytes) -> None:
            stdin.write(content)
            await stdin.drain()

        async def heard() -> None:
            try:
                await _passed(channel.read, write)
            finally:
                stdin.close()  # nothing more comes, so that it ends as well

        to = asyncio.create_task(heard())
        try:
            with suppress(ConnectionError):
                await _passed(partial(process.stdout.read, PART_BYTES), channel.write)
        finally:
            to.cancel()
            await asyncio.gather(to, return_exceptions=True)


@contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A file that is nowhere: a few lines, which fit into a pipe."""
    fd, end = os.pipe()
    try:
        os.write(end, content)
        os.close(end)
        yield fd
    finally:
        os.close(fd)


class Brought(NamedTuple):
    """What had to be changed, for people: some of it. Empty if nothing was, in a look at all."""

    changes: list[str]


async def brought(
    tree: int,
    channel: Channel,
    *,
    compares: bool,
    lock: int,
    heard: Callable[[int], None] = lambda _: None,
) -> Brought:
    """Make a directory what the tree of the other host is.

    tree      the open directory; nobody else may use it
    compares  read all content on both sides, whatever sizes and times say, and tell what differed
    lock      a descriptor that is open for as long as anything of this runs, also if we are killed
    heard     is told how far it is, in percent
    raises    DiskFull, ProgramFailed, ProgramMissing, and what the channel raises first
    """
    ours, theirs = socket.socketpair()
    try:
        bridge = shlex.join([*processes.own("mooring.host.bridge"), str(theirs.fileno())])
        how = ("--checksum", "--itemize-changes") if compares else ("--info=progress2",)
        command = (
            *("rsync", *_WHOLE, *how, f"--timeout={SILENT_S}", "--outbuf=N", f"--rsh={bridge}"),
            *("--", f"peer::{_TREE}/", f"/proc/self/fd/{tree}/"),
        )
        inherits = (tree, lock, theirs.fileno())
        async with (
            _served(ours, channel),
            processes.conversing(*command, inherits=inherits) as process,
        ):
            theirs.close()
            said, errors = await asyncio.gather(
                _heard(process.stdout, heard), processes.bounded(process.stderr)
            )
            status = await process.wait()
    finally:
        ours.close()
        theirs.close()
    if status:
        message = " ".join(errors.decode(errors="replace").split())[-500:]
        if _NO_SPACE.search(message):
            raise DiskFull("the copy", 0, 0)
        raise ProgramFailed("rsync", status, message)
    lines = said.decode(errors="replace").splitlines() if compares else []
    return Brought([line for line in lines if line.strip()][:CHANGES_AT_MOST])


@asynccontextmanager
async def _served(ours: socket.socket, channel: Channel) -> AsyncIterator[None]:
    """What our rsync says goes to the other host, and back, for as long as this runs."""
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=PART_BYTES)

    async def write(content: bytes) -> None:
        writer.write(content)
        await writer.drain()

    async def told() -> None:
        await _passed(channel.read, write)
        writer.write_eof()

    ways = [
        asyncio.create_task(told()),
        asyncio.create_task(_passed(partial(reader.read, PART_BYTES), channel.write)),
    ]
    for one in ways:  # what breaks one way breaks both: our rsync is not to wait for what is lost
        one.add_done_callback(lambda ended: writer.transport.abort() if _broke(ended) else None)
    try:
        yield
    finally:
        broken = [one.exception() for one in ways if one.done() and _broke(one)]
        for one in ways:
            one.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.transport.abort()
        if broken and broken[0] is not None:
            raise broken[0]


def _broke(task: "asyncio.Task[None]") -> bool:
    """By an error of the channel; that our rsync has ended is none."""
    return (
        not task.cancelled()
        and (error := task.exception()) is not None
        and not isinstance(error, ConnectionError)
    )


async def _passed(read: Read, write: Write) -> None:
    while content := await read():
        await write(content)


async def _heard(stream: asyncio.StreamReader | None, heard: Callable[[int], None]) -> bytes:
    """What it says, of which some is kept; percents in it are told."""
    assert stream is not None
    kept = bytearray()
    while content := await stream.read(1 << 14):
        if found := _PERCENT.findall(content):
            heard(min(int(found[-1]), 100))
        kept += content[: processes.OUTPUT_LIMIT_BYTES - len(kept)]
    return bytes(kept)
