"""A real HAProxy, from its start to its end: what a reload keeps, and what is refused before it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from mooring.edge.certificates import Certificate, certificates_in, chosen
from mooring.edge.errors import ConfigRejected, EntryTaken, UnexpectedAnswer
from mooring.edge.haproxy import split
from mooring.edge.haproxy.process import Haproxy
from mooring.edge.haproxy.proxy import HaproxyProxy
from mooring.edge.haproxy.runtime import asked
from mooring.edge.haproxy.slots import Admin, Turn, plan
from mooring.edge.model import Memory, Model, model_of
from mooring.edge.rules import Rule
from mooring.edge.settings import EntryPoint, Settings
from mooring.engine.swarm import Service, Task
from tests.docker.testbed import eventually
from tests.edge.clients import HOST, Client, settings_in
from tests.edge.making import a_node, a_service, a_swarm, a_task
from tests.edge.masters import masters
from tests.edge.pems import a_pem

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy"),
]


class Plant(Client):
    """A proxy, and what it runs with."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.proxy = Haproxy(settings)
        self.certificates: dict[str, Certificate] = {}
        self.model = Model()

    async def run(self, *things: Service | Task) -> None:
        """Have it run with the model of these."""
        names = frozenset().union(*(one.names for one in self.certificates.values()))
        # A node of this machine would be at a loopback address, which no swarm has.
        swarm = a_swarm(*things, a_node())
        model, _ = model_of(swarm, self.settings, Memory(), names)
        self.model = model
        await self.proxy.apply(model, self.served())

    def with_rules(self, *rules: Rule) -> Model:
        """The model that it runs with, with these rules."""
        return replace(self.model, rules=rules)

    def read_certificates(self) -> None:
        directory = Path(self.settings.certificates)
        self.certificates, problems = certificates_in(directory, self.certificates)
        assert problems == []

    async def certify(self) -> None:
        self.read_certificates()
        await self.proxy.set_certificates(self.served())

    def served(self) -> dict[str, Certificate]:
        found = chosen(self.certificates.values(), datetime.now(UTC))
        return {one.file: one for one in found}


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    made = Plant(settings_in(tmp_path))
    yield made
    await made.proxy.stop()


async def test_started_found_again_and_not_reloaded(plant: Plant) -> None:
    assert not await plant.proxy.found()
    await plant.run(a_service())
    again = Haproxy(plant.settings)
    assert await again.found()
    assert not again.needs_reload(plant.model)
    assert again.slots == {"svc_idweb_": 8}


async def test_a_changed_file_is_not_taken_for_what_runs(plant: Plant) -> None:
    await plant.run(a_service())
    file = plant.proxy.place / "haproxy.cfg"
    file.write_text(file.read_text().replace("int(1)", "int(9)"))
    again = Haproxy(plant.settings)
    assert not await again.found()
    assert again.needs_reload(plant.model)


async def test_a_reload_keeps_addresses_states_and_checks(plant: Plant) -> None:
    await plant.run(a_service(replicas=1), a_task(1))
    backend = plant.model.backends["svc_idweb_"]
    made = plan(backend, (await plant.proxy.runtime.slots())[backend.name], {})
    await plant.proxy.runtime.do([(backend.name, step) for step in made.steps])
    before = (await plant.proxy.runtime.slots())[backend.name][0]
    assert (before.address, before.port, before.admin.value) == ("10.0.0.1", 30001, "drain")
    await plant.run(a_service(replicas=8), a_task(1))
    slots = (await plant.proxy.runtime.slots())[backend.name]
    assert len(slots) == 16
    assert slots[0][:4] == before[:4]
    assert slots[1].admin.value == "maint"


async def test_rules_change_without_a_reload(plant: Plant) -> None:
    await plant.run(a_service())
    await plant.gets((503, ""))
    await plant.proxy.set_rules(plant.with_rules())
    await plant.gets((404, ""))
    await plant.proxy.set_rules(plant.model)
    await plant.gets((503, ""))


async def test_many_rules_are_swapped_at_once(plant: Plant) -> None:
    await plant.run(a_service())
    (rule,) = plant.model.rules
    many = tuple(rule._replace(host=f"h{number}.example.com") for number in range(500))
    await plant.proxy.set_rules(plant.with_rules(*many))
    file = f"{plant.settings.directory}/http.map"
    assert len(await plant.proxy.runtime.map(file)) == 500
    await plant.gets((503, ""), "h499.example.com")


