"""Access logs of real proxies: what a line has, that it is one, and that nobody waits for it."""

import asyncio
import http.client
import json
import os
import random
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from mooring.edge.settings import EntryPoint, ProxyName
from tests.docker.testbed import eventually
from tests.edge.clients import HOST, free_port, settings_in
from tests.edge.making import a_service
from tests.edge.plants import Answering, Greeting, Plant
from tests.edge.test_attach import Attached
from tests.edge.test_routes import ATTACKS

pytestmark = pytest.mark.system
OF_BOTH = {
    *("time", "entry", "client", "host", "service", "server", "serverPort", "termination"),
    *("durationMs", "bytes", "bytesRead", "retries"),
}
OF_REQUESTS = OF_BOTH | {"method", "path", "userAgent", "status"}
Line = dict[str, Any]


class Logged(Plant):
    """One whose lines are read: HAProxy's of syslog, nginx's of a file."""

    def __init__(self, directory: Path, name: ProxyName, stack: AsyncExitStack) -> None:
        settings = settings_in(directory, name)
        entries = (
            *settings.entry_points,
            EntryPoint("db", free_port(), "127.0.0.1", "tcp"),
            EntryPoint("names", free_port(), "127.0.0.1", "tcp"),
        )
        self.syslog = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.syslog.bind(("127.0.0.1", 0))
        self.syslog.setblocking(False)
        stack.callback(self.syslog.close)
        self.file = directory / "access.log"
        target = f"udp://127.0.0.1:{self.syslog.getsockname()[1]}"
        if name == "nginx":
            target = str(self.file)
        super().__init__(structs.replace(settings, entry_points=entries, access_log=target), stack)
        self._lines: list[bytes] = []

    def lines(self) -> list[Line]:
        """All that came, each of which has to be JSON, and text of UTF-8."""
        self.drain()
        return [json.loads(one.decode()) for one in self._lines]

    def drain(self) -> None:
        """Read what came: a socket holds only so much."""
        if self.settings.proxy == "nginx":
            self._lines = self.file.read_bytes().splitlines()
        with suppress(BlockingIOError):
            while said := self.syslog.recv(1 << 16):
                assert said.endswith(b"}\n")
                self._lines.append(said.partition(b": ")[2])

    async def line_of(self, **wanted: object) -> Line:
        """The only one with these values, once it is there."""

        def found() -> list[Line]:
            return [
                one for one in self.lines() if all(one.get(key) == wanted[key] for key in wanted)
            ]

        await asyncio.to_thread(eventually, lambda: len(found()) == 1, f"a line with {wanted}")
        return found()[0]

    async def asked(self, request: bytes, entry: str = "http") -> bytes:
        """The beginning of the answer to whatever a client sends."""
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port(entry))
            writer.write(request)
            answer = await reader.read(1 << 16)
            writer.close()
        return answer


@pytest.fixture(params=["haproxy", "nginx"])
async def logged(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Logged]:
    name = cast("ProxyName", request.param)
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    async with AsyncExitStack() as stack:
        made = Logged(tmp_path, name, stack)
        yield made
        await made.proxy.stop()


def a_request(path: str = "/", host: str = HOST, agent: str = "test") -> bytes:
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", f"User-Agent: {agent}", "Connection: close")
    return "\r\n".join((*lines, "", "")).encode()


async def test_a_line_says_who_asked_for_what_and_what_came_of_it(logged: Logged) -> None:
    server = await logged.serve(Answering("web"))
    silent = a_service("silent", host="silent.example.com", log="false")
    prefixed = a_service("web", host=HOST, path="/api", **{"strip-prefix": "true"})
    await logged.bring(prefixed, silent, web=[server], silent=[server])
    await logged.asked(a_request("/api/a?secret=1", agent="curl"))
    line = await logged.line_of(path="/api/a")
    assert set(line) == OF_REQUESTS
    port = str(server.port)
    wanted = {"entry": "http", "client": "127.0.0.1", "method": "GET", "host": HOST, "status": 200}
    wanted |= {"userAgent": "curl", "service": "web", "server": "127.0.0.1", "serverPort": port}
    assert {key: line[key] for key in wanted} == wanted
    assert (line["retries"], line["termination"]) == (0, "--")
    assert line["bytes"] > 0 < line["bytesRead"]
    assert 0 <= line["durationMs"] < 10_000
    assert len(line["time"].partition(".")[2]) >= 4
    assert "secret" not in json.dumps(logged.lines())
    await logged.asked(a_request("/unseen", host="silent.example.com"))
    await logged.asked(a_request("/nobodys", host="none.example.com"))
    line = await logged.line_of(path="/nobodys")
    assert (line["status"], line["service"], line["server"]) == (404, "-", "-")
    assert "/unseen" not in json.dumps(logged.lines())


async def test_a_try_at_another_server_is_counted(logged: Logged) -> None:
    answers = await logged.serve(Answering("web"))
    broken = await logged.serve(Breaking())
    await logged.bring(a_service(host=HOST), web=[broken, answers])
    for number in range(4):
        await logged.asked(a_request(f"/{number}"))
    lines = [await logged.line_of(path=f"/{number}") for number in range(4)]
    assert {one["status"] for one in lines} == {200}
    assert max(one["retries"] for one in lines) == 1
    assert {one["serverPort"] for one in lines} == {str(answers.port)}


