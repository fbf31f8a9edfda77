"""A swarm of hosts that have joined: services go where their volumes are."""

import json

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.mooring import DRIVER
from tests.docker.testbed import COMMAND_S, Bed, Done, Host, eventually, needs_hosts

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

    def availability(self, node: str) -> str:
        return self.manager.docker("node", "inspect", "--format", "{{.Spec.Availability}}", node)

    def drain(self, *words: str) -> Done:
        kubeconfig = ("--kubeconfig", str(self.server.data_dir / "kubeconfig"))
        return self.server.mooring("node", *words, *kubeconfig, deadline_s=2 * COMMAND_S)

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


def test_a_drained_host_is_empty_until_it_is_taken_back(swarm: Swarm) -> None:
    b = swarm.joined["b"]
    assert b.docker_run("kept", "echo 1 >>/data/f").code == 0
    label = "mooring.vol.default.kept=true"
    eventually(lambda: label in swarm.labels("b"), "the manager says where it is")
    swarm.service("db", "kept", "echo 2 >>/data/f; exec sleep 1000")
    eventually(lambda: swarm.is_running_on("db", "b"), "it runs there")
    volume = swarm.server.volume("kept")
    eventually(lambda: swarm.server.names("pods") != [], "its mirror is there")

    shown = swarm.drain("drain", "b", "--dry-run")
    assert shown.code == 0, shown.err
    assert "These volumes are on b alone, and are out of reach" in shown.out
    assert f"{volume['metadata']['name']}   default/kept   1Mi        db" in shown.out
    assert swarm.availability("b") == "active"
    assert "unschedulable" not in swarm.server.get("nodes", "b").get("spec", {})

    done = swarm.drain("drain", "b", "--yes", "--timeout", "60")
    assert done.code == 0, done.err
    assert "of the swarm is set to drain: its tasks go elsewhere" in done.out
    assert "node b is drained: no volume is in use there" in done.out
    assert swarm.availability("b") == "drain"
    assert "mooring.vol.default.kept=true" in swarm.labels("b")
    # Its volume is there alone: it waits, and starts nowhere empty.
    assert not swarm.is_running_on("db", "a")
    found = json.loads(swarm.drain("drain", "b", "--output", "json").out)
    assert (found["cordoned"], found["swarmDrained"], found["drained"]) == (True, True, True)
    assert "default/kept" in [one["claim"] for one in found["volumes"] if one["becomes"] == "stays"]
    # Nothing new is made there.
    refused = b.docker_run("fresh", "true")
    assert "NoCapacityHere" in refused.err
    assert "b is cordoned" in refused.err

    assert swarm.drain("uncordon", "b").code == 0
    eventually(lambda: swarm.availability("b") == "active", "it takes tasks again")
    eventually(lambda: swarm.is_running_on("db", "b"), "the service is there again")
    container = b.host.docker("ps", "--quiet")
    eventually(
        lambda: b.host.docker("exec", container, "cat", "/data/f").split() == ["1", "2", "2"],
        "with its data",
    )
    swarm.manager.docker("service", "rm", "db")
    assert b.docker_run("fresh", "true").code == 0


def test_what_was_started_by_hand_is_named_and_left_alone(swarm: Swarm) -> None:
    a = swarm.joined["a"]
    a.create("hand")
    a.host.docker(
        *("run", "--detach", "--name", "by-hand", "--volume", "hand:/data"),
        *("--stop-signal", "KILL", images.SHELL, "sleep", "1000"),
    )
    eventually(lambda: swarm.server.names("pods") != [], "its mirror is there")
    done = swarm.drain("drain", "a", "--yes", "--timeout", "1")
    assert done.code == 1
    assert "volumes are in use on a: default/hand (by-hand) [NotDrained]" in done.err
    assert a.host.docker("ps", "--format", "{{.Names}}") == "by-hand"
    a.host.docker("rm", "--force", "by-hand")
    assert swarm.drain("drain", "a").code == 0  # which asks no second time
    assert swarm.drain("uncordon", "a").code == 0
    eventually(lambda: swarm.availability("a") == "active", "it takes tasks again")


def test_kubectl_cordons_and_is_told_what_drains(swarm: Swarm) -> None:
    a = swarm.joined["a"]
    a.create("hand")
    a.host.docker(
        *("run", "--detach", "--name", "by-hand", "--volume", "hand:/data"),
        *("--stop-signal", "KILL", images.SHELL, "sleep", "1000"),
    )
    eventually(lambda: swarm.server.names("pods") != [], "its mirror is there")
    assert "node/a cordoned" in swarm.server.kubectl("cordon", "a")
    eventually(lambda: swarm.availability("a") == "pause", "it takes no more tasks")
    assert "Ready,SchedulingDisabled" in swarm.server.kubectl("get", "node", "a")
    done = swarm.server.try_kubectl("drain", "a", "--force", "--timeout=5s")
    assert done.code != 0
    assert "remove the container instead, or all of a node: `mooring node drain NODE`" in done.err
    assert a.host.docker("ps", "--format", "{{.Names}}") == "by-hand"
    assert "node/a uncordoned" in swarm.server.kubectl("uncordon", "a")
    eventually(lambda: swarm.availability("a") == "active", "it takes tasks again")
    a.host.docker("rm", "--force", "by-hand")
