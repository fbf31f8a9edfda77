"""Who gets through to a service, and how often, before real proxies and a real server."""

import asyncio
import csv
import http.client
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec import structs

from mooring.edge.haproxy.runtime import asked
from mooring.edge.settings import EntryPoint, ProxyName
from tests.edge.clients import HOST, free_port, settings_in
from tests.edge.making import a_service
from tests.edge.plants import Answering, Greeting, Plant

pytestmark = pytest.mark.system
HERE = "127.0.0.1/32"


@pytest.fixture(params=["haproxy", "nginx"])
async def plant(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Plant]:
    """Its entry point http believes this machine's word of where a client is; https does not."""
    name: ProxyName = request.param
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    settings = settings_in(tmp_path, proxy=name)
    trusting, secure = settings.entry_points
    plain = EntryPoint("plain", free_port(), "127.0.0.1")
    of_tcp = [
        EntryPoint(one, free_port(), "127.0.0.1", "tcp") for one in ("opened", "closed", "denied")
    ]
    entries = (structs.replace(trusting, trusted_from=(HERE,)), secure, plain, *of_tcp)
    async with AsyncExitStack() as stack:
        made = Plant(structs.replace(settings, entry_points=entries), stack)
        yield made
        await made.proxy.stop()


async def statuses(
    plant: Plant, *forwarded: str, times: int = 1, entry: str = "http", host: str = HOST
) -> list[int]:
    """Of as many requests of a client that proxies before this one have told like that."""

    def ask() -> list[int]:
        found = []
        for _ in range(times):
            connection = http.client.HTTPConnection("127.0.0.1", plant.port(entry), timeout=10)
            connection.putrequest("GET", "/", skip_host=True)
            connection.putheader("Host", host)
            for one in forwarded:
                connection.putheader("X-Forwarded-For", one)
            connection.endheaders()
            found.append(connection.getresponse().status)
            connection.close()
        return found

    return await asyncio.to_thread(ask)


async def serving(plant: Plant, **labels: str) -> None:
    server = await plant.serve(Answering())
    service = a_service(host=HOST, entry="http,plain", **labels)
    await plant.bring(service, web=[server])


async def test_networks_are_let_in_or_kept_out(plant: Plant) -> None:
    await serving(plant, allow="10.0.0.0/8, 2001:db8::/32", deny="10.9.0.0/16")
    assert await statuses(plant, "10.1.2.3") == [200]
    assert await statuses(plant, "2001:db8::7") == [200]
    assert await statuses(plant, "10.9.2.3") == [403]
    assert await statuses(plant, "192.0.2.1") == [403]
    assert await statuses(plant) == [403]  # this machine itself


async def test_a_client_cannot_say_that_it_is_another(plant: Plant) -> None:
    await serving(plant, allow="10.0.0.0/8")
    # What the trusted proxy has added comes last; what the client had told it, before.
    assert await statuses(plant, "10.1.2.3, 192.0.2.1") == [403]
    assert await statuses(plant, "192.0.2.1, 10.1.2.3") == [200]
    assert await statuses(plant, "10.1.2.3", "192.0.2.1") == [403]
    assert await statuses(plant, "10.1.2.3 192.0.2.1") == [403]
    assert await statuses(plant, "10.1.2.3", entry="plain") == [403]  # there nobody is believed


async def test_denied_is_denied_also_within_what_is_allowed(plant: Plant) -> None:
    await serving(plant, allow="10.1.0.0/16", deny="10.0.0.0/8")
    assert await statuses(plant, "10.1.2.3") == [403]


async def test_a_client_may_ask_so_often_and_others_too(plant: Plant) -> None:
    await serving(plant, limit="5/m")
    found = await statuses(plant, "10.1.2.3", times=8)
    assert found == [200] * 5 + [429] * 3
    if plant.settings.proxy == "nginx":
        # No line for each: whoever asks too often would fill the machine's memory.
        assert "limiting" not in (plant.proxy.place / "nginx.log").read_text()
    assert await statuses(plant, "10.1.2.4") == [200]
    # One that tries to look like others is counted as the one that the proxy before told.
    assert await statuses(plant, "10.7.7.7, 10.1.2.3") == [429]


async def test_connections_of_tcp_are_let_in_by_their_address(plant: Plant) -> None:
    server = await plant.serve(Greeting("db1"))
    opened = a_service("opened", protocol="tcp", entry="opened", allow="127.0.0.0/8")
    closed = a_service("closed", protocol="tcp", entry="closed", allow="10.0.0.0/8")
    denied = a_service("denied", protocol="tcp", entry="denied", deny="127.0.0.0/8")
    await plant.bring(opened, closed, denied, opened=[server], closed=[server], denied=[server])
    assert await greeting(plant, "opened") == b"db1\n"
    assert await greeting(plant, "closed") == b""
    assert await greeting(plant, "denied") == b""


async def greeting(plant: Plant, entry: str) -> bytes:
    async with asyncio.timeout(10):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", plant.port(entry))
            found = await reader.readline()
            writer.close()
            return found
        except ConnectionError:
            return b""


class Slow(Answering):
    """It takes its time. most: of requests, that it had at once."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = self.most = 0

    async def work(self) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.05)
        self.under_way -= 1


async def test_a_server_has_no_more_requests_at_a_time_than_it_may(plant: Plant) -> None:
    if plant.settings.proxy == "nginx":
        pytest.skip("each of its workers counts its own, and nothing waits")
    slow = Slow()
    server = await plant.serve(slow)
    service = a_service(host=HOST, **{"max-connections": "2"})
    await plant.bring(service, web=[server])
    found = await asyncio.gather(*(statuses(plant, times=4) for _ in range(6)))
    assert [one for some in found for one in some] == [200] * 24
    assert slow.most == 2


async def test_a_server_that_comes_takes_over_its_share_little_by_little(plant: Plant) -> None:
    if plant.settings.proxy == "nginx":
        pytest.skip("it has no such thing")
    server = await plant.serve(Answering())
    slow = a_service("slow", host="slow.example.com", **{"slow-start": "1h"})
    quick = a_service("quick", host="quick.example.com", **{"slow-start": "1s"})
    await plant.bring(slow, quick, slow=[server], quick=[server])
    async with asyncio.timeout(30):
        while await share(plant, "svc_idquick_") < 100:
            await asyncio.to_thread(plant.get, "quick.example.com")
    assert await share(plant, "svc_idslow_") < 50


async def share(plant: Plant, backend: str) -> int:
    """The weight that the first server of a backend has by now."""
    said = await asked(plant.proxy.place / "admin.sock", f"show stat {backend} 4 -1")
    rows = csv.DictReader(said.removeprefix("# ").splitlines())
    return next(int(row["weight"]) for row in rows if row["svname"] == "s1")
