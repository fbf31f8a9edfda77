"""The Docker engine of this host, over its socket: its volumes, and which containers have them."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from mooring.engine.container import Container, containers_of
from mooring.engine.errors import EngineAway
from mooring.engine.volume import EngineVolume, is_volume_name, volume_of

if TYPE_CHECKING:
    import aiohttp  # loaded by the first call: 10 MiB that hosts without Docker do not pay

log = logging.getLogger(__name__)

DEADLINE_S: Final = 5.0  # of a call
# Where plugins are asked or loaded: dockerd waits 15 s for the socket of another one that is dead.
LOAD_DEADLINE_S: Final = 20.0
FIRST_RETRY_S: Final = 0.1  # doubled by each failure
LONGEST_RETRY_S: Final = 5.0
EVENT_BYTES: Final = 1 << 20  # an event carries all labels of its container
# After which a list may say something else of a container. Checks of health, of which there may be
# many a second, are not among them.
ACTIONS: Final = ("create", "start", "pause", "unpause", "die", "stop", "rename", "destroy")


class Listener(Protocol):
    """Is told of what the engine does. Its methods return at once."""

    def connected(self) -> None:
        """Changes are told from now on; those before were not, so all may be different."""

    def changed(self, container_id: str, action: str) -> None:
        """A container came, went, or is in another state; action is one of ACTIONS.

        A list may say what was before for a while yet: dockerd 20.10 tells that a container died,
        has its volumes unmounted, and only then lists it as it is.
        """

    def lost(self) -> None:
        """Changes are told no more, until connected() is called again."""


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID", default="")


class _Event(msgspec.Struct):
    action: str = msgspec.field(name="Action", default="")
    actor: _Actor = msgspec.field(name="Actor", default_factory=_Actor)


_event: Final = msgspec.json.Decoder(_Event)


class Engine:
    """Asks and follows one engine. Of other drivers' volumes no containers are told of."""

    def __init__(self, socket: Path, driver: str = "mooring") -> None:
        self.socket, self.driver = socket, driver
        self._session: aiohttp.ClientSession | None = None
        self._version = ""  # of its API, "v1.41"; empty until it is asked

    async def volume(self, name: str) -> EngineVolume | None:
        """A volume of any driver; None if no driver has one of this name. Raises EngineAway."""
        if not is_volume_name(name):
            return None  # another path would be asked
        async with self._guarded():
            async with asyncio.timeout(LOAD_DEADLINE_S):
                path = f"{await self._versioned()}/volumes/{name}"
                async with self._connections().get(f"http://docker/{path}") as answer:
                    if answer.status == 404:
                        return None
                    await self._refuse(answer)
                    body = await answer.read()
        try:
            return volume_of(body)
        except msgspec.MsgspecError as error:
            raise EngineAway(self.socket, f"its volume {name} is no such: {error}") from error

    async def containers(
        self,
        volume: str | None = None,
        ids: Collection[str] = (),
        *,
        driver: str = "",
        within_s: float = DEADLINE_S,
    ) -> list[Container]:
        """Containers that have volumes of a driver, ended ones too, as they are now.

        volume    only those that have this one
        ids       only these, as far as they exist
        driver    if it is not ours
        within_s  after which it counts as away
        raises    EngineAway
        """
        filters: dict[str, list[str]] = {"volume": [volume]} if volume else {}
        if ids:
            filters["id"] = sorted(ids)
        query = {"all": "1", "filters": json.dumps(filters)}
        body = await self._asked("containers/json", query, within_s)
        try:
            found = containers_of(body, driver or self.driver)
        except msgspec.MsgspecError as error:
            raise EngineAway(self.socket, f"its list of containers is no such: {error}") from error
        # The filter also finds containers with something else at a path of this name.
        return [one for one in found if not volume or any(m.volume == volume for m in one.mounts)]

    async def load_plugins(self) -> None:
        """Have it know every plugin that listens: Swarm places tasks by those alone.

        Called when a plugin begins to listen; `follow` does it for each life of the engine.
        Docker volumes §12. Raises EngineAway.
        """
        await self._asked("volumes", {}, LOAD_DEADLINE_S)

    async def follow(self, listener: Listener) -> None:
        """Tell of all that changes, and find the engine again when it was away. Never returns."""
        delay_s = FIRST_RETRY_S
        while True:
            try:
                async with self._events() as lines:
                    delay_s = FIRST_RETRY_S
                    await self._tell(lines, listener)
                log.info("the Docker engine at %s hung up", self.socket)
            except EngineAway as error:
                level = logging.DEBUG if delay_s > FIRST_RETRY_S else logging.WARNING
                log.log(level, "retry_s=%.1f %s", delay_s, error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def stop(self) -> None:
        """Close the connections. A call afterwards opens new ones."""
        session, self._session, self._version = self._session, None, ""
        if session is not None:
            await session.close()

    async def _tell(self, lines: AsyncIterable[bytes], listener: Listener) -> None:
        loading = asyncio.create_task(self._load(), name="load plugins")
        listener.connected()
        try:
            async for line in lines:
                event = _event.decode(line)
                listener.changed(event.actor.id, event.action)
        finally:
            self._version = ""  # the next engine at this socket may be another
            listener.lost()
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)

    async def _load(self) -> None:
        try:
            await self.load_plugins()
        except EngineAway as error:
            log.warning("the Docker engine was not told to load plugins: %s", error)

    async def _asked(
        self, path: str, query: Mapping[str, str], deadline_s: float = DEADLINE_S
    ) -> bytes:
        async with self._guarded():
            async with asyncio.timeout(deadline_s):
                return await self._get(f"{await self._versioned()}/{path}", query)

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[AsyncIterable[bytes]]:
        """Lines of GET /events, from before this returned."""
        # It answers before it takes note that we listen. Asking for what was since we asked leaves
        # no gap between the two in which a container could change unseen.
        since = str(int(time.time()))
        wanted = json.dumps({"type": ["container"], "event": ACTIONS})
        async with self._guarded():
            async with asyncio.timeout(DEADLINE_S):
                url = f"http://docker/{await self._versioned()}/events"
                answer = await self._connections().get(
                    url, params={"since": since, "filters": wanted}
                )
            try:
                await self._refuse(answer)
                yield answer.content
            finally:
                answer.close()  # not released: it would be read to its end, which never comes

    async def _versioned(self) -> str:
        """The version of its API, which every later one still speaks."""
        if not self._version:
            async with self._connections().get("http://docker/_ping") as answer:
                await self._refuse(answer)
                said = answer.headers.get("Api-Version", "")
            if not said:
                raise EngineAway(self.socket, "what listens there is no Docker engine")
            self._version = f"v{said}"
        return self._version

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        async with self._connections().get(f"http://docker/{path}", params=query) as answer:
            await self._refuse(answer)
            return await answer.read()

    async def _refuse(self, answer: "aiohttp.ClientResponse") -> None:
        """Raises EngineAway unless it is what was asked for."""
        if answer.status != 200:
            self._version = ""
            said = " ".join((await answer.text(errors="replace")).split())
            raise EngineAway(self.socket, f"it answers {answer.status} {said[:200]}")

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Whatever fails on the way is an EngineAway."""
        import aiohttp

        try:
            yield
        except TimeoutError as error:
            raise EngineAway(self.socket, "it does not answer in time") from error
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or str(error.os_error)
            raise EngineAway(self.socket, why) from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineAway(self.socket, str(error) or "it hung up") from error
        except (ValueError, msgspec.MsgspecError) as error:  # a line too long, or not of JSON
            raise EngineAway(self.socket, f"it says what is not understood: {error}") from error

    def _connections(self) -> "aiohttp.ClientSession":
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self.socket)),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # none: each call as a whole has its deadline
                read_bufsize=EVENT_BYTES,
            )
        return self._session


class Announcer:
    """Has the engine know, once, that a plugin listens now; one that comes later finds it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._telling = asyncio.create_task(self._tell(), name="announce")

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _tell(self) -> None:
        try:
            await self._engine.load_plugins()
        except EngineAway as error:
            log.info("the Docker engine is told of the plugin when it is there: %s", error)
