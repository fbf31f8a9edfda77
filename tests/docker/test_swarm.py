"""Services of a swarm of one node: a claim for each replica."""

from collections.abc import Iterator

import pytest

from tests.docker.images import SHELL
from tests.docker.mooring import DRIVER, Mooring
from tests.docker.testbed import Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
COMMAND = "echo $HOSTNAME >>/data/starts; exec sleep 1000"


@pytest.fixture(scope="module")
def manager(moored: Mooring) -> Host:
    moored.host.docker("swarm", "init", "--advertise-addr", moored.host.ip)
    return moored.host


@pytest.fixture
def service(manager: Host) -> Iterator[str]:
    """The name for the one service of a test; with its end the service ends."""
    yield "web"
    manager.try_docker("service", "rm", "web")
    eventually(lambda: not running(manager), "its containers are gone")


def create(host: Host, name: str, replicas: int, source: str) -> None:
    mount = f"type=volume,{source}target=/data,volume-driver={DRIVER}"
    host.docker(
        *("service", "create", "--name", name, "--detach", "--replicas", str(replicas)),
        *("--no-resolve-image", "--endpoint-mode", "dnsrr", "--restart-delay", "0s"),
        *("--stop-signal", "KILL", "--hostname", "{{.Task.Slot}}"),
        *("--mount", f"{mount},volume-opt=size=1Gi", SHELL, "sh", "-c", COMMAND),
    )


def running(host: Host) -> dict[str, str]:
    """Container by slot, of those that have started to write."""
    found = {}
    for container in host.docker("ps", "--quiet").split():
        seen = host.try_docker("exec", container, "sh", "-c", "test -s /data/starts && hostname")
        if seen.code == 0:
            found[seen.out] = container
    return found


def starts(host: Host, slot: str) -> list[str]:
    """What the container of a slot finds in its volume; nothing while there is none."""
    container = running(host).get(slot, "none")
    return host.try_docker("exec", container, "cat", "/data/starts").out.split()


def test_docker_tells_the_swarm_of_the_driver(manager: Host) -> None:
    look = '{{range .Description.Engine.Plugins}}{{if eq .Type "Volume"}}{{.Name}} {{end}}{{end}}'
    eventually(
        lambda: DRIVER in manager.docker("node", "inspect", "self", "--format", look).split(),
        "the node has the driver",
    )


def test_each_replica_has_a_claim_of_its_own_and_finds_it_again(
    moored: Mooring, manager: Host, service: str
) -> None:
    create(manager, service, 2, "source=data-{{.Task.Slot}},")
    eventually(lambda: set(running(manager)) == {"1", "2"}, "both replicas run")
    claims = ["data-1", "data-2"]
    assert moored.names("persistentvolumeclaims") == claims
    manager.docker("kill", running(manager)["1"])
    eventually(lambda: starts(manager, "1") == ["1", "1"], "the swarm has replaced it")
    assert starts(manager, "2") == ["2"]
    manager.docker("service", "scale", "--detach", f"{service}=3")
    eventually(lambda: set(running(manager)) == {"1", "2", "3"}, "a third runs")
    volumes = [moored.volume(name) for name in (*claims, "data-3")]
    manager.docker("service", "rm", service)
    eventually(lambda: not running(manager), "none runs")
    for volume in volumes:
        moored.freed(volume)
    create(manager, service, 1, "source=data-{{.Task.Slot}},")
    eventually(lambda: starts(manager, "1") == ["1", "1", "1"], "a new service finds it all")


def test_an_anonymous_volume_of_a_task_goes_with_it(
    moored: Mooring, manager: Host, service: str
) -> None:
    create(manager, service, 1, "")
    eventually(lambda: set(running(manager)) == {"1"}, "it runs")
    look = ("--format", "{{range .Mounts}}{{.Name}}{{end}}")
    # Not the only one: for a mount with a driver and no source Docker makes a volume, never uses
    # or removes it, and lets the container make another.
    name = manager.docker("inspect", *look, running(manager)["1"])
    assert name in moored.names("persistentvolumeclaims")
    manager.docker("service", "rm", service)
    eventually(lambda: name not in moored.names("persistentvolumeclaims"), "it is gone")
