"""Below requests: bytes that are no HTTP, or that two readers of HTTP would read differently."""

import asyncio
import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.system.raw_http import Connection
from tests.system.server import Server
from tests.system.test_hostile import HUNG_AFTER_S

pytestmark = pytest.mark.system

MIB = 1024 * 1024
HOST = b"Host: x\r\n"
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"  # must never be taken for a request of its own

MALFORMED = {
    "no HTTP": b"GARBAGE\r\n\r\n",
    "nothing but zeros": b"\x00" * 100,
    "TLS in TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    "no target": b"GET\r\n\r\n",
    "HTTP of the future": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "letters beyond ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "no colon": b"GET /healthz HTTP/1.1\r\nHost\r\n\r\n",
    "no name": b"GET /healthz HTTP/1.1\r\n: x\r\n\r\n",
    "a zero in a header": b"GET /healthz HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "a negative length": b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length that is no number": b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "a length beyond numbers": b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "a chunk of no size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk beyond numbers": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 20,
    "a chunk of negative size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
}

# Each holds HIDDEN where one reader sees a body and another a second request.
SMUGGLING = {
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 50\r\n\r\n",
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "an encoding with a space": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, but not at last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "a folded header": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "an upgrade": b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "an upgrade to websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an upgrade with a body": b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


async def answered(server: Server, data: bytes) -> bytes:
    """All that comes back until the server closes, which it must."""
    connection = await Connection.to(server.port)
    connection.send(data)
    try:
        return await asyncio.wait_for(connection.rest(), HUNG_AFTER_S)
    finally:
        connection.close()


async def lives(server: Server) -> bool:
    connection = await Connection.to(server.port)
    connection.send(HIDDEN)
    answer = await asyncio.wait_for(connection.answer(), HUNG_AFTER_S)
    connection.close()
    log = (server.place / "log").read_text(errors="replace")
    return answer.status == 200 and "Traceback" not in log


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_request_is_answered_400_or_cut_off(server: Server, sent: bytes) -> None:
    got = await answered(server, sent)
    assert got == b"" or got.startswith(b"HTTP/1.1 4")
    assert got.count(b"HTTP/1.1") <= 1
    assert await lives(server)


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING)
async def test_no_second_request_hides_in_a_first(server: Server, head: bytes) -> None:
    line = b"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews HTTP/1.1\r\n"
    got = await answered(server, line + HOST + head + HIDDEN)
    assert got.count(b"HTTP/1.1") <= 1  # and closed: `answered` waits for that
    assert b" 200 " not in got
    assert await lives(server)


async def test_headers_without_end_are_cut_off_before_they_fill_the_memory(server: Server) -> None:
    before = server.resident_bytes()
    floods = (
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (20 * MIB // 6),
        b"GET / HTTP/1.1\r\nA: " + b"b" * (20 * MIB),
        b"GET /" + b"a" * (20 * MIB),
        b"GET / HTTP/1.1\r\n" + b"a" * (20 * MIB),
    )
    for flood in floods * 2:
        got = await answered(server, flood)
        assert got == b"" or got.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    assert server.resident_bytes() < before + 48 * MIB
    assert await lives(server)


async def test_a_client_that_goes_away_at_any_byte_leaves_nothing_behind(server: Server) -> None:
    token = server.token.encode()
    whole = (
        b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + token
        + b'\r\nContent-Length: 30\r\n\r\n{"metadata":{"name":"partial"}'  # a byte short of that
    )
    for at in range(0, len(whole) + 1, 3):
        connection = await Connection.to(server.port)
        connection.send(whole[:at])
        await connection.sent()
        connection.close()
    assert await lives(server)
    assert server.run("get", "configmap", "partial").returncode != 0


async def test_bodies_beyond_the_limit_are_refused_however_they_are_sent(server: Server) -> None:
    token = server.token.encode()
    line = (
        b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    )
    chunked = b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    endless = chunked + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 100
    for sent in (endless, b"Content-Length: 4000000\r\n\r\n" + b" " * 4_000_000):
        connection = await Connection.to(server.port)
        connection.send(line + token + b"\r\n" + sent)
        answer = await asyncio.wait_for(connection.answer("POST"), HUNG_AFTER_S)
        assert answer.status == 413
        assert json.loads(answer.body)["reason"] == "RequestEntityTooLarge"
        connection.close()
    assert await lives(server)


async def test_many_watches_that_are_cut_off_leave_no_memory_behind(server: Server) -> None:
    head = b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    before = 0
    for turn in range(2):
        for _ in range(5):
            watches = [await Connection.to(server.port) for _ in range(10)]
            for watch in watches:
                watch.send(head + server.token.encode() + b"\r\n\r\n")
            assert await lives(server)
            for watch in watches:
                watch.close()
        if turn == 0:
            before = server.resident_bytes()
    assert server.resident_bytes() < before + 16 * MIB
    assert await lives(server)


async def test_plain_http_on_the_port_of_tls_is_cut_off(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HIDDEN)
    with contextlib.suppress(OSError):
        assert b"200 OK" not in await asyncio.wait_for(reader.read(), HUNG_AFTER_S)
    writer.close()
    assert await lives(server)
