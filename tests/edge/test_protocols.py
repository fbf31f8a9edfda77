"""What clients and services speak over HTTP, with real programs on both sides of a real proxy."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import grpc
import pytest
import pytest_asyncio
from aiohttp import HttpVersion11, web

from mooring.edge.model import Server, Wish
from mooring.edge.settings import ProxyName
from tests.edge.clients import HOST, settings_in
from tests.edge.making import a_service
from tests.edge.pems import a_pem
from tests.edge.plants import Plant, Proxied, server_at

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

RPC, TOLD, QUICK = "rpc.example.com", "told.example.com", "quick.example.com"
BIG = 100 << 20  # bytes
PIECE = 1 << 20
PROXIES = [
    pytest.param(one, marks=pytest.mark.skipif(not shutil.which(one), reason=f"there is no {one}"))
    for one in ("haproxy", "nginx")
]


class Web:
    """A service that does whatever HTTP can. What it got is told as it comes."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()
        self.may_go_on = asyncio.Event()
        self.pause_s = 0  # before a body is read
        self.app = web.Application(client_max_size=2 * BIG)
        self.app.add_routes(
            [
                web.get("/x", self.hello),
                web.get("/events", self.events),
                web.get("/big", self.big),
                web.get("/silent", self.silent),
                web.get("/socket", self.socket),
                web.post("/pieces", self.pieces),
                web.post("/sum", self.sum),
            ]
        )

    async def hello(self, request: web.Request) -> web.StreamResponse:
        """In chunks, to a client that knows them."""
        answer = web.StreamResponse()
        if request.version < HttpVersion11:
            answer.force_close()  # or else aiohttp would never end it
        await answer.prepare(request)
        for one in (b"hel", b"lo"):
            await answer.write(one)
        return answer

    async def events(self, request: web.Request) -> web.StreamResponse:
        """One, and another once the first has arrived."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: 1\n\n")
        await self.may_go_on.wait()
        await answer.write(b"data: 2\n\n")
        return answer

    async def silent(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async def big(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(BIG)})
        await answer.prepare(request)
        for _ in range(BIG // PIECE):
            await answer.write(bytes(PIECE))
        return answer

    async def pieces(self, request: web.Request) -> web.Response:
        async for one in request.content.iter_any():
            await self.got.put(one)
        return web.Response(text="all")

    async def sum(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.pause_s)
        made = hashlib.sha256()
        async for one in request.content.iter_any():
            made.update(one)
        return web.Response(text=made.hexdigest())

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            await answer.send_str(f"again: {message.data}")
        return answer

    async def serve(self, plant: Plant) -> Server:
        runner = web.AppRunner(self.app, shutdown_timeout=0.1)
        await runner.setup()
        plant.stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return server_at(runner.addresses[0][1])


class Rpc(grpc.GenericRpcHandler):
    """A service of gRPC without a schema: messages are bytes."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            "/t/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/t/Fails": grpc.unary_unary_rpc_method_handler(self.fails),
            "/t/Both": grpc.stream_stream_rpc_method_handler(self.both),
        }.get(details.method)

    async def unary(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        said = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-after", said["x-before"]),))
        return message.upper()

    async def fails(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not yet")
        raise AssertionError

    async def both(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for one in messages:
            yield one.upper()
        context.set_trailing_metadata((("x-after", "all"),))

    async def serve(self, plant: Plant) -> Server:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        plant.stack.push_async_callback(server.stop, None)
        return server_at(port)


class Stand:
    """A proxy with both services, and clients of it."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.web, self.other, self.rpc, self.told = Web(), Web(), Rpc(), Proxied("")
        services = (
            a_service(host=HOST, tls="on"),
            a_service("rpc", host=RPC, protocol="h2c", tls="on"),
            a_service("quick", host=QUICK, timeout="1s", retry="none"),
            a_service("told", host=TOLD, **{"proxy-protocol": "v1"}),
        )
        # nginx speaks it to services of TCP alone.
        self.services = services[:3] if plant.settings.proxy == "nginx" else services

    async def begin(self) -> None:
        self.plant.put("web", a_pem(HOST))
        self.plant.put("rpc", a_pem(RPC))
        self.first = await self.web.serve(self.plant)
        self.second = await self.other.serve(self.plant)
        self.servers = {
            "rpc": [await self.rpc.serve(self.plant)],
            "quick": [self.first],
            "told": [await self.plant.serve(self.told)],
        }
        await self.bring(self.first)
        self.http = aiohttp.ClientSession(
            f"http://127.0.0.1:{self.plant.port('http')}", headers={"Host": HOST}
        )
        self.plant.stack.push_async_callback(self.http.close)

    async def bring(self, *of_web: Server) -> None:
        await self.plant.bring(*self.services, web=of_web, **self.servers)

    async def said(self, *lines: str, body: bytes = b"") -> tuple[list[str], bytes]:
        """The head and the body of what is answered to a request as it is."""
        port = self.plant.port("http")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            rest = await reader.read()
        writer.close()
        return head.decode().splitlines(), rest

    def plain_channel(self) -> grpc.aio.Channel:
        where = f"127.0.0.1:{self.plant.port('http')}"
        return grpc.aio.insecure_channel(where, options=[("grpc.default_authority", RPC)])

    def channel(self) -> grpc.aio.Channel:
        roots = grpc.ssl_channel_credentials(a_pem(RPC)[0].encode())
        where = f"127.0.0.1:{self.plant.port('https')}"
        return grpc.aio.secure_channel(
            where, roots, options=[("grpc.ssl_target_name_override", RPC)]
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PROXIES)
async def stand(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Stand]:
    name: ProxyName = request.param
    settings = settings_in(tmp_path_factory.mktemp(name), proxy=name)
    async with AsyncExitStack() as stack:
        plant = Plant(settings, stack)
        made = Stand(plant)
        await made.begin()
        yield made
        await plant.proxy.stop()


async def test_a_client_of_http_2_is_answered_by_one_of_http_1(stand: Stand) -> None:
    port = stand.plant.port("https")
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-k", "--http2", "--resolve", f"{HOST}:{port}:127.0.0.1"),
        *("-w", " %{http_version}", f"https://{HOST}:{port}/x"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert await process.communicate() == (b"hello 2", None)


async def test_a_client_of_http_1_0_gets_no_chunks(stand: Stand) -> None:
    head, body = await stand.said("GET /x HTTP/1.0", f"Host: {HOST}")
    assert head[0].split()[1] == "200"
    assert not [one for one in head if one.lower().startswith("transfer-encoding")]
    assert body == b"hello"


async def test_a_client_that_waits_for_100_is_told_to_go_on(stand: Stand) -> None:
    port = stand.plant.port("http")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = ("POST /sum HTTP/1.1", f"Host: {HOST}", "Content-Length: 3", "Expect: 100-continue")
    writer.write("\r\n".join((*head, "", "")).encode())
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"abc")
        answer = await reader.readuntil(hashlib.sha256(b"abc").hexdigest().encode())
    assert answer.startswith(b"HTTP/1.1 200")
    writer.close()


async def test_events_and_pieces_arrive_one_by_one(stand: Stand) -> None:
    async with asyncio.timeout(10), stand.http.get("/events") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"data: 1\n\n"
        stand.web.may_go_on.set()
        assert await answer.content.read() == b"data: 2\n\n"

    async def pieces() -> AsyncIterator[bytes]:
        for one in (b"a", b"b", b"c"):
            yield one
            assert await stand.web.got.get() == one

    async with asyncio.timeout(10), stand.http.post("/pieces", data=pieces()) as answer:
        assert await answer.text() == "all"


async def test_large_bodies_pass_both_ways(stand: Stand) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BIG // PIECE):
            yield bytes(PIECE)

    wanted = hashlib.sha256(bytes(BIG)).hexdigest()
    for headers in ({"Content-Length": str(BIG)}, {}):
        async with stand.http.post("/sum", data=pieces(), headers=headers) as answer:
            assert await answer.text() == wanted
    got = hashlib.sha256()
    async with stand.http.get("/big") as answer:
        async for one in answer.content.iter_any():
            got.update(one)
    assert got.hexdigest() == wanted


async def test_a_service_may_pause_within_an_upload(stand: Stand) -> None:
    """Its window is shut then, as if its host were gone."""
    stand.web.pause_s = 2
    async with stand.http.post("/sum", data=bytes(BIG)) as answer:
        assert await answer.text() == hashlib.sha256(bytes(BIG)).hexdigest()
    stand.web.pause_s = 0


async def test_an_open_websocket_lives_through_a_drain_and_a_reload(stand: Stand) -> None:
    async with stand.http.ws_connect("/socket") as socket:
        for what in ("opened", "drained", "reloaded"):
            if what == "drained":
                await stand.bring(stand.first._replace(wish=Wish.LEAVE), stand.second)
            if what == "reloaded":
                await stand.plant.reload()
            await socket.send_str(what)
            assert await socket.receive_str(timeout=10) == f"again: {what}"
    await stand.bring(stand.first)


async def test_an_idle_websocket_outlives_what_a_silent_answer_does_not(stand: Stand) -> None:
    to_quick = {"Host": QUICK}
    async with stand.http.ws_connect("/socket", headers=to_quick) as socket:
        async with stand.http.get("/silent", headers=to_quick) as answer:
            assert answer.status == 504
        await asyncio.sleep(0.5)
        await socket.send_str("still there")
        assert await socket.receive_str(timeout=10) == "again: still there"


async def test_grpc_has_its_metadata_status_and_streams(stand: Stand) -> None:
    async with stand.channel() as channel:
        call = channel.unary_unary("/t/Unary")(b"hello", metadata=(("x-before", "1"),), timeout=10)
        assert await call == b"HELLO"
        assert dict(await call.trailing_metadata())["x-after"] == "1"
        failing = channel.unary_unary("/t/Fails")(b"", timeout=10)
        assert await failing.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert await failing.details() == "not yet"
        unknown = channel.unary_unary("/t/Unknown")(b"", timeout=10)
        assert await unknown.code() is grpc.StatusCode.UNIMPLEMENTED
        both = channel.stream_stream("/t/Both")(timeout=10)
        for one in (b"a", b"b"):
            await both.write(one)
            assert await both.read() == one.upper()
        await both.done_writing()
        assert await both.read() is grpc.aio.EOF
        assert dict(await both.trailing_metadata())["x-after"] == "all"


async def test_grpc_needs_no_tls(stand: Stand) -> None:
    if stand.plant.settings.proxy == "nginx":
        pytest.skip("nginx has either HTTP/1 or 2 without TLS")
    async with stand.plain_channel() as channel:
        call = channel.unary_unary("/t/Unary")(b"hello", metadata=(("x-before", "1"),), timeout=10)
        assert await call == b"HELLO"


async def test_servers_of_http_are_told_of_clients_by_the_proxy_protocol(stand: Stand) -> None:
    if len(stand.services) == 3:
        pytest.skip("nginx speaks it to services of TCP alone")
    await stand.said("GET / HTTP/1.1", f"Host: {TOLD}", "Connection: close")
    came_in = f" {stand.plant.port('http')}\r\n".encode()
    (head,) = [one for one in stand.told.heads if one.endswith(came_in)]
    assert head.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
