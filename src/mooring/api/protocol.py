"""uvicorn's HTTP protocol: a whole answer is sent at once, and what is asked has limits."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mooring.api.http import ABORT
from mooring.api.seats import Seats

MAX_HEAD_BYTES: Final = 1024 * 1024  # of a request line and its headers, as Go's servers
READ_WITHIN_S: Final = 60.0  # a whole request, from its first byte on; and the wait for the first
HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
HELD_AT_MOST: Final = 64 * 1024  # bytes; more is sent at once, so that slow readers are noticed


class _Joined:
    """A transport that sends what is written in one turn of the loop as one record of TLS.

    uvicorn writes the head and the body of an answer apart; each costs a record and a system call.
    """

    __slots__ = ("_held", "_loop", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)
        self._size += len(data)
        if self._size > HELD_AT_MOST:
            self._send()

    def _send(self) -> None:
        held = self._held
        if held:
            self._held, self._size = [], 0
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def close(self) -> None:
        """After all that was written."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """For uvicorn.Config(http=…). Lets nobody keep it waiting in the middle of a request."""

    read_within_s = READ_WITHIN_S

    def __init__(self, *args: Any, seats: Seats | None = None, **settings: Any) -> None:
        """seats  shared by all connections; None: there may be any number"""
        super().__init__(*args, **settings)
        self._seats = seats
        self._head_bytes = 0  # of a head that is not complete, counted in pieces as they come
        self._in_head = True
        self._ended = False  # nothing more is read
        self._reading_since: float | None = None  # None: whole requests only have come
        self._look_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        if self._seats is not None and self._seats.refuses(len(self.connections)):
            self._ended = True
            transport.abort()
            return
        self._reading_since = self.loop.time()
        self._look_timer = self.loop.call_later(self.read_within_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
        # uvicorn does not if the client broke off; it would be kept until then, with its request.
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._ended = True
                self.transport.write(HEAD_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]
        self._in_head, self._reading_since = True, self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._reading_since = False, None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._ended = True
        super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Answer in HTTP, and close: what follows may be of another protocol."""
        self._ended = True
        self.cycle.keep_alive = False

    def _look(self) -> None:
        """Close if a request has been on its way for too long, and nobody here holds it up."""
        since, now = self._reading_since, self.loop.time()
        if since is None or self.flow.read_paused:
            since = now
        if self.transport.is_closing():
            return
        if now - since >= self.read_within_s:
            self.transport.close()
        else:
            self._look_timer = self.loop.call_later(since + self.read_within_s - now, self._look)
