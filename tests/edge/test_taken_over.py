"""A slot whose server is gone, and whose requests are not: before a real HAProxy."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mooring.edge.haproxy.proxy import HaproxyProxy
from tests.edge.clients import HOST, settings_in
from tests.edge.making import a_service
from tests.edge.plants import Answering, Plant

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy"),
]
BACKEND = "svc_idweb_"


class Held(Answering):
    """It answers once it may."""

    def __init__(self) -> None:
        super().__init__("held")
        self.asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def work(self) -> None:
        self.asked.set()
        await self.may_go_on.wait()


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with AsyncExitStack() as stack:
        made = Plant(settings_in(tmp_path), stack)
        yield made
        await made.proxy.stop()


async def test_a_slot_goes_to_another_server_once_its_requests_have_ended(plant: Plant) -> None:
    proxy, web, what = plant.proxy, a_service(), Held()
    assert isinstance(proxy, HaproxyProxy)
    held = await plant.serve(what)
    await plant.bring(web, web=[held])
    request = asyncio.create_task(_answer(plant))
    await what.asked.wait()
    others = [await plant.serve(Answering("other")) for _ in range(7)]
    await plant.bring(web, web=[held, *others])
    assert proxy.process.slots == {BACKEND: 8}
    await plant.bring(web, web=others)
    assert await proxy.process.runtime.busy(BACKEND) == {1}
    # No slot is left but that one.
    new = await plant.serve(Answering("new"))
    plant.servers = {"web": [*others, new]}
    await proxy.bring(plant.model(), {})
    assert proxy.state_of(BACKEND, new) == "waits"
    assert (await proxy.process.runtime.slots(BACKEND))[BACKEND][0].port == held.port
    what.may_go_on.set()
    assert (await request).endswith(b"held")
    await plant.bring(web, web=[*others, new])
    assert (await proxy.process.runtime.slots(BACKEND))[BACKEND][0].port == new.port


async def _answer(plant: Plant) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", plant.port("http"))
    writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer
