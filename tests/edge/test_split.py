"""Requests of one name that go to several services, through real proxies."""

import asyncio
import http.client
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mooring.edge.haproxy.proxy import HaproxyProxy
from mooring.edge.model import Server
from mooring.edge.settings import ProxyName
from mooring.engine.swarm import Service
from tests.edge.clients import HOST, settings_in
from tests.edge.making import a_service
from tests.edge.plants import Answering, Plant

pytestmark = pytest.mark.system
REQUESTS = 300


@pytest.fixture(params=["haproxy", "nginx"])
async def plant(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Plant]:
    name: ProxyName = request.param
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    async with AsyncExitStack() as stack:
        made = Plant(settings_in(tmp_path, proxy=name), stack)
        yield made
        await made.proxy.stop()


def shares(*weights: int, **labels: str) -> list[Service]:
    """Services a, b and so on of one name, the first the oldest."""
    return [
        a_service(name, created=f"2026-01-0{at}T00:00:00Z", host=HOST, weight=str(weight), **labels)
        for at, (name, weight) in enumerate(zip("abc", weights, strict=False), 1)
    ]


async def servers(plant: Plant) -> dict[str, list[Server]]:
    return {name: [await plant.serve(Answering(name))] for name in "abc"}


async def got(plant: Plant, times: int = REQUESTS) -> Counter[str]:
    """Who answered to so many requests; an answer that is none by its status."""

    def ask() -> Counter[str]:
        found: Counter[str] = Counter()
        for _ in range(times):  # each by a connection of its own: a reload of nginx cuts idle ones
            connection = http.client.HTTPConnection("127.0.0.1", plant.port("http"), timeout=10)
            connection.request("GET", "/", headers={"Host": HOST})
            answer = connection.getresponse()
            body = answer.read().decode()
            found[body if answer.status == 200 else str(answer.status)] += 1
            connection.close()
        return found

    return await asyncio.to_thread(ask)


async def test_each_gets_about_its_part(plant: Plant) -> None:
    there = await servers(plant)
    await plant.bring(*shares(60, 30, 10), **there)
    found = await got(plant)
    assert found.keys() == {"a", "b", "c"}
    assert found["a"] > found["c"]
    assert found["a"] + found["b"] > REQUESTS / 2


async def test_weights_change_without_a_reload_of_haproxy(plant: Plant) -> None:
    there = {name: some for name, some in (await servers(plant)).items() if name in "ab"}
    await plant.bring(*shares(1, 0), **there)
    assert await got(plant) == {"a": REQUESTS}
    reloads = plant.proxy.reloads
    await settled(plant, {"b": 20}, *shares(0, 1), **there)
    if isinstance(plant.proxy, HaproxyProxy):
        assert plant.proxy.reloads == reloads
    # One that wants to be alone again has all of it, being the older.
    await settled(plant, {"a": 20}, shares(0)[0], a_service("b", host=HOST), **there)


async def settled(
    plant: Plant, wanted: dict[str, int], *services: Service, **there: list[Server]
) -> None:
    """Bring it until just those answer: a reload may be waited with."""
    async with asyncio.timeout(60):
        while True:
            await plant.bring(*services, **there)
            if await got(plant, 20) == wanted:
                return


async def test_a_share_without_a_server_is_taken_by_the_others(plant: Plant) -> None:
    there = await servers(plant)
    await plant.bring(*shares(1, 1, 1), **{**there, "b": []})
    found = await got(plant)
    assert found.keys() == {"a", "c"}
    if isinstance(plant.proxy, HaproxyProxy):  # nginx does not see that one does not answer
        plant.end(there["a"][0])
        async with asyncio.timeout(60):
            while (await got(plant, 20)).keys() != {"c"}:
                pass


async def test_a_client_that_is_to_stay_stays_at_a_share(plant: Plant) -> None:
    there = await servers(plant)
    await plant.bring(*shares(1, 1, 1, sticky="true"), **there)
    assert len(await got(plant)) == 1
