"""A proxy that may open few files: what HAProxy has room for is served, and the rest is told."""

import json
import os
import resource
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.edge.descriptors import limit_of
from mooring.edge.haproxy.room import Room, fitting, of_running, wanted
from mooring.edge.model import Memory, Model, model_of
from mooring.edge.nginx.proxy import OPEN_FILES
from testbed.generated import GeneratedSwarm
from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.edge.clients import settings_in
from tests.edge.entry import Entry
from tests.edge.making import a_service, a_swarm, some_settings
from tests.edge.plants import Plant
from tests.edge.told import NODES, standing

INFO = {"Maxsock": "1024", "Maxconn": "452", "CurrConns": "3"}


def a_model(**replicas: int) -> Model:
    """Of services by name, the first is the oldest."""
    services = [
        replace(a_service(name), replicas=count, created=f"2026-01-0{number}")
        for number, (name, count) in enumerate(replicas.items(), 1)
    ]
    return model_of(a_swarm(*services), some_settings(), Memory())[0]


def slots(model: Model) -> dict[str, int]:
    return {one.route.service: one.slots for one in model.backends.values()}


def test_what_runs_tells_how_many_slots_there_could_be() -> None:
    assert of_running(INFO, 1024, 80) == Room(1024 - 40 - 200, 1024)
    # All who are there have to find room after a reload too.
    assert of_running(INFO | {"CurrConns": "300"}, 1024, 80) == Room(1024 - 40 - 600, 1024)
    assert of_running({}, 1024, 80) is None
    assert of_running(INFO, 0, 80) is None


def test_older_services_come_first_and_a_large_one_is_passed_over() -> None:
    model = a_model(old=1, large=60, small=1, young=1)
    fits, problems = fitting(model, {}, Room(16, 100))
    assert slots(fits) == {"old": 8, "small": 8}
    assert {one.backend for one in fits.rules} == set(fits.backends)
    assert [one.service for one in problems] == ["large", "young"]
    assert "may open 100 files, and needs 172" in problems[0].message
    assert "is not served" in problems[0].message
    assert problems[0].hosts == ("large.example.com",)
    assert "LimitNOFILE=" in problems[0].message


def test_what_is_there_stays_and_grows_where_there_is_room() -> None:
    model = a_model(old=20, young=6)
    there = {"svc_idold_": 8, "svc_idyoung_": 8}
    assert wanted(model, there) == 64 + 16
    fits, (problem,) = fitting(model, there, Room(24, 100))
    assert slots(fits) == {"old": 8, "young": 16}
    assert (problem.service, problem.hosts) == ("old", ())
    assert "is left at 8 servers" in problem.message
    fits, problems = fitting(a_model(old=1), {"svc_idold_": 64}, Room(8, 100))
    assert (slots(fits), problems) == ({"old": 8}, ())  # as it has more, it asks for none


def test_the_limit_of_a_process_is_the_hard_one() -> None:
    if limit_of() != int(Path("/proc/sys/fs/nr_open").read_text()):
        assert limit_of() == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert limit_of(os.getpid()) == limit_of()
    assert limit_of(2**22 + 1) == 0


LIMIT = 400  # of open files: some 20 services


def status(entry: Entry) -> Any:
    said = entry.mooring("status", "-o", "json").out
    return json.loads(said) if said.startswith("{") else {"problems": [], "reloads": 0}


def left_out(entry: Entry) -> set[str]:
    problems = status(entry)["problems"]
    return {one["service"] for one in problems if one["reason"] == "TooFewFiles"}


@pytest.fixture(scope="module")
def host(bed: Bed) -> Host:
    made = bed.host("few")
    made.up()
    return made


@pytest.mark.slow
@pytest.mark.system
@needs_hosts
@pytest.mark.skipif(not shutil.which("haproxy"), reason="there is no haproxy")
def test_growth_beyond_the_limit_is_refused_before_a_reload_comes_to_nothing(host: Host) -> None:
    swarm = GeneratedSwarm(NODES)
    entry = Entry(host, host, entryPoints=[{"name": "http", "port": 80}])
    entry.before = (
        "prlimit",
        f"--nofile={LIMIT}:{LIMIT}",
        "setpriv",
        "--bounding-set=-sys_resource",
    )
    names = [f"web{number:02}" for number in range(26)]
    with standing(host, swarm):
        try:
            for name in names[:8]:
                swarm.add(name, 1, {"mooring.edge.host": f"{name}.example.com"})
            entry.start()
            for name in names[:8]:
                entry.answers(f"{name}.example.com")
            assert left_out(entry) == set()
            pid = entry.proxy_pid()
            for name in names[8:]:
                swarm.add(name, 1, {"mooring.edge.host": f"{name}.example.com"})
            eventually(lambda: bool(left_out(entry)), "some are left out")
            served = [name for name in names if name not in left_out(entry)]
            assert 15 < len(served) < 26
            assert served == names[: len(served)]
            for name in served:
                entry.answers(f"{name}.example.com")
            assert entry.get(f"{names[-1]}.example.com")[0] == 503
            # Room for all of them: each may come now.
            for name in names[:8]:
                swarm.remove(f"s{name}")
            for name in names[8:]:
                entry.answers(f"{name}.example.com")
            eventually(lambda: not left_out(entry), "none is left out")
            assert entry.proxy_pid() == pid
            assert status(entry).get("failedReloads", 0) == 0
        finally:
            entry.kill()
            host.run("sh", "-c", f"kill $(cat {entry.directory}/haproxy.pid)")


@pytest.mark.system
@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx")
async def test_nginx_may_open_what_it_needs_where_that_can_be(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        async with AsyncExitStack() as stack:
            plant = Plant(settings_in(tmp_path, "nginx"), stack)
            stack.push_async_callback(plant.proxy.stop)
            await plant.bring(a_service())
            facts = await plant.proxy.facts()
            assert facts is not None
            children = Path(f"/proc/{facts.pid}/task/{facts.pid}/children").read_text().split()
            limits = Path(f"/proc/{children[0]}/limits").read_text()
            allowed = int(limits.partition("Max open files")[2].split()[0])
            assert allowed == min(OPEN_FILES, limit_of())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
