"""A swarm of three hosts, and a fourth with an edge before it."""

import pytest

from testbed import images
from testbed.hosts import SLOWNESS
from tests.docker.conftest import bed, pytest_runtest_makereport
from tests.docker.testbed import Bed, Host
from tests.edge.entry import Entry, lacking

__all__ = ["bed", "pytest_runtest_makereport"]


@pytest.fixture(scope="module")
def swarm(bed: Bed) -> list[Host]:
    """Its hosts; the first manages."""
    hosts = [bed.host(f"h{number}") for number in (1, 2, 3)]
    for host in hosts:
        host.up()
        host.dockerd()
        images.load(host)
    manager, *workers = hosts
    heartbeat = f"{SLOWNESS:.0f}s"
    told = ("--advertise-addr", manager.ip, "--dispatcher-heartbeat", heartbeat)
    manager.docker("swarm", "init", *told)
    token = manager.docker("swarm", "join-token", "--quiet", "worker")
    for host in workers:
        known = ("--token", token, "--advertise-addr", host.ip)
        host.docker("swarm", "join", *known, f"{manager.ip}:2377")
    return hosts


@pytest.fixture(scope="module")
def entry(bed: Bed, swarm: list[Host]) -> Entry:
    if why := lacking():
        pytest.skip(why)
    host = bed.host("edge")
    host.up()
    made = Entry(host, swarm[0])
    made.start()
    return made
