"""A swarm of hosts that have joined: services go where their volumes are."""

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.mooring import DRIVER
from tests.docker.testbed import Bed, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
LABELS = "{{range $k, $v := .Spec.Labels}}{{$k}}={{$v}} {{end}}"


class Swarm:
    """The first host has the server and is the manager."""

    def __init__(self, bed: Bed) -> None:
        self.manager = self._powered(bed, "s")
        self.server = ServerHost(self.manager).start()
        self.manager.dockerd()
        images.load(self.manager)
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.ip)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        self.joined = {}
        for name in ("a", "b"):
            joined = JoinedHost(self._powered(bed, name), self.server).join().start()
            joined.host.dockerd()
            images.load(joined.host)
            words = ("--token", token, "--advertise-addr", joined.host.ip)
            joined.host.docker("swarm", "join", *words, f"{self.manager.ip}:2377")
            self.joined[name] = joined

    def _powered(self, bed: Bed, name: str) -> Host:
        host = bed.host(name)
        host.up()
        return host

    def labels(self, node: str) -> list[str]:
        return self.manager.docker("node", "inspect", "--format", LABELS, node).split()

    def service(self, name: str, volume: str, command: str) -> None:
        mount = f"type=volume,source={volume},target=/data,volume-driver={DRIVER}"
        self.manager.docker(
            *("service", "create", "--name", name, "--detach", "--no-resolve-image"),
            *("--endpoint-mode", "dnsrr", "--restart-delay", "0s", "--stop-signal", "KILL"),
            *("--constraint", f"node.labels.mooring.vol.default.{volume}==true"),
            *("--mount", f"{mount},volume-opt=class=host,volume-opt=size=1Mi"),
            *(images.SHELL, "sh", "-c", command),
        )

    def is_running_on(self, service: str, node: str) -> bool:
        look = ("--format", "{{.Node}} {{.CurrentState}}", "--filter", "desired-state=running")
        return f"{node} Running" in self.manager.docker("service", "ps", *look, service)


@pytest.fixture(scope="module")
def swarm(bed: Bed) -> Swarm:
    return Swarm(bed)


def test_a_service_goes_where_its_volume_is(swarm: Swarm) -> None:
    b = swarm.joined["b"]
    assert b.docker_run("data", "echo 1 >>/data/f").code == 0
    label = "mooring.vol.default.data=true"
    eventually(lambda: label in swarm.labels("b"), "the manager says where it is")
    assert label not in swarm.labels("a") + swarm.labels("s")
    swarm.service("web", "data", "echo 2 >>/data/f; exec sleep 1000")
    eventually(lambda: swarm.is_running_on("web", "b"), "it runs there")
    container = b.host.docker("ps", "--quiet")
    assert b.host.docker("exec", container, "cat", "/data/f").split() == ["1", "2"]
    swarm.manager.docker("service", "rm", "web")


def test_labels_of_others_stay_and_ours_go_with_the_volume(swarm: Swarm) -> None:
    swarm.manager.docker("node", "update", "--label-add", "rack=7", "a")
    assert swarm.joined["a"].docker_run("gone", "true").code == 0
    label = "mooring.vol.default.gone=true"
    eventually(lambda: label in swarm.labels("a"), "it is said")
    swarm.joined["a"].host.docker("volume", "rm", "gone")
    eventually(lambda: label not in swarm.labels("a"), "it is said no more")
    assert "rack=7" in swarm.labels("a")
