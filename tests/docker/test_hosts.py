"""Three hosts with Docker and one server: volumes are where they are, and nowhere empty."""

import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.testbed import Bed, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]


class Hosts(NamedTuple):
    """The first has the server, and an agent as the others have."""

    server: ServerHost
    a: JoinedHost
    b: JoinedHost


def powered(bed: Bed, name: str) -> Host:
    host = bed.host(name)
    host.up()
    return host


@pytest.fixture(scope="module")
def hosts(bed: Bed) -> Hosts:
    server = ServerHost(powered(bed, "s")).start()
    joined = [JoinedHost(powered(bed, name), server).join().start() for name in ("a", "b")]
    for one in joined:
        one.host.dockerd()
        images.load(one.host)
    return Hosts(server, *joined)


def in_pool(joined: JoinedHost, claim: str, file: str) -> Path:
    """A file of a claim's volume, as it lies on its host."""
    asset = joined.pool / joined.server.volume(claim)["metadata"]["name"]
    return next(asset.rglob(file), asset / file)


def test_a_volume_stays_on_the_host_of_its_first_container(hosts: Hosts) -> None:
    wrote = hosts.a.docker_run("data", "echo precious >/data/f")
    assert wrote.code == 0, wrote.err
    assert in_pool(hosts.a, "data", "f").read_text() == "precious\n"
    # The same name on another host is the same volume, which is not there.
    said = hosts.b.docker_run("data", "cat /data/f")
    assert said.code != 0
    assert "DataOnOtherNode" in said.err
    assert "is on a" in said.err
    assert not in_pool(hosts.b, "data", "f").parent.exists()
    again = hosts.a.docker_run("data", "cat /data/f")
    assert again.out == "precious"


def test_what_is_in_use_on_a_host_is_seen_everywhere(hosts: Hosts) -> None:
    hosts.a.create("busy")
    hosts.a.host.docker(
        *("run", "--detach", "--name", "writer", "--volume", "busy:/data"),
        *("--stop-signal", "KILL", images.SHELL, "sleep", "1000"),
    )
    eventually(lambda: bool(hosts.server.names("pods")), "its mirror is there")
    (pod,) = hosts.server.get("pods")["items"]
    assert pod["spec"]["nodeName"] == "a"
    assert "writer" in hosts.server.kubectl("describe", "pvc", "busy")
    hosts.a.host.docker("rm", "--force", "writer")
    eventually(lambda: not hosts.server.names("pods"), "its mirror is gone")


def test_a_server_that_is_away_leaves_what_runs_alone(hosts: Hosts) -> None:
    hosts.a.create("kept")
    hosts.a.host.docker(
        *("run", "--detach", "--name", "keeper", "--volume", "kept:/data"),
        *("--stop-signal", "KILL", images.SHELL, "sh", "-c"),
        "while true; do date +%s >>/data/log; sleep 0.1; done",
    )
    eventually(lambda: in_pool(hosts.a, "kept", "log").exists(), "it writes")
    log = in_pool(hosts.a, "kept", "log")
    hosts.server.stop(signal.SIGKILL)
    size = log.stat().st_size
    refused = hosts.a.create("not-now")
    assert refused.code != 0
    assert "ControlPlaneAway" in refused.err
    eventually(lambda: log.stat().st_size > size, "the container writes on")
    assert hosts.a.host.docker("volume", "ls", "--quiet").split()
    hosts.server.start()
    eventually(lambda: hosts.a.create("now").code == 0, "it is found again")
    hosts.a.host.docker("rm", "--force", "keeper")


def test_a_host_that_crashed_has_its_volumes_again(hosts: Hosts) -> None:
    assert hosts.b.docker_run("there", "echo 1 >/data/f").code == 0
    hosts.b.host.crash()
    hosts.b.host.up()
    hosts.b.start()
    hosts.b.host.dockerd()
    assert hosts.b.docker_run("there", "cat /data/f").out == "1"


def test_an_agent_that_was_killed_takes_over_its_mounts(hosts: Hosts) -> None:
    hosts.a.create("held")
    hosts.a.host.docker(
        *("run", "--detach", "--name", "holder", "--volume", "held:/data"),
        *("--stop-signal", "KILL", images.SHELL, "sleep", "1000"),
    )
    hosts.a.stop(signal.SIGKILL)
    hosts.a.start()
    hosts.a.host.docker("exec", "holder", "sh", "-c", "echo on >/data/f")
    hosts.a.host.docker("rm", "--force", "holder")
    eventually(lambda: hosts.server.is_free(hosts.server.volume("held")), "it is let go")
