"""Connections to an API server that cost less than the server they measure.

No task and no future per request: the callback that finishes an answer sends the next request,
whose bytes were made before the clock started.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from bench.http import Malformed, ResponseParser

CONNECT_S: Final = 10.0  # a server that does not finish a handshake by then is not there
ANSWER_S: Final = 60.0  # for one request; the slowest is the deletion of a namespace


class BenchError(Exception):
    """The measurement cannot go on; the text says what to do."""


class Refused(BenchError):
    """The server answered a request with another status than the one expected."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        super().__init__(f"the server answered {status}: {message_of(body)}")


def message_of(body: bytes) -> str:
    """The message of a Kubernetes Status, or the beginning of whatever came instead."""
    try:
        return msgspec.json.decode(body, type=_Status).message
    except msgspec.MsgspecError:
        return body[:200].decode(errors="replace")


class _Status(msgspec.Struct):
    message: str = ""


@dataclass(frozen=True)
class Target:
    """A server, and what is needed to be let in."""

    host: str
    port: int
    token: str
    context: ssl.SSLContext

    @classmethod
    def of(cls, url: str, token: str, ca_file: str = "") -> "Target":
        """Of a URL like https://127.0.0.1:6443; without a CA file any certificate is accepted."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise BenchError(f"{url} is not a URL like https://127.0.0.1:6443")
        context = ssl.create_default_context(cafile=ca_file or None)
        if not ca_file:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return cls(parts.hostname, parts.port or 443, token, context)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A whole request, ready to be sent."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\nAccept: application/json\r\n"
        )
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


class Answer(NamedTuple):
    """Of one request."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request under way at a time."""

    def __init__(self, piece: Callable[[bytes], None] | None = None) -> None:
        self._parser = ResponseParser(self._answered, piece)
        self._transport: asyncio.Transport | None = None
        self._requests: Iterator[bytes] = iter(())
        self._expected: int | None = None  # None: hand over the first answer, whatever it is
        self._count = 0
        self._done: asyncio.Future[Answer] | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, wait_s: float | None = ANSWER_S) -> Answer:
        """Send one request and return its answer. Raises BenchError if there is none in time."""
        self._requests, self._expected = iter(()), None
        try:
            async with asyncio.timeout(wait_s):
                return await self._send(request)
        except TimeoutError:
            self.close()
            raise BenchError(f"no answer within {wait_s:.0f} s") from None

    async def drive(self, requests: Iterator[bytes], expected: int) -> int:
        """Send requests one after another until there are no more; returns how many.

        Raises Refused at the first answer of another status than `expected`.
        """
        self._requests, self._expected, self._count = requests, expected, 0
        first = next(requests, None)
        if first is not None:
            try:
                await self._send(first)
            finally:  # if this was cancelled, the answer to come must not send the next
                self._requests = iter(())
        return self._count

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send(self, request: bytes) -> asyncio.Future[Answer]:
        self._done = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._fail(BenchError("the server closed the connection"))
        else:
            self._transport.write(request)
        return self._done

    def _answered(self, status: int, body: bytes) -> None:
        if status == self._expected:
            self._count += 1
            request = next(self._requests, None)
            if request is not None:
                self._transport.write(request)  # type: ignore[union-attr]  # it just delivered
                return
        elif self._expected is not None:
            self._fail(Refused(status, body))
            return
        if self._done is not None and not self._done.done():
            self._done.set_result(Answer(status, body))

    def _fail(self, error: BenchError) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only in deed

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except (Malformed, ValueError) as error:
            self._fail(BenchError(str(error)))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            self._parser.end()
        except Malformed as error:
            self._fail(BenchError(str(error)))
        self._fail(BenchError(f"the server closed the connection{f': {exc}' if exc else ''}"))


async def connect(target: Target, piece: Callable[[bytes], None] | None = None) -> Connection:
    """A new connection, its handshake done. Raises BenchError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            _, connection = await loop.create_connection(
                lambda: Connection(piece), target.host, target.port, ssl=target.context
            )
    except TimeoutError:
        raise BenchError(f"no connection to {target.host}:{target.port} in {CONNECT_S} s") from None
    except OSError as error:  # ssl.SSLError is one as well
        raise BenchError(f"no connection to {target.host}:{target.port}: {error}") from None
    return connection


@asynccontextmanager
async def connections(target: Target, count: int) -> AsyncIterator[list[Connection]]:
    """So many connections, closed at the end."""
    opened: list[Connection] = []
    try:
        for _ in range(count):
            opened.append(await connect(target))
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def drive(
    pool: list[Connection], requests: Iterable[bytes], expected: int, within_s: float
) -> int:
    """Send all requests over all connections, each as fast as it is answered; returns how many.

    Raises Refused at the first unexpected answer, BenchError when the time is over.
    """
    shared = iter(requests)
    try:
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.drive(shared, expected)) for each in pool]
    except TimeoutError:
        raise BenchError(f"the requests were not all answered within {within_s:.0f} s") from None
    except ExceptionGroup as errors:  # the first failure; the others follow from it
        raise errors.exceptions[0] from None
    return sum(task.result() for task in tasks)
