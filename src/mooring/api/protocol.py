"""uvicorn's HTTP protocol, sending a whole answer at once."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
    """For uvicorn.Config(http=…)."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
