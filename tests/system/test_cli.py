"""The commands against a whole server, as users type them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.server import Server, claim, eventually, volume

pytestmark = pytest.mark.system

GRANTED = """
apiVersion: mooring.dev/v1
kind: Pool
metadata: {name: granted}
spec:
  driver: directory.mooring.dev
  node: here
  root: ROOT
  capacity: 10Gi
  namespaces: [{name: default, quota: 2Gi}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: granted}
provisioner: directory.mooring.dev
parameters: {pool: granted}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: waits}
provisioner: directory.mooring.dev
parameters: {pool: local}
volumeBindingMode: WaitForFirstConsumer
---
"""


class Commands(Server):
    """A server, and `mooring` to talk to it."""

    def mooring(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mooring.cli.main", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )

    def says(self, *arguments: str) -> str:
        done = self.mooring(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def lines(self, *arguments: str) -> list[str]:
        return self.says(*arguments).splitlines()

    def bound(self, name: str) -> str:
        """The volume, once it is there."""
        eventually(lambda: self.phase("pvc", name) == "Bound", f"{name} is Bound")
        found: str = self.get("pvc", name)["spec"]["volumeName"]
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    place = tmp_path_factory.mktemp("cli")
    made = Commands(place).start()
    try:
        assert isinstance(made, Commands)
        made.apply(GRANTED.replace("ROOT", str(place / "granted")))
        made.apply(volume("huge", "1Ti", "/srv/huge") + claim("tiny", "1Gi", ""))
        made.bound("tiny")
        yield made
    finally:
        made.stop()


# explain


def test_a_1gi_claim_that_got_a_1ti_volume_is_told_of_the_waste(server: Commands) -> None:
    assert server.lines("explain", "pvc", "tiny") == [
        "pvc default/tiny is Bound: it has volume huge",
        "  the volume is 1Ti, RWO, hostPath /srv/huge",
        "  1023Gi of it are more than was asked for, and nobody else can have them",
        "  would help: to waste nothing, a claim of class local: it gets a volume of its own size",
    ]


def test_a_claim_of_no_class_is_told_what_volumes_there_are(server: Commands) -> None:
    server.apply(volume("spare", "2Gi", "/srv/spare") + claim("big", "5Gi", ""))
    eventually(lambda: server.phase("pv", "spare") == "Available", "spare is Available")
    lines = server.lines("explain", "pvc", "big")
    assert lines[0] == 'pvc default/big is Pending: no volume fits, and class "" makes none'
    assert "1 of another claim" in lines[1]
    assert "1 too small (largest 2Gi)" in lines[1]
    assert lines[2] == "  nearest is spare (2Gi, RWO): 3Gi too small"
    assert lines[-1].startswith('  would help: a volume of class "", RWO, 5Gi or more; or')


def test_a_claim_of_an_unknown_class_is_told_to_create_it(server: Commands) -> None:
    server.apply(claim("lost", "1Gi", "nowhere"))
    lines = server.lines("explain", "pvc", "lost")
    assert "class nowhere, which could make one, does not exist" in lines[0]
    assert "would help: create StorageClass nowhere" in lines[-1]


def test_a_claim_beyond_its_quota_is_told_what_is_left(server: Commands) -> None:
    server.apply(claim("most", "1.5Gi", "granted"))
    server.bound("most")
    server.apply(claim("more", "1Gi", "granted"))
    lines = server.lines("explain", "pvc", "more")
    assert (
        "pool granted: namespace default may take 2Gi, has 1536Mi, asked for 1Gi more" in lines[0]
    )
    assert lines[-1].startswith("  would help: a claim of at most 512Mi, ")


def test_deleting_is_explained_before_it_is_done(server: Commands) -> None:
    server.apply(claim("dear"))
    name = server.bound("dear")
    lines = server.lines("explain", "pvc", "dear", "--delete")
    assert lines[0] == f"deleting pvc default/dear is possible: the data of volume {name} is LOST"
    assert "directory.mooring.dev deletes it, with all data in it" in lines[1]
    assert f"kubectl patch pv {name}" in lines[2]
    server.kubectl("patch", "pv", name, "-p", lines[2].rpartition(" -p ")[2].strip("'"))
    assert "is kept" in server.lines("explain", "pvc", "dear", "--delete")[0]


def test_a_volume_is_explained_and_its_help_helps(server: Commands) -> None:
    server.apply(volume("kept", "3Gi", "/srv/kept") + claim("brief", "3Gi", ""))
    assert server.bound("brief") == "kept"
    assert "claim default/brief has it" in server.lines("explain", "pv", "kept")[0]
    server.kubectl("delete", "pvc", "brief")
    eventually(lambda: server.phase("pv", "kept") == "Released", "kept is Released")
    lines = server.lines("explain", "pv", "kept")
    assert lines[0] == "pv kept is Released: its claim default/brief is gone"
    command = lines[-1].partition(": ")[2].partition(": ")[2]
    assert command.startswith("kubectl patch pv kept --type merge -p ")
    server.kubectl(*command.replace("'", "").split()[1:])
    eventually(lambda: server.phase("pv", "kept") == "Available", "kept is Available")
    server.kubectl("delete", "pv", "kept")


def test_all_is_a_line_for_each_claim_of_a_namespace(server: Commands) -> None:
    lines = server.lines("explain", "pvc", "--all", "-n", "default")
    claims = {one["metadata"]["name"] for one in server.get("pvc")["items"]}
    named = {line.split()[0] for line in lines[1:] if not line.startswith(" ")}
    assert named == {f"default/{name}" for name in claims}
    assert max(map(len, lines)) <= 100
    assert server.mooring("explain", "pvc", "--all", "-n", "kube-system").stdout == ""


# status


def test_status_adds_up(server: Commands) -> None:
    found = json.loads(server.says("status", "-o", "json"))
    pools = {pool["name"]: pool for pool in found["pools"]}
    assert pools["granted"]["capacity"] == "10Gi"
    assert pools["local"]["disk"]["totalBytes"] > 0
    assert sum(found["claims"].values()) == len(server.get("pvc")["items"])
    assert {"claim": "default/tiny", "volume": "huge", "waste": "1023Gi"} in found["waste"][
        "largest"
    ]
    assert "of 2Gi" in server.says("status")


# mount


def test_what_is_written_at_the_path_is_in_the_volume_and_survives_kill_9(
    tmp_path: Path,
) -> None:
    server = Commands(tmp_path).start()
    assert isinstance(server, Commands)
    try:
        server.apply(claim("data"))
        name = server.bound("data")
        path = Path(server.says("mount", "data").strip())
        (path / "greeting").write_text("hello")
        assert (tmp_path / "pool" / name / "data" / "greeting").read_text() == "hello"
        server.stop(9)
        server.start()
        assert (path / "greeting").read_text() == "hello"
        assert server.says("mount", "data") == f"{path}\n"
        assert server.says("umount", "data") == f"data is no longer at {path}\n"
        assert (tmp_path / "pool" / name / "data" / "greeting").read_text() == "hello"
    finally:
        server.mooring("umount", "data")
        server.stop()


def test_the_first_mount_makes_the_volume_of_a_class_that_waits(server: Commands) -> None:
    server.apply(claim("late", "1Gi", "waits"))
    lines = server.lines("explain", "pvc", "late")
    assert "it waits for its first consumer" in lines[0]
    command = lines[-1].partition(": ")[2].partition(",")[0]
    assert command == "mooring mount late -n default"
    path = Path(server.says(*command.split()[1:]).strip())
    assert path.is_dir()
    assert server.phase("pvc", "late") == "Bound"
    server.says("umount", "late")


def test_a_claim_that_is_not_bound_is_refused_with_its_explanation(server: Commands) -> None:
    server.apply(claim("waiting", "9Gi", ""))
    done = server.mooring("mount", "waiting")
    assert (done.returncode, done.stdout) == (1, "")
    what, remedy = done.stderr.splitlines()
    assert what.startswith("error: claim default/waiting is Pending and has no volume yet; no ")
    assert what.endswith("[NotBound]")
    assert remedy.startswith('remedy: a volume of class "", RWO, 9Gi or more')


def test_a_claim_that_is_not_mounted_or_not_there_is_said_to_be_so(server: Commands) -> None:
    assert "is not mounted on this host [NotFound]" in server.mooring("umount", "tiny").stderr
    assert 'persistentvolumeclaims "nix" not found' in server.mooring("mount", "nix").stderr


def test_without_a_server_the_remedy_is_to_start_it(tmp_path: Path) -> None:
    done = Commands(tmp_path).mooring("status")
    assert done.returncode == 1
    assert "[NoKubeconfig]\nremedy: " in done.stderr
