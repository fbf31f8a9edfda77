"""Looks at a swarm: more often at what changes, and at what changes meanwhile as well."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mooring.edge.follower import Follower
from mooring.engine.manager import Manager
from mooring.engine.swarm import Swarm
from mooring.model.task_container import HostTasks, TaskContainer


class Engine:
    """An Engine API with the lists of a test: real HTTP, so that real code reads it."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.nodes: list[dict[str, Any]] = [
            {"ID": "n1", "Status": {"State": "ready", "Addr": "10.0.0.1"}}
        ]
        self.streams: list[web.StreamResponse] = []
        self.asked: list[str] = []
        self.version = 1  # of the last change
        self.is_away = False
        self._asked_more, self._hangs_up = asyncio.Event(), asyncio.Event()

    async def until(self, look: Callable[[], bool]) -> None:
        """Wait for what was asked."""
        async with asyncio.timeout(30):
            while not look():
                self._asked_more.clear()
                await self._asked_more.wait()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/_ping", self._ping)
        app.router.add_get("/v1.41/events", self._events)
        app.router.add_get("/v1.41/{kind}", self._list)
        return app

    def service(self, name: str, replicas: int = 1) -> None:
        spec = {"Name": name, "Mode": {"Replicated": {"Replicas": replicas}}}
        made = {"ID": name, "Spec": spec, "CreatedAt": "2026", "Version": {"Index": self.version}}
        self.services[name] = made

    def task(self, name: str, service: str, state: str = "running") -> None:
        self.tasks[name] = {
            **{"ID": name, "ServiceID": service, "NodeID": "n1", "DesiredState": "running"},
            "Status": {"State": state},
            "Version": {"Index": self.version},
        }

    async def tell(self, kind: str, id_: str) -> None:
        for stream in self.streams:
            event = {"Type": kind, "Action": "update", "Actor": {"ID": id_}}
            await stream.write(json.dumps(event).encode() + b"\n")

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(headers={"Api-Version": "1.41"})

    async def _list(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        filters = json.loads(request.query.get("filters", "{}"))
        wanted = filters.get("service")
        self.asked.append(kind if wanted is None else f"{kind} of {wanted[0]}")
        found = list(getattr(self, kind)) if kind == "nodes" else [*getattr(self, kind).values()]
        self._asked_more.set()
        if self.is_away:
            return web.Response(status=500, text="The swarm does not have a leader")
        if ids := filters.get("id"):
            found = [one for one in found if one["ID"] in ids]
        if wanted and wanted[0] not in self.services:
            return web.Response(status=404, text="service not found")
        if wanted:
            found = [one for one in found if one["ServiceID"] in wanted]
            for other in list(self.services):  # more change while one is looked at
                await self.tell("service", other)
        await asyncio.sleep(0.005)
        return web.json_response(found)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        self.streams.append(stream)
        await self._hangs_up.wait()
        return stream

    def hang_up(self) -> None:
        """On whoever listens to events."""
        self._hangs_up.set()
        self._hangs_up = asyncio.Event()


@asynccontextmanager
async def served(place: Path) -> AsyncIterator[tuple[Engine, str]]:
    made, socket = Engine(), str(place / "docker.sock")
    runner = web.AppRunner(made.app(), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    yield made, socket
    await runner.cleanup()


@asynccontextmanager
async def following(made: Follower) -> AsyncIterator[Follower]:
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[tuple[Engine, str]]:
    async with served(tmp_path) as made:
        yield made


@pytest.fixture
async def other(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Engine, str]]:
    """Another manager."""
    async with served(tmp_path_factory.mktemp("other")) as made:
        yield made


@pytest.fixture
async def follower(engine: tuple[Engine, str]) -> AsyncIterator[Follower]:
    managers = [Manager("/nowhere/docker.sock"), Manager(engine[1])]
    async with following(Follower(managers)) as made:
        yield made


async def seen(follower: Follower, tasks: set[str]) -> Swarm:
    """The look at which these tasks run, and no other."""
    async with asyncio.timeout(30):
        while True:
            swarm = await follower.swarm_within(1)
            if swarm and {one.id for one in swarm.tasks.values() if one.is_running} == tasks:
                return swarm


async def test_another_manager_is_asked_if_the_first_is_away(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    engine[0].service("web")
    engine[0].task("t1", "web")
    swarm = await seen(follower, {"t1"})
    assert set(swarm.services) == {"web"}
    assert follower.manager.address == engine[1]


async def test_a_service_that_changes_is_looked_at_alone_until_it_has_settled(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    api, _ = engine
    for name in ("web", "other", "third"):
        api.service(name)
        api.task(f"{name}1", name)
    await seen(follower, {"web1", "other1", "third1"})
    api.service("web", 2)
    api.task("web2", "web", "starting")
    await api.tell("service", "web")
    await api.until(lambda: "tasks of web" in api.asked)
    api.task("web2", "web")
    await seen(follower, {"web1", "web2", "other1", "third1"})


async def test_a_service_that_goes_while_it_is_looked_at_has_no_tasks(
    engine: tuple[Engine, str],
) -> None:
    manager = Manager(engine[1])
    assert await manager.tasks("gone") == {}
    await manager.stop()


async def test_an_empty_list_is_asked_for_again_before_it_is_believed(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    api, _ = engine
    api.service("web")
    api.task("t1", "web")
    await seen(follower, {"t1"})
    async with without_services(api, follower):
        await api.tell("node", "n1")
        await api.until(lambda: api.asked.count("nodes") == 2)


async def test_nor_is_one_that_comes_while_a_service_changes(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    api, _ = engine
    api.service("web", 2)  # it has one of two
    api.task("t1", "web")
    await seen(follower, {"t1"})
    async with without_services(api, follower):
        await api.until(lambda: "services" in api.asked)


@asynccontextmanager
async def without_services(api: Engine, follower: Follower) -> AsyncIterator[None]:
    """Meanwhile it lists none; when they are back, one task more is seen, and the service."""
    kept, api.services = api.services, {}
    api.asked.clear()
    yield
    api.services = kept
    api.task("t2", "web")
    swarm = await seen(follower, {"t1", "t2"})
    assert set(swarm.services) == {"web"}


async def test_another_swarm_at_the_same_address_takes_nothing_out(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    api, _ = engine
    api.service("web")
    api.task("t1", "web")
    await seen(follower, {"t1"})
    kept = list(api.nodes)
    api.nodes = [{"ID": "n9", "Status": {"State": "ready", "Addr": "10.0.0.9"}}]
    api.service("other")
    api.tasks = {}
    api.asked.clear()
    await api.tell("node", "n9")
    await api.until(lambda: api.asked.count("nodes") >= 3)  # so it has said so twice
    assert "another swarm" in follower.failure
    assert await follower.swarm_within(0) is None
    api.nodes = [*kept, *api.nodes]  # as when all its managers were lost but one
    api.task("t2", "web")
    await seen(follower, {"t2"})
    assert follower.failure == ""


async def lost_for_an_older(
    follower: Follower, engine: tuple[Engine, str], other: tuple[Engine, str]
) -> None:
    """Two tasks are known of a manager that is away then; another one lists the first alone."""
    for api in (engine[0], other[0]):
        api.service("web", 2)
        api.task("t1", "web")
    engine[0].version = 9
    engine[0].task("t2", "web")
    await seen(follower, {"t1", "t2"})
    engine[0].is_away = True


async def test_a_manager_that_lists_an_older_swarm_takes_nothing_out(
    engine: tuple[Engine, str], other: tuple[Engine, str]
) -> None:
    managers = [Manager(engine[1]), Manager(other[1])]
    async with following(Follower(managers)) as follower:
        await lost_for_an_older(follower, engine, other)
        await other[0].until(lambda: other[0].asked.count("nodes") >= 2)
        assert "has the swarm as it was before" in follower.failure
        assert await follower.swarm_within(0) is None
        other[0].version = 10
        other[0].task("t3", "web")
        await seen(follower, {"t1", "t3"})
        assert follower.failure == ""


async def test_one_that_lists_it_for_longer_than_a_leader_alone_could_is_believed(
    engine: tuple[Engine, str], other: tuple[Engine, str]
) -> None:
    managers = [Manager(engine[1]), Manager(other[1])]
    async with following(Follower(managers, older_s=0.1)) as follower:
        await lost_for_an_older(follower, engine, other)
        await seen(follower, {"t1"})


async def test_of_one_manager_alone_what_was_changed_last_may_go(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    api, _ = engine
    api.service("web")
    api.task("t1", "web")
    api.version = 9
    api.task("t2", "web")
    await seen(follower, {"t1", "t2"})
    del api.tasks["t2"]
    await api.tell("node", "n1")
    await seen(follower, {"t1"})


async def test_a_manager_that_hangs_up_is_left_at_once_and_named(
    engine: tuple[Engine, str], other: tuple[Engine, str]
) -> None:
    managers = [Manager(engine[1]), Manager(other[1])]
    async with following(Follower(managers)) as follower:
        for api in (engine[0], other[0]):
            api.service("web")
            api.task("t1", "web")
        await seen(follower, {"t1"})
        await engine[0].until(lambda: bool(engine[0].streams))
        engine[0].is_away = True
        engine[0].hang_up()
        await other[0].until(lambda: other[0].asked.count("nodes") >= 1)
        other[0].task("t2", "web")
        await seen(follower, {"t1", "t2"})
        assert follower.manager.address == other[1]
        assert set(follower.lost) == {engine[1]}
        assert engine[1] in follower.lost[engine[1]]


async def test_what_an_agent_tells_counts_at_once_and_has_the_manager_asked(
    engine: tuple[Engine, str], follower: Follower
) -> None:
    api, _ = engine
    api.nodes[0]["Description"] = {"Hostname": "h1"}
    api.service("web")
    api.task("t1", "web")
    await seen(follower, {"t1"})
    api.asked.clear()
    follower.hear(HostTasks("h1", (TaskContainer("c1", "t1", "web", "ended"),)))
    await seen(follower, set())
    await api.until(lambda: "tasks of web" in api.asked)
    # It has a new one by now, which the agent tells of before the next look at all.
    api.task("t1", "web", "failed")
    api.task("t2", "web", "starting")
    follower.hear(HostTasks("h1", (TaskContainer("c2", "t2", "web", "running"),)))
    await seen(follower, {"t2"})
