"""The Docker engine of this host, over its socket: its volumes, and which containers have them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from mooring.background import Background
from mooring.engine.connection import DEADLINE_S, FIRST_RETRY_S, LONGEST_RETRY_S, Connection
from mooring.engine.container import Container, containers_of
from mooring.engine.errors import EngineAway
from mooring.engine.swarm_node import NodeSpec, OwnNode, node_specs_of, own_node_of
from mooring.engine.task_container import ACTIONS as TASK_ACTIONS
from mooring.engine.task_container import (
    TASK,
    Inspected,
    TaskEvent,
    event_of,
    ids_of,
    inspected_of,
)
from mooring.engine.volume import EngineVolume, is_volume_name, volume_of

T = TypeVar("T")

log = logging.getLogger(__name__)

# Where plugins are asked or loaded: dockerd waits 15 s for the socket of another one that is dead.
LOAD_DEADLINE_S: Final = 20.0
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


class TaskListener(Protocol):
    """Is told of containers of a swarm's tasks. Its methods return at once."""

    def connected(self) -> None:
        """Changes are told from now on; those before were not, so all may be different."""

    def changed(self, event: TaskEvent) -> None:
        """In order, some perhaps a second time."""


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
        self._wire = Connection(str(socket))

    async def volume(self, name: str) -> EngineVolume | None:
        """A volume of any driver; None if no driver has one of this name. Raises EngineAway."""
        if not is_volume_name(name):
            return None  # another path would be asked
        body = await self._wire.found(f"volumes/{name}", within_s=LOAD_DEADLINE_S)
        if body is None:
            return None
        try:
            return volume_of(body)
        except msgspec.MsgspecError as error:
            raise EngineAway(
                self._wire.address, f"its volume {name} is no such: {error}"
            ) from error

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
        body = await self._wire.asked("containers/json", query, within_s)
        try:
            found = containers_of(body, driver or self.driver)
        except msgspec.MsgspecError as error:
            raise EngineAway(
                self._wire.address, f"its list of containers is no such: {error}"
            ) from error
        # The filter also finds containers with something else at a path of this name.
        return [one for one in found if not volume or any(m.volume == volume for m in one.mounts)]

    async def own_node(self) -> OwnNode:
        """Which node of a swarm it is. Raises EngineAway."""
        return await self._decoded("info", own_node_of)

    async def node_specs(self) -> list[NodeSpec]:
        """All nodes of the swarm that it manages. Raises EngineAway."""
        return await self._decoded("nodes", node_specs_of)

    async def set_node_spec(self, node: NodeSpec) -> None:
        """Raises EngineAway, also if the node is of another version by now."""
        body = json.dumps(node.spec).encode()
        await self._wire.posted(f"nodes/{node.id}/update", {"version": str(node.version)}, body)

    async def _decoded(self, path: str, decoded: Callable[[bytes], T]) -> T:
        return self._read(path, await self._wire.asked(path), decoded)

    def _read(self, path: str, body: bytes, decoded: Callable[[bytes], T]) -> T:
        try:
            return decoded(body)
        except msgspec.MsgspecError as error:
            raise EngineAway(self._wire.address, f"its {path} is no such: {error}") from error

    async def load_plugins(self) -> None:
        """Have it know every plugin that listens: Swarm places tasks by those alone.

        Called when a plugin begins to listen; `follow` does it for each life of the engine.
        Docker volumes §12. Raises EngineAway.
        """
        await self._wire.asked("volumes", within_s=LOAD_DEADLINE_S)

    async def task_containers(self) -> list[str]:
        """Ids of all containers of a swarm's tasks, ended ones too. Raises EngineAway."""
        query = {"all": "1", "filters": json.dumps({"label": [TASK]})}
        return self._read(
            "containers/json", await self._wire.asked("containers/json", query), ids_of
        )

    async def task_container(self, container_id: str) -> Inspected | None:
        """One of them as it is now; None if it is gone. Raises EngineAway."""
        path = f"containers/{container_id}/json"
        body = await self._wire.found(path)
        return None if body is None else self._read(path, body, inspected_of)

    async def follow(self, listener: Listener) -> None:
        """Tell of all that changes, and find the engine again when it was away. Never returns."""
        filters = {"type": ["container"], "event": ACTIONS}
        await self._follow(filters, lambda lines: self._tell(lines, listener), logging.WARNING)

    async def follow_tasks(self, listener: TaskListener) -> None:
        """Likewise, of containers of a swarm's tasks."""
        filters = {"type": ["container"], "event": TASK_ACTIONS, "label": [TASK]}

        async def tell(lines: AsyncIterable[bytes]) -> None:
            listener.connected()
            async for line in lines:
                listener.changed(event_of(line))

        await self._follow(filters, tell, logging.DEBUG)  # the other one says that it is away

    async def _follow(
        self,
        filters: Mapping[str, Sequence[str]],
        tell: Callable[[AsyncIterable[bytes]], Awaitable[None]],
        first: int,
    ) -> None:
        """first: level of the log at which the first failure is told"""
        delay_s = FIRST_RETRY_S
        while True:
            try:
                async with self._wire.events(filters) as lines:
                    delay_s = FIRST_RETRY_S
                    await tell(lines)
                log.info("the Docker engine at %s hung up", self.socket)
            except EngineAway as error:
                level = logging.DEBUG if delay_s > FIRST_RETRY_S else first
                log.log(level, "retry_s=%.1f %s", delay_s, error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_RETRY_S)

    async def stop(self) -> None:
        """Close the connections. A call afterwards opens new ones."""
        await self._wire.close()

    async def _tell(self, lines: AsyncIterable[bytes], listener: Listener) -> None:
        loading = asyncio.create_task(self._load(), name="load plugins")
        listener.connected()
        try:
            async for line in lines:
                event = _event.decode(line)
                listener.changed(event.actor.id, event.action)
        finally:
            self._wire.forget()
            listener.lost()
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)

    async def _load(self) -> None:
        try:
            await self.load_plugins()
        except EngineAway as error:
            log.warning("the Docker engine was not told to load plugins: %s", error)


class Announcer:
    """Has the engine know, once, that a plugin listens now; one that comes later finds it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._work = Background("announce")

    async def start(self) -> None:
        self._work.begin(self._tell())

    async def stop(self) -> None:
        await self._work.end()

    async def _tell(self) -> None:
        try:
            await self._engine.load_plugins()
        except EngineAway as error:
            log.info("the Docker engine is told of the plugin when it is there: %s", error)
