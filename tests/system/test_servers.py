"""Several servers of one store in etcd: any serves, one leads."""

import json
import signal
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.etcd import Cluster, lacking
from tests.system.agents import AgentProcess
from tests.system.server import eventually
from tests.system.servers import OneOfSeveral, all_are_bound, bound, leader, pairs, started

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("etcd"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def servers(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[OneOfSeveral]]:
    url = f"etcd://{','.join(cluster.endpoints)}"
    places = [tmp_path_factory.mktemp(name) for name in ("one", "two", "three")]
    made = started([OneOfSeveral(one, options=("--store", url)) for one in places])
    yield made
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.stop()


def test_each_serves_what_all_of_them_were_told(servers: list[OneOfSeveral]) -> None:
    for number, server in enumerate(servers):
        server.kubectl("create", "configmap", f"m{number}")
        for other in servers:  # no one is behind, and all are known by each
            found = other.kubectl("get", "configmaps", "-o", "name").split()
            assert f"configmap/m{number}" in found
            assert other.get("configmap", f"m{number}")["metadata"]["name"] == f"m{number}"
    bound(servers[0], "first")
    assert servers[1].phase("pvc", "first") == "Bound"


def test_a_token_of_one_is_good_at_all(servers: list[OneOfSeveral]) -> None:
    trust = ssl.create_default_context(cafile=str(servers[1].place / "data/pki/ca.crt"))
    for server in servers:
        request = urllib.request.Request(
            f"https://127.0.0.1:{server.port}/api/v1/namespaces",
            headers={"authorization": f"Bearer {servers[0].token}"},
        )
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            assert json.load(answer)["items"]


def test_a_leader_that_stops_hands_over(servers: list[OneOfSeveral]) -> None:
    first = leader(servers)
    others = [one for one in servers if one is not first]
    first.stop()
    assert leader(others) is not first
    bound(others[0], "handed-over")
    first.start()


def test_a_leader_that_is_killed_is_followed_by_another(servers: list[OneOfSeveral]) -> None:
    first = leader(servers)
    others = [one for one in servers if one is not first]
    first.stop(signal.SIGKILL)
    bound(others[1], "after-the-kill")
    assert leader(others) is not first
    first.start()


def whose(server: OneOfSeveral) -> dict[str, str]:
    """By the name of a volume, the uid of the claim that it was bound to."""
    volumes = server.get("pv")["items"]
    return {one["metadata"]["name"]: one["spec"]["claimRef"]["uid"] for one in volumes}


def test_a_leader_that_stood_still_writes_nothing_late(servers: list[OneOfSeveral]) -> None:
    """It finds out by its first commit, or by its lease: whatever it was about to do is refused."""
    first = leader(servers)
    others = [one for one in servers if one is not first]
    assert first.process is not None
    ends = (first.place / "log").read_text().count("leads no more")
    names = [f"still-{number}" for number in range(40)]
    stops = threading.Timer(0.5, first.process.send_signal, (signal.SIGSTOP,))
    stops.start()  # in the middle of this, whose claims and volumes come one by one
    others[0].apply(pairs(names))
    stops.join()
    eventually(lambda: all_are_bound(others[0], names), "another binds what is left")
    assert leader(others) is not first
    before = whose(others[1])
    first.process.send_signal(signal.SIGCONT)
    eventually(lambda: (first.place / "log").read_text().count("leads no more") > ends, "it knows")
    assert not first.leads()
    assert whose(first) == before  # nothing was done a second time
    bound(first, "after-it-stood")


def test_an_agent_goes_on_at_another_server(servers: list[OneOfSeveral], tmp_path: Path) -> None:
    urls = [f"https://127.0.0.1:{one.port}" for one in servers]
    agent = AgentProcess(servers[0], tmp_path / "agent", "n1").join(servers=urls).start()
    pvc: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "at-n1",
            "annotations": {"volume.kubernetes.io/selected-node": "n1"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "host",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    servers[0].stop(signal.SIGKILL)
    try:
        servers[1].apply(json.dumps(pvc))
        eventually(lambda: servers[1].phase("pvc", "at-n1") == "Bound", "the agent made it")
    finally:
        agent.stop()
        servers[0].start()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--store", "http://h:1"), "BadStore"),
        pytest.param(
            *(("--store", "etcd://127.0.0.1:1"), "Unavailable"),
            marks=pytest.mark.slow,  # it is asked for a while
        ),
        (("--store", "etcd://127.0.0.1:1", "--store-ca", "/nowhere"), "StoreRefuses"),
    ],
)
def test_a_store_that_cannot_be(tmp_path: Path, options: tuple[str, ...], code: str) -> None:
    server = OneOfSeveral(tmp_path, options=options)
    done = subprocess.run(server.launched(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"[{code}]" in done.stderr, done.stderr
    assert "remedy: " in done.stderr