class Breaking:
    """It hears a request, and ends the connection."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()


async def test_connections_of_tcp_have_a_line(logged: Logged) -> None:
    server = await logged.serve(Greeting("db1"))
    db = a_service("db", protocol="tcp", entry="db")
    named = a_service("named", protocol="tcp", entry="names", host="a.example.com")
    silent = a_service("silent", protocol="tcp", entry="names", host="b.example.com", log="false")
    await logged.bring(db, named, silent, db=[server], named=[server], silent=[server])
    assert await logged.asked(b"", "db") == b"db1\n"
    line = await logged.line_of(entry="db")
    assert set(line) == OF_BOTH
    assert (line["client"], line["service"], line["server"]) == ("127.0.0.1", "db", "127.0.0.1")
    assert (line["bytes"], line["termination"]) == (4, "--")
    for name in ("b.example.com", "a.example.com"):
        await logged.asked(client_hello(name), "names")
    line = await logged.line_of(entry="names")
    assert (line["host"], line["service"]) == ("a.example.com", "named")


def client_hello(name: str) -> bytes:
    """What a client of TLS begins with that asks for a name, whatever its bytes are."""
    asked = name.encode("latin-1")
    names = b"\x00" + len(asked).to_bytes(2) + asked
    extension = b"\x00\x00" + (len(names) + 2).to_bytes(2) + len(names).to_bytes(2) + names
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extension).to_bytes(2) + extension
    hello = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(hello).to_bytes(2) + hello


def hostile() -> list[bytes]:
    """Texts of attackers, and of chance, with a seed."""
    chance = random.Random(7)
    texts = [one.encode()[:4000] for one in ATTACKS]
    texts += [b'","status":200,"x":"', b'\\"}\n{"a":1}', b"\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xa9"]
    texts += [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"a" * 1023 + b"\xc3\xa4", b"\x7f"]
    texts += [bytes(chance.randrange(256) for _ in range(chance.randrange(60))) for _ in range(40)]
    return texts


async def test_whatever_a_client_sends_is_one_line_of_json(logged: Logged) -> None:
    server = await logged.serve(Answering("web"))
    named = a_service("named", protocol="tcp", entry="names", host="a.example.com")
    await logged.bring(a_service(host=HOST), named, web=[server], named=[server])
    for text in hostile():
        for head in (
            b"GET /%b HTTP/1.1\r\nHost: web.example.com\r\nUser-Agent: a\r\n" % text,
            b"GET / HTTP/1.1\r\nHost: %b\r\nUser-Agent: a\r\n" % text,
            b"GET / HTTP/1.1\r\nHost: web.example.com\r\nUser-Agent: %b\r\n" % text,
            b"%b / HTTP/1.1\r\nHost: web.example.com\r\n" % text,
        ):
            with suppress(ConnectionError):
                await logged.asked(head + b"Connection: close\r\n\r\n")
        with suppress(ConnectionError):
            await logged.asked(client_hello(text[:200].decode("latin-1")), "names")
        logged.drain()
    await logged.asked(a_request("/last"))
    await logged.line_of(path="/last")
    lines = logged.lines()
    assert len(lines) >= 4 * len(hostile())
    for one in lines:
        assert set(one) in (OF_REQUESTS, OF_BOTH)
        assert len(one.get("path", "")) <= 1024
        assert one["entry"] in ("http", "names", "-")


async def quick(plant: Plant, requests: int) -> None:
    """So many, of which none waits."""

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", plant.port("http"), timeout=5)
        for _ in range(requests):
            connection.request("GET", "/", headers={"Host": HOST, "User-Agent": "a" * 400})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()

    await asyncio.to_thread(ask)


@pytest.mark.parametrize("name", ["haproxy", "nginx"])
async def test_a_socket_that_nobody_reads_holds_nobody_up(tmp_path: Path, name: ProxyName) -> None:
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    async with AsyncExitStack() as stack:
        path = tmp_path / "log"
        unread = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.bind(str(path))
        unread.settimeout(10)
        settings = structs.replace(settings_in(tmp_path, name), access_log=f"unixgram://{path}")
        if os.geteuid() == 0:
            settings = structs.replace(settings, user="root")  # it has to reach the socket
        plant = Plant(settings, stack)
        stack.push_async_callback(plant.proxy.stop)
        await plant.bring(a_service(host=HOST), web=[await plant.serve(Answering())])
        await quick(plant, 600)
        assert unread.recv(1 << 16).endswith(b"}\n" if name == "haproxy" else b"}")
        unread.close()
        await quick(plant, 600)
        path.unlink()
        await quick(plant, 600)


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
async def test_an_output_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    """Of a service that runs HAProxy: a FIFO with a reader that never reads."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    output = os.open(tmp_path / "fifo", os.O_WRONLY)
    settings = structs.replace(settings_in(tmp_path), attach=True, access_log="stdout")
    attached = Attached(settings)
    attached.start_service(output)
    try:
        async with AsyncExitStack() as stack:
            plant = Plant(settings, stack)
            await plant.bring(a_service(host=HOST), web=[await plant.serve(Answering())])
            await quick(plant, 600)
        first = os.read(reader, 1 << 20).splitlines()[0]
        assert json.loads(first)["service"] == "web"
    finally:
        attached.service.terminate()
        attached.service.wait(10)
        os.close(reader)
        os.close(output)
