"""HAProxy's sockets: what it has, and changes without a reload. Edge §6."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mooring.crashpoints import crash_point, passing
from mooring.edge.errors import ProxyAway, UnexpectedAnswer
from mooring.edge.haproxy.files import GENERATION
from mooring.edge.haproxy.slots import Admin, Point, Slot, Turn
from mooring.edge.words import word

DEADLINE_S: Final = 5.0
BYTES_AT_ONCE: Final = 8 << 10  # of what is sent at once: HAProxy's buffer has 16 KiB
# Columns of `show servers state`, and their bits and values.
_BACKEND, _SERVER, _ADDRESS, _UP, _ADMIN, _RESULT, _PORT = 1, 3, 4, 5, 6, 11, 18
_SERVERS: Final = 4  # the kind of lines that `show stat` is asked for
# Columns of those lines.
_STAT_SERVER, _STAT_SESSIONS = 1, 4
_MAINT: Final = 0x01 | 0x02 | 0x20
_DRAIN: Final = 0x08 | 0x10
_RUNNING, _PASSED = ("1", "2", "3"), ("3", "4")  # 1: in its slow start
_VALUE: Final = re.compile(r"value=<(\d+)>")
_VERSION: Final = re.compile(r"New version created: (\d+)")
_FINGERPRINT: Final = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]+)$", re.M)
_MASTER: Final = re.compile(r"^(\d+)\s+master\s+(\d+) \[failed: (\d+)\]\s+\S+\s+(\S+)", re.M)
_WORKER: Final = re.compile(r"^(\d+)\s+worker\s", re.M)
_UNCOMMITTED: Final = re.compile(r"^\*(\S+)$", re.M)
MAP_PREPARED: Final = crash_point("edge.haproxy.map-prepared")
CERTIFICATE_SET: Final = crash_point("edge.haproxy.certificate-set")
CERTIFICATE_COMMITTED: Final = crash_point("edge.haproxy.certificate-committed")
TOLD: Final = crash_point("edge.haproxy.slots-told")
_MOVED: Final = re.compile(r"no need to change|changed from|nothing changed")


class Worker(NamedTuple):
    """The master's word on its workers.

    pid     of the one that listens
    failed  how many reloads in a row came to nothing
    master  its own
    old     how many others end what clients began
    """

    pid: int
    reloads: int
    failed: int
    master: int
    version: str
    old: int


async def asked(socket: Path, command: str) -> str:
    """The whole answer to one command. Raises ProxyAway."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(command.encode() + b"\n")
                writer.write_eof()
                answer = await reader.read()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise ProxyAway("HAProxy", f"{socket} does not answer in time") from error
    except OSError as error:
        raise ProxyAway("HAProxy", f"{socket}: {error.strerror or error}") from error
    return answer.decode(errors="replace")


