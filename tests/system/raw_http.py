"""HTTP as bytes over TLS: sent as they are, and answers read in order."""

import asyncio
import ssl
from typing import NamedTuple

LIMIT_BYTES = 64 * 1024 * 1024


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get(b"connection", b"").lower() == b"close"


class Closed(Exception):
    """The server closed instead of answering."""


class Connection:
    """One connection, kept alive. Not to be used after Closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Connection":
        trusting = ssl._create_unverified_context()
        streams = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, limit=LIMIT_BYTES, ssl_handshake_timeout=60
        )
        return cls(*streams)

    def send(self, data: bytes) -> None:
        """Without waiting, since the server may answer, and wait, before it reads all."""
        self._writer.write(data)

    async def sent(self) -> None:
        """Wait until the server has taken most of it. Raises Closed."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise Closed from error

    async def answer(self, method: str = "GET") -> Answer:
        """The next one; those that only say "go on" are passed over. Raises Closed."""
        try:
            while True:
                head = await self._reader.readuntil(b"\r\n\r\n")
                line, *lines = head[:-4].split(b"\r\n")
                status = int(line.split(b" ", 2)[1])
                if status >= 200:
                    break
            headers = dict(_header(one) for one in lines)
            body = b"" if method == "HEAD" or status in (204, 304) else await self._body(headers)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Closed from error
        return Answer(status, headers, body)

    async def _body(self, headers: dict[bytes, bytes]) -> bytes:
        if headers.get(b"transfer-encoding") != b"chunked":
            return await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)

    async def rest(self) -> bytes:
        """All until the server closes."""
        try:
            return await self._reader.read()
        except OSError:
            return b""

    def close(self) -> None:
        """At once: what was not sent is not sent any more."""
        self._writer.transport.abort()


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip()
