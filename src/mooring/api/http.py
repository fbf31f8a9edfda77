"""One HTTP request and its answer, above ASGI: bodies with a limit, queries, gzip, streams."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from mooring.api.status import ApiError

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

MAX_BODY_BYTES: Final = 3 * 1024 * 1024  # as kube-apiserver
GZIP_FROM_BYTES: Final = 128 * 1024  # smaller answers cost more to compress than to send
WARNING_LETTERS: Final = 256  # of one warning, as kube-apiserver
WARNINGS_BYTES: Final = 4096  # of all; clients limit the headers that they read
ABORT: Final = "mooring.abort"  # extension of a scope: call it to end the connection at once
JSON: Final[Header] = (b"content-type", b"application/json")


class Request:
    """What a client asks. Header names are lower-case."""

    __slots__ = (
        *("_headers", "_query", "_receive", "_warnings"),
        *("answered", "method", "path", "scope", "send", "user"),
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.user = ""
        self.answered = False  # at least in part
        self.send = send
        self._receive = receive
        self._headers: dict[bytes, bytes] | None = None
        self._query: dict[str, str] | None = None
        self._warnings: dict[str, None] = {}

    @property
    def headers(self) -> dict[bytes, bytes]:
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers

    @property
    def query(self) -> dict[str, str]:
        """Parameters, the last of each name."""
        if self._query is None:
            raw = self.scope["query_string"]
            pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if raw else ()
            self._query = dict(pairs)
        return self._query

    def flag(self, name: str) -> bool:
        """As Kubernetes reads booleans: present and neither false nor 0."""
        value = self.query.get(name)
        return value is not None and value.lower() not in ("false", "0")

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    async def body(self) -> bytes:
        """The whole body. Raises ApiError TooLarge."""
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ApiError("BadRequest", "the request ended before its body did")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise ApiError("TooLarge", f"Request entity too large: limit is {MAX_BODY_BYTES}")
            chunks.append(chunk)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def warn(self, text: str) -> None:
        """Have the answer say this in a Warning header, once."""
        self._warnings[text] = None

    async def hung_up(self) -> None:
        """Return when the client is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, body: bytes, headers: Iterable[Header] = (JSON,)) -> None:
        """Send all of it, compressed if it is long and the client can read that."""
        sent = [*headers, *self._warning_headers()]
        if len(body) >= GZIP_FROM_BYTES and "gzip" in self.header(b"accept-encoding"):
            body = await asyncio.to_thread(_gzipped, body)
            sent.append((b"content-encoding", b"gzip"))
            sent.append((b"vary", b"Accept-Encoding"))
        sent.append((b"content-length", b"%d" % len(body)))
        self.answered = True
        await self.send({"type": "http.response.start", "status": status, "headers": sent})
        await self.send({"type": "http.response.body", "body": body})

    async def begin(self, headers: Iterable[Header] = (JSON,)) -> None:
        """Start an answer whose length is not known."""
        sent = [*headers, *self._warning_headers()]
        self.answered = True
        await self.send({"type": "http.response.start", "status": 200, "headers": sent})

    async def more(self, chunk: bytes) -> None:
        await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    def _warning_headers(self) -> Iterator[Header]:
        left = WARNINGS_BYTES
        for text in self._warnings:
            printable = "".join(letter for letter in text if letter.isprintable())
            quoted = printable[:WARNING_LETTERS].replace("\\", "\\\\").replace('"', '\\"').encode()
            left -= len(quoted)
            if left < 0:
                return
            yield b"warning", b'299 - "%b"' % quoted

    async def end(self) -> None:
        await self.send({"type": "http.response.body", "body": b""})

    async def abort(self) -> None:
        """Have done with who does not read: what was not sent yet is dropped."""
        if (cut := self.scope.get("extensions", {}).get(ABORT)) is not None:
            cut()
            await self.hung_up()


def _gzipped(body: bytes) -> bytes:
    squeeze = zlib.compressobj(level=1, wbits=31)
    return squeeze.compress(body) + squeeze.flush()