class Runtime:
    """The worker's socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def generation(self) -> int | None:
        """Of the configuration that it has; None if that is not one of ours. Raises ProxyAway."""
        found = _VALUE.search(await asked(self._socket, f"get var {GENERATION}"))
        return int(found[1]) if found else None

    async def info(self) -> dict[str, str]:
        """What it says of itself, by name. Raises ProxyAway."""
        lines = (await asked(self._socket, "show info")).splitlines()
        return {name: value for name, _, value in (line.partition(": ") for line in lines)}

    async def state(self) -> str:
        """All servers, in the form of a state file. Raises ProxyAway."""
        return await asked(self._socket, "show servers state")

    async def slots(self, backend: str = "") -> dict[str, list[Slot]]:
        """By backend, in order of number; of one backend, or of all. Raises ProxyAway."""
        command = f"show servers state {word(backend)}" if backend else "show servers state"
        return slots_of(await asked(self._socket, command))

    async def busy(self, backend: str) -> set[int]:
        """Slots with requests that have not ended. Raises ProxyAway."""
        return busy_in(await asked(self._socket, f"show stat {word(backend)} {_SERVERS} -1"))

    async def do(self, steps: Sequence[tuple[str, Point | Turn]]) -> None:
        """Steps, each with its backend.

        raises  ProxyAway; the first UnexpectedAnswer, once all others are done
        """
        failure: UnexpectedAnswer | None = None
        for commands in _chunks(_command(*one) for one in steps):
            line = "; ".join(commands)
            answer = await asked(self._socket, line)
            said = [one for one in answer.splitlines() if one and not _MOVED.search(one)]
            if said:
                failure = failure or UnexpectedAnswer(line, said[0])
            passing(TOLD)
        if failure is not None:
            raise failure

    async def map(self, name: str) -> dict[str, str]:
        """What it has of a map: a file, or `@VERSION FILE`. Raises ProxyAway."""
        answer = await asked(self._socket, f"show map {name}")
        entries = (line.split() for line in answer.splitlines() if line)
        return {entry[1]: entry[2] for entry in entries if len(entry) == 3}

    async def set_map(self, file: str, entries: Mapping[str, str]) -> None:
        """All of a map at once: no request sees half of it. Raises ProxyAway, UnexpectedAnswer."""
        command = f"prepare map {word(file)}"
        answer = await asked(self._socket, command)
        version = _VERSION.search(answer)
        if version is None:
            raise UnexpectedAnswer(command, answer)
        name = f"@{version[1]} {file}"
        try:
            for lines in _chunks([f"{word(k)} {word(v)}" for k, v in entries.items()]):
                await self._silent(f"add map {name} <<\n" + "\n".join(lines) + "\n")
            # What does not fit its buffer it drops without a word.
            if await self.map(name) != entries:
                raise UnexpectedAnswer(f"add map {name}", "not all of it is there")
            passing(MAP_PREPARED)
            await self._silent(f"commit map {name}")
        except UnexpectedAnswer:
            await asked(self._socket, f"clear map {name}")
            raise

    async def certificates(self, listed: str) -> dict[str, str]:
        """Fingerprints of the certificates of a list, by file. Raises ProxyAway."""
        command = f"show ssl crt-list {word(listed)}"
        answer = await asked(self._socket, command)
        files = [line.split()[0] for line in answer.splitlines() if line and line[0] != "#"]
        if not all(one.startswith("/") for one in files):
            raise UnexpectedAnswer(command, answer)
        found = {}
        for file in files:
            said = _FINGERPRINT.search(await asked(self._socket, f"show ssl cert {word(file)}"))
            found[file] = said[1] if said else ""
        return found

    async def abort_certificates(self) -> None:
        """Of one that was told and not committed: until then it takes no other. Raises ProxyAway.

        One of an earlier process of ours, or of somebody else's hand.
        """
        for name in _UNCOMMITTED.findall(await asked(self._socket, "show ssl cert")):
            await asked(self._socket, f"abort ssl cert {name}")

    async def set_certificate(self, file: str, pem: str, *, is_new: bool) -> None:
        """Have it, and serve it from now on if it is listed. Raises ProxyAway,
        UnexpectedAnswer."""
        name = word(file)
        if is_new:
            await self._says(f"new ssl cert {name}", "New empty", "already exists")
        try:
            await self._says(f"set ssl cert {name} <<\n{pem}", "Transaction")
            passing(CERTIFICATE_SET)
            await self._says(f"commit ssl cert {name}", "Success")
            passing(CERTIFICATE_COMMITTED)
        except UnexpectedAnswer:
            await asked(self._socket, f"abort ssl cert {name}")
            raise

    async def list_certificate(self, listed: str, file: str, names: Iterable[str]) -> None:
        """Serve it for these names from now on. Raises ProxyAway, UnexpectedAnswer."""
        line = " ".join((word(file), *map(word, sorted(names))))
        await self._says(f"add ssl crt-list {word(listed)} <<\n{line}\n", "Success")

    async def drop_certificate(self, listed: str, file: str) -> None:
        """Serve it no more. Raises ProxyAway, UnexpectedAnswer."""
        await self._says(f"del ssl crt-list {word(listed)} {word(file)}", "deleted")
        await self._says(f"del ssl cert {word(file)}", "deleted")

    async def _says(self, command: str, *expected: str) -> None:
        answer = await asked(self._socket, command)
        if not any(one in answer for one in expected):
            raise UnexpectedAnswer(command.partition("\n")[0], answer)

    async def _silent(self, command: str) -> None:
        """Of a command that has nothing to say if it was done."""
        answer = await asked(self._socket, command)
        if answer.strip():
            raise UnexpectedAnswer(command, answer)


async def worker_of(socket: Path) -> Worker:
    """Of a master's socket. Raises ProxyAway."""
    answer = await asked(socket, "show proc")
    worker = worker_in(answer)
    if worker is None:
        raise ProxyAway("HAProxy", f"{socket} knows of no worker")
    return worker


def worker_in(said: str) -> Worker | None:
    """In what `show proc` prints; None if it names no worker."""
    head, _, rest = said.partition("# workers")
    master = _MASTER.search(head)
    workers, _, others = rest.partition("# old workers")
    worker = _WORKER.search(workers)
    if master is None or worker is None:
        return None
    return Worker(
        pid=int(worker[1]),
        reloads=int(master[2]),
        failed=int(master[3]),
        master=int(master[1]),
        version=master[4],
        old=len(_WORKER.findall(others.partition("# programs")[0])),
    )


def slots_of(state: str) -> dict[str, list[Slot]]:
    """Slots in what `show servers state` prints; servers of other names are left out."""
    found: dict[str, list[Slot]] = {}
    for line in state.splitlines():
        cells = line.split(" ")
        if len(cells) <= _PORT or line.startswith("#"):
            continue
        number = cells[_SERVER].removeprefix("s")
        if number.isdecimal():
            found.setdefault(cells[_BACKEND], []).append(_slot(int(number), cells))
    for slots in found.values():
        slots.sort()
    return found


def busy_in(stat: str) -> set[int]:
    """Slots with sessions in what `show stat` prints of the servers of a backend."""
    found = set()
    for line in stat.splitlines():
        cells = line.split(",")
        if len(cells) > _STAT_SESSIONS and cells[_STAT_SESSIONS] not in ("", "0", "scur"):
            number = cells[_STAT_SERVER].removeprefix("s")
            if number.isdecimal():
                found.add(int(number))
    return found


def _slot(number: int, cells: Sequence[str]) -> Slot:
    bits = int(cells[_ADMIN])
    admin = Admin.MAINT if bits & _MAINT else Admin.DRAIN if bits & _DRAIN else Admin.READY
    is_up = cells[_UP] in _RUNNING and cells[_RESULT] in _PASSED
    return Slot(number, cells[_ADDRESS], int(cells[_PORT]), admin, is_up)


def _command(backend: str, step: Point | Turn) -> str:
    name = f"{word(backend)}/s{step.slot}"
    if isinstance(step, Turn):
        return f"set server {name} state {step.admin.value}"
    address, port = word(step.server.address), step.server.port
    # Out of maintenance it counts as up before it is checked. Down it is up again by a check. In
    # one line, since who is killed in between leaves it up, and nobody could tell.
    return (
        f"set server {name} addr {address} port {port}"
        f"; set server {name} state drain; set server {name} health down"
    )


def _chunks(lines: Iterable[str]) -> Iterator[list[str]]:
    """As many lines at once as HAProxy's buffer takes."""
    chunk: list[str] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) >= BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line) + 1
    if chunk:
        yield chunk
