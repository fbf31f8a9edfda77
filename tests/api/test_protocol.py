"""Connections that keep the server waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import uvicorn

from mooring.api.http import Message, Receive, Request, Scope, Send
from mooring.api.protocol import Protocol
from mooring.api.seats import Seats


class Impatient(Protocol):
    read_within_s = 0.05


async def app(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers when the body is there, and then goes on until the client has gone."""
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.sleep(0.2)  # four times what a request may take to come
    await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def connection(
    app: Any = app, protocol: Any = Impatient
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(
        app, port=0, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        server.should_exit = True
        await server.shutdown()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nA: b\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\na",
    ],
)
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(sent: bytes) -> None:
    async with connection() as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_an_answer_may_take_longer_than_a_request() -> None:
    async with connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"done" in await asyncio.wait_for(reader.readuntil(b"done"), 30)


async def test_who_does_not_read_can_be_cut_off_with_what_waits_for_it() -> None:
    ended = asyncio.Event()

    async def flooding(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await request.begin()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                while True:
                    await request.more(b"x" * (1 << 20))
        await request.abort()
        ended.set()

    async with connection(flooding) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(ended.wait(), 30)


async def test_a_head_that_is_too_long_is_answered_so() -> None:
    async with connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nA: " + b"a" * 2_000_000)
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 431 ")


async def test_who_finds_no_seat_is_cut_off() -> None:
    async with connection(protocol=partial(Protocol, seats=Seats(0))) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
