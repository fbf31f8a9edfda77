"""HTTP to a Docker engine, over its socket or the network: what is asked, and lines of events."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from mooring.engine.errors import EngineAway

if TYPE_CHECKING:
    import aiohttp  # loaded by the first call: 10 MiB that hosts without Docker do not pay

DEADLINE_S: Final = 5.0  # of a call
FIRST_RETRY_S: Final = 0.1  # doubled by each failure
LONGEST_RETRY_S: Final = 5.0
EVENT_BYTES: Final = 1 << 20  # an event carries all labels of its object

Tls = Callable[[], ssl.SSLContext]  # as it is to be now; may raise OSError


class Connection:
    """To one engine, at a path or at `tcp://HOST:PORT`; with TLS if there is a context for it,
    which is asked for once it is opened, and once it was closed again.

    Whatever fails on the way is an EngineAway.
    """

    def __init__(self, address: str, tls: Tls | None = None) -> None:
        self.address, self._tls = address, tls
        self._session: aiohttp.ClientSession | None = None
        self._version = ""  # of its API, "v1.41"; empty until it is asked

    async def asked(
        self, path: str, query: Mapping[str, str] | None = None, within_s: float = DEADLINE_S
    ) -> bytes:
        """The body of its answer 200 to GET path, which has no version in it."""
        body = await self.found(path, query, within_s, or_none=False)
        assert body is not None
        return body

    async def posted(
        self, path: str, query: Mapping[str, str], body: bytes, within_s: float = DEADLINE_S
    ) -> None:
        """Have it take a body of JSON. Raises EngineAway, also if it does not take that."""
        headers = {"content-type": "application/json"}
        async with self._guarded(), asyncio.timeout(within_s):
            url = f"{self._base()}/{await self._versioned()}/{path}"
            async with self._connections().post(
                url, params=query, data=body, headers=headers
            ) as answer:
                await self._refuse(answer)

    async def found(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        within_s: float = DEADLINE_S,
        *,
        or_none: bool = True,
    ) -> bytes | None:
        """Likewise; None if it answers that there is no such thing."""
        async with self._guarded(), asyncio.timeout(within_s):
            url = f"{self._base()}/{await self._versioned()}/{path}"
            async with self._connections().get(url, params=query or {}) as answer:
                if or_none and answer.status == 404:
                    return None
                await self._refuse(answer)
                return await answer.read()

    @asynccontextmanager
    async def events(
        self, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[AsyncIterable[bytes]]:
        """Lines of GET /events, from before this returned."""
        # It answers before it takes note that we listen. Asking for what was since we asked leaves
        # no gap between the two in which something could change unseen.
        query = {"since": str(int(time.time())), "filters": json.dumps(filters)}
        async with self._guarded():
            async with asyncio.timeout(DEADLINE_S):
                url = f"{self._base()}/{await self._versioned()}/events"
                answer = await self._connections().get(url, params=query)
            try:
                await self._refuse(answer)
                yield answer.content
            finally:
                answer.close()  # not released: it would be read to its end, which never comes

    def forget(self) -> None:
        """The next engine at this address may be another."""
        self._version = ""

    async def close(self) -> None:
        """A call afterwards opens new connections."""
        session, self._session, self._version = self._session, None, ""
        if session is not None:
            await session.close()

    def _base(self) -> str:
        if not self.address.startswith("tcp://"):
            return "http://docker"
        return f"{'https' if self._tls else 'http'}://{self.address.removeprefix('tcp://')}"

    async def _versioned(self) -> str:
        """The version of its API, which every later one still speaks."""
        if not self._version:
            async with self._connections().get(f"{self._base()}/_ping") as answer:
                await self._refuse(answer)
                said = answer.headers.get("Api-Version", "")
            if not said:
                raise EngineAway(self.address, "what listens there is no Docker engine")
            self._version = f"v{said}"
        return self._version

    async def _refuse(self, answer: "aiohttp.ClientResponse") -> None:
        """Raises EngineAway unless it is what was asked for."""
        if answer.status != 200:
            self._version = ""
            said = " ".join((await answer.text(errors="replace")).split())
            raise EngineAway(self.address, f"it answers {answer.status} {said[:200]}")

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        import aiohttp

        try:
            yield
        except TimeoutError as error:
            raise EngineAway(self.address, "it does not answer in time") from error
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or str(error.os_error)
            raise EngineAway(self.address, why) from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineAway(self.address, str(error) or "it hung up") from error
        except (ValueError, msgspec.MsgspecError) as error:  # a line too long, or not of JSON
            raise EngineAway(self.address, f"it says what is not understood: {error}") from error

    def _connections(self) -> "aiohttp.ClientSession":
        if self._session is None:
            import aiohttp

            connector: aiohttp.BaseConnector
            if self.address.startswith("tcp://"):
                connector = aiohttp.TCPConnector(ssl=self._tls() if self._tls else False)
            else:
                connector = aiohttp.UnixConnector(self.address)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # none: each call as a whole has its deadline
                read_bufsize=EVENT_BYTES,
            )
        return self._session
