"""How Docker talks to a volume plugin: HTTP over a Unix socket, a connection a call. §1.

POST /Plugin.Activate  {"Implements": ["VolumeDriver"]}
POST /VolumeDriver.X   JSON in, JSON out; what goes wrong is {"Err": "Code: what; remedy"}, also 200
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mooring.crashpoints import crash_point, passing
from mooring.dockerplugin.errors import (
    BadRequest,
    Broken,
    LostRequest,
    NoSuchCall,
    Stopping,
    TookTooLong,
    said,
    text,
    told_of,
)
from mooring.dockerplugin.listener import BACKLOG, plugin_listener
from mooring.errors import MooringError

__all__ = ["Calls", "Request", "Transport", "plugin_listener"]

log = logging.getLogger(__name__)

CALLS: Final = frozenset(
    {"Create", "Get", "List", "Remove", "Mount", "Unmount", "Path", "Capabilities"}
)
NAMELESS: Final = frozenset({"List", "Capabilities"})
LONG_CALLS: Final = frozenset({"Create", "Mount"})
QUIET_CALLS: Final = frozenset({"Get", "Path"})  # asked of volumes that are another driver's, too
ACTIVATE: Final = "Plugin.Activate"
DRIVER: Final = "VolumeDriver."

LONG_S: Final = 100.0  # dockerd waits for 120 s
SHORT_S: Final = 45.0  # dockerd waits for 60 s
GRACE_S: Final = 2.0  # for calls under way when Mooring is to stop
ENDING_S: Final = 5.0  # for a call that was cut short to undo what it began
WHOLE_WITHIN_S: Final = 30.0  # a request, from the connection on
HEAD_AT_MOST_BYTES: Final = 64 * 1024
BODY_AT_MOST_BYTES: Final = 1024 * 1024
MEDIA_TYPE: Final = b"application/vnd.docker.plugins.v1.2+json"


def _points(when: str) -> dict[str, str]:
    return {
        call: crash_point(f"docker.{call.rpartition('.')[2].lower()}.{when}")
        for call in (*sorted(CALLS), ACTIVATE)
    }


ASKED: Final = _points("asked")
DONE: Final = _points("done")  # and nobody was told
ANSWERED: Final = _points("answered")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Request(msgspec.Struct, frozen=True, rename={"name": "Name", "options": "Opts", "id": "ID"}):
    """What a call says; each says a part of it. Nothing in it was checked."""

    name: str = ""
    options: dict[str, str] | None = None
    id: str = ""


class Calls(Protocol):
    """Who answers. Calls come in parallel, for one volume as well."""

    async def activated(self, peer_pid: int | None) -> None:
        """A new dockerd is there; nothing is answered to it before this returns."""

    async def answer(self, call: str, request: Request, peer_pid: int | None) -> dict[str, object]:
        """What a call, "Get", is answered. MooringError is answered too, as Err.

        Cancelled when dockerd hangs up, and when the call's time is over.
        peer_pid  of dockerd as this process sees it, None if it does not
        """

    def delivered(self, call: str, request: Request) -> None:
        """Docker has the answer to this call, which did not fail."""

    async def undelivered(self, call: str, request: Request) -> None:
        """Docker does not know how this call ended: it hung up, or was told that it failed.

        Called when `answer` has ended, whether that was in time or not.
        """


class _HungUp(Exception):
    """In the middle of a request."""


class _Connection(HttpToolsProtocol):
    """One call.

    peer_pid   of who calls, None if it is not of this process's world
    gone       done when the connection is
    over       done when nobody waits for an answer that takes longer: it is gone, or to be cut
    delivered  whether an answer was handed to the kernel whole, for a peer that was there
    """

    whole_within_s = WHOLE_WITHIN_S

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.peer_pid: int | None = None
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self.over: asyncio.Future[None] = self.loop.create_future()
        self.delivered = False
        self._hung_up = False
        self._late: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer_pid = _peer_pid(transport)
        self._late = self.loop.call_later(self.whole_within_s, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_AT_MOST_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_time()

    def eof_received(self) -> None:
        """The transport drops what is written from now on, and says nothing of it."""
        self._hung_up = True
        _done(self.over)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        was_sent = self.cycle is not None and self.cycle.response_complete
        self.delivered = was_sent and exc is None and not self._hung_up
        super().connection_lost(exc)
        _done(self.gone)
        _done(self.over)

    def cut(self) -> None:
        """Have a call under way end now, with an answer; close what is not a whole request."""
        if self.cycle is None or self.cycle.more_body:
            self.transport.close()
        _done(self.over)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()


class Transport:
    """Serves dockerd on a listening socket."""

    long_s, short_s, grace_s = LONG_S, SHORT_S, GRACE_S
    connection: type[_Connection] = _Connection

    def __init__(self, calls: Calls, listener: socket.socket, node: str) -> None:
        """
        listener  is closed by `stop`; calls wait in it from now on
        node      this host, as errors call it
        """
        self._calls, self._listener, self._node = calls, listener, node
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer. uvicorn's own server is left out: it wakes up ten times a second."""
        config = uvicorn.Config(
            self._served,
            http=self.connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
        )
        config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self.connection(config, self._state, {}, loop),
            sock=self._listener,
            backlog=BACKLOG,
        )

    async def stop(self) -> None:
        """Take no more calls; those under way end by themselves, or are cut after a while.

        What was not accepted yet waits for the next server if systemd has the socket, and is
        refused if not: dockerd asks again in both cases.
        """
        if self._server is not None:
            self._server.close()
        self._listener.close()
        # A connection that has not said anything yet is about to: it is waited for as well, since
        # dockerd would repeat the call without its body.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.grace_s):
                while connections := await self._connections():
                    await asyncio.wait({connection.gone for connection in connections})
        for connection in await self._connections():
            connection.cut()
        await _ended(self._state.tasks, ENDING_S)
        for task in self._state.tasks:
            task.cancel()
        await _ended(self._state.tasks, self.grace_s)

    async def _connections(self) -> list[_Connection]:
        """All that were accepted; those of this moment are there when the loop went round."""
        await asyncio.sleep(0)
        return [one for one in self._state.connections if isinstance(one, _Connection)]

    async def _served(self, scope: Any, receive: Receive, send: Send) -> None:
        connection: _Connection = scope["connection"]
        try:
            call, request = await _asked(scope, receive)
        except MooringError as error:
            log.info("Docker was refused: %s", text(error))
            await _send(send, _err(error))
        except _HungUp:
            log.info("Docker hung up in the middle of a request")
        else:
            await self._called(call, request, connection, send)

    async def _called(
        self, call: str, request: Request, connection: _Connection, send: Send
    ) -> None:
        """Do what is asked, and have Docker know of it; else say so to who did it."""
        passing(ASKED[call])
        limit_s = self.long_s if call in LONG_CALLS else self.short_s
        work = asyncio.create_task(self._answer(call, request, connection.peer_pid))
        ends: set[asyncio.Future[Any]] = {work, connection.over}
        try:
            await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                passing(DONE[call])
                await _send(send, *self._outcome(call, request, work))
                await _ended([connection.gone], limit_s)  # an answer may be long, a reader slow
                passing(ANSWERED[call])
                if connection.delivered:
                    if not work.cancelled() and work.exception() is None and call != ACTIVATE:
                        self._calls.delivered(call, request)
                    return
                connection.transport.abort()
            else:
                work.cancel()
                await _send(send, *self._cut_off(call, request, connection, limit_s))
                await _ended([work], ENDING_S)
                if work.done() and not work.cancelled() and (error := work.exception()):
                    log.info("%s of %s ended with: %s", call, said(request.name), said(str(error)))
        finally:
            work.cancel()
        if call != ACTIVATE:
            await self._undelivered(call, request)

    async def _answer(self, call: str, request: Request, peer_pid: int | None) -> dict[str, object]:
        if call == ACTIVATE:
            await self._calls.activated(peer_pid)
            return {"Implements": ["VolumeDriver"]}
        return {**await self._calls.answer(call, request, peer_pid), "Err": ""}

    def _cut_off(
        self, call: str, request: Request, connection: _Connection, limit_s: float
    ) -> tuple[dict[str, object], int]:
        """The answer to a call whose work did not end."""
        if not connection.over.done():
            error: MooringError = TookTooLong(call, request.name, limit_s)
        else:
            error = Stopping(call, request.name)
        if connection.gone.done():
            log.info("Docker hung up: %s of %s is given up", call, said(request.name))
        else:
            log.warning("%s", text(error))
        return self._err(error, request), _status(call)

    def _outcome(
        self, call: str, request: Request, work: "asyncio.Task[dict[str, object]]"
    ) -> tuple[dict[str, object], int]:
        """The answer to a call whose work has ended."""
        failure = None if work.cancelled() else work.exception()
        if failure is None and not work.cancelled():
            return work.result(), 200
        if isinstance(failure, MooringError):
            error = failure
            level = logging.DEBUG if call in QUIET_CALLS else logging.INFO
            log.log(level, "%s of %s is refused: %s", call, said(request.name), text(error))
        else:
            error = Broken(call, request.name)
            log.error("%s of %s broke", call, said(request.name), exc_info=failure)
        return self._err(error, request), _status(call)

    def _err(self, error: MooringError, request: Request) -> dict[str, object]:
        return _err(told_of(error, request.name, self._node))

    async def _undelivered(self, call: str, request: Request) -> None:
        try:
            async with asyncio.timeout(self.short_s):
                await self._calls.undelivered(call, request)
        except MooringError as error:
            log.warning("%s of %s cannot be taken back: %s", call, said(request.name), text(error))
        except Exception:
            log.exception("%s of %s cannot be taken back", call, said(request.name))


