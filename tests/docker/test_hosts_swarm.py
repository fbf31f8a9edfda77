"""A swarm of hosts that have joined: services go where their volumes are."""

import json
import sys
from pathlib import Path

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.mooring import DRIVER
from tests.docker.recipes import recipes
from tests.docker.testbed import COMMAND_S, DEADLINE_S, Bed, Done, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
LABELS = "{{range $k, $v := .Spec.Labels}}{{$k}}={{$v}} {{end}}"


# Says in its volume that it started, and as what; and ends when it is told to.
APP = "trap exit TERM; echo $VERSION >>/data/starts; while :; do sleep 1 & wait $!; done"

MOVES = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: moves}
provisioner: directory.mooring.dev
volumeBindingMode: WaitForFirstConsumer
parameters: {elsewhere: move}
"""


def loaded(host: Host) -> None:
    """With the images of the documentation, too."""
    images.load(host)
    for version in ("1", "2"):
        command = json.dumps(["sh", "-c", APP])
        host.docker("create", "--name", "made", images.SHELL)
        changes = ("--change", f"CMD {command}", "--change", f"ENV VERSION={version}")
        host.docker("commit", *changes, "made", f"app:{version}")
        host.docker("rm", "made")


class Swarm:
    """The first host has the server and is the manager."""

    def __init__(self, bed: Bed) -> None:
        self.manager = self._powered(bed, "s")
        self.server = ServerHost(self.manager).start()
        self.manager.dockerd()
        loaded(self.manager)
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.ip)
        self.joined: dict[str, JoinedHost] = {}
        for name in ("a", "b"):
            joined = JoinedHost(self._powered(bed, name), self.server).join().start()
            joined.host.dockerd()
            loaded(joined.host)
            self.join(joined.host)
            self.joined[name] = joined

    def join(self, host: Host) -> None:
        """Have it join the swarm."""
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        words = ("--token", token, "--advertise-addr", host.ip)
        host.docker("swarm", "join", *words, f"{self.manager.ip}:2377")

    def _powered(self, bed: Bed, name: str) -> Host:
        host = bed.host(name)
        host.up()
        return host

    def labels(self, node: str) -> list[str]:
        return self.manager.docker("node", "inspect", "--format", LABELS, node).split()

    def types(self, block: str) -> str:
        """Commands at the manager, as somebody types them there. They must succeed."""
        kubeconfig = f"export KUBECONFIG={self.server.data_dir / 'kubeconfig'}"
        path = f"export PATH={Path(sys.executable).parent}:$PATH"
        done = self.manager.run(
            *("sh", "-ec", f"{kubeconfig}\n{path}\n{block}"), deadline_s=2 * COMMAND_S
        )
        assert done.code == 0, f"{block}: {done.out} {done.err}"
        return done.out

    @property
    def hosts(self) -> dict[str, Host]:
        return {"s": self.manager, **{name: one.host for name, one in self.joined.items()}}

    def starts(self, claim: str) -> tuple[str, list[str]]:
        """Where the volume of a claim is, and which versions have started on it; "" if it is not
        there yet."""
        found = self.server.get("persistentvolumeclaims")["items"]
        bound = {one["metadata"]["name"]: one["spec"].get("volumeName") for one in found}
        if not bound.get(claim):
            return "", []
        (node,) = self.server.volume(claim)["spec"]["nodeAffinity"]["required"][
            "nodeSelectorTerms"
        ][0]["matchExpressions"][0]["values"]
        pool = self.server.pool if node == "s" else self.joined[node].pool
        files = list((pool / bound[claim]).rglob("starts"))
        return node, files[0].read_text().split() if files else []

    def running(self, service: str) -> dict[str, str]:
        """Of a service: the host by the name of the task that runs, such as web.1."""
        look = ("--format", "{{.Name}} {{.Node}} {{.CurrentState}}")
        wanted = ("--filter", "desired-state=running", service)
        said = self.manager.docker("service", "ps", *look, *wanted)
        rows = [line.split() for line in said.splitlines()]
        return {row[0]: row[1] for row in rows if row[2] == "Running"}

    def state(self, node: str) -> str:
        """ready or down."""
        return self.manager.docker("node", "inspect", "--format", "{{.Status.State}}", node)

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


@pytest.mark.slow
def test_one_service_for_each_slot(swarm: Swarm) -> None:
    make, create, update, down, up = recipes("swarm.md", "One service for each slot")
    swarm.types(make)
    eventually(
        lambda: (
            "mooring.vol.default.db-1=true" in swarm.labels("a")
            and "mooring.vol.default.db-2=true" in swarm.labels("b")
        ),
        "the volumes are where they were wanted",
    )
    swarm.types(create)
    eventually(lambda: swarm.starts("db-1") == ("a", ["1"]), "the first runs")
    eventually(lambda: swarm.starts("db-2") == ("b", ["1"]), "the second runs")
    swarm.types(update)
    assert swarm.starts("db-1") == ("a", ["1", "2"])
    assert swarm.starts("db-2") == ("b", ["1", "2"])
    swarm.types(down)
    eventually(lambda: not swarm.running("db-2"), "it has ended")
    assert swarm.running("db-1") == {"db-1.1": "a"}
    swarm.types(up)
    eventually(lambda: swarm.starts("db-2") == ("b", ["1", "2", "2"]), "it has its data again")
    swarm.manager.docker("service", "rm", "db-1", "db-2")


@pytest.mark.slow
def test_a_global_service_has_a_volume_of_each_host(swarm: Swarm) -> None:
    create, update = recipes("swarm.md", "A global service")
    swarm.types(create)
    for node in ("s", "a", "b"):
        eventually(
            lambda node=node: swarm.starts(f"cache-{node}") == (node, ["1"]), f"it runs on {node}"
        )
    swarm.types(update)
    for node in ("s", "a", "b"):
        eventually(
            lambda node=node: swarm.starts(f"cache-{node}") == (node, ["1", "2"]),
            f"the new one has the same data on {node}",
        )
    drain, uncordon = recipes("swarm.md", "A host is taken out of use, and back")
    said = swarm.types(drain)
    assert "default/cache-b   1Mi        cache" in said
    assert "node b is drained" in said
    eventually(lambda: sorted(swarm.running("cache").values()) == ["a", "s"], "none is there")
    swarm.types(uncordon)
    eventually(lambda: swarm.starts("cache-b") == ("b", ["1", "2", "2"]), "it is there again")
    assert swarm.starts("cache-a") == ("a", ["1", "2"])
    swarm.manager.docker("service", "rm", "cache")


@pytest.mark.slow
def test_each_replica_has_a_volume_of_its_slot(swarm: Swarm) -> None:
    create, more, fewer, again, update = recipes("swarm.md", "A volume for each replica")
    swarm.types(create)
    for slot in ("1", "2"):
        eventually(lambda slot=slot: swarm.starts(f"web-{slot}")[1] == ["1"], f"slot {slot} runs")
    swarm.types(more)
    eventually(lambda: swarm.starts("web-3")[1] == ["1"], "slot 3 runs")
    places = {slot: swarm.starts(f"web-{slot}")[0] for slot in "123"}
    swarm.types(fewer)
    eventually(lambda: len(swarm.running("web")) == 1, "one is left")
    swarm.types(again)
    eventually(lambda: len(swarm.running("web")) == 3, "all are there again")
    swarm.types(update)

    def all_are_new() -> bool:
        return all(swarm.starts(f"web-{slot}")[1][-1] == "2" for slot in "123")

    eventually(all_are_new, "each runs as the new one, on its data", 2 * DEADLINE_S)
    for slot in "123":
        node, versions = swarm.starts(f"web-{slot}")
        assert node == places[slot]
        assert versions[0] == "1"
    swarm.manager.docker("service", "rm", "web")


@pytest.mark.slow
def test_a_host_that_crashed_or_joins_the_swarm_anew_has_its_services_again(swarm: Swarm) -> None:
    b = swarm.joined["b"]
    assert b.docker_run("back", "echo 0 >>/data/starts").code == 0
    label = "mooring.vol.default.back=true"
    eventually(lambda: label in swarm.labels("b"), "the manager says where it is")
    swarm.service("back", "back", "echo 1 >>/data/starts; exec sleep 1000")
    eventually(lambda: swarm.starts("back") == ("b", ["0", "1"]), "it runs there")

    b.host.crash()
    eventually(lambda: swarm.state("b") == "down", "the swarm misses the host")
    assert list(swarm.running("back").values()) in ([], ["b"])  # as it was known last
    b.host.up()
    b.start()
    b.host.dockerd()
    eventually(lambda: swarm.starts("back") == ("b", ["0", "1", "1"]), "it is there again")

    b.host.docker("swarm", "leave", "--force")
    eventually(lambda: swarm.state("b") == "down", "it has left")
    swarm.manager.docker("node", "rm", "--force", "b")
    swarm.join(b.host)
    eventually(lambda: label in swarm.labels("b"), "the new node has the labels")
    eventually(lambda: swarm.starts("back") == ("b", ["0", "1", "1", "1"]), "it is there again")
    swarm.manager.docker("service", "rm", "back")


@pytest.mark.slow
def test_the_manager_that_leads_drains_its_own_host(swarm: Swarm) -> None:
    swarm.manager.docker("node", "update", "--availability", "pause", "a")  # by somebody else
    assert swarm.drain("drain", "s", "--yes").code == 0
    eventually(lambda: swarm.availability("s") == "drain", "it is drained")
    assert swarm.drain("drain", "a", "--yes").code == 0
    eventually(lambda: swarm.availability("a") == "drain", "so is another")
    for node in ("s", "a"):
        assert swarm.drain("uncordon", node).code == 0
    eventually(lambda: swarm.availability("s") == "active", "it takes tasks again")
    eventually(lambda: swarm.availability("a") == "pause", "and the other is what it was")
    swarm.manager.docker("node", "update", "--availability", "active", "a")
    assert not any("mooring.availability" in one for one in swarm.labels("a") + swarm.labels("s"))


@pytest.mark.slow
def test_a_drained_host_sends_away_what_may_move(swarm: Swarm) -> None:
    a, b = swarm.joined["a"], swarm.joined["b"]
    swarm.server.kubectl("apply", "--filename", "-", stdin=MOVES)
    assert a.create("nomad", "moves").code == 0
    a.host.docker(
        *("run", "--rm", "--volume", "nomad:/data", images.SHELL),
        *("sh", "-c", "head -c 3000000 /dev/urandom >/data/f; md5sum /data/f >/data/sum"),
    )
    shown = swarm.drain("drain", "a", "--dry-run").out
    assert "These are on a, and go to the host that wants them next" in shown
    refused = swarm.drain("drain", "a", "--yes", "--move-to", "a")
    assert "[CannotTake]" in refused.err
    done = swarm.drain("drain", "a", "--yes", "--move-to", "b", "--timeout", "60")
    assert done.code == 0, done.err
    told = swarm.server.volume("nomad")["metadata"]["annotations"]
    assert told["mooring.dev/home"] == "b/local-b"
    assert "mooring.dev/copies" not in told
    # It does not come back to a host that is out of use.
    back = a.host.try_docker("run", "--rm", "--volume", "nomad:/data", images.SHELL, "true")
    assert "a is cordoned" in back.err
    check = ("run", "--rm", "--volume", "nomad:/data", images.SHELL, "md5sum", "-c", "/data/sum")
    assert b.host.docker(*check) == "/data/f: OK"
    eventually(
        lambda: "mooring.vol.default.nomad=true" in swarm.labels("b"), "the label moved with it"
    )
    assert swarm.drain("uncordon", "a").code == 0
    assert a.host.docker(*check) == "/data/f: OK"
    a.host.docker("volume", "rm", "nomad")
