"""What becomes of a request's path and size on its way, before real proxies and a real server."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from msgspec import structs

from mooring.edge.settings import EntryPoint, ProxyName
from tests.edge.clients import HOST, free_port, settings_in
from tests.edge.making import a_service
from tests.edge.pems import a_pem
from tests.edge.plants import Plant

pytestmark = pytest.mark.system
REFUSED = (411, 413, 0)  # the answer may be lost on who still sends


@pytest.fixture(params=["haproxy", "nginx"])
async def plant(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Plant]:
    """What a client at its entry point http says of a proxy before is believed."""
    name: ProxyName = request.param
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    settings = settings_in(tmp_path, proxy=name)
    trusting, secure = settings.entry_points
    trusting = structs.replace(trusting, trusted_from=("127.0.0.1/32",))
    entries = (trusting, secure, EntryPoint("plain", free_port(), "127.0.0.1"))
    async with AsyncExitStack() as stack:
        made = Plant(structs.replace(settings, entry_points=entries), stack)
        yield made
        await made.proxy.stop()


class Telling:
    """It answers with what it was asked for, which prefix was taken off, and the body's size."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = head.lower().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if line)
                size = int(headers.get("content-length", "0"))
                await reader.readexactly(size)
                if "transfer-encoding" in headers:
                    size = len(await reader.readuntil(b"0\r\n\r\n"))
                prefix = headers.get("x-forwarded-prefix", "none")
                body = f"{head.split()[1]} {prefix} {size > 0}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        writer.close()


async def told(
    plant: Plant,
    method: str,
    path: str,
    *lines: str,
    body: bytes = b"",
    entry: str = "http",
    host: str = HOST,
) -> tuple[int, str]:
    """The status and what the server told, of a request with these header lines.

    The status is 0 if the connection was cut while the body was sent.
    """
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""))
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", plant.port(entry))
        writer.write(head.encode() + body)
        try:
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(answer.partition("content-length:")[2].split()[0])
            text = (await reader.readexactly(size)).decode()
        except (ConnectionError, EOFError):
            return 0, ""
        finally:
            writer.close()
    return int(answer.split()[1]), text


async def serving(plant: Plant, **labels: str) -> None:
    server = await plant.serve(Telling())
    service = a_service(host=HOST, entry="http,plain", **labels)
    await plant.bring(service, web=[server])


@pytest.mark.parametrize("retry", ["safe", "all"])
async def test_a_path_is_taken_off(plant: Plant, retry: str) -> None:
    await serving(plant, path="/v1.0/api", retry=retry, **{"strip-prefix": "true"})

    async def server_sees(path: str) -> str:
        status, text = await told(plant, "GET", path)
        assert status == 200
        return text.removesuffix(" /v1.0/api False")

    assert await server_sees("/v1.0/api") == "/"
    assert await server_sees("/v1.0/api?q=/v1.0/api") == "/?q=/v1.0/api"
    assert await server_sees("/v1.0/api/") == "/"
    assert await server_sees("/v1.0/api/a/v1.0/api/b?x=%2F") == "/a/v1.0/api/b?x=%2F"
    assert await server_sees("/v1.0/api/a%2Fb%20c") == "/a%2Fb%20c"
    # No other host, wherever the service may send the client on to by this.
    assert await server_sees("/v1.0/api//evil.example/x") == "/evil.example/x"
    assert await server_sees("/v1.0/api///") == "/"
    assert (await told(plant, "GET", "/v1.0/apix"))[0] == 404
    assert (await told(plant, "GET", "/v1x0/api"))[0] == 404
    assert (await told(plant, "DELETE", "/v1.0/api/a"))[1] == "/a /v1.0/api False"


async def test_a_prefix_is_believed_of_a_proxy_in_front_alone(plant: Plant) -> None:
    said = "X-Forwarded-Prefix: /outer"
    kept = {"kept_host": HOST, "kept_path": "/kept", "kept_entry": "http,plain"}
    await serving(plant, path="/api", **{"strip-prefix": "true"}, **kept)
    assert (await told(plant, "GET", "/api/a", said))[1] == "/a /outer/api False"
    assert (await told(plant, "GET", "/api/a", said, entry="plain"))[1] == "/a /api False"
    assert (await told(plant, "GET", "/kept/a", said))[1] == "/kept/a /outer False"
    assert (await told(plant, "GET", "/kept/a", said, entry="plain"))[1] == "/kept/a none False"


async def test_a_path_in_other_words_is_the_same(plant: Plant) -> None:
    await serving(plant, path="/api", **{"strip-prefix": "true"})
    for path, server_sees in (
        ("/%61pi/a%2Fb%20c", "/a%2Fb%20c"),
        ("/api%2fa", "/a"),
        ("//api//a", "/a"),
        ("/%2fapi/a", "/a"),
        ("/ap%69?q=%2e/../", "/?q=%2e/../"),
        (f"{'/' * 3500}api{'/' * 3500}a", "/a"),
    ):
        if plant.settings.proxy == "nginx":
            # It has made its own words of what is behind such a path.
            server_sees = server_sees.replace("%2F", "/")
        assert await told(plant, "GET", path) == (200, f"{server_sees} /api False")


