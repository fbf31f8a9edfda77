"""A store on a server, as its node agents have it: the same contract, through the server's door.

Decision 0029. The server lets an agent see and write only what concerns its host; what that is, is
decided there (api/door.py), so nothing here is trusted with it.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from mooring.errors import Effect
from mooring.model import door
from mooring.store.interface import (
    ABSENT,
    ANY,
    Change,
    Changes,
    Check,
    Conflict,
    Document,
    Expired,
    Page,
    TooLarge,
    Unavailable,
    Write,
)

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

CONNECT_S: Final = 2.0
CALL_S: Final = 10.0  # of one call at one server
AWAY_S: Final = 5.0  # after which no server is asked any more, and the caller told
RETRY_S: Final = (0.1, 2.0)  # first and longest, between rounds of all servers
SILENT_S: Final = 3 * door.PROGRESS_EVERY_S
PAGE: Final = 2000  # documents of one answer
FRAME_BYTES: Final = 1 << 28
NOWHERE: Final = "progress/of-the-store"  # key of a change that no kind of object has
REMEDY: Final = "see whether the server runs, and whether this host reaches it"


class Refused(Unavailable):
    """The server does not let this host do that; its own words."""

    def __init__(self, refusal: door.Refusal) -> None:
        super().__init__(refusal.what, refusal.remedy)
        self.code = refusal.code
        self.what = refusal.what
        self.args = (refusal.what,)


class ControlPlaneAway(Unavailable):
    """No server answers."""

    code = "ControlPlaneAway"


class RemoteStore:
    """Of one agent. Goes on at another server when one is away."""

    # An agent goes by what it was told: whatever it writes is compared with what is there.
    is_shared = False

    def __init__(
        self,
        servers: Sequence[str],
        tls: Callable[[], ssl.SSLContext],
        token: Callable[[], str],
    ) -> None:
        """servers: URLs. token: the agent's own, asked for each time, as it is renewed"""
        self._servers = list(servers)
        self._tls, self._token = tls, token
        self._session: aiohttp.ClientSession | None = None
        self._closed = asyncio.Event()
        self.heard_at: float | None = None  # loop time of the last answer of any server

    @property
    def server(self) -> str:
        """The one that is asked first."""
        return self._servers[0]

    async def get(self, key: str) -> Document | None:
        page = await self.list(key, limit=1)
        return next((one for one in page.documents if one.key == key), None)

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        documents: list[Document] = []
        while True:
            wanted = min(limit - len(documents), PAGE) if limit else PAGE
            query = {"prefix": prefix, "limit": wanted, "after": after, "revision": revision}
            body = await self._asked(
                "GET", "documents", query={k: str(v) for k, v in query.items()}
            )
            page = msgspec.msgpack.decode(body, type=door.Documents)
            documents += (Document(one.key, one.value, one.revision) for one in page.documents)
            revision = page.revision
            if not page.more or (limit and len(documents) >= limit):
                return Page(documents, revision, page.more)
            after = page.documents[-1].key

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> Awaitable[int]:
        return self._commit(writes, checks)

    async def _commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> int:
        wanted = [door.Wanted(one.key, one.value, _number(one)) for one in writes]
        commit = door.Commit(wanted, [door.Held(*one) for one in checks])
        encode = msgspec.msgpack.encode

        def body(is_again: bool) -> bytes:
            commit.again = is_again
            return encode(commit)

        answer = await self._asked("POST", "commit", body)
        return msgspec.msgpack.decode(answer, type=door.Committed).revision

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        delay_s, seen = RETRY_S[0], from_revision
        while not self._closed.is_set():
            try:
                async for batch in self._batches(prefix, seen):
                    if batch.oldest:
                        raise Expired(seen, batch.oldest)
                    delay_s, seen = RETRY_S[0], batch.revision
                    changes = [Change(*_fields(one)) for one in batch.changes]
                    # Also when all that happened is none of ours: who waits for a revision is
                    # told that it is here.
                    yield changes or [Change(NOWHERE, None, None, seen, 0)]
            except Unavailable as error:
                log.warning("the server's changes are not told for now: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), delay_s)
            delay_s = min(2 * delay_s, RETRY_S[1])

    async def _batches(self, prefix: str, seen: int) -> AsyncIterator[door.Batch]:
        """Of one connection. Raises Expired; Unavailable when it is over."""
        import aiohttp

        query = {"prefix": prefix, "from": str(seen)}
        timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        decoder, server = msgspec.msgpack.Decoder(door.Batch), self.server
        try:
            async with self._connections().get(
                self._url(server, "watch"), params=query, timeout=timeout, headers=self._headers()
            ) as answer:
                await _refuse(answer)
                async for frame in _frames(answer.content):
                    self._heard()
                    yield decoder.decode(frame)
        except (OSError, aiohttp.ClientError, msgspec.MsgspecError) as error:
            self._next(server)
            raise Unavailable(f"{server}: {_said(error)}", REMEDY) from error
        raise Unavailable(f"{server} ended the stream", REMEDY)

    async def revision(self) -> int:
        page = await self.list("namespaces/", limit=1)
        return page.revision

    async def compact(self, before: int) -> None:
        """That is the server's own to do."""

    async def close(self) -> None:
        self._closed.set()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def posted(self, what: str, value: object) -> bytes:
        """Send something that may come twice without harm: the answer. Raises Unavailable."""
        return await self._asked("POST", what, lambda _: msgspec.msgpack.encode(value))

    async def _asked(
        self,
        method: str,
        what: str,
        body: Callable[[bool], bytes] = lambda _: b"",
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """The answer of the first server that has one, all of them asked in turn.

        body  made of whether an earlier try may have come to something
        """
        import aiohttp

        loop = asyncio.get_running_loop()
        until, delay_s, may_be_done = loop.time() + AWAY_S, RETRY_S[0], False
        timeout = aiohttp.ClientTimeout(CALL_S, sock_connect=CONNECT_S)
        while True:
            server = self.server
            try:
                async with self._connections().request(
                    method,
                    self._url(server, what),
                    data=body(may_be_done),
                    params=query or {},
                    timeout=timeout,
                    headers=self._headers(),
                ) as answer:
                    await _refuse(answer)
                    found = await answer.read()
                    self._heard()
                    return found
            except aiohttp.ClientConnectorError as error:
                why = _said(error)
            except (TimeoutError, OSError, aiohttp.ClientError) as error:
                may_be_done = may_be_done or method == "POST"
                why = _said(error)
            except Unavailable as error:
                if isinstance(error, Refused) or self._closed.is_set():
                    raise
                why = error.what
            self._next(server)
            if loop.time() + delay_s >= until or self._closed.is_set():
                effect = Effect.UNKNOWN if may_be_done else Effect.NONE
                what = f"no server answers; {server}: {why}"
                raise ControlPlaneAway(what, REMEDY, effect)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S[1])

    def _next(self, server: str) -> None:
        """Ask another one first, unless somebody has seen to that."""
        if self._servers[0] == server:
            self._servers.append(self._servers.pop(0))

    def _heard(self) -> None:
        self.heard_at = asyncio.get_running_loop().time()

    def _url(self, server: str, what: str) -> str:
        return f"{server.rstrip('/')}{door.PATH}/{what}"

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._token()}",
            door.VERSION_HEADER: str(door.VERSION),
            "content-type": "application/msgpack",
        }

    def _connections(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._closed.is_set():
            raise Unavailable("it is closed", REMEDY)
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls(), limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _number(write: Write) -> int:
    if write.expected is ABSENT:
        return 0
    if write.expected is ANY:
        raise ValueError(f"{write.key}: an agent has to say what it has seen")
    assert isinstance(write.expected, int)
    return write.expected


def _fields(one: door.Changed) -> tuple[str, bytes | None, bytes | None, int, int]:
    return one.key, one.before, one.after, one.revision, one.previous_revision


async def _frames(content: "aiohttp.StreamReader") -> AsyncIterator[bytes]:
    while True:
        try:
            length = int.from_bytes(await content.readexactly(door.LENGTH_BYTES))
            if length > FRAME_BYTES:
                raise msgspec.DecodeError(f"a frame of {length} bytes")
            yield await content.readexactly(length)
        except asyncio.IncompleteReadError:
            return


async def _refuse(answer: "aiohttp.ClientResponse") -> None:
    """Raises what the server said, as the store's own error where it is one."""
    if answer.status == 200:
        return
    body = await answer.read()
    try:
        said = msgspec.msgpack.decode(body, type=door.Refusal)
    except msgspec.MsgspecError as error:
        what = f"it answers {answer.status}: {body[:200].decode(errors='replace')}"
        raise Unavailable(what, REMEDY) from error
    if said.code == "Conflict":
        raise Conflict(said.key, ABSENT if said.expected == 0 else said.expected, said.found)
    if said.code == "Expired":
        raise Expired(said.expected, said.found)
    if said.code == "TooLarge":
        raise TooLarge(said.key, said.found)
    if said.code == "Unavailable":
        raise Unavailable(said.what, said.remedy, Effect.UNKNOWN)
    raise Refused(said)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