async def test_of_the_longest_rules_none_is_lost(plant: Plant) -> None:
    await plant.run(a_service())
    (rule,) = plant.model.rules
    long = ".".join(["a" * 61] * 4)
    many = [rule._replace(host=f"{number:02}{long}", path="/" + "p" * 1000) for number in range(40)]
    await plant.proxy.set_rules(plant.with_rules(rule, *many))
    file = f"{plant.settings.directory}/http.map"
    assert len(await plant.proxy.runtime.map(file)) == 41
    await plant.gets((503, ""))


async def test_after_a_crash_before_a_reload_the_next_start_goes_on(plant: Plant) -> None:
    """The file is new, and what runs is not: its own entry points are not somebody else's."""
    await plant.run(a_service())
    file = plant.proxy.place / "haproxy.cfg"
    file.write_text(file.read_text().replace("int(1)", "int(9)"))
    plant.proxy = Haproxy(plant.settings)
    assert not await plant.proxy.found()
    await plant.run(a_service(), a_service("other"))
    await plant.gets((503, ""), "other.example.com")


async def test_a_reload_right_after_a_start_comes_to_something(plant: Plant) -> None:
    """Its master loses the signal then, so that it is sent again."""
    await plant.run(a_service())
    await plant.run(a_service(), a_service("other"))
    assert await plant.proxy.runtime.generation() == 2


async def test_a_reload_that_a_crash_left_under_way_is_waited_for(plant: Plant) -> None:
    await plant.run(a_service())
    file, proxy = plant.proxy.configuration, HaproxyProxy(plant.settings)
    file.write_text(file.read_text().replace("int(1)", "int(2)"))
    await proxy.find()
    # Before its master answers, it loses the signal.
    await asyncio.to_thread(eventually, lambda: asyncio.run(proxy.facts()) is not None, "it tells")
    os.kill(int((plant.proxy.place / "haproxy.pid").read_text()), signal.SIGUSR2)
    for _ in range(100):
        pause_s = await proxy.bring(plant.model, {})
        if proxy.process.is_known:
            break
        await asyncio.sleep(min(pause_s, 0.1))
    assert (proxy.process.generation, proxy.reloads) == (2, 0)


async def test_one_that_is_about_to_start_is_not_started_again(plant: Plant) -> None:
    """Both could listen: which of them a client comes to would be left to chance."""
    await plant.run(a_service())
    place = plant.proxy.place
    await plant.proxy.stop()
    await asyncio.to_thread(eventually, lambda: not _masters(place), "it has ended")
    command = ("haproxy", "-W", "-D", "-S", f"{place}/master.sock", "-p", f"{place}/haproxy.pid")
    command = (*command, "-f", str(plant.proxy.configuration))
    started = await asyncio.create_subprocess_exec(*command)
    proxy = HaproxyProxy(plant.settings)
    await proxy.find()
    await started.wait()
    assert (await proxy.process.runs(), len(_masters(place))) == (True, 1)


def _masters(place: Path) -> set[int]:
    """Of proxies in a directory."""
    word = f"{place}/haproxy.pid".encode()
    return masters(lambda one: word in (one / "cmdline").read_bytes().split(b"\0"))


async def test_where_somebody_listens_nothing_is_changed(plant: Plant) -> None:
    await plant.run(a_service())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = EntryPoint("more", other.getsockname()[1], "127.0.0.1")
        entries = (*plant.settings.entry_points, taken)
        proxy = Haproxy(Settings(**{**_fields(plant.settings), "entry_points": entries}))
        assert await proxy.found()
        with pytest.raises(EntryTaken, match="entry point more"):
            await proxy.apply(plant.model, {})
    await plant.gets((503, ""))
    assert (await Haproxy(plant.settings).found()) is True


async def test_killed_it_is_started_from_what_is_there(plant: Plant) -> None:
    await plant.run(a_service())
    pid = int((plant.proxy.place / "haproxy.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}/ns").exists() or _is_dead(pid), "it is gone")
    eventually(lambda: _refuses(plant.port("http")), "its worker is gone")
    assert not await plant.proxy.runs()
    await plant.run(a_service())
    await plant.gets((503, ""))