async def test_no_spelling_of_a_path_gets_past_its_list(plant: Plant) -> None:
    inner = {"host": HOST, "path": "/admin", "entry": "http", "allow": "10.99.0.0/16"}
    await serving(plant, **{f"inner_{key}": value for key, value in inner.items()})
    assert (await told(plant, "GET", "/adminx"))[0] == 200
    for path in ("/admin", "/admin/x", "/%61dmin/x", "//admin/x", "/admin%2fx", "/%2F/%61dmin"):
        assert (await told(plant, "GET", path))[0] == 403
    odd = ("/./admin", "/x/../admin", "/x/%2e%2E/admin", "/x%2f..%2fadmin", "/a/..", "/admin#/x")
    for path in (*odd, "/%00/admin", "/%zz", "/%", "/.?a=b"):
        assert (await told(plant, "GET", path))[0] == 400
    for path in ("/.well-known/x", "/a..b", "/a%2fb?c=/../d", "/...", "/a%252e%252e/b"):
        assert (await told(plant, "GET", path)) == (200, f"{path} none False")


async def test_a_host_is_no_part_of_a_path(plant: Plant) -> None:
    inner = {"host": HOST, "path": "/admin", "entry": "http", "allow": "10.99.0.0/16"}
    await serving(plant, **{f"inner_{key}": value for key, value in inner.items()})
    for host, status in (
        (f"{HOST}/pub", 400),
        (f"{HOST}/pub:80", 400),
        (f"{HOST}:80/pub", 400),
        (f"x,{HOST}", 400),
        (f"{HOST.upper()}.:80", 403),
        ("[::1]:80", 404),
        ("some_thing", 404),
    ):
        assert (await told(plant, "GET", "/admin/x", host=host))[0] == status


async def test_a_host_in_the_first_line_is_the_same_as_that_of_the_header(plant: Plant) -> None:
    """Else one would be asked who may come in, and the service would be told of the other."""
    await serving(plant)
    for named, host, status in (
        (HOST, HOST, 200),
        (f"{HOST}:80", f"{HOST}:80", 200),
        (HOST.upper(), HOST, 200),
        (HOST, "other.example.com", 400),
        ("other.example.com", HOST, 400),
        (HOST, f"{HOST}x", 400),
    ):
        assert (await told(plant, "GET", f"http://{named}/a", host=host))[0] == status


def in_chunks(size: int, each: int) -> bytes:
    chunks = [b"%x\r\n%b\r\n" % (each, b"a" * each) for _ in range(size // each)]
    return b"".join(chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_is_as_large_as_it_may(plant: Plant, method: str) -> None:
    await serving(plant, **{"max-body": "20Ki"})
    fits, larger = b"a" * 20480, b"a" * 20481
    chunked = "Transfer-Encoding: chunked"
    assert (await told(plant, method, "/", "Content-Length: 20480", body=fits))[0] == 200
    assert (await told(plant, method, "/", "Content-Length: 20481", body=larger))[0] in REFUSED
    # Without its being sent at all.
    asks = ("Content-Length: 20481", "Expect: 100-continue")
    assert (await told(plant, method, "/", *asks))[0] == 413
    assert (await told(plant, method, "/", chunked, body=in_chunks(4096, 64))) == (
        200,
        "/ none True",
    )
    assert (await told(plant, "GET", "/"))[0] == 200


async def test_a_body_that_hides_its_size_does_not_get_through(plant: Plant) -> None:
    await serving(plant, **{"max-body": "20Ki"})
    chunked = "Transfer-Encoding: chunked"
    stuffing = (
        [f"X-{n}: {'a' * 7000}" for n in range(2)] if plant.settings.proxy == "haproxy" else []
    )
    for lines, each in (((chunked,), 40000), ((chunked,), 1), ((chunked, *stuffing), 1)):
        body = in_chunks(40000, each)
        assert (await told(plant, "POST", "/", *lines, body=body))[0] in REFUSED


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_nor_does_one_of_http_2(plant: Plant) -> None:
    """There no size need be told, and no chunks tell that there is a body."""
    plant.put("web.pem", a_pem(HOST))
    service = a_service(host=HOST, tls="on", **{"max-body": "20Ki"})
    await plant.bring(service, web=[await plant.serve(Telling())])
    await plant.is_shown({HOST})
    assert await by_http_2(plant, b"") == 200
    assert await by_http_2(plant, b"a" * 5000, "-T", "-") == 200
    assert await by_http_2(plant, b"a" * 40000, "-T", "-") in REFUSED
    assert await by_http_2(plant, b"a" * 40000, "-X", "GET", "-T", "-") in REFUSED
    large = ("-H", f"X-Stuffing: {'a' * 7000}")
    assert await by_http_2(plant, b"a" * 40000, "-T", "-", *large) in REFUSED
    assert await by_http_2(plant, b"", *large) == 200


async def by_http_2(plant: Plant, body: bytes, *words: str) -> int:
    """The status that such a client gets; 0: its stream was reset while it sent."""
    port = plant.port("https")
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-k", "--http2", "--resolve", f"{HOST}:{port}:127.0.0.1", "-m", "10"),
        *("-o", "/dev/null", "-w", "%{http_code} %{http_version}", *words),
        f"https://{HOST}:{port}/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(body)
    status, version = said.split()
    assert (status, version) == (b"000", b"0") or version == b"2"
    return int(status)
