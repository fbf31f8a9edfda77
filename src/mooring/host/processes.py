"""The one place that starts other programs: argument lists, a deadline, bounded output."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from mooring.host.errors import HostStuck, ProgramFailed, ProgramMissing

OUTPUT_LIMIT_BYTES = 1 << 20  # of each stream; the programs we read from say far less
_CHILD = Path(__file__).with_name("child.py")
_KILL_WAIT_S = 1.0  # a process in an uninterruptible call does not die; we do not wait for it
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT = {"PATH": PATH}


def own(module: str) -> tuple[str, ...]:
    """What starts a module of this Mooring as a program, its arguments left out.

    Isolated: no module of a directory or an environment that others may write is loaded.
    """
    return (sys.executable, "-I", "-X", "utf8", str(_CHILD), module)


class Process(NamedTuple):
    """A process that is not ours, as long as it lives: numbers are used again."""

    pid: int
    started: str  # as /proc says it

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """None if there is none of that number that we may see."""
        started = _since(pid)
        return cls(pid, started) if started else None

    @property
    def lives(self) -> bool:
        return _since(self.pid) == self.started


class Finished(NamedTuple):
    """How a program ended. Output beyond the limit was read and thrown away."""

    status: int
    output: bytes
    errors: bytes

    @property
    def message(self) -> str:
        """What it said about its failure, in one line."""
        return " ".join(self.errors.decode(errors="replace").split())[-500:]


async def run(
    *arguments: str,
    deadline_s: float,
    feed: bytes = b"",
    environment: Mapping[str, str] | None = None,
    limit_bytes: int = OUTPUT_LIMIT_BYTES,
    inherits: Sequence[int] = (),
) -> Finished:
    """Run a program to its end, whatever its exit status.

    arguments    the program and its arguments; no shell is ever between
    deadline_s   then it is killed, with every process it started
    feed         what it reads on its standard input
    environment  beside PATH and LC_ALL=C, which are always set; nothing is inherited
    inherits     descriptors that it has as well, under the same numbers; so a lock on one of them
                 is held until it has ended, also if we are killed
    raises       ProgramMissing, HostStuck
    """
    process = await _started(arguments, environment or {}, OUTPUT_LIMIT_BYTES, inherits)
    try:
        async with asyncio.timeout(deadline_s):
            output, errors, _ = await asyncio.gather(
                bounded(process.stdout, limit_bytes),
                bounded(process.stderr, limit_bytes),
                _fed(process.stdin, feed),
            )
            return Finished(await process.wait(), output, errors)
    except TimeoutError as error:
        raise HostStuck(arguments[0], deadline_s) from error
    finally:
        await _ended(process)


async def checked(
    *arguments: str,
    deadline_s: float,
    feed: bytes = b"",
    environment: Mapping[str, str] | None = None,
    inherits: Sequence[int] = (),
) -> bytes:
    """The output of a program that must succeed. Raises ProgramFailed, and what `run` raises."""
    finished = await run(
        *arguments, deadline_s=deadline_s, feed=feed, environment=environment, inherits=inherits
    )
    if finished.status:
        raise ProgramFailed(arguments[0], finished.status, finished.message)
    return finished.output


async def followed(
    *arguments: str,
    heard: Callable[[bytes], None],
    silence_s: float,
    environment: Mapping[str, str] | None = None,
    inherits: Sequence[int] = (),
) -> Finished:
    """Run a program that says how far it is, line by line, however long it takes.

    Its input stays open, and empty, for as long as we live: so it can end if we are killed.

    heard        is given each line, which has at most OUTPUT_LIMIT_BYTES
    silence_s    so long after its last line it is killed, with every process it started
    environment  as of `run`, and so is inherits
    returns      how it ended, without its output
    raises       ProgramMissing, HostStuck, and what `heard` raises
    """
    process = await _started(arguments, environment or {}, OUTPUT_LIMIT_BYTES, inherits)
    assert process.stdout is not None
    errors = asyncio.create_task(bounded(process.stderr, OUTPUT_LIMIT_BYTES))
    try:
        while True:
            async with asyncio.timeout(silence_s):
                line = await process.stdout.readline()
            if not line:
                break
            heard(line)
        async with asyncio.timeout(silence_s):
            return Finished(await process.wait(), b"", await errors)
    except TimeoutError as error:
        raise HostStuck(arguments[0], silence_s) from error
    finally:
        await _ended(process)
        errors.cancel()


@asynccontextmanager
async def conversing(
    *arguments: str, inherits: Sequence[int] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program whose streams are the caller's, who sees to it that it ends; at last it is killed.

    inherits  as of `run`
    raises    ProgramMissing
    """
    process = await _started(arguments, {}, OUTPUT_LIMIT_BYTES, inherits)
    try:
        yield process
    finally:
        await _ended(process)