async def test_certificates_come_change_and_go_without_a_reload(plant: Plant) -> None:
    pems = Path(plant.settings.certificates)
    await plant.run(a_service())
    generation = await plant.proxy.runtime.generation()
    await plant.is_shown(set())
    (pems / "web").write_text("".join(a_pem(HOST)))
    await plant.certify()
    await plant.is_shown({HOST})
    (pems / "web").write_text("".join(a_pem(HOST, "more.example", serial=2)))
    await plant.certify()
    await plant.is_shown({HOST, "more.example"})
    (pems / "web").unlink()
    await plant.certify()
    await plant.is_shown(set())
    assert await plant.proxy.runtime.generation() == generation


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_chain_is_mended_without_a_reload(plant: Plant, *, is_restarted: bool) -> None:
    file = Path(plant.settings.certificates) / "web"
    certificate, key = a_pem(HOST)
    file.write_text(certificate + key)
    await plant.run(a_service())
    await plant.certify()
    assert chain(plant.port("https")) == 1
    if is_restarted:
        plant.proxy = Haproxy(plant.settings)
        assert await plant.proxy.found()
    file.write_text(certificate + a_pem("ca", serial=7)[0] + key)
    await plant.certify()
    seen = "the chain is served"
    await asyncio.to_thread(eventually, lambda: chain(plant.port("https")) == 2, seen)


def chain(port: int) -> int:
    """How many certificates a client is given."""
    words = ("-connect", f"127.0.0.1:{port}", "-servername", HOST, "-showcerts")
    done = subprocess.run(
        ("openssl", "s_client", *words), input="", capture_output=True, text=True, check=False
    )
    return done.stdout.count("BEGIN CERTIFICATE")


async def test_of_several_the_same_is_served_before_and_after_a_reload(plant: Plant) -> None:
    pems = Path(plant.settings.certificates)

    def put(serial: int, *names: str, days: tuple[int, int] = (-1, 30)) -> None:
        (pems / f"{serial}").write_text("".join(a_pem(*names, serial=serial, days=days)))

    async def is_served(**serials: int) -> None:
        for host, serial in serials.items():
            name = f"{host}.example.com"
            what = f"{name} has {serial}"
            await asyncio.to_thread(
                eventually,
                lambda name=name, serial=serial: plant.shown(name).serial_number == serial,
                what,
            )

    put(11, "web.example.com", "both.example.com")
    await plant.run(a_service())
    await plant.certify()
    await is_served(web=11, both=11)
    put(12, "web.example.com", days=(-1, 40))
    put(13, "*.example.com", days=(-1, 20))
    put(14, "web.example.com", "gone.example.com", days=(-9, -1))
    await plant.certify()
    await is_served(web=12, both=11, other=13, gone=13)
    await plant.run(a_service(), a_service("two"))
    await is_served(web=12, both=11, other=13, gone=13)
    (pems / "12").unlink()
    await plant.certify()
    await is_served(web=11, both=11, other=13, gone=13)


async def test_a_certificate_that_was_begun_and_left_keeps_no_other_out(plant: Plant) -> None:
    pems, socket_ = Path(plant.settings.certificates), plant.proxy.place / "admin.sock"
    (pems / "left").write_text("".join(a_pem("left.example")))
    (pems / "web").write_text("".join(a_pem(HOST)))
    plant.read_certificates()
    await plant.run(a_service())
    left = plant.proxy.files.certificate(plant.certificates["left"].file)
    pem = plant.certificates["left"].pem
    assert "Transaction created" in await asked(socket_, f"set ssl cert {left} <<\n{pem}")
    (pems / "left").unlink()
    (pems / "web").write_text("".join(a_pem(HOST, "more.example", serial=2)))
    await plant.certify()
    await plant.is_shown({HOST, "more.example"})
    assert not Path(left).exists()


async def test_with_a_certificate_clients_are_sent_to_tls_also_after_a_reload(
    plant: Plant,
) -> None:
    (Path(plant.settings.certificates) / "web").write_text("".join(a_pem(HOST)))
    plant.read_certificates()
    for replicas in (1, 8):
        await plant.run(a_service(replicas=replicas))
        where = f"https://{HOST}:{plant.port('https')}/x"
        await plant.gets((308, where))
        await plant.is_shown({HOST})


