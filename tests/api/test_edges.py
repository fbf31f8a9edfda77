"""Edges: what their tokens are good for, and what agents tell them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.model.task_container import STREAM_PATH, HostTasks, TaskContainer, key_of
from tests.api.test_nodes import World, code

NOTHING: dict[str, Any] = {}


def tasks(host: str, *ids: str) -> HostTasks:
    return HostTasks(host, tuple(TaskContainer(one, f"t{one}", "s1", "running") for one in ids))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        await made.tokens.start()
        yield made
        await made.tokens.stop()


async def edge_token(world: World, name: str = "e1", **more: Any) -> str:
    answer = await world.send("POST", "/mooring/v1/edge/tokens", {"edge": name, **more})
    assert answer.status == 201, answer
    made: str = answer.body["token"]
    return made


async def tell(world: World, token: str, told: HostTasks, expected: int = 0) -> int:
    answer = await world.commit(token, key_of(told.host), msgspec.to_builtins(told), expected)
    assert answer.status == 200, answer.body
    revision: int = msgspec.msgpack.decode(answer.body)[0]
    return revision


@asynccontextmanager
async def listening(world: World, token: str) -> AsyncIterator["asyncio.Queue[Any]"]:
    """What an edge is told, line by line; None at the end."""
    lines: asyncio.Queue[Any] = asyncio.Queue()
    gone = asyncio.Event()
    scope = {
        "type": "http",
        "method": "GET",
        "path": STREAM_PATH,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        for line in message.get("body", b"").splitlines():
            lines.put_nowait(msgspec.json.decode(line))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            lines.put_nowait(None)

    serving = asyncio.create_task(world.app(scope, receive, send))
    try:
        async with asyncio.timeout(30):
            yield lines
    finally:
        gone.set()
        await serving


def as_said(told: HostTasks) -> Any:
    return msgspec.json.decode(msgspec.json.encode(told))


async def until_nothing(lines: "asyncio.Queue[Any]") -> list[Any]:
    found = []
    while (line := await lines.get()) != NOTHING:
        found.append(line)
    return found


async def test_an_edge_is_told_all_that_there_is_and_then_what_changes(world: World) -> None:
    agents = {name: await world.joined(name) for name in ("a", "b")}
    first = await tell(world, agents["a"], tasks("a", "c1"))
    await tell(world, agents["b"], tasks("b"))
    async with listening(world, await edge_token(world)) as lines:
        assert await until_nothing(lines) == [as_said(tasks("a", "c1")), as_said(tasks("b"))]
        await tell(world, agents["a"], tasks("a", "c1", "c2"), first)
        assert await lines.get() == as_said(tasks("a", "c1", "c2"))


async def test_of_a_host_that_is_taken_away_nothing_is_told(world: World) -> None:
    """Its containers may go on, so they are not to be taken for ended."""
    own = await world.joined("a")
    await tell(world, own, tasks("a", "c1"))
    other = await world.joined("b")
    async with listening(world, await edge_token(world)) as lines:
        assert await until_nothing(lines) == [as_said(tasks("a", "c1"))]
        assert (await world.send("POST", "/mooring/v1/leave", {"node": "a"})).status == 200
        await tell(world, other, tasks("b"))
        assert await until_nothing(lines) in ([], [as_said(tasks("b"))])
    async with listening(world, await edge_token(world)) as lines:
        assert await until_nothing(lines) == [as_said(tasks("b"))]


async def test_a_host_tells_of_itself_alone(world: World) -> None:
    own = await world.joined("a")
    answer = await world.commit(own, key_of("b"), msgspec.to_builtins(tasks("b", "c1")))
    assert (answer.status, code(answer)) == (403, "Forbidden")
    answer = await world.commit(own, key_of("a"), msgspec.to_builtins(tasks("b", "c1")))
    assert (answer.status, code(answer)) == (403, "Forbidden")
    answer = await world.commit(own, key_of("a"), {"host": "a", "containers": [{"id": "/"}]})
    assert answer.status == 400
    answer = await world.commit(own, key_of("a"), None)
    assert answer.status == 400


async def test_a_try_that_comes_late_is_refused(world: World) -> None:
    """It was sent to a server that hung; another took what the agent saw after that."""
    own = await world.joined("a")
    first = await tell(world, own, tasks("a", "c1"))
    second = await tell(world, own, tasks("a"), first)
    late = await world.commit(
        own, key_of("a"), msgspec.to_builtins(tasks("a", "c1")), first, again=True
    )
    assert (late.status, code(late)) == (409, "Conflict")
    assert second > first


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/default/persistentvolumeclaims"),
        ("GET", "/api/v1/namespaces/default/secrets"),
        ("GET", "/api/v1/nodes"),
        ("POST", "/api/v1/namespaces/default/persistentvolumeclaims"),
        ("POST", "/apis/events.k8s.io/v1/namespaces/default/events"),
        ("GET", "/mooring/v1/node/documents"),
        ("GET", "/mooring/v1/node/watch"),
        ("POST", "/mooring/v1/node/commit"),
        ("POST", "/mooring/v1/node/renew"),
        ("POST", "/mooring/v1/join"),
        ("POST", "/mooring/v1/tokens"),
        ("POST", "/mooring/v1/leave"),
        ("POST", "/mooring/v1/edge/tokens"),
        ("POST", STREAM_PATH),
        ("GET", "/metrics"),
    ],
)
async def test_an_edges_token_is_good_for_nothing_else(
    world: World, method: str, path: str
) -> None:
    token = await edge_token(world)
    answer = await world.send(method, path, {}, token=token, mooring_door="1")
    assert answer.status == 403


async def test_nobody_else_hears_agents(world: World) -> None:
    joining = await world.token()
    own = await world.joined("a")
    for token, status in ((joining, 403), (own, 403), ("t", 404), ("", 401), ("x", 401)):
        assert (await world.send("GET", STREAM_PATH, token=token)).status == status


async def test_a_new_token_ends_the_one_before_and_its_streams(world: World) -> None:
    first = await edge_token(world)
    other = await edge_token(world, "e2")
    async with listening(world, first) as lines:
        await until_nothing(lines)
        await edge_token(world)
        while await lines.get() is not None:
            pass
    assert (await world.send("GET", STREAM_PATH, token=first)).status == 401
    async with listening(world, other) as lines:
        assert await until_nothing(lines) == []


async def test_a_token_is_ended_by_an_admin_and_by_time(world: World) -> None:
    token = await edge_token(world)
    ended = await world.send("POST", "/mooring/v1/edge/tokens", {"edge": "e1", "days": 0})
    assert ended.status == 200
    assert (await world.send("GET", STREAM_PATH, token=token)).status == 401
    token = await edge_token(world, days=1)
    world.clock.move(86400)
    assert (await world.send("GET", STREAM_PATH, token=token)).status == 401


@pytest.mark.parametrize(
    "asked", [{}, {"edge": ""}, {"edge": "a/b"}, {"edge": "a", "days": -1}, {"edge": "a", "x": 1}]
)
async def test_what_no_token_is_made_for(world: World, asked: dict[str, Any]) -> None:
    assert (await world.send("POST", "/mooring/v1/edge/tokens", asked)).status == 400
