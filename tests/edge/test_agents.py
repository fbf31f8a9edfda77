"""How an edge hears agents: by any server that tells, and whatever one of them says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from mooring.edge.agents import Agents
from mooring.edge.settings import AgentServers
from mooring.model.task_container import STREAM_PATH, HostTasks


class Telling:
    """A server that tells these lines, and then nothing for as long as it is asked to."""

    def __init__(self, *lines: bytes, status: int = 200) -> None:
        self.lines, self._status = lines, status
        self.tokens: list[str] = []
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        self.ends = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers["Authorization"])
        self.asked.put_nowait(None)
        if self._status != 200:
            return web.Response(status=self._status, text="no\nsuch")
        stream = web.StreamResponse()
        await stream.prepare(request)
        for line in self.lines:
            await stream.write(line + b"\n")
        await self.ends.wait()
        return stream


class World:
    def __init__(self, place: Path) -> None:
        self.token = place / "token"
        self.token.write_text("secret\n")
        self.heard: asyncio.Queue[HostTasks] = asyncio.Queue()
        self._runners: list[web.AppRunner] = []
        self._running: asyncio.Task[None] | None = None

    async def url(self, telling: Telling) -> str:
        app = web.Application()
        app.router.add_get(STREAM_PATH, telling.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    def hear(self, *urls: str) -> Agents:
        made = Agents(AgentServers(urls, str(self.token)), self.heard.put_nowait)
        self._running = asyncio.create_task(made.run())
        return made

    async def next(self) -> str:
        """The host of what is heard next."""
        return (await asyncio.wait_for(self.heard.get(), 30)).host

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.stop()


async def test_the_next_server_is_asked_when_one_ends_or_refuses(world: World) -> None:
    first, refusing = Telling(b'{"host":"a"}', b"{}"), Telling(status=403)
    last = Telling(b'{"host":"b"}')
    agents = world.hear(*[await world.url(one) for one in (first, refusing, last)])
    assert await world.next() == "a"
    first.ends.set()
    assert await world.next() == "b"
    assert refusing.tokens == ["Bearer secret"]
    assert agents.failure == ""


async def test_a_token_that_is_written_anew_is_read(world: World) -> None:
    telling = Telling(b'{"host":"a"}')
    telling.ends.set()
    world.hear(await world.url(telling))
    await world.next()
    world.token.write_text("renewed\n")
    async with asyncio.timeout(30):
        while telling.tokens[-1] != "Bearer renewed":
            await world.next()


async def test_what_one_says_that_nobody_understands_keeps_no_other_from_being_heard(
    world: World,
) -> None:
    strange = (b'{"host":"a","containers":[{"state":"better"}]}', b"no JSON", b"[]")
    world.hear(await world.url(Telling(*strange, b'{"host":"b"}')))
    assert await world.next() == "b"


async def test_why_nobody_is_heard(world: World) -> None:
    refusing = Telling(status=401)
    agents = world.hear("http://127.0.0.1:1", await world.url(refusing))
    for _ in range(2):  # what became of the first time is known by the second
        await asyncio.wait_for(refusing.asked.get(), 30)
    assert "401 no such" in agents.failure
    assert "http://127.0.0.1:1: " in agents.failure
    assert agents.server == ""
