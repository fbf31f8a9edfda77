"""A server, and hosts that have joined it: each agent a process of its own."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.agents import AgentProcess, mooring, try_mooring
from tests.system.server import Server, claim, eventually

pytestmark = pytest.mark.system
PVC = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
  annotations: {{volume.kubernetes.io/selected-node: {node}}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: host
  resources: {{requests: {{storage: 1Mi}}}}
"""
SPREAD = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: spread}
provisioner: directory.mooring.dev
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server")).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def agents(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[AgentProcess]]:
    place: Path = tmp_path_factory.mktemp("agents")
    made = [AgentProcess(server, place / name, name).join().start() for name in ("a", "b")]
    yield made
    for one in made:
        one.stop()


def is_ready(server: Server, node: str) -> bool:
    conditions: list[Any] = server.get("node", node)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def bound(server: Server, name: str, node: str) -> Any:
    """The volume of a new claim, made on a node."""
    server.apply(PVC.format(name=name, node=node))
    eventually(lambda: server.phase("pvc", name) == "Bound", f"{name} is bound")
    return server.get("pv", server.get("pvc", name)["spec"]["volumeName"])


def test_each_makes_and_deletes_what_is_on_its_host(
    server: Server, agents: list[AgentProcess]
) -> None:
    for agent in agents:
        assert is_ready(server, agent.node)
        volume = bound(server, f"at-{agent.node}", agent.node)
        assert (
            volume["spec"]["csi"]["volumeAttributes"]["mooring.dev/pool"] == f"local-{agent.node}"
        )
        asset = agent.pool / volume["metadata"]["name"]
        assert asset.is_dir()
        server.kubectl("delete", "pvc", f"at-{agent.node}")
        eventually(lambda asset=asset: not asset.exists(), "the directory is gone")  # type: ignore[misc]


def test_what_waits_for_no_consumer_is_spread_over_the_hosts(
    server: Server, agents: list[AgentProcess]
) -> None:
    server.apply(SPREAD)
    names = [f"spread-{number}" for number in range(6)]
    for name in names:
        server.apply(claim(name, class_="spread"))
    eventually(lambda: all(server.phase("pvc", name) == "Bound" for name in names), "all are bound")
    made = [
        server.get("pv", server.get("pvc", name)["spec"]["volumeName"])["spec"]["csi"]
        for name in names
    ]
    pools = Counter(one["volumeAttributes"]["mooring.dev/pool"] for one in made)
    assert pools == {"local": 2, "local-a": 2, "local-b": 2}


def test_events_of_agents_are_the_servers(server: Server, agents: list[AgentProcess]) -> None:
    bound(server, "told", "a")

    def reasons() -> set[str]:
        events = server.get("events", "--field-selector", "involvedObject.name=told")["items"]
        return {one["reason"] for one in events}

    eventually(lambda: "ProvisioningSucceeded" in reasons(), "its event is there")


def test_a_server_that_was_away_is_found_again(server: Server, agents: list[AgentProcess]) -> None:
    server.stop(signal.SIGKILL)
    server.start()
    bound(server, "after-the-server", "b")


def test_an_agent_that_was_killed_goes_on(server: Server, agents: list[AgentProcess]) -> None:
    volume = bound(server, "before", "a")
    agents[0].stop(signal.SIGKILL)
    server.kubectl("delete", "pvc", "before", "--wait=false")
    agents[0].start()
    asset = agents[0].pool / volume["metadata"]["name"]
    eventually(lambda: not asset.exists(), "what was deleted meanwhile is gone")


def test_a_token_of_another_server_does_not_join(server: Server, tmp_path: Path) -> None:
    good = mooring(server, "node", "token").splitlines()[-1].split()
    url, token = good[3], good[5]
    for said, code in (
        (f"{token[:-1]}{'0' if token[-1] != '0' else '1'}", "NotTheServer"),
        (token.partition(".")[0], "BadToken"),
        ("x" + token, "Unauthorized"),
    ):
        done = try_mooring(
            *(server, "node", "join", url, "--token", said),
            *("--data-dir", str(tmp_path), "--node-name", "c"),
        )
        assert done.returncode == 1
        assert f"[{code}]" in done.stderr, done.stderr
        assert "remedy: " in done.stderr
    assert not (tmp_path / "agent.json").exists()
    assert "NotJoined" in try_mooring(server, "node", "run", "--data-dir", str(tmp_path)).stderr


def test_a_node_that_is_removed_is_let_in_no_more(server: Server, tmp_path: Path) -> None:
    gone = AgentProcess(server, tmp_path / "gone", "gone").join().start()
    bound(server, "on-gone", "gone")
    said = mooring(server, "node", "remove", "gone", "--yes")
    assert "default/on-gone" in said
    eventually(lambda: "401" in gone.log or "Unauthorized" in gone.log, "it is told")
    gone.stop(signal.SIGKILL)
    assert "gone" not in [one["metadata"]["name"] for one in server.get("nodes")["items"]]
