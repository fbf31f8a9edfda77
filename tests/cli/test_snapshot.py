"""What `mooring snapshot` and `mooring clone` ask for, and what they print."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.https import answering, config_for
from tests.cli.test_commands import Shell

CLAIM = {
    "metadata": {"name": "db"},
    "spec": {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": "1Gi"}},
    },
    "status": {"phase": "Bound", "capacity": {"storage": "1536Mi"}},
}
VS = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots"
PVC = "/api/v1/namespaces/default/persistentvolumeclaims"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with answering(tmp_path) as says:
        yield Shell(says, config_for(says.url, tmp_path / "kubeconfig"))


def sent(shell: Shell) -> Any:
    return json.loads(next(one.body for one in shell.says.seen if one.method == "POST"))


def test_a_snapshot_gets_the_name_that_was_said_or_one_with_the_time(shell: Shell) -> None:
    done = shell.run("snapshot", "db", "monday", "--class", "kept")
    assert (done.exit_code, done.stdout) == (0, "monday\n")
    assert shell.asked == [f"POST {VS}"]
    assert sent(shell)["spec"] == {
        "source": {"persistentVolumeClaimName": "db"},
        "volumeSnapshotClassName": "kept",
    }
    assert re.fullmatch(r"db-\d{8}-\d{6}\n", shell.run("snapshot", "db").stdout)


def test_with_wait_it_returns_when_the_snapshot_is_ready_or_failed(shell: Shell) -> None:
    shell.answers({"status": {"readyToUse": True}})
    assert shell.run("snapshot", "db", "monday", "--wait").exit_code == 0
    assert shell.asked[-1] == f"GET {VS}/monday"
    shell.answers({"status": {"readyToUse": False, "error": {"message": "no class"}}})
    done = shell.run("snapshot", "db", "monday", "--wait")
    assert done.exit_code == 1
    assert "snapshot monday is not done: no class [NotDone]" in done.stderr
    assert "mooring explain snapshot monday -n default" in done.stderr


def test_a_clone_is_as_large_as_its_source_and_like_it(shell: Shell) -> None:
    shell.answers(CLAIM)
    assert shell.run("clone", "db", "copy").stdout == "copy\n"
    assert shell.asked == [f"GET {PVC}/db", f"POST {PVC}"]
    assert sent(shell)["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "fast",
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": "1536Mi"}},
        "dataSource": {"kind": "PersistentVolumeClaim", "name": "db"},
    }


def test_a_clone_of_a_snapshot_is_like_the_claim_that_it_is_of(shell: Shell) -> None:
    source = {"spec": {"source": {"persistentVolumeClaimName": "db"}}}
    shell.answers({**source, "status": {"restoreSize": "2Gi"}, "items": [CLAIM]})
    done = shell.run("clone", "snapshot/monday", "old", "--size", "5Gi", "--class", "other")
    assert done.exit_code == 0
    assert shell.asked == [f"GET {VS}/monday", f"GET {PVC}", f"POST {PVC}"]
    spec = sent(shell)["spec"]
    assert spec["dataSource"] == {
        "apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot",
        "name": "monday",
    }
    assert spec["resources"] == {"requests": {"storage": "5Gi"}}
    assert (spec["storageClassName"], spec["accessModes"]) == ("other", ["ReadWriteOncePod"])


def test_a_snapshot_is_explained_by_its_name_alone(shell: Shell) -> None:
    shell.answers({"lines": ["snapshot default/monday is Ready"]})
    assert shell.run("explain", "vs", "monday").stdout == "snapshot default/monday is Ready\n"
    assert shell.asked == ["GET /mooring/v1/explain/snapshot/default/monday?delete=0"]
    assert shell.run("explain", "snapshot", "--all").exit_code == 1
