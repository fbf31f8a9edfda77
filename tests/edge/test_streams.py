"""Services of TCP before a real proxy: who gets a connection, and what becomes of an open one."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from msgspec import structs

from mooring.edge.model import Wish
from mooring.edge.settings import EntryPoint, ProxyName
from mooring.engine.swarm import Service
from tests.edge.clients import free_port, settings_in
from tests.edge.making import a_service
from tests.edge.pems import a_pem
from tests.edge.plants import LOOKS, Greeting, Plant, Proxied

pytestmark = pytest.mark.system

HAPROXY = pytest.param(
    "haproxy", marks=pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
)
NGINX = pytest.param(
    "nginx", marks=pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CLOSED = cast("Streams", (None, None))


@pytest.fixture(params=[HAPROXY, NGINX])
async def plant(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Plant]:
    name: ProxyName = request.param
    settings = settings_in(tmp_path, proxy=name)
    entries = (
        *settings.entry_points,
        EntryPoint("db", free_port(), "127.0.0.1", "tcp"),
        EntryPoint("names", free_port(), "127.0.0.1", "tcp"),
        EntryPoint("relayed", free_port(), "127.0.0.1", "tcp", accept_proxy_from=("127.0.0.0/8",)),
    )
    if name == "haproxy":
        entries = (*entries, EntryPoint("secure", free_port(), "127.0.0.1", "tcp", tls=True))
    async with AsyncExitStack() as stack:
        made = Plant(structs.replace(settings, entry_points=entries), stack)
        yield made
        await made.proxy.stop()


def of_tcp(name: str = "web", **labels: str) -> Service:
    return a_service(name, **{"protocol": "tcp", "entry": "db", **labels})


async def connected(
    plant: Plant, entry: str = "db", name: str = "", *, greeted: bool = True
) -> tuple[Streams, str]:
    """A new connection, of TLS if a name is asked for, and who greeted; empty: it was closed."""
    context = None
    if name:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port, asked = plant.port(entry), name or None
    async with asyncio.timeout(10):
        try:
            streams = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=asked
            )
            greeting = await streams[0].readline() if greeted else b""
        except OSError:
            return CLOSED, ""
    plant.stack.callback(streams[1].close)
    return streams, greeting.decode().strip()


async def greeter(plant: Plant, entry: str = "db", name: str = "") -> str:
    return (await connected(plant, entry, name))[1]


async def greets(plant: Plant, name: str, *where: str) -> None:
    """Wait until it alone does: workers from before may go on for a moment."""
    for _ in range(LOOKS):
        if {await greeter(plant, *where) for _ in range(4)} == {name}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} does not greet")


async def says(streams: Streams, text: str) -> str:
    """What comes back."""
    reader, writer = streams
    writer.write(text.encode() + b"\n")
    async with asyncio.timeout(10):
        return (await reader.readline()).decode().strip()


async def test_a_connection_goes_to_the_service_of_its_entry_point(plant: Plant) -> None:
    await plant.bring(of_tcp(), web=[await plant.serve(Greeting("db1"))])
    streams, name = await connected(plant)
    assert name == "db1"
    assert await says(streams, "hello") == "hello"
    reader, writer = streams
    writer.write(b"all\n")
    writer.write_eof()
    assert await reader.read() == b"all\n"


async def test_without_a_service_it_is_closed(plant: Plant) -> None:
    await plant.bring(of_tcp())
    assert await greeter(plant) == ""
    assert await greeter(plant, "names", "a.example.com") == ""


async def test_the_older_service_has_the_entry_point_until_it_goes(plant: Plant) -> None:
    servers = {name: [await plant.serve(Greeting(name))] for name in ("old", "young")}
    young = replace(of_tcp("young", host="db.example.com"), created="2027")
    await plant.bring(of_tcp("old"), young, **servers)
    assert await greeter(plant) == "old"
    await plant.bring(replace(of_tcp("young"), created="2027"), **servers)
    await greets(plant, "young")
    assert plant.proxy.reloads == (0 if plant.settings.proxy == "haproxy" else 1)


async def test_services_share_an_entry_point_by_names_of_tls(plant: Plant) -> None:
    """It is not ended: each service shows its own certificate."""
    servers = {}
    for name, host in (("a", "a.example.com"), ("b", "*.b.example.com")):
        secured = secured_by(plant, a_pem(host))
        servers[name] = [await plant.serve(Greeting(name), ssl=secured)]
    await plant.bring(
        of_tcp("a", entry="names", host="a.example.com"),
        of_tcp("b", entry="names", host="*.b.example.com"),
        **servers,
    )
    streams, name = await connected(plant, "names", "a.example.com")
    assert (name, await says(streams, "x")) == ("a", "x")
    assert await greeter(plant, "names", "A.Example.COM") == "a"
    assert await greeter(plant, "names", "x.b.example.com") == "b"
    assert await greeter(plant, "names", "x.y.b.example.com") == ""
    assert await greeter(plant, "names", "b.example.com") == ""
    (reader, writer), _ = await connected(plant, "names", greeted=False)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert await reader.read() == b""


async def test_open_connections_live_through_a_drain_and_a_reload(plant: Plant) -> None:
    first, second = [await plant.serve(Greeting(name)) for name in ("first", "second")]
    await plant.bring(of_tcp(), web=[first])
    streams, name = await connected(plant)
    assert name == "first"
    await plant.bring(of_tcp(), web=[first._replace(wish=Wish.LEAVE), second])
    await greets(plant, "second")
    assert await says(streams, "drained") == "drained"
    await plant.reload()
    assert await says(streams, "reloaded") == "reloaded"
    await plant.bring(of_tcp(), web=[second])
    assert await says(streams, "forgotten") == "forgotten"


async def test_a_server_that_cannot_be_reached_is_passed_over(plant: Plant) -> None:
    alive, dead = [await plant.serve(Greeting(name)) for name in ("alive", "dead")]
    await plant.bring(of_tcp(), web=[alive, dead])
    assert {await greeter(plant) for _ in range(4)} == {"alive", "dead"}
    plant.end(dead)
    assert {await greeter(plant) for _ in range(4)} == {"alive"}


async def test_an_idle_connection_is_closed_after_its_timeout(plant: Plant) -> None:
    await plant.bring(of_tcp(timeout="1s"), web=[await plant.serve(Greeting("db"))])
    (reader, _), _ = await connected(plant)
    assert await reader.read() == b""


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_servers_are_told_of_clients_by_the_proxy_protocol(
    plant: Plant, version: str
) -> None:
    if plant.settings.proxy == "nginx" and version == "v2":
        pytest.skip("nginx speaks v1 alone")
    server = Proxied("db")
    await plant.bring(of_tcp(**{"proxy-protocol": version}), web=[await plant.serve(server)])
    (_, writer), name = await connected(plant)
    assert name == "db"
    host, port = writer.get_extra_info("sockname")
    entry = plant.port("db")
    said = {
        "v1": f"PROXY TCP4 {host} {host} {port} {entry}\r\n".encode(),
        "v2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
        + socket.inet_aton(host) * 2
        + port.to_bytes(2, "big")
        + entry.to_bytes(2, "big"),
    }
    assert said[version] in server.heads
    assert all(server.heads), "a check came without"


async def test_the_client_that_a_proxy_before_tells_of_is_passed_on(plant: Plant) -> None:
    server = Proxied("db")
    labels = {"entry": "relayed", "proxy-protocol": "v1"}
    await plant.bring(of_tcp(**labels), web=[await plant.serve(server)])
    streams, _ = await connected(plant, "relayed", greeted=False)
    assert await says(streams, "PROXY TCP4 192.0.2.7 192.0.2.8 4711 5432\r") == "db"
    assert [one for one in server.heads if one.startswith(b"PROXY TCP4 192.0.2.7 ")]


async def test_a_check_may_ask_a_service_of_tcp_for_a_path(plant: Plant) -> None:
    if plant.settings.proxy == "nginx":
        pytest.skip("nginx has no checks")
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline() == b"GET /up HTTP/1.0\r\n":
            asked.set()
        writer.write(b"HTTP/1.0 204 No Content\r\n\r\n")
        writer.close()

    await plant.bring(of_tcp(check="/up"), web=[await plant.serve(serve)])
    assert asked.is_set()


async def test_tls_ends_at_an_entry_point_that_has_it(plant: Plant) -> None:
    if plant.settings.proxy == "nginx":
        pytest.skip("an edge file with nginx cannot ask for it")
    plant.put("a", a_pem("a.example.com"))
    servers = {name: [await plant.serve(Greeting(name))] for name in ("a", "whole")}
    await plant.bring(of_tcp("a", entry="secure", host="a.example.com"), **servers)
    assert await greeter(plant, "secure", "a.example.com") == "a"
    assert await greeter(plant, "secure", "b.example.com") == ""
    await plant.bring(of_tcp("whole", entry="secure"), **servers)
    await greets(plant, "whole", "secure", "b.example.com")


def secured_by(plant: Plant, pem: tuple[str, str]) -> ssl.SSLContext:
    file = Path(plant.settings.directory).parent / "server.pem"
    file.write_text("".join(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
