"""Snapshots of a btrfs on their way to another one, piece by piece: `btrfs send` and `receive`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from mooring.host import processes
from mooring.host.errors import HostStuck, ProgramFailed

DEADLINE_S: Final = 24 * 3600.0  # terabytes, to a slow disk
PART_BYTES: Final = 1 << 18

Read = Callable[[], Awaitable[bytes]]  # b"" at the end, which is after all of it
Write = Callable[[bytes], Awaitable[None]]


async def sent(snapshot: Path, earlier: Path | None, write: Write) -> None:
    """Give a read-only subvolume away; all of it was given once this returns.

    earlier  another one: what it has already is left out
    raises   ProgramMissing, ProgramFailed, HostStuck, and what `write` raises
    """
    parent = () if earlier is None else ("-p", str(earlier))
    command = ("btrfs", "send", "-q", *parent, "--", str(snapshot))
    async with processes.conversing(*command) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.close()
        errors = asyncio.create_task(processes.bounded(process.stderr))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while content := await process.stdout.read(PART_BYTES):
                    await write(content)
                await _succeeded(process, errors)
        except TimeoutError as error:
            raise HostStuck("btrfs send", DEADLINE_S) from error
        finally:
            errors.cancel()


async def received(into: Path, read: Read, lock: int) -> None:
    """Make what `sent` gives in a directory. `btrfs receive` takes an end too early for the end, so
    it is told of one only where all has come; else it is killed.

    lock    a descriptor that is open for as long as anything of this runs, also if we are killed
    raises  ProgramMissing, ProgramFailed, HostStuck, and what `read` raises
    """
    command = ("btrfs", "receive", "-q", "-e", "--", str(into))
    async with processes.conversing(*command, inherits=(lock,)) as process:
        assert process.stdin is not None
        errors = asyncio.create_task(processes.bounded(process.stderr))
        output = asyncio.create_task(processes.bounded(process.stdout))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while content := await read():
                    try:
                        process.stdin.write(content)
                        await process.stdin.drain()
                    except (BrokenPipeError, ConnectionResetError):
                        await _succeeded(process, errors)  # it says why it has ended
                        raise ProgramFailed("btrfs", 0, "it ended before its input did") from None
                process.stdin.close()
                await _succeeded(process, errors)
        except TimeoutError as error:
            raise HostStuck("btrfs receive", DEADLINE_S) from error
        finally:
            errors.cancel()
            output.cancel()


async def _succeeded(process: asyncio.subprocess.Process, errors: "asyncio.Task[bytes]") -> None:
    """Raises ProgramFailed."""
    said, status = await errors, await process.wait()
    if status:
        message = " ".join(said.decode(errors="replace").split())[-500:]
        raise ProgramFailed("btrfs", status, message)
