"""A manager of a swarm: what it lists, and its word that something may have changed."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from mooring.engine.connection import Connection, Tls
from mooring.engine.errors import EngineAway
from mooring.engine.swarm import Service, Swarm, Task, nodes_of, services_of, tasks_of

T = TypeVar("T")
# Those of a service come as the call of whoever changed it returns. Nothing is told when a task
# fails or moves: that is found by looking (edge §4).
_TYPES: Final = ("service", "node")


ALL: Final[Mapping[str, Sequence[str]]] = {}


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID", default="")


class _Event(msgspec.Struct):
    type: str = msgspec.field(name="Type", default="")
    actor: _Actor = msgspec.field(name="Actor", default_factory=_Actor)


_event: Final = msgspec.json.Decoder(_Event)


class Manager:
    """One manager, asked with GET alone."""

    def __init__(self, address: str, tls: Tls | None = None) -> None:
        self.address = address
        self._wire = Connection(address, tls)

    async def swarm(self) -> Swarm:
        """All services, tasks and nodes. Raises EngineAway, also if it is no manager.

        Three lists of one moment each, tasks first: a task of a service that is younger than the
        list of services is then not seen, rather than seen without its service.
        """
        tasks = await self._listed("tasks", tasks_of)
        services = await self._listed("services", services_of)
        nodes = await self._listed("nodes", nodes_of)
        return Swarm(services, tasks, nodes)

    async def services(self, ids: Iterable[str]) -> dict[str, Service]:
        """Those of these that there are. Raises EngineAway."""
        return await self._listed("services", services_of, {"id": sorted(ids)})

    async def tasks(self, service_id: str) -> dict[str, Task]:
        """Those of one service, none if it is gone. Raises EngineAway."""
        body = await self._wire.found("tasks", _query({"service": [service_id]}))
        return {} if body is None else await self._decoded("tasks", body, tasks_of)

    async def follow(self, listening: Callable[[], None], told: Callable[[str, str], None]) -> None:
        """Tell of services and nodes that may have changed, until it hangs up.

        listening  called once changes are told from now on
        told       with "service" or "node", and the id
        raises     EngineAway
        """
        async with self._wire.events({"type": _TYPES, "scope": ["swarm"]}) as lines:
            listening()
            async for line in lines:
                event = _event.decode(line)
                told(event.type, event.actor.id)

    async def stop(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def _listed(
        self,
        path: str,
        decoded: Callable[[bytes], dict[str, T]],
        filters: Mapping[str, Sequence[str]] = ALL,
    ) -> dict[str, T]:
        return await self._decoded(path, await self._wire.asked(path, _query(filters)), decoded)

    async def _decoded(
        self, path: str, body: bytes, decoded: Callable[[bytes], dict[str, T]]
    ) -> dict[str, T]:
        try:
            # Thousands of tasks take a while to read; requests of others go on meanwhile.
            return await asyncio.to_thread(decoded, body) if len(body) > 1 << 20 else decoded(body)
        except msgspec.MsgspecError as error:
            raise EngineAway(self.address, f"its list of {path} is no such: {error}") from error


def _query(filters: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {"filters": json.dumps(filters)} if filters else {}
