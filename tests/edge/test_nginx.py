"""A real nginx, from its start to its end. What it cannot do without a reload is waited with."""

import asyncio
import http.client
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest
from msgspec import structs

from mooring.edge.certificates import Certificate, chosen_in
from mooring.edge.errors import ConfigRejected, ReloadFailed
from mooring.edge.model import Memory, Model, Server, model_of
from mooring.edge.nginx.files import certificate_file
from mooring.edge.nginx.proxy import NginxProxy, Pace
from mooring.edge.nginx.workers import workers as workers_of
from mooring.edge.place import STOPGAP
from mooring.edge.settings import EntryPoint, Settings
from mooring.engine.swarm import Service, Task
from tests.docker.testbed import eventually
from tests.edge.clients import HOST, Client, settings_in
from tests.edge.making import a_node, a_service, a_swarm, a_task
from tests.edge.pems import a_pem

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx"),
]


AT_ONCE = Pace(quiet_s=0.0, between_s=0.0)
NOWHERE = Server("t1", "127.0.0.1", 99999, "n1")  # nginx knows no such port
ODD = "/a%2Fb?c=%20d"  # a target that is to arrive as it is


class Dying:
    """A server that reads a request and ends without an answer."""

    def __init__(self) -> None:
        self.requests: list[str] = []  # their first lines

    @classmethod
    async def on(cls, stack: AsyncExitStack) -> Self:
        made = cls()
        server = await asyncio.start_server(made.die, "127.0.0.1", 0)
        await stack.enter_async_context(server)
        port = server.sockets[0].getsockname()[1]
        made.server = Server(f"t{port}", "127.0.0.1", port, "n1")
        return made

    async def die(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readline()).decode().strip())
        while (await reader.readline()).strip():
            pass
        writer.close()


class Plant(Client):
    """A proxy, and what it runs with."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.proxy = NginxProxy(settings, AT_ONCE)

    async def bring(self, *things: Service | Task) -> None:
        await self.proxy.bring(self.model(*things), self.certificates())

    async def bring_to(self, servers: Mapping[str, Sequence[Server]], **labels: str) -> None:
        """To services with these servers, each with a host of its name."""
        services = [a_service(one, host=f"{one}.example.com", **labels) for one in servers]
        model = self.model(*services)
        backends = {
            name: replace(one, servers=tuple(servers[one.route.service]))
            for name, one in model.backends.items()
        }
        await self.proxy.bring(replace(model, backends=backends), self.certificates())

    def model(self, *things: Service | Task) -> Model:
        names = frozenset().union(*(one.names for one in self.certificates().values()))
        return model_of(a_swarm(*things, a_node()), self.settings, Memory(), names)[0]

    def certificates(self) -> dict[str, Certificate]:
        found = chosen_in(self.settings.certificates, datetime.now(UTC))
        return {one.file: one for one in found}

    def send(self, method: str) -> None:
        """A request to the service of that name, which none of its servers answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("http"), timeout=10)
        connection.request(method, ODD, headers={"Host": f"{method.lower()}.example.com"})
        assert connection.getresponse().status == 502
        connection.close()

    def put(self, name: str, pem: tuple[str, str]) -> None:
        (Path(self.settings.certificates) / name).write_text("".join(pem))


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    made = Plant(settings_in(tmp_path, proxy="nginx"))
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


@pytest.mark.parametrize(
    ("there", "left", "reloads"),
    [((1,), (2,), 1), ((1, 2, 3), (1, 4), 0), ((1, 2, 3, 4, 5), (4, 5), 1), ((1, 2), (), 0)],
)
async def test_it_is_reloaded_before_its_time_where_a_request_may_meet_none_that_answers(
    plant: Plant, there: tuple[int, ...], left: tuple[int, ...], reloads: int
) -> None:
    plant.proxy = NginxProxy(plant.settings, Pace(quiet_s=60, between_s=60, urgent_s=0))
    for numbers in (there, left):
        await plant.bring(a_service(), *(a_task(one) for one in numbers))
    assert plant.proxy.reloads == reloads


async def test_with_a_certificate_clients_are_sent_to_tls(plant: Plant) -> None:
    await plant.bring(a_service())
    await plant.is_shown(set())
    plant.put("web", a_pem(HOST))
    await plant.bring(a_service())
    where = f"https://{HOST}:{plant.port('https')}/x"
    await plant.gets((308, where))
    await plant.is_shown({HOST})


async def test_a_renewed_certificate_is_served(plant: Plant) -> None:
    plant.put("web", a_pem(HOST))
    await plant.bring(a_service())
    await plant.is_shown({HOST})
    plant.put("web", a_pem(HOST, "new.example.com"))
    await plant.bring(a_service())
    await plant.is_shown({HOST, "new.example.com"})
    kept = {one.name for one in (plant.proxy.place / "certificates").iterdir()}
    assert kept == {STOPGAP, *map(certificate_file, plant.certificates().values())}


async def test_of_several_certificates_the_one_is_served_that_is_good_the_longest(
    plant: Plant,
) -> None:
    plant.put("a", a_pem(HOST, "old.example.com", days=(-9, -1)))
    plant.put("b", a_pem(HOST, "short.example.com", days=(-9, 20)))
    plant.put("c", a_pem(HOST, "long.example.com", days=(-9, 40)))
    await plant.bring(a_service(), a_service("short"))
    await plant.is_shown({HOST, "long.example.com"})
    await plant.is_shown({HOST, "short.example.com"}, "short.example.com")


