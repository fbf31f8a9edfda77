"""What dockerd sends and reads, byte for byte; and somebody who answers it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mooring.dockerplugin.listener import plugin_listener
from mooring.dockerplugin.transport import Request, Transport

DEADLINE_S = 30.0  # of whatever a test waits for
Doc = dict[str, Any]


class Answer(NamedTuple):
    """status 0: the connection ended without one"""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def doc(self) -> Doc:
        found: Doc = json.loads(self.body)
        return found

    @property
    def err(self) -> str:
        return str(self.doc["Err"])


def as_sent(call: str, doc: object = None) -> bytes:
    """A call as dockerd 20.10 sends it: no Content-Type, an empty Host; Go ends JSON in a newline.

    doc  None for Plugin.Activate, and for a call that is repeated after its connection broke
    """
    body = b"" if doc is None else json.dumps(doc, separators=(",", ":")).encode() + b"\n"
    return (
        f"POST /{call} HTTP/1.1\r\n"
        "Host: \r\n"
        "User-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Accept: application/vnd.docker.plugins.v1.2+json\r\n"
        "\r\n"
    ).encode() + body


async def nothing(_request: Request) -> Doc:
    return {}


@dataclass
class Answerer:
    """Notes what it is asked; answers as it is told to."""

    how: Callable[[Request], Awaitable[Doc]] = nothing
    activating: Callable[[], Awaitable[object]] | None = None
    taking_back: Callable[[Request], Awaitable[object]] = nothing
    asked: list[tuple[str, Request]] = field(default_factory=list)
    pids: list[int | None] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def activated(self, peer_pid: int | None) -> None:
        self.pids.append(peer_pid)
        if self.activating is not None:
            await self.activating()

    async def answer(self, call: str, request: Request, peer_pid: int | None) -> Doc:
        self.asked.append((call, request))
        self.pids.append(peer_pid)
        self.news.set()
        try:
            return await self.how(request)
        except asyncio.CancelledError:
            self.cut_off.append(call)
            raise

    def delivered(self, call: str, request: Request) -> None:
        self.told.append(f"{call} {request.name}")

    async def undelivered(self, call: str, request: Request) -> None:
        self.lost.append(f"{call} {request.name}")
        self.news.set()
        await self.taking_back(request)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it to be so, looked at whenever something was asked or lost."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.news.clear()
                await self.news.wait()


class Dockerd:
    """Calls a plugin at a socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)

    async def send(self, sent: bytes) -> Answer:
        """The answer to exactly these bytes."""
        reader, writer = await self.connect()
        writer.write(sent)
        return await self.read(reader, writer)

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        """Up to the end of the connection."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                whole = await reader.read()
        finally:
            writer.close()
        head, _, body = whole.partition(b"\r\n\r\n")
        if not head:
            return Answer(0, {}, b"")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return Answer(int(first.split()[1]), {key.lower(): value for key, _, value in pairs}, body)

    async def call(self, call: str, doc: object = None) -> Answer:
        return await self.send(as_sent(f"VolumeDriver.{call}", doc))

    async def until_refused(self) -> None:
        """Until nobody takes calls any more."""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionRefusedError):
                while True:
                    (await self.connect())[1].close()


@asynccontextmanager
async def serving(
    calls: Answerer, path: Path, kind: type[Transport] = Transport
) -> AsyncIterator[Dockerd]:
    transport = kind(calls, plugin_listener(path), "here")
    await transport.start()
    try:
        yield Dockerd(path)
    finally:
        await transport.stop()
