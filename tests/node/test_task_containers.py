"""What the agent of a host tells of its containers of tasks, with an engine's API over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mooring.engine.engine import Engine
from mooring.model.task_container import State, TaskPort, host_tasks_of, key_of
from mooring.node.task_containers import TaskContainers
from mooring.store.interface import ABSENT, Write
from mooring.store.memory import MemoryStore


def _labels(id_: str) -> dict[str, str]:
    return {"com.docker.swarm.task.id": f"t{id_}", "com.docker.swarm.service.id": "s"}


class Api:
    """An engine's containers, as a test has them; events as it tells them."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}
        self._streams: list[web.StreamResponse] = []
        self._hangs_up = asyncio.Event()
        self.listening = asyncio.Event()
        self.held = asyncio.Event()  # nothing about one container is answered until this is set
        self.held.set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/_ping", self._ping)
        app.router.add_get("/v1.41/events", self._events)
        app.router.add_get("/v1.41/containers/json", self._list)
        app.router.add_get("/v1.41/containers/{id}/json", self._one)
        return app

    def put(self, id_: str, status: str = "running", health: str = "", stops: str = "") -> None:
        state = {"Status": status, **({"Health": {"Status": health}} if health else {})}
        ports = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}]}
        self.containers[id_] = {
            "Id": id_,
            "State": state,
            "Config": {"Labels": _labels(id_), "StopSignal": stops},
            "NetworkSettings": {"Ports": ports},
        }

    async def tell(self, id_: str, action: str, **more: str) -> None:
        line = {"Action": action, "Actor": {"ID": id_, "Attributes": _labels(id_) | more}}
        for stream in self._streams:
            await stream.write(json.dumps(line).encode() + b"\n")

    def hang_up(self) -> None:
        self._hangs_up.set()
        self._hangs_up = asyncio.Event()
        self._streams.clear()
        self.listening.clear()

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(headers={"Api-Version": "1.41"})

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([{"Id": one} for one in self.containers])

    async def _one(self, request: web.Request) -> web.Response:
        found = self.containers.get(request.match_info["id"])
        await self.held.wait()
        return web.json_response(found, status=404 if found is None else 200)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        self._streams.append(stream)
        self.listening.set()
        await self._hangs_up.wait()
        return stream


class World:
    """An agent's part at a store."""

    def __init__(self, api: Api, socket: Path) -> None:
        self.api, self.store = api, MemoryStore()
        self.engine = Engine(socket)
        self.part = TaskContainers(self.store, self.engine, "a")

    async def told(self, **states: State) -> None:
        """Wait until this is what edges read of it: a state of each container."""
        async with asyncio.timeout(30):
            batches = self.store.watch(key_of("a"), 0)
            async for batch in batches:
                value = batch[-1].after
                found = host_tasks_of(value).containers if value else ()
                if {one.id: one.state for one in found} == states:
                    return


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    api, socket = Api(), tmp_path / "docker.sock"
    runner = web.AppRunner(api.app(), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    made = World(api, socket)
    yield made
    await made.part.stop()
    await made.engine.stop()
    await made.store.close()
    await runner.cleanup()


async def listening(world: World) -> None:
    await world.part.start()
    await asyncio.wait_for(world.api.listening.wait(), 30)


async def test_what_is_there_is_told_with_its_ports(world: World) -> None:
    world.api.put("c1")
    world.api.put("c2", "exited")
    world.api.put("c3", "created")
    await listening(world)
    await world.told(c1="running", c2="ended")
    document = await world.store.get(key_of("a"))
    assert document is not None
    first, _ = host_tasks_of(document.value).containers
    assert (first.task, first.service) == ("tc1", "s")
    assert first.ports == (TaskPort(80, 32768),)


async def test_what_happens_is_told(world: World) -> None:
    world.api.put("c1", health="starting")
    await listening(world)
    await world.told(c1="starting")
    await world.api.tell("c1", "health_status: healthy")
    await world.told(c1="running")
    world.api.put("c2", stops="SIGQUIT")
    await world.api.tell("c2", "start")
    await world.told(c1="running", c2="running")
    await world.api.tell("c1", "kill", signal="1")
    await world.api.tell("c2", "kill", signal="3")
    await world.told(c1="running", c2="ending")
    await world.api.tell("c2", "die")
    await world.told(c1="running", c2="ended")


async def test_one_that_died_before_it_was_looked_at_is_not_brought_back(world: World) -> None:
    world.api.put("c1")
    await listening(world)
    await world.told(c1="running")
    world.api.held.clear()
    world.api.put("c2")
    await world.api.tell("c2", "start")
    await world.api.tell("c2", "die")
    await world.told(c1="running", c2="ended")
    world.api.held.set()  # what is answered now is of the moment when it ran
    await world.api.tell("c1", "die")
    await world.told(c1="ended", c2="ended")


async def test_what_went_while_nobody_listened_has_ended(world: World) -> None:
    world.api.put("c1")
    world.api.put("c2")
    await listening(world)
    await world.told(c1="running", c2="running")
    del world.api.containers["c1"]
    world.api.hang_up()
    await world.told(c1="ended", c2="running")


async def test_a_document_of_an_earlier_process_is_replaced(world: World) -> None:
    await world.store.commit([Write(key_of("a"), b'{"host":"a","containers":[]}', ABSENT)])
    world.api.put("c1")
    await listening(world)
    await world.told(c1="running")


async def test_a_host_without_tasks_writes_nothing(world: World) -> None:
    await listening(world)
    world.api.put("c1")
    world.api.hang_up()
    await world.told(c1="running")
    assert await world.store.revision() == 1


async def test_labels_that_no_swarm_gives_keep_nobody_else_from_being_told(world: World) -> None:
    world.api.put("c1")
    world.api.put("c2")
    world.api.containers["c2"]["Config"]["Labels"] = {"com.docker.swarm.task.id": "../\n"}
    await listening(world)
    await world.told(c1="running")
    forged = {"com.docker.swarm.task.id": "x" * 1000}
    await world.api.tell("c3", "die", **forged)
    await world.api.tell("c1", "die")
    await world.told(c1="ended")