async def _asked(scope: Any, receive: Receive) -> tuple[str, Request]:
    """Which call, and what it says. Raises NoSuchCall, BadRequest, LostRequest; _HungUp."""
    body = await _body(receive)
    method, path = scope["method"], scope["path"]
    if method != "POST":
        raise NoSuchCall(f"{method} {path}")
    if path == f"/{ACTIVATE}":
        return ACTIVATE, Request()
    call = path.removeprefix(f"/{DRIVER}")
    if call == path or call not in CALLS:
        raise NoSuchCall(path)
    if not body.strip():
        if call not in NAMELESS:
            raise LostRequest(call)
        return call, Request()
    try:
        return call, _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(" ".join(str(error).split())) from error


_decode: Final = msgspec.json.Decoder(Request).decode


async def _body(receive: Receive) -> bytes:
    """The whole of it. One that is too long is read to its end: only then is the answer read."""
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _HungUp
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size <= BODY_AT_MOST_BYTES:
            chunks.append(chunk)
    if size > BODY_AT_MOST_BYTES:
        raise BadRequest(f"it is longer than {BODY_AT_MOST_BYTES} bytes")
    return b"".join(chunks)


def _status(call: str) -> int:
    """Of a failure. An Activate that is 200 counts as one, with nothing implemented, for ever."""
    return 500 if call == ACTIVATE else 200


def _err(error: MooringError) -> dict[str, object]:
    return {"Err": text(error)}


async def _send(send: Send, answer: dict[str, object], status: int = 200) -> None:
    body = msgspec.json.encode(answer)
    headers = [
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(body)),
        # dockerd keeps a connection for its next call, which fails if it is closed at that moment.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _ended(futures: Iterable["asyncio.Future[Any]"], limit_s: float) -> None:
    """Wait until all of these are done, but not for longer."""
    if waited := set(futures):
        await asyncio.wait(waited, timeout=limit_s)


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _peer_pid(transport: asyncio.Transport) -> int | None:
    packed = transport.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    pid: int = struct.unpack("3i", packed)[0]
    return pid or None  # 0: of a process that has no number here