async def test_what_is_rendered_has_the_certificates(plant: Plant) -> None:
    plant.put("web", a_pem(HOST))
    await plant.bring(a_service())
    rendered = await plant.proxy.rendered(plant.model(a_service()))
    assert rendered == plant.proxy.configuration().read_text()


async def test_what_it_refuses_is_told_at_each_look_and_not_tried_again(plant: Plant) -> None:
    await plant.bring(a_service())
    tried = plant.proxy.place / "new.conf"
    with pytest.raises(ConfigRejected, match=str(NOWHERE.port)):
        await plant.bring_to({"web": [NOWHERE]})
    tried.unlink()
    with pytest.raises(ConfigRejected, match=str(NOWHERE.port)):
        await plant.bring_to({"web": [NOWHERE]})
    assert not tried.exists()
    (name,) = plant.model(a_service()).backends
    assert plant.proxy.state_of(name, NOWHERE) == "waits"
    await plant.bring(a_service(), a_task(1))
    assert plant.proxy.reloads == 1


async def test_killed_it_is_started_as_it_was_if_the_new_is_refused(plant: Plant) -> None:
    await plant.bring(a_service())
    kill(plant)
    with pytest.raises(ConfigRejected):
        await plant.bring_to({"web": [NOWHERE]})
    await plant.gets((503, ""))


async def test_a_reload_that_came_to_nothing_is_told_until_it_is_tried_again(
    plant: Plant,
) -> None:
    await plant.bring(a_service())
    had = plant.proxy.configuration().read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        entries = plant.settings.entry_points
        entry = EntryPoint("more", taken.getsockname()[1], "127.0.0.1")
        again = Plant(structs.replace(plant.settings, entry_points=(*entries, entry)))
        await again.proxy.find()
        again.proxy.pace = AT_ONCE._replace(start_s=0.2)
        with pytest.raises(ReloadFailed):
            await again.bring(a_service())
        again.proxy.pace = AT_ONCE._replace(between_s=3600.0)
        with pytest.raises(ReloadFailed):
            await again.bring(a_service())
        assert again.proxy.configuration().read_text() == had
    again.proxy.pace = AT_ONCE
    await again.bring(a_service())
    assert again.proxy.reloads == 1


METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"}


@pytest.mark.parametrize(
    ("retry", "again"),
    [("safe", {"GET", "HEAD", "OPTIONS"}), ("all", METHODS), ("none", set())],
)
async def test_only_what_may_be_done_twice_is_sent_to_another(
    plant: Plant, retry: str, again: set[str]
) -> None:
    async with AsyncExitStack() as stack:
        dying = {one: [await Dying.on(stack), await Dying.on(stack)] for one in METHODS}
        servers = {name.lower(): [one.server for one in two] for name, two in dying.items()}
        await plant.bring_to(servers, retry=retry)
        for method, two in dying.items():
            await asyncio.to_thread(plant.send, method)
            got = [line for one in two for line in one.requests]
            assert got == [f"{method} {ODD} HTTP/1.1"] * (2 if method in again else 1)


async def test_a_server_that_is_another_services_now_goes_at_once(plant: Plant) -> None:
    services = (a_service(), a_service("other"))
    await plant.bring(*services, a_task(1), a_task(2))
    plant.proxy.pace = AT_ONCE._replace(quiet_s=3600.0)
    await plant.bring(*services, a_task(1), a_task(2), a_task(3, "other"))
    assert plant.proxy.reloads == 0
    await plant.bring(*services, a_task(1), a_task(4, "other", published=30002))
    assert plant.proxy.reloads == 1


async def test_killed_it_is_started_as_it_was_before_a_manager_is_asked(plant: Plant) -> None:
    await plant.bring(a_service())
    kill(plant)
    again = Plant(plant.settings)
    await again.proxy.find()
    await again.gets((503, ""))
    await again.bring(a_service())
    assert again.proxy.reloads == 0


async def test_killed_it_is_started_again(plant: Plant) -> None:
    await plant.bring(a_service())
    kill(plant)
    await plant.bring(a_service())
    await plant.gets((503, ""))


def kill(plant: Plant) -> None:
    pid = int((plant.proxy.place / "nginx.pid").read_text())
    workers = workers_of(pid)
    for one in (pid, *workers):
        os.kill(one, signal.SIGKILL)
    for one in (pid, *workers):
        eventually(lambda one=one: _is_gone(one), "it is gone")


def _is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


async def test_workers_whose_master_was_killed_make_way_for_the_next(plant: Plant) -> None:
    await plant.bring(a_service())
    master = int((plant.proxy.place / "nginx.pid").read_text())
    os.kill(master, signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: _is_gone(master), "it has ended")
    await plant.gets((503, ""))  # its workers answer yet
    await plant.bring(a_service(), a_service("other"))
    await plant.gets((503, ""), "other.example.com")
    facts = await plant.proxy.facts()
    assert facts is not None
    assert facts.pid != master