async def daemon(*arguments: str, log: Path, deadline_s: float) -> int:
    """Run a program that puts itself in the background, and goes on when we end.

    log      what it says from then on is added there
    returns  its exit status, once it is in the background or has failed
    raises   ProgramMissing, HostStuck, OSError of the log
    """
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**_ENVIRONMENT, "LC_ALL": "C"},
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ProgramMissing(arguments[0]) from error
    finally:
        os.close(output)
    try:
        async with asyncio.timeout(deadline_s):
            return await process.wait()
    except TimeoutError as error:
        raise HostStuck(arguments[0], deadline_s) from error
    finally:
        await _ended(process)


def detached(*arguments: str, log: Path) -> None:
    """Start a program that goes on when we end, whatever we are ended by.

    log     what it says is added there
    raises  ProgramMissing, OSError of the log
    """
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**_ENVIRONMENT, "LC_ALL": "C"},
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ProgramMissing(arguments[0]) from error
    finally:
        os.close(output)
    # Whoever is started in its place reaps it; it need not be waited for here.
    threading.Thread(target=process.wait, name=f"ends {process.pid}", daemon=True).start()


async def _started(
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    limit_bytes: int,
    inherits: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**_ENVIRONMENT, "LC_ALL": "C", **environment},
            start_new_session=True,  # a process group of its own, so that all of it can be killed
            limit=limit_bytes,  # of a line
            pass_fds=inherits,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ProgramMissing(arguments[0]) from error


async def bounded(
    stream: asyncio.StreamReader | None, limit_bytes: int = OUTPUT_LIMIT_BYTES
) -> bytes:
    """What it says, read to the end, whatever is beyond the limit thrown away."""
    assert stream is not None
    kept = bytearray()
    while chunk := await stream.read(1 << 16):
        kept += chunk[: limit_bytes - len(kept)]
    return bytes(kept)


async def _fed(stream: asyncio.StreamWriter | None, feed: bytes) -> None:
    assert stream is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it need not read what it is given
        if feed:
            stream.write(feed)
            await stream.drain()
        stream.close()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Nothing of it is left running, also when our own task was cancelled."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_KILL_WAIT_S):
            await process.wait()


def started_by(pids: Iterable[int]) -> set[int]:
    """These processes, and all that they and their children have started, as far as it lives and
    was not left behind."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, IndexError, ValueError):
            parents[int(name)] = int(_stat(int(name))[1])
    found, new = set[int](), set(pids)
    while new:
        found |= new
        new = {pid for pid, parent in parents.items() if parent in new} - found
    return found


def program(pid: int) -> str:
    """The name of the file that a process runs; "" if it is gone, or that cannot be seen."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")).name
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """Of /proc/PID/stat, from the state on. Raises OSError."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        # Its name, in brackets, may have blanks and brackets of its own.
        return file.read().rpartition(")")[2].split()


def _since(pid: int) -> str:
    """When, in ticks since the boot; "" if there is no such process."""
    try:
        return _stat(pid)[19]
    except (OSError, IndexError):
        return ""
