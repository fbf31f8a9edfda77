"""Entries before the mesh of a real swarm: by all nodes, and by one. It balances by IPVS, which the
kernel of a machine of tests may not have: tests/vm/test_machines.py runs this in one that has it.

Nothing is asserted about time: there all takes ten times as long.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.docker.testbed import Bed, Host, eventually, needs_hosts
from tests.edge.entry import Counted, Entry
from tests.edge.storm import serving

pytestmark = [
    pytest.mark.system,
    needs_hosts,
    pytest.mark.skipif(
        "MOORING_TEST_MESH" not in os.environ, reason="needs IPVS: `make slow` has it in a machine"
    ),
]
REQUESTS = 2_000  # of each mode
PORT = 8080  # where the service is published
MODES = ("nodes", "mesh")  # each with a route, which has its name
SERVERS = 6  # each node, by both
CLIENTS = 4
LOAD = ("--workers", str(CLIENTS), "--pause", "0.02")
APACHE = "apache.example.com"
# In the network that the mesh has on each node; the first number is of connections.
BALANCED = ("nsenter", "--net=/run/docker/netns/ingress_sbox", "cat", "/proc/net/ip_vs_stats")


@pytest.fixture(scope="module")
def meshed(entry: Entry, tmp_path_factory: pytest.TempPathFactory) -> Entry:
    """With a service of three tasks."""
    labels = {
        "host": f"nodes.example.com,{APACHE}",
        "mode": "nodes",
        "mesh.host": "mesh.example.com",
        "mesh.mode": "mesh",
    }
    words = []
    for key, value in labels.items():
        words += ["--label", f"mooring.edge.{key}={value}"]
    options, command = serving(tmp_path_factory.mktemp("work"))
    words += ["--endpoint-mode", "vip", *options]
    entry.create("web", 3, *words, publish=f"{PORT}:80", command=command)
    entry.runs("web", 3)
    for mode in MODES:
        entry.answers(f"{mode}.example.com")
    entry.serves("web", SERVERS)
    return entry


@pytest.fixture(scope="module")
def by_nginx(meshed: Entry, bed: Bed) -> Entry:
    host = bed.host("other")
    host.up()
    made = Entry(host, meshed.manager, "nginx")
    made.start()
    made.answers("nodes.example.com")
    return made


def balanced(host: Host) -> int:
    """How many connections the mesh took at a node."""
    return int(host.run(*BALANCED).out.splitlines()[2].split()[0], 16)


def scale(entry: Entry, replicas: int) -> None:
    entry.manager.docker("service", "scale", "--detach", f"web={replicas}")
    entry.runs("web", replicas)


def update(entry: Entry) -> None:
    entry.manager.docker("service", "update", "--quiet", "--env-add", "A=1", "web")
    entry.runs("web", 3)


def kill(entry: Entry, hosts: list[Host]) -> None:
    host = next(one for one in hosts if one.docker("ps", "--quiet"))
    host.docker("kill", host.docker("ps", "--quiet").split()[0])
    entry.runs("web", 3)


def drain(entry: Entry, host: Host) -> None:
    entry.manager.docker("node", "update", "--availability", "drain", host.name)
    eventually(lambda: not host.docker("ps", "--quiet"), "the node is empty")
    entry.runs("web", 3)
    entry.manager.docker("node", "update", "--availability", "active", host.name)


def restart(entry: Entry) -> None:
    entry.kill()
    entry.start()
    entry.serves("web", SERVERS)


@pytest.mark.parametrize("proxy", ["meshed", "by_nginx"])
def test_every_node_carries_requests_of_a_name_and_none_of_others(
    proxy: str, swarm: list[Host], request: pytest.FixtureRequest
) -> None:
    entry: Entry = request.getfixturevalue(proxy)
    before = [balanced(host) for host in swarm]
    assert [entry.get(APACHE)[0] for _ in range(12)] == [200] * 12
    assert all(balanced(host) > count for host, count in zip(swarm, before, strict=True))
    assert len({entry.get(APACHE)[1] for _ in range(12)}) > 1
    assert entry.get("nobody.example.com") == (404, "no service has this name")


def test_of_2000_gets_of_each_mode_none_fails(meshed: Entry, swarm: list[Host]) -> None:
    happens: dict[str, Callable[[], None]] = {
        "kill": lambda: kill(meshed, swarm),
        "drain": lambda: drain(meshed, swarm[1]),
        "restart": lambda: restart(meshed),
        "up": lambda: scale(meshed, 6),
        "down": lambda: scale(meshed, 1),
        "up again": lambda: scale(meshed, 3),
        "update": lambda: update(meshed),
    }
    counts = {mode: list[Counted]() for mode in MODES}
    while any(sum(one.done for one in said) < REQUESTS for said in counts.values()):
        for what, happen in happens.items():
            with (
                meshed.load("nodes.example.com", *LOAD) as by_nodes,
                meshed.load("mesh.example.com", *LOAD) as by_mesh,
            ):
                began = time.time()
                happen()
            counts["nodes"].append(by_nodes)
            counts["mesh"].append(by_mesh)
            for mode, said in counts.items():
                one = said[-1]
                print(
                    f"{mode}, {what} ({time.time() - began:.0f} s): {one.done} GETs, "
                    f"{len(one.failures)} failed, the slowest {one.slowest_s:.2f} s "
                    f"{one.failures[:3]}",
                    flush=True,
                )
    for mode, said in counts.items():
        print(f"{mode}: {sum(one.done for one in said)} GETs")
    assert [one.failures for said in counts.values() for one in said if one.failures] == []


def test_a_node_without_containers_answers_from_the_other_nodes(
    meshed: Entry, swarm: list[Host]
) -> None:
    """All of the service on one host are stopped; its own port goes on answering, and so do we."""
    emptied = swarm[1]
    own = ("curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}")
    with meshed.load("nodes.example.com", *LOAD) as by_nodes:
        for name in emptied.docker("ps", "--quiet").split():
            emptied.docker("stop", "--time", "1", name)
        url = f"http://{emptied.ip}:{PORT}/"
        answered = "its port answers without a redirect"
        eventually(lambda: meshed.host.run(*own, url).out == "200 0", answered)
        meshed.runs("web", 3)
    print(f"{by_nodes.done} GETs, {by_nodes.failures[:3]}")
    assert by_nodes.failures == []


def test_through_one_node_answers_go_on_when_its_dockerd_stops_and_when_it_does(
    meshed: Entry, swarm: list[Host]
) -> None:
    """What was under way there may be cut. The last test: it may be the manager."""
    before = [balanced(host) for host in swarm]
    assert [meshed.get("mesh.example.com")[0] for _ in range(9)] == [200] * 9
    taken = [balanced(host) - count for host, count in zip(swarm, before, strict=True)]
    active = swarm[taken.index(max(taken))]
    with meshed.load("mesh.example.com", *LOAD) as counted:
        active.stop_dockerd(signal.SIGTERM)
        meshed.answers("mesh.example.com")
        active.halt()
        for _ in range(20):
            meshed.answers("mesh.example.com")
    print(f"{active.name}: {counted.done} GETs, {counted.failures[:3]}")
    assert len(counted.failures) <= CLIENTS
