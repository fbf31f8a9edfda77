"""What the proxies themselves count, at an address of its own."""

import asyncio
import http.client
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec import structs

from mooring.edge.errors import EntryTaken
from tests.edge.clients import free_port, settings_in
from tests.edge.making import a_service
from tests.edge.plants import Greeting, Plant

pytestmark = pytest.mark.system


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": "web.example.com"})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
async def test_haproxy_tells_prometheus_of_slots_in_use_and_us_of_itself(tmp_path: Path) -> None:
    port = free_port()
    settings = structs.replace(settings_in(tmp_path), proxy_metrics=f"127.0.0.1:{port}")
    async with AsyncExitStack() as stack:
        plant = Plant(settings, stack)
        stack.push_async_callback(plant.proxy.stop)
        web = await plant.serve(Greeting("web"))
        await plant.bring(a_service("web"), web=[web])
        code, text = await asyncio.to_thread(get, port, "/metrics")
        assert code == 200
        assert 'haproxy_server_status{proxy="svc_idweb_",server="s1",state="UP"} 1' in text
        assert 'server="s2"' not in text
        assert (await asyncio.to_thread(get, port, "/metrics?scope=server"))[1].count("s2") > 0
        assert (await asyncio.to_thread(get, port, "/"))[0] == 404
        assert (await asyncio.to_thread(get, plant.port("http"), "/metrics"))[0] != 200
        facts = await plant.proxy.facts()
        assert facts is not None
        assert (facts.version[:2], facts.generation, facts.wanted) == ("2.", "1", "1")
        await plant.reload()
        assert plant.proxy.history.last is not None
        assert plant.proxy.history.last.why == "new: more"
    assert plant.proxy.history.succeeded == plant.proxy.reloads == 1


@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
async def test_nginx_tells_its_exporters_and_us_of_itself(tmp_path: Path) -> None:
    port = free_port()
    settings = structs.replace(settings_in(tmp_path, "nginx"), proxy_metrics=f"127.0.0.1:{port}")
    async with AsyncExitStack() as stack:
        plant = Plant(settings, stack)
        stack.push_async_callback(plant.proxy.stop)
        web = await plant.serve(Greeting("web"))
        await plant.bring(a_service("web"), web=[web])
        code, text = await asyncio.to_thread(get, port, "/stub_status")
        assert (code, text.split(":")[0]) == (200, "Active connections")
        assert (await asyncio.to_thread(get, port, "/"))[0] == 404
        facts = await plant.proxy.facts()
        assert facts is not None
        assert facts.version.startswith("1.")
        assert facts.generation == facts.wanted != ""
        other = await plant.serve(Greeting("other"))
        await plant.bring(a_service("web"), web=[web, other])
        assert plant.proxy.history.last is not None
        assert plant.proxy.history.last.why == "other servers: web"


@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
async def test_an_address_that_is_taken_is_told_before_a_reload(tmp_path: Path) -> None:
    port = free_port()
    settings = structs.replace(settings_in(tmp_path), proxy_metrics=f"127.0.0.1:{port}")
    async with AsyncExitStack() as stack:
        taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        await stack.enter_async_context(taken)
        plant = Plant(settings, stack)
        with pytest.raises(EntryTaken, match="proxyMetrics"):
            await plant.proxy.bring(plant.model(), {})