def _fields(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def _is_dead(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def _refuses(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return False
    return True


# By the interface, as the keeper brings it.


async def brought(proxy: HaproxyProxy, *things: Service | Task) -> float:
    model, _ = model_of(a_swarm(*things, a_node()), proxy.process.settings, Memory())
    return await proxy.bring(model, {})


async def brought_until_it_fails(proxy: HaproxyProxy, *things: Service | Task) -> None:
    for _ in range(50):
        await asyncio.sleep(min(await brought(proxy, *things), 0.4))


async def test_what_fails_of_one_thing_does_not_keep_the_rest(plant: Plant) -> None:
    """A reload that cannot be leaves rules and servers to be brought all the same."""
    proxy = HaproxyProxy(plant.settings)
    await brought(proxy, a_service())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = EntryPoint("more", other.getsockname()[1], "127.0.0.1")
        proxy.process.settings = Settings(
            **{**_fields(plant.settings), "entry_points": (*plant.settings.entry_points, taken)}
        )
        with pytest.raises(EntryTaken):
            await brought_until_it_fails(proxy, a_service(), a_task(1))
    slots = (await proxy.process.runtime.slots())["svc_idweb_"]
    assert (slots[0].address, slots[0].port) == ("10.0.0.1", 30001)


async def test_what_is_refused_is_told_until_it_is_another(plant: Plant) -> None:
    proxy = HaproxyProxy(plant.settings)
    await brought(proxy, a_service())
    # Nobody's labels can do this: a user that this machine does not have.
    proxy.process.settings = Settings(**{**_fields(plant.settings), "user": "nobody-at-all"})
    for _ in range(3):
        with pytest.raises(ConfigRejected, match="nobody-at-all"):
            await brought_until_it_fails(proxy, a_service(), a_task(1))
    proxy.process.settings = plant.settings
    await brought(proxy, a_service(), a_task(1))


async def test_the_first_entry_point_with_tls_comes_by_a_reload(plant: Plant) -> None:
    plain = Settings(**{**_fields(plant.settings), "entry_points": plant.settings.entry_points[:1]})
    await brought(HaproxyProxy(plain), a_service())
    proxy = HaproxyProxy(plant.settings)
    await proxy.find()
    for _ in range(20):
        await asyncio.sleep(min(await brought(proxy, a_service()), 0.4))
        if proxy.reloads:
            break
    await plant.is_shown(set())


async def test_without_a_manager_it_is_started_as_it_was(plant: Plant) -> None:
    first = HaproxyProxy(plant.settings)
    await brought(first, a_service())
    await first.stop()
    await asyncio.to_thread(eventually, lambda: _refuses(plant.port("http")), "it has ended")
    await HaproxyProxy(plant.settings).find()
    await plant.gets((503, ""))


async def test_what_its_configuration_was_made_of_is_known_to_the_next(plant: Plant) -> None:
    """A service that went since keeps nobody waiting for a reload, and no form of a route is
    lost."""
    await plant.run(a_service(), a_service("gone"))
    again = Haproxy(plant.settings)
    assert await again.found()
    assert {one.service for one in again.routes()} == {"web", "gone"}
    model, _ = model_of(a_swarm(a_service(), a_node()), plant.settings, Memory())
    assert not again.needs_reload(model)
    # Of another configuration it says nothing.
    await plant.run(a_service())
    file = plant.proxy.place / "applied.json"
    file.write_text(file.read_text().replace('"generation":2', '"generation":1'))
    third = Haproxy(plant.settings)
    assert await third.found()
    assert third.routes() == []


async def test_servers_of_another_family_want_a_reload(plant: Plant) -> None:
    await plant.run(a_service(), a_task(1))
    assert not plant.proxy.needs_reload(plant.model)
    six, _ = model_of(
        a_swarm(a_service(), a_task(1), a_node(address="fd00::1")), plant.settings, Memory()
    )
    assert plant.proxy.needs_reload(six)
    await plant.proxy.apply(six, {})
    assert not plant.proxy.needs_reload(six)
    none, _ = model_of(a_swarm(a_service(), a_node(address="fd00::1")), plant.settings, Memory())
    assert not plant.proxy.needs_reload(none)


async def test_one_that_was_killed_is_revived_though_nobody_tells_of_a_swarm(plant: Plant) -> None:
    await plant.run(a_service())
    proxy = HaproxyProxy(plant.settings)
    await proxy.find()
    await proxy.revive()
    assert proxy.history.starts == 0
    pid = int((plant.proxy.place / "haproxy.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}/ns").exists() or _is_dead(pid), "it is gone")
    eventually(lambda: _refuses(plant.port("http")), "its worker is gone")
    await proxy.revive()
    assert proxy.history.starts == 1
    await plant.gets((503, ""))


async def test_a_new_service_waits_for_its_reload_with_503(plant: Plant) -> None:
    proxy = HaproxyProxy(plant.settings)
    await brought(proxy, a_service())
    await proxy.bring(_model(proxy, a_service(), a_service("new")), {})
    assert "svc_idnew_" not in proxy.process.slots
    await plant.gets((503, ""), "new.example.com")


async def test_a_new_host_waits_until_its_backend_knows_whom_it_lets_in(plant: Plant) -> None:
    proxy = HaproxyProxy(plant.settings)
    await brought(proxy, a_service())
    kept = a_service(host=f"{HOST},secret.example.com", allow="10.99.0.0/16")
    await proxy.bring(_model(proxy, kept), {})
    # The old one goes on as it was; the new one is not open while the old backend serves it.
    maps = await proxy.process.runtime.map(f"{proxy.place}/http.map")
    assert maps[f"{HOST}/"] == "svc_idweb_"
    assert maps["secret.example.com/"] == "waiting"
    await brought(proxy, kept)
    for _ in range(40):
        await asyncio.sleep(min(await brought(proxy, kept), 0.4))
        if proxy.reloads:
            break
    await plant.gets((403, ""), "secret.example.com")


async def test_a_new_host_waits_for_its_guard_after_a_start_of_ours_too(plant: Plant) -> None:
    await brought(HaproxyProxy(plant.settings), a_service())
    again = HaproxyProxy(plant.settings)
    await again.find()
    kept = a_service(host=f"{HOST},secret.example.com", allow="10.99.0.0/16")
    await again.bring(_model(again, kept), {})
    assert again.reloads == 0
    maps = await again.process.runtime.map(f"{again.place}/http.map")
    assert maps == {f"{HOST}/": "svc_idweb_", "secret.example.com/": "waiting"}


async def test_who_shares_a_place_goes_on_while_its_guard_is_to_come(plant: Plant) -> None:
    proxy = HaproxyProxy(plant.settings)
    other = a_service("other", host=HOST, weight="1", created="2026-02-02T00:00:00Z")
    await brought(proxy, a_service(host=HOST, weight="1"), other)
    shares = await proxy.process.runtime.map(split.file(plant.settings))
    assert set(shares.values()) == {"svc_idweb_", "svc_idother_"}
    kept = a_service(host=HOST, weight="1", allow="10.99.0.0/16")
    await proxy.bring(_model(proxy, kept, other), {})
    assert await proxy.process.runtime.map(split.file(plant.settings)) == shares
    again = HaproxyProxy(plant.settings)
    await again.find()
    await again.bring(_model(again, kept, other), {})
    assert await again.process.runtime.map(split.file(plant.settings)) == shares


async def test_an_entry_point_may_have_another_address_of_its_port(plant: Plant) -> None:
    await plant.run(a_service())
    entries = [
        structs.replace(one, address="0.0.0.0") if one.name == "http" else one
        for one in plant.settings.entry_points
    ]
    plant.proxy.settings = structs.replace(plant.settings, entry_points=tuple(entries))
    await plant.run(a_service())
    await plant.gets((503, ""))


async def test_a_step_that_fails_keeps_no_other_from_being_done(plant: Plant) -> None:
    await plant.run(a_service(), a_service("other"))
    server = plant.model.backends["svc_idweb_"]
    steps = [("svc_idnone_", Turn(1, Admin.DRAIN))] * 400 + [("svc_idother_", Turn(1, Admin.DRAIN))]
    with pytest.raises(UnexpectedAnswer):
        await plant.proxy.runtime.do(steps)
    slots = (await plant.proxy.runtime.slots())["svc_idother_"]
    assert slots[0].admin is not Admin.READY
    assert server.slots == 8


def _model(proxy: HaproxyProxy, *things: Service | Task) -> Model:
    model, _ = model_of(a_swarm(*things, a_node()), proxy.process.settings, Memory())
    return model
