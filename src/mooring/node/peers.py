"""The channel between the agents of two hosts: mutual TLS, a line each way, then bytes.

Each knows the other by a certificate of the servers' authority, made for a Node that is there now.
What may be asked for, and of which volume, each call decides for itself. Decision 0033.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from mooring.background import Background
from mooring.errors import Effect, MooringError
from mooring.model.node import Node
from mooring.model.peer import (
    ADDRESS,
    LINE_BYTES,
    Answer,
    Call,
    address_parts,
    address_text,
    identity,
    server_name,
)
from mooring.objects.cache import Event
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.objects.views import view

T = TypeVar("T")

log = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
LINE_S: Final = 10.0  # until the other one has sent its line
IDLE_S: Final = 900.0  # without a byte, either way: what it works at takes long
GONE_S: Final = 30  # without an answer of its kernel
BUFFER_BYTES: Final = 1 << 20
BACKLOG: Final = 100  # of the kernel
STRANGERS_AT_MOST: Final = 64  # that have not yet said who they are, within CONNECT_S
OF_ONE_AT_MOST: Final = 32  # calls of one host, which may have gone mad
RETELL_S: Final = 10.0
ACCEPT_AGAIN_S: Final = 1.0  # when this host has no more descriptors


class PeerUnreachable(MooringError):
    code, effect = "PeerUnreachable", Effect.NONE

    def __init__(self, node: str, why: str) -> None:
        self.what = f"the agent of {node} cannot be reached from here: {why}"
        self.remedy = "see that it runs, and that its --peer-listen is open to other hosts"
        super().__init__(self.what)


class PeerRefuses(MooringError):
    """In the words of the other host's agent."""

    effect = Effect.NONE

    def __init__(self, node: str, answer: Answer) -> None:
        self.code = answer.code
        self.what = f"{node} says: {answer.what}"
        self.remedy = answer.remedy
        super().__init__(self.what)


class NotServed(MooringError):
    code, effect = "NotServed", Effect.NONE

    def __init__(self, what: str) -> None:
        self.what = what
        self.remedy = "see whether both hosts run the same version"
        super().__init__(self.what)


class TooManyCalls(MooringError):
    code, effect = "TooManyCalls", Effect.NONE

    def __init__(self, node: str) -> None:
        self.what = f"the agent of {node} answers {OF_ONE_AT_MOST} calls of a host at a time"
        self.remedy = "it is tried again once one of them has ended"
        super().__init__(self.what)


class Listening(NamedTuple):
    """Where to listen for other agents.

    towards      what others are, for the address by which they reach us if `host` is all of ours
    is_required  it is an error if that cannot be had; else a warning
    """

    host: str
    port: int
    towards: tuple[str, int] = ("192.0.2.1", 9)  # of documentation: where the default route goes
    is_required: bool = False


class Credentials(Protocol):
    """Contexts of TLS with the certificate of this agent, renewed while they are used."""

    served: ssl.SSLContext
    calling: ssl.SSLContext
    ready: asyncio.Event  # there is one

    async def start(self) -> None:
        """Have a certificate as soon as that is possible."""

    async def stop(self) -> None: ...


class Stream:
    """Bytes from and to another agent; each read and write ends, one way or the other."""

    def __init__(self, peer: str, reader: asyncio.StreamReader, writer: Any) -> None:
        self.peer = peer  # its node
        self._reader, self._writer = reader, writer

    async def read(self, at_most: int = 1 << 18) -> bytes:
        """Some bytes; b"" at the end. Raises PeerUnreachable."""
        return await self._limited(self._reader.read(at_most), IDLE_S)

    async def line(self) -> bytes:
        """Raises PeerUnreachable."""
        try:
            line = await self._limited(self._reader.readuntil(b"\n"), LINE_S)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise PeerUnreachable(self.peer, "it says nothing sensible") from error
        if len(line) > LINE_BYTES:
            raise PeerUnreachable(self.peer, "it says too much")
        return line

    async def write(self, content: bytes) -> None:
        """Raises PeerUnreachable."""
        self._writer.write(content)
        await self._limited(self._writer.drain(), IDLE_S)

    async def send(self, said: msgspec.Struct) -> None:
        """A line. Raises PeerUnreachable."""
        await self.write(msgspec.json.encode(said) + b"\n")

    async def _limited(self, work: Awaitable[T], limit_s: float) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError as error:
            raise PeerUnreachable(self.peer, f"it was silent for {limit_s:.0f} s") from error
        except (ConnectionError, ssl.SSLError, OSError) as error:
            raise PeerUnreachable(self.peer, str(error) or "it hung up") from error

    async def finish(self) -> None:
        """What was written arrives, then it is closed. Raises PeerUnreachable."""
        self._writer.close()
        await self._limited(self._writer.wait_closed(), LINE_S)

    def close(self) -> None:
        """At once."""
        self._writer.transport.abort()


