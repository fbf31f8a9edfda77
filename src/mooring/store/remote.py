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
CALL_S: Final = 4.0  # that one server has to answer; two seconds of it may be etcd's
LONE_S: Final = 10.0  # that the only server has: to leave it is to give up
AWAY_S: Final = 5.0  # after which the caller is told, if each server was asked
RETRY_S: Final = (0.1, 2.0)  # first and longest, between rounds of all servers
SILENT_S: Final = 3 * door.PROGRESS_EVERY_S
PAGE: Final = 2000  # documents of one answer
NO_CUT: Final = -1
CUTS: Final = 8  # that are tried: somebody else raises it each time
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


class NotServed(Unavailable):
    """The server is of a version that has no such call."""


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
        hurried: Mapping[str, float] | None = None,
        hold_ms: int = 0,
        away_s: float = AWAY_S,
    ) -> None:
        """servers: URLs.

        token    the agent's own, asked for each time, as it is renewed
        hurried  keys, and how many seconds each server has at most to write them
        away_s   after which the caller is told that none answers, if each was asked
        hold_ms  for how long a server may keep what is in no hurry, to tell it together; 0: as it
                 likes
        """
        self._servers = list(servers)
        self._tls, self._token, self._hurried = tls, token, hurried or {}
        self._hold_ms, self._away_s = hold_ms, away_s
        self._session: aiohttp.ClientSession | None = None
        self._closed = asyncio.Event()
        self._cut, self._known_cut = NO_CUT, 0  # ours, and the last that was told of
        self._given_up = NO_CUT  # of the last commit that may yet be under way
        self._cutting = asyncio.Lock()
        self._left = asyncio.Event()  # the server that is asked first now; then it is another

    @property
    def _count(self) -> int:
        return len(self._servers)

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
            # An earlier server told where to go on by a document of no revision.
            documents += (
                Document(one.key, one.value, one.revision) for one in page.documents if one.revision
            )
            revision = page.revision
            if not page.more or (limit and len(documents) >= limit):
                return Page(documents, revision, page.more)
            after = page.documents[-1].key

    def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> Awaitable[int]:
        return self._commit(writes, checks)

    async def _commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> int:
        """Decision 0036: what is given up here is done nowhere later."""
        wanted = [door.Wanted(one.key, one.value, _number(one)) for one in writes]
        commit = door.Commit(wanted, [door.Held(*one) for one in checks])
        call_s = min((self._hurried.get(one.key, CALL_S) for one in writes), default=CALL_S)

        async def body(is_again: bool) -> bytes:
            commit.again = commit.again or is_again
            before = NO_CUT if commit.cut is None or not is_again else commit.cut
            commit.cut = await self._cut_after(max(before, self._given_up), call_s)
            return msgspec.msgpack.encode(commit)

        for _ in range(CUTS):
            try:
                answer = await self._asked("POST", "commit", body, call_s=call_s)
                return msgspec.msgpack.decode(answer, type=door.Committed).revision
            except Conflict as conflict:
                if not conflict.key.startswith(door.HOSTS):
                    raise
                self._cut, self._known_cut = NO_CUT, conflict.found
            except (Refused, TooLarge):
                raise
            except BaseException as error:  # cancelled as well: nobody knows what comes of it
                if commit.cut is not None:
                    self._given_up = max(self._given_up, commit.cut)
                if commit.again and isinstance(error, Unavailable):  # though the cut was refused
                    error.effect = Effect.UNKNOWN
                raise
        raise Unavailable("another agent of this host writes all the time", "stop one of them")

    async def _cut_after(self, cut: int, call_s: float) -> int | None:
        """A cut beyond this one: whatever was sent with it is done by now, or never will be.

        None where servers know of none. Raises Unavailable.
        """
        async with self._cutting:
            for _ in range(CUTS):
                if self._cut > cut:
                    return self._cut
                wanted = msgspec.msgpack.encode(door.Cut(self._known_cut))
                try:
                    answer = await self._asked("POST", "cut", _always(wanted), call_s=call_s)
                except Conflict as conflict:  # of another agent's, or of a try of ours
                    self._known_cut = conflict.found
                    continue
                except NotServed:
                    return None
                self._cut = msgspec.msgpack.decode(answer, type=door.Committed).revision
                self._known_cut = self._cut
        raise Unavailable("another agent of this host writes all the time", "stop one of them")

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
                async with asyncio.timeout(delay_s):
                    await self._closed.wait()
            delay_s = min(2 * delay_s, RETRY_S[1])

    async def _batches(self, prefix: str, seen: int) -> AsyncIterator[door.Batch]:
        """Of one connection. Raises Expired; Unavailable when it is over."""
        import aiohttp

        server, left = self.server, self._left
        query = {"prefix": prefix, "from": str(seen), "hold": str(self._hold_ms)}
        try:
            answer = await self._stream(server, query)
            # Whoever asked there in vain has the stream end as well: it may tell nothing for long.
            leaving = asyncio.create_task(left.wait())
            leaving.add_done_callback(lambda _: answer.close())
            decoder = msgspec.msgpack.Decoder(door.Batch)
            try:
                async for frame in _frames(answer.content):
                    yield decoder.decode(frame)
            finally:
                leaving.cancel()
        except (OSError, aiohttp.ClientError, msgspec.MsgspecError) as error:
            self._next(server)
            raise Unavailable(f"{server}: {_said(error)}", REMEDY) from error
        except Unavailable:
            self._next(server)
            raise
        self._next(server)
        raise Unavailable(f"{server} ended the stream", REMEDY)

    async def _stream(self, server: str, query: Mapping[str, str]) -> "aiohttp.ClientResponse":
        """To be closed. Raises Expired, Unavailable, TimeoutError, aiohttp's own."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        async with asyncio.timeout(CALL_S):
            answer = await self._connections().get(
                self._url(server, "watch"), params=query, timeout=timeout, headers=self._headers()
            )
            try:
                await _refuse(answer)
            except BaseException:
                answer.close()
                raise
        return answer

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
        return await self._asked("POST", what, _always(msgspec.msgpack.encode(value)))

    async def _asked(
        self,
        method: str,
        what: str,
        body: Callable[[bool], Awaitable[bytes]] | None = None,
        query: Mapping[str, str] | None = None,
        call_s: float = CALL_S,
    ) -> bytes:
        """The answer of the first server that has one, all of them asked in turn.

        body    made of whether an earlier try may have come to something
        call_s  that each of them has at first: if all are slow, and not one, they get more
        """
        import aiohttp

        loop, asked = asyncio.get_running_loop(), 0
        until, delay_s, may_be_done = loop.time() + self._away_s, RETRY_S[0], False
        while True:
            sent = await body(may_be_done) if body is not None else b""
            server = self.server
            limit_s = LONE_S if self._count == 1 else call_s * 2 ** (asked // self._count)
            try:
                return await self._answer(server, method, what, sent, query, limit_s)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                why = _said(error)
            except (TimeoutError, OSError, aiohttp.ClientError) as error:
                may_be_done = may_be_done or method == "POST"
                why = _said(error)
            except Unavailable as error:
                if isinstance(error, Refused | NotServed) or self._closed.is_set():
                    raise
                may_be_done = may_be_done or error.effect is Effect.UNKNOWN
                why = error.what
            self._next(server)
            asked += 1
            if asked % self._count:  # the others first, each of them
                continue
            if loop.time() + delay_s >= until or self._closed.is_set():
                effect = Effect.UNKNOWN if may_be_done else Effect.NONE
                what = f"no server answers; {server}: {why}"
                raise ControlPlaneAway(what, REMEDY, effect)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S[1])

    async def _answer(
        self,
        server: str,
        method: str,
        what: str,
        body: bytes,
        query: Mapping[str, str] | None,
        call_s: float,
    ) -> bytes:
        """Of one server. A long answer may take longer, as long as more of it comes."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(
            call_s if method == "POST" else None,
            sock_connect=min(CONNECT_S, call_s),
            sock_read=call_s,
        )
        async with self._connections().request(
            method,
            self._url(server, what),
            data=body,
            params=query or {},
            timeout=timeout,
            headers=self._headers(),
        ) as answer:
            await _refuse(answer)
            return await answer.read()

    def _next(self, server: str) -> None:
        """Ask another one first, unless somebody has seen to that."""
        if self._servers[0] == server and self._count > 1:
            self._servers.append(self._servers.pop(0))
            self._left.set()
            self._left = asyncio.Event()

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


def _always(body: bytes) -> Callable[[bool], Awaitable[bytes]]:
    async def made(is_again: bool) -> bytes:
        return body

    return made


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
        kind = NotServed if answer.status in (403, 404) else Unavailable
        raise kind(what, REMEDY) from error
    if said.code == "Conflict":
        raise Conflict(said.key, ABSENT if said.expected == 0 else said.expected, said.found)
    if said.code == "Expired":
        raise Expired(said.expected, said.found)
    if said.code == "TooLarge":
        raise TooLarge(said.key, said.found)
    if said.code in ("Away", "Unavailable"):  # of the server's own store: others may have it
        raise Unavailable(
            said.what.removeprefix("the store is not available: "),
            said.remedy,
            Effect.UNKNOWN if said.code == "Unavailable" else Effect.NONE,
        )
    raise Refused(said)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
