"""A claim becomes a volume: kubectl, a real server, real directories."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.server import OLD_KUBECTL, Server, claim, eventually, volume

pytestmark = pytest.mark.system

KUBECTLS = [
    pytest.param(path, id=name, marks=[] if found else pytest.mark.skip(reason=f"no {name}"))
    for name, path, found in (
        ("current", "kubectl", shutil.which("kubectl")),
        ("debian-1.20", str(OLD_KUBECTL), OLD_KUBECTL.exists()),
    )
]


@pytest.fixture(params=KUBECTLS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, request.param).start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()


@pytest.mark.rule("7.14", "10.8", "10.30", "13.19")
def test_a_claim_of_the_default_class_gets_a_directory_and_loses_it_with_the_claim(
    server: Server,
) -> None:
    server.apply(claim("data"))
    eventually(lambda: server.phase("pvc", "data") == "Bound", "data is Bound")
    bound = server.get("pvc", "data")
    name = bound["spec"]["volumeName"]
    assert name == f"pvc-{bound['metadata']['uid']}"
    assert bound["spec"]["storageClassName"] == "local"
    assert bound["status"]["capacity"] == {"storage": "1Gi"}
    made = server.get("pv", name)
    assert made["spec"]["csi"]["driver"] == "directory.mooring.dev"
    # Chosen by the provisioner, so only the claim's side was the controller's choice (§7).
    assert "pv.kubernetes.io/bound-by-controller" not in made["metadata"]["annotations"]
    assert bound["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] == "yes"
    assert (server.place / "pool" / name / "data").is_dir()
    assert server.get("pool", "local")["status"]["allocated"] == "1Gi"
    eventually(
        lambda: "ProvisioningSucceeded" in server.kubectl("describe", "pvc", "data"), "it is told"
    )

    server.kubectl("delete", "pvc", "data")
    eventually(lambda: server.run("get", "pv", name).returncode != 0, "the volume is gone")
    assert not (server.place / "pool" / name).exists()
    assert server.get("pool", "local")["status"].get("allocated", "0") == "0"


@pytest.mark.rule("6.9", "9.1", "22.5")
def test_a_claim_takes_the_smallest_volume_that_fits_and_a_retained_one_stays(
    server: Server,
) -> None:
    server.apply(volume("big", "10Gi", "/srv/big") + volume("small", "2Gi", "/srv/small"))
    eventually(lambda: server.phase("pv", "small") == "Available", "small is Available")
    eventually(lambda: server.phase("pv", "big") == "Available", "big is Available")
    server.apply(claim("db", "1Gi", ""))
    eventually(lambda: server.phase("pvc", "db") == "Bound", "db is Bound")
    assert server.get("pvc", "db")["spec"]["volumeName"] == "small"
    table = server.kubectl("get", "pv", "small")
    assert table.split("\n")[0].split()[:6] == [
        "NAME", "CAPACITY", "ACCESS", "MODES", "RECLAIM", "POLICY"
    ]  # fmt: skip
    assert "default/db" in table

    server.kubectl("delete", "pvc", "db")
    eventually(lambda: server.phase("pv", "small") == "Released", "small is Released")
    # Trap 5: the old uid stays, so the same name does not get the old data.
    server.apply(claim("db", "1Gi", ""))
    eventually(lambda: server.phase("pvc", "db") == "Bound", "db is Bound again")
    assert server.get("pvc", "db")["spec"]["volumeName"] == "big"


@pytest.mark.rule("3.6")
def test_a_pending_claim_is_bound_when_a_volume_comes(server: Server) -> None:
    server.apply(claim("waits", "1Gi", ""))
    eventually(lambda: "FailedBinding" in server.kubectl("get", "events"), "it was told why")
    server.apply(volume("late", "1Gi", "/srv/late"))
    eventually(lambda: server.phase("pvc", "waits") == "Bound", "it is Bound")


def test_a_volume_of_a_quota_that_is_used_up_is_refused(server: Server) -> None:
    root = server.place / "granted"
    server.apply(
        "apiVersion: mooring.dev/v1\nkind: Pool\nmetadata: {name: granted}\nspec:\n"
        f"  driver: directory.mooring.dev\n  node: here\n  root: {root}\n  capacity: 10Gi\n"
        "  namespaces: [{name: default, quota: 2Gi}]\n---\n"
        "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: granted}\n"
        "provisioner: directory.mooring.dev\nparameters: {pool: granted}\n---\n"
    )
    server.apply(claim("one", "1.5Gi", "granted"))
    eventually(lambda: server.phase("pvc", "one") == "Bound", "one is Bound")
    server.apply(claim("two", "1Gi", "granted"))
    eventually(lambda: "ProvisioningFailed" in server.kubectl("get", "events"), "two is refused")
    assert server.phase("pvc", "two") == "Pending"
    assert "may take 2Gi" in server.kubectl("describe", "pvc", "two")
    assert len([one for one in root.iterdir() if one.name.startswith("pvc-")]) == 1


def test_a_namespace_goes_with_all_that_is_in_it(server: Server) -> None:
    server.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n")
    server.kubectl("-n", "team", "apply", "--validate=false", "-f", "-", stdin=claim("data"))
    eventually(lambda: server.phase("pvc", "data", "-n", "team") == "Bound", "it is Bound")
    server.kubectl("delete", "namespace", "team")
    assert server.get("pv")["items"] == []


@pytest.mark.rule("1.4.2")
def test_what_is_wrong_is_said_all_at_once(server: Server) -> None:
    bad = volume("bad", "0", "/srv/../etc", "Burn").replace("[ReadWriteOnce]", "[Sometimes]")
    answer = server.run("create", "--validate=false", "-f", "-", stdin=bad)
    assert answer.returncode != 0
    for field in (
        "spec.accessModes",
        "spec.capacity[storage]",
        "spec.persistentVolumeReclaimPolicy",
        "spec.hostPath.path",
    ):
        assert field in answer.stderr