Serve = Callable[[Stream, msgspec.Raw], Awaitable[None]]  # it answers with `send` of an Answer


class Peers:
    """Of one agent: listens, and calls others."""

    def __init__(
        self, objects: Objects, node: str, listen: Listening | None, credentials: Credentials
    ) -> None:
        """listen: None: others cannot call this one"""
        self._objects, self._node = objects, node
        self._listen, self._credentials = listen, credentials
        self._served: dict[str, Serve] = {}
        self._listener: socket.socket | None = None
        self._accepting = Background("calls of peers")
        self._connections: set[asyncio.Task[Any]] = set()
        self._strangers = 0
        self._answering: set[Stream] = set()  # of whom we know
        self._calling: set[Stream] = set()
        self._told: str = ""  # where we listen, for others
        self._unfollow: Callable[[], None] = lambda: None
        self._telling = Background("peer address")
        self._tell_again = asyncio.Event()

    def serve(self, call: str, how: Serve) -> None:
        """Have calls of this name answered."""
        self._served[call] = how

    async def start(self) -> None:
        """Listening, and say where. The Node is there. Raises MooringError."""
        if self._listen is None:
            return
        await self._credentials.start()
        self._unfollow = self._objects.cache.shelves[Node.resource].follow(self._node_changed)
        family = socket.AF_INET6 if ":" in self._listen.host else socket.AF_INET
        try:
            where_to = (self._listen.host, self._listen.port)
            self._listener = socket.create_server(where_to, family=family, backlog=BACKLOG)
        except OSError as error:
            where = address_text(self._listen.host, self._listen.port)
            if self._listen.is_required:
                self._unfollow()
                raise CannotServePeers(where, error.strerror or str(error)) from error
            log.warning("no other host can get volumes from here: %s: %s", where, error)
            return
        self._listener.setblocking(False)
        self._accepting.begin(self._accepted(self._listener))
        port = self._listener.getsockname()[1]
        self._told = address_text(await _own_address(self._listen), port)
        self._tell_again.set()
        self._telling.begin(self._tell())

    async def stop(self) -> None:
        self._unfollow()
        self._unfollow = lambda: None
        await self._telling.end()
        await self._accepting.end()
        if self._listener is not None:
            self._listener.close()
        for one in list(self._connections):
            one.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._credentials.stop()

    # Where we are

    def _node_changed(self, event: Event) -> None:
        """A Node that was removed by mistake, and is made anew, does not know yet where we are.

        With a host that was removed nothing goes on.
        """
        if event.key == self._node and event.after is not None:
            self._tell_again.set()
        before, after = event.before, event.after
        if before is None or (
            after is not None and view(Node, before).uid == view(Node, after).uid
        ):
            return
        for one in [one for one in self._answering | self._calling if one.peer == event.key]:
            one.close()  # it is not that Node's host any more

    async def _tell(self) -> None:
        await self._credentials.ready.wait()
        while True:
            await self._tell_again.wait()
            self._tell_again.clear()
            node = self._objects.view(Node, self._node)
            if node is None or node.annotations.get(ADDRESS) == self._told:
                continue
            try:
                with suppress(NotFound):
                    kind = self._objects.kinds[Node.resource]
                    await self._objects.update(kind, self._node, self._with_address)
            except MooringError as error:
                log.warning("the address of this agent is not told: %s", error)
                await asyncio.sleep(RETELL_S)
                self._tell_again.set()

    def _with_address(self, doc: Doc) -> Doc:
        doc["metadata"].setdefault("annotations", {})[ADDRESS] = self._told
        return doc

    # Being called

    async def _accepted(self, listener: socket.socket) -> None:
        """Counted from the first moment: who says nothing holds a descriptor as well."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("no call of a peer is taken for a moment: %s", error)
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if self._strangers >= STRANGERS_AT_MOST:
                connection.close()
                continue
            self._strangers += 1
            task = asyncio.create_task(self._connected(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _connected(self, connection: socket.socket) -> None:
        stream: Stream | None = None
        try:
            stream = await self._known(connection)
            await self._answered(stream)
        except asyncio.CancelledError:  # we stop, and nobody waits for this task
            pass
        except MooringError as error:
            log.info("peer=%s a call ended: %s", stream.peer if stream else "unknown", error)
        finally:
            if stream is not None:
                self._answering.discard(stream)
                stream.close()

    async def _known(self, connection: socket.socket) -> Stream:
        """Once it has said, soon, which Node's agent it is. Raises PeerUnreachable."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(BUFFER_BYTES, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=self._credentials.served,
                    ssl_handshake_timeout=CONNECT_S,
                )
        except (OSError, TimeoutError) as error:
            raise PeerUnreachable("somebody", f"it is no agent: {error}") from error
        finally:
            self._strangers -= 1
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        _find_out_if_gone(writer)
        stream = Stream("somebody", reader, writer)
        found = self._peer_of(writer.get_extra_info("peercert"))
        if found is None:
            stream.close()
            raise PeerUnreachable("somebody", "it is of no Node that is there")
        stream.peer = found
        self._answering.add(stream)
        return stream

    async def _answered(self, stream: Stream) -> None:
        try:
            if sum(one.peer == stream.peer for one in self._answering) > OF_ONE_AT_MOST:
                raise TooManyCalls(self._node)
            call = msgspec.json.decode(await stream.line(), type=Call)
            if (serve := self._served.get(call.call)) is None:
                raise NotServed(f"the agent of {self._node} does not know the call {call.call!r}")
            await serve(stream, call.about)
        except msgspec.MsgspecError as error:
            await _refuse(stream, NotServed(f"it is no call: {error}"))
        except PeerUnreachable:
            raise
        except MooringError as error:
            await _refuse(stream, error)
        await stream.finish()

    def _peer_of(self, certificate: dict[str, Any] | None) -> str | None:
        """The node whose agent this is; None if it is no Node that is there."""
        named = (certificate or {}).get("subjectAltName", ())
        for kind, text in named:
            _, _, rest = text.partition("mooring:node/")
            node = self._objects.view(Node, rest.rpartition("/")[0]) if kind == "URI" else None
            if node is not None and text == identity(node.name, node.uid):
                return node.name
        return None

    # Calling

    @asynccontextmanager
    async def call(
        self, node: str, call: str, about: msgspec.Struct
    ) -> AsyncIterator[tuple[Stream, msgspec.Raw]]:
        """Ask the agent of a node; what follows its answer is read and written in here.

        raises  PeerUnreachable, PeerRefuses
        """
        stream = await self._reached(node)
        try:
            await stream.send(Call(call, msgspec.Raw(msgspec.json.encode(about))))
            try:
                answer = msgspec.json.decode(await stream.line(), type=Answer)
            except msgspec.MsgspecError as error:
                raise PeerUnreachable(node, f"it says nothing sensible: {error}") from error
            if answer.code:
                raise PeerRefuses(node, answer)
            yield stream, answer.told
        finally:
            self._calling.discard(stream)
            stream.close()

    async def _reached(self, node: str) -> Stream:
        found = self._objects.view(Node, node)
        where = address_parts(found.annotations.get(ADDRESS, "")) if found is not None else None
        if found is None or where is None:
            why = "it tells no address" if found is not None else "there is no such Node"
            raise PeerUnreachable(node, why)
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._credentials.ready.wait()
                reader, writer = await asyncio.open_connection(
                    *where,
                    ssl=self._credentials.calling,
                    server_hostname=server_name(node),
                    limit=BUFFER_BYTES,
                )
        except TimeoutError as error:
            raise PeerUnreachable(node, f"no answer in {CONNECT_S:.0f} s") from error
        except (OSError, ValueError) as error:
            raise PeerUnreachable(node, str(error)) from error
        stream = Stream(node, reader, writer)
        _find_out_if_gone(writer)
        if self._peer_of(writer.get_extra_info("peercert")) != node:
            stream.close()
            raise PeerUnreachable(node, "its certificate is of an earlier Node of that name")
        self._calling.add(stream)
        return stream


