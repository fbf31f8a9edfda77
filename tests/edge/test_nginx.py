"""A real nginx, from its start to its end. What it cannot do without a reload is waited with."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mooring.edge.certificates import certificates_in
from mooring.edge.model import Memory, model_of
from mooring.edge.nginx import proxy as nginx
from mooring.edge.nginx.proxy import NginxProxy
from mooring.edge.settings import EntryPoint, Settings
from mooring.engine.swarm import Service, Task
from tests.docker.testbed import eventually
from tests.edge.clients import HOST, Client, free_port
from tests.edge.making import a_node, a_service, a_swarm, a_task
from tests.edge.pems import a_pem

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx"),
]


class Plant(Client):
    """A proxy, and what it runs with."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.proxy = NginxProxy(settings)

    async def bring(self, *things: Service | Task) -> None:
        certificates, _ = certificates_in(Path(self.settings.certificates), {})
        names = frozenset().union(*(one.names for one in certificates.values()))
        model, _ = model_of(a_swarm(*things, a_node()), self.settings, Memory(), names)
        await self.proxy.bring(model, {one.file: one for one in certificates.values()})


@pytest.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plant]:
    monkeypatch.setattr(nginx, "QUIET_S", 0.0)
    monkeypatch.setattr(nginx, "BETWEEN_RELOADS_S", 0.0)
    (tmp_path / "pems").mkdir()
    entries = (
        EntryPoint("http", free_port(), "127.0.0.1"),
        EntryPoint("https", free_port(), "127.0.0.1", tls=True),
    )
    settings = Settings(
        entry_points=entries,
        directory=str(tmp_path / "edge"),
        proxy="nginx",
        user="",
        certificates=str(tmp_path / "pems"),
    )
    made = Plant(settings)
    yield made
    await made.proxy.stop()


async def test_names_and_paths_go_where_they_are_to(plant: Plant) -> None:
    await plant.bring(a_service())
    await plant.gets((503, ""))
    await plant.gets((404, ""), "nobody.example.com")
    await plant.bring(a_service(host="*.example.com", path="/x"))
    await plant.gets((503, ""))
    await plant.gets((404, ""), "a.web.example.com")
    await plant.bring(a_service(path="/xx", host=HOST))
    await plant.gets((404, ""))
    assert plant.proxy.reloads == 2


async def test_found_again_it_is_not_reloaded(plant: Plant) -> None:
    await plant.bring(a_service(), a_task(1))
    again = Plant(plant.settings)
    await again.proxy.find()
    await again.bring(a_service(), a_task(1))
    assert again.proxy.reloads == 0
    await again.bring(a_service(), a_task(1), a_task(2))
    assert again.proxy.reloads == 1


async def test_what_only_went_is_waited_with(plant: Plant) -> None:
    await plant.bring(a_service(), a_task(1), a_task(2))
    await plant.bring(a_service(), a_task(1))
    assert plant.proxy.reloads == 0
    await plant.bring(a_service(), a_task(1), a_task(3))
    assert plant.proxy.reloads == 1


async def test_with_a_certificate_clients_are_sent_to_tls(plant: Plant) -> None:
    await plant.bring(a_service())
    await plant.is_shown(set())
    (Path(plant.settings.certificates) / "web").write_text("".join(a_pem(HOST)))
    await plant.bring(a_service())
    where = f"https://{HOST}:{plant.port('https')}/x"
    await plant.gets((308, where))
    await plant.is_shown({HOST})


async def test_killed_it_is_started_again(plant: Plant) -> None:
    await plant.bring(a_service())
    pid = int((plant.proxy.place / "nginx.pid").read_text())
    workers = nginx._workers(pid)
    for one in (pid, *workers):
        os.kill(one, signal.SIGKILL)
    for one in (pid, *workers):
        eventually(lambda one=one: _is_gone(one), "it is gone")
    await plant.bring(a_service())
    await plant.gets((503, ""))


def _is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
