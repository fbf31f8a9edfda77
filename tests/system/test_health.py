"""Pools of each backend on disks of their own, as users see them: kubectl, mooring, Prometheus."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mooring.host import mounts
from tests.conformance.driver_bench import DISK_BYTES, MAKE_DISK
from tests.host.privileges import needs_mounts
from tests.system.server import Server, claim, eventually

pytestmark = [pytest.mark.system, needs_mounts]

MIB = 1 << 20
DISKS = {"btrfs": "btrfs", "loopfile": "xfs", "directory": "ext4"}
POOL = """
apiVersion: mooring.dev/v1
kind: Pool
metadata: {{name: {name}}}
spec:
  driver: {name}.mooring.dev
  node: here
  root: {root}
  overcommit: 1
  thresholds: {{warn: 40, critical: 90}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {name}}}
provisioner: {name}.mooring.dev
parameters: {{pool: {name}}}
---
"""


class Monitored(Server):
    """With a pool of each backend, each on a disk of 4 GiB."""

    def __init__(self, place: Path, disks: dict[str, Path]) -> None:
        super().__init__(place)
        self.disks = disks

    def root(self, name: str) -> Path:
        """Of a pool."""
        return self.disks[name] / "pool"

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

    def top(self, what: str, key: str) -> dict[str, Any]:
        rows = json.loads(self.says("top", what, "-o", "json"))["items"]
        return {row[key]: row for row in rows}

    def filled(self, name: str, mib: int) -> str:
        """Its volume, of 1Gi, once so much is in it."""
        self.apply(claim(f"of-{name}", "1Gi", name))
        eventually(lambda: self.phase("pvc", f"of-{name}") == "Bound", f"of-{name} is Bound")
        path = Path(self.says("mount", f"of-{name}").strip())
        (path / "file").write_bytes(os.urandom(MIB) * mib)
        os.sync()
        for command in ("umount", "mount"):  # then it is looked at, and not a minute later
            self.says(command, f"of-{name}")
        found: str = self.get("pvc", f"of-{name}")["spec"]["volumeName"]
        return found

    def look_at(self, name: str, capacity: str) -> None:
        """Have its place looked at now: its spec is another."""
        change = json.dumps({"spec": {"capacity": capacity}})
        self.kubectl("patch", "pool", name, "--type=merge", "-p", change)

    def ready(self, name: str) -> tuple[str, str]:
        conditions = self.get("pool", name).get("status", {}).get("conditions", [])
        found = [(one["status"], one["reason"]) for one in conditions if one["type"] == "Ready"]
        return found[0] if found else ("", "")

    def told(self, name: str) -> set[str]:
        about = f"involvedObject.kind=Pool,involvedObject.name={name}"
        events = self.get("events", "--field-selector", about)["items"]
        return {one["reason"] for one in events}

    def metrics(self) -> str:
        return self.kubectl("get", "--raw", "/metrics")

    def samples(self, name: str, label: str) -> dict[str, float]:
        return {
            one.labels[label]: one.value
            for family in text_string_to_metric_families(self.metrics())
            for one in family.samples
            if one.name == name
        }


@contextmanager
def a_disk(kind: str, place: Path) -> Iterator[Path]:
    """Of a file, mounted; nothing of it is at the end."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if not shutil.which(MAKE_DISK[kind][0], path=path):
        pytest.skip(f"needs {MAKE_DISK[kind][0]}")
    image, target = place / "image", place / "disk"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    make = [*MAKE_DISK[kind], image]
    subprocess.run(make, check=True, capture_output=True, env={**os.environ, "PATH": path})
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        yield target
    finally:
        for point in reversed(mounts.mounts_below(str(place))):
            mounts.unmount(Path(point))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    with ExitStack() as stack:
        disks = {
            name: stack.enter_context(a_disk(kind, tmp_path_factory.mktemp(name)))
            for name, kind in DISKS.items()
        }
        made = Monitored(tmp_path_factory.mktemp("health"), disks)
        made.start()
        try:
            for name in disks:
                made.apply(POOL.format(name=name, root=made.root(name)))
            for name in disks:
                made.filled(name, 100)
            yield made
        finally:
            for name in disks:
                made.mooring("umount", f"of-{name}")
            made.stop()


each = pytest.mark.parametrize("name", DISKS)


@each
def test_a_pool_shows_that_it_is_ready_and_what_its_place_has(server: Monitored, name: str) -> None:
    eventually(lambda: server.ready(name) == ("True", "PoolReady"), f"{name} is ready")
    head, row = server.kubectl("get", "pools", name).splitlines()
    shown = dict(zip(head.replace("USED %", "USED").split(), row.split(), strict=True))
    assert (shown["READY"], shown["VOLUMES"]) == ("True", "1")
    assert shown["USED"].endswith("%")
    status = server.get("pool", name)["status"]
    assert status["capacity"]["total"]
    assert ("inodes" in status) == (name != "btrfs")
    assert 0.2 < float(status["overcommitRatio"]) < 0.4