class CannotServePeers(MooringError):
    code, effect = "CannotServePeers", Effect.NONE

    def __init__(self, where: str, why: str) -> None:
        self.what = f"cannot listen for other agents on {where}: {why}"
        self.remedy = "stop what listens there, or choose another address with --peer-listen"
        super().__init__(self.what)


def _find_out_if_gone(writer: Any) -> None:
    """A host that was cut off, or is off, sends nothing, not even an end."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, GONE_S // 3),
        (socket.TCP_KEEPINTVL, GONE_S // 6),
        (socket.TCP_KEEPCNT, 4),
        (socket.TCP_USER_TIMEOUT, GONE_S * 1000),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def _refuse(stream: Stream, error: MooringError) -> None:
    await stream.send(Answer(code=error.code, what=error.what[:4096], remedy=error.remedy))


async def _own_address(listen: Listening) -> str:
    """By which others reach us, as far as the routes of this host tell."""
    if listen.host not in ("0.0.0.0", "::"):
        return listen.host
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            found = await loop.getaddrinfo(*listen.towards, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError):
        return listen.host
    for family, type_, protocol, _, address in found:
        with suppress(OSError), socket.socket(family, type_, protocol) as probe:
            probe.connect(address)  # nothing is sent
            return str(probe.getsockname()[0])
    return listen.host
