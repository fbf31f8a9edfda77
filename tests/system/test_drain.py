"""`mooring node drain` where no swarm helps, and kubectl's words for it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.server import Server, claim, eventually

pytestmark = pytest.mark.system
ATTACHED = """
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: by-hand}
spec: {attacher: directory.mooring.dev, nodeName: here, source: {persistentVolumeName: %s}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server")).start()
    made.apply(claim("data"))
    eventually(lambda: made.phase("pvc", "data") == "Bound", "it is bound")
    yield made
    made.stop()


def node(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mooring.cli.main", "node", *words]
    return subprocess.run(
        [*command, "--kubeconfig", str(server.kubeconfig)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def spec(server: Server) -> Any:
    return server.get("node", "here").get("spec") or {}


def attach(server: Server) -> None:
    server.apply(ATTACHED % server.get("pvc", "data")["spec"]["volumeName"])


def test_what_is_out_of_reach_is_named_before_anything_is_done(server: Server) -> None:
    done = node(server, "drain", "here", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "These volumes are on here alone" in done.stdout
    assert "default/data" in done.stdout
    assert spec(server) == {}
    done = node(server, "drain", "here", "--dry-run", "--output", "json")
    found = json.loads(done.stdout)
    assert (found["cordoned"], found["swarm"]) == (False, "")
    assert [one["becomes"] for one in found["volumes"]] == ["stays"]
    assert "[NotFound]" in node(server, "drain", "nowhere").stderr


def test_it_waits_and_says_what_to_do_by_hand(server: Server) -> None:
    attach(server)
    done = node(server, "drain", "here", "--yes", "--timeout", "0.5")
    assert done.returncode == 1
    assert "here is in no swarm that Mooring knows of: stop by hand" in done.stdout
    assert "default/data (no container that is known) [NotDrained]" in done.stderr
    assert "mooring umount" in done.stderr
    assert spec(server)["unschedulable"] is True
    server.kubectl("annotate", "node", "here", "mooring.dev/swarm-node=x1")
    done = node(server, "drain", "here", "--timeout", "0.5")
    assert "docker node update --availability drain x1" in done.stdout
    server.kubectl("delete", "volumeattachment", "by-hand")
    done = node(server, "drain", "here")
    assert "node here is drained" in done.stdout, done.stderr
    assert node(server, "uncordon", "here").returncode == 0
    assert spec(server) == {}
    assert node(server, "uncordon", "here").returncode == 0  # which changes nothing


def test_ctrl_c_ends_the_waiting_and_leaves_the_host_cordoned(server: Server) -> None:
    attach(server)
    command = [sys.executable, "-m", "mooring.cli.main", "node", "drain", "here", "--yes"]
    waiting = subprocess.Popen(
        [*command, "--kubeconfig", str(server.kubeconfig)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: bool(spec(server).get("unschedulable")), "it is cordoned")
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "to give it up: mooring node uncordon here" in said
    server.kubectl("delete", "volumeattachment", "by-hand")
    assert node(server, "drain", "here").returncode == 0
    assert node(server, "uncordon", "here").returncode == 0


def test_kubectl_takes_back_what_drain_said_and_leaves_other_taints(server: Server) -> None:
    server.kubectl("taint", "node", "here", "rack=7:NoSchedule")
    assert node(server, "drain", "here", "--yes").returncode == 0
    assert [one["key"] for one in spec(server)["taints"]] == ["rack", "mooring.dev/drain"]
    server.kubectl("uncordon", "here")
    assert [one["key"] for one in spec(server)["taints"]] == ["rack"]
    assert not spec(server).get("unschedulable")
    server.kubectl("cordon", "here")
    assert [one["key"] for one in spec(server)["taints"]] == ["rack"]
    assert node(server, "uncordon", "here").returncode == 0
    assert [one["key"] for one in spec(server)["taints"]] == ["rack"]
    server.kubectl("taint", "node", "here", "rack-")


def test_nobody_drains_without_a_yes(server: Server) -> None:
    command = [sys.executable, "-m", "mooring.cli.main", "node", "drain", "here"]
    done = subprocess.run(
        [*command, "--kubeconfig", str(server.kubeconfig)],
        input="n\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "drain node here?" in done.stdout
    assert not spec(server).get("unschedulable")


def test_a_pod_waits_for_another_node_than_one_that_is_cordoned(server: Server) -> None:
    assert node(server, "drain", "here", "--yes").returncode == 0
    pod = """
apiVersion: v1
kind: Pod
metadata: {name: waiting}
spec:
  containers: [{name: c, image: i}]
  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]
"""
    server.apply(pod)

    def reason() -> str:
        conditions = server.get("pod", "waiting").get("status", {}).get("conditions") or ()
        return next((one["message"] for one in conditions if one["type"] == "PodScheduled"), "")

    eventually(lambda: "unschedulable" in reason() or "untolerated" in reason(), "it says why")
    assert node(server, "uncordon", "here").returncode == 0
    eventually(lambda: server.get("pod", "waiting")["spec"].get("nodeName") == "here", "it has one")
    server.kubectl("delete", "pod", "waiting")