@each
def test_a_claim_made_together_with_its_pool_waits_for_the_first_look(
    server: Monitored, name: str
) -> None:
    about = f"involvedObject.name=of-{name},type=Warning"
    assert server.get("events", "--field-selector", about)["items"] == []


@each
def test_top_says_how_full_a_claim_is(server: Monitored, name: str) -> None:
    def is_seen() -> bool:
        used = server.top("claims", "claim")[f"default/of-{name}"]["usedBytes"]
        return used is not None and 100 * MIB <= used < 200 * MIB

    eventually(is_seen, "100 MiB are seen")
    row = server.top("claims", "claim")[f"default/of-{name}"]
    assert 9 < row["usedPercent"] < 20
    assert row["path"].endswith("/fs")
    assert (row["inodesUsed"] is None) == (name == "btrfs")
    assert row["takenAt"]


def test_top_is_a_table_with_the_fullest_first(server: Monitored) -> None:
    for what, columns in (("claims", "CLAIM"), ("volumes", "VOLUME"), ("pools", "POOL")):
        lines = server.says("top", what).splitlines()
        assert lines[0].startswith(columns)
        assert len(lines) >= 4
    rows = yaml.safe_load(server.says("top", "pools", "-o", "yaml"))["items"]
    shares = [row["usedPercent"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert "and 2 more" in server.says("top", "--limit", "1")


@each
def test_prometheus_gets_the_same_numbers(server: Monitored, name: str) -> None:
    used = "kubelet_volume_stats_used_bytes"
    eventually(
        lambda: server.samples(used, "persistentvolumeclaim").get(f"of-{name}", 0) >= 100 * MIB,
        "100 MiB are seen",
    )
    assert server.samples("mooring_pool_ready", "pool")[name] == 1
    assert server.samples("mooring_pool_allocated_bytes", "pool")[name] == 1 << 30
    claims = server.samples("kube_persistentvolumeclaim_info", "persistentvolumeclaim")
    assert f"of-{name}" in claims


def test_work_is_counted(server: Monitored) -> None:
    count = "storage_operation_duration_seconds_count"
    assert {"volume_provision", "volume_mount"} <= server.samples(count, "operation_name").keys()
    assert server.samples("workqueue_adds_total", "name")["provision"] > 0


def test_metrics_need_a_token(server: Monitored) -> None:
    url = f"https://127.0.0.1:{server.port}/metrics"
    done = subprocess.run(
        ["curl", "-ks", "-o", "/dev/null", "-w", "%{http_code}", url],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "401"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
def test_promtool_finds_nothing_to_blame(server: Monitored) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=server.metrics(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@each
def test_data_that_nobody_owns_is_shown_and_deleted_by_name_alone(
    server: Monitored, name: str
) -> None:
    kept = f"kept-{name}"
    server.apply(claim(kept, "300Mi", name))
    eventually(lambda: server.phase("pvc", kept) == "Bound", f"{kept} is Bound")
    volume = server.get("pvc", kept)["spec"]["volumeName"]
    policy = '{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}'
    server.kubectl("patch", "pv", volume, "-p", policy)
    assert server.mooring("pool", "orphans", name, "--delete", volume, "--yes").returncode == 1
    server.kubectl("delete", "pvc", kept)
    server.kubectl("delete", "pv", volume)
    eventually(lambda: volume in server.says("pool", "orphans", name), "it is listed")
    eventually(
        lambda: server.get("pool", name)["status"].get("orphans", {}).get("count") == 1,
        "its pool says so",
    )
    assert (server.root(name) / volume).exists()
    assert "is deleted" in server.says("pool", "orphans", name, "--delete", volume, "--yes")
    assert not (server.root(name) / volume).exists()
    assert "no orphans" in server.says("pool", "orphans", name)
    eventually(
        lambda: not server.get("pool", name)["status"].get("orphans", {}).get("count"),
        "its pool says so",
    )


@each
def test_a_disk_that_fills_is_told_of(server: Monitored, name: str) -> None:
    disk = server.disks[name]
    found = os.statvfs(disk)
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize // 2)
    os.sync()
    server.look_at(name, "99Gi")
    eventually(lambda: "PoolFilling" in server.told(name), "it is told")
    (disk / "ballast").unlink()
    os.sync()
    server.look_at(name, "98Gi")
    eventually(lambda: "PoolRecovered" in server.told(name), "it is told")


def test_a_place_that_is_away_is_told_of_and_found_again(server: Monitored) -> None:
    root = server.root("directory")
    root.rename(away := root.with_name("away"))
    server.look_at("directory", "97Gi")
    eventually(lambda: server.ready("directory") == ("False", "PoolMissing"), "it is missing")
    assert server.samples("mooring_pool_ready", "pool")["directory"] == 0
    assert "is not ready" in server.says("top", "pools")
    assert server.ready("btrfs") == ("True", "PoolReady")
    away.rename(root)
    eventually(lambda: server.ready("directory") == ("True", "PoolReady"), "it is back")
    both = {"PoolMissing", "PoolRecovered"}
    eventually(lambda: both <= server.told("directory"), "both are told")
