"""Claims that grow, on real backends, with a whole Mooring that is killed at each step of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import mooring.daemon  # noqa: F401  brings in all that declares points
from mooring.crashpoints import POINTS
from tests.host.privileges import needs_mounts
from tests.system.server import Server, eventually

pytestmark = [pytest.mark.system, needs_mounts]

MIB: Final = 1 << 20
POOL_POINTS: Final = sorted(one for one in POINTS if one.startswith("resize."))
PVC: Final = "persistentvolumeclaim"


def a_pool(name: str, driver: str, root: Path, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mooring.dev/v1",
        "kind": "Pool",
        "metadata": {"name": name},
        "spec": {"driver": driver, "node": "here", "root": str(root), **spec},
    }


def a_class(name: str, driver: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": driver,
        "parameters": {"pool": name},
        "allowVolumeExpansion": True,
    }


def a_claim(class_: str, size: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class_,
            "resources": {"requests": {"storage": size}},
        },
    }


class Growing(Server):
    """A server with a claim `data` in a pool of images, of ext4 unless said otherwise."""

    def prepare(self, size: str = "64Mi", **options: Any) -> None:
        driver = "loopfile.mooring.dev"
        spec = {"loopfile": {"fsType": "ext4", **options}}
        pool = a_pool("images", driver, self.place / "images", **spec)
        self.objects(pool, a_class("images", driver), a_claim("images", size))
        eventually(lambda: self.phase("pvc", "data") == "Bound", "it is Bound")

    def objects(self, *docs: dict[str, Any]) -> None:
        self.apply(yaml.safe_dump_all(docs))

    def ask(self, size: str) -> None:
        patch = {"spec": {"resources": {"requests": {"storage": size}}}}
        self.kubectl("patch", "pvc", "data", "-p", json.dumps(patch))

    def ask_mortal(self, size: str) -> None:
        """Of a server that may die of it, before or after it has answered."""
        patch = {"spec": {"resources": {"requests": {"storage": size}}}}
        self.run("patch", "pvc", "data", "-p", json.dumps(patch))

    def is_dead(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def _status(self) -> dict[str, Any]:
        """Of the claim; nothing if nobody answers."""
        done = self.run("get", "pvc", "data", "-o", "json")
        return json.loads(done.stdout)["status"] if done.returncode == 0 else {}

    def is_grown(self, size: str) -> bool:
        status = self._status()
        return status.get("capacity") == {"storage": size} and not self.volume_notes()

    def waits(self) -> bool:
        found = self._status().get("conditions", [])
        return any(one["type"] == "FileSystemResizePending" for one in found)

    def volume_notes(self) -> set[str]:
        done = self.run("get", "pv", "-o", "json")
        found = json.loads(done.stdout)["items"] if done.returncode == 0 else []
        return {note for one in found for note in _left(one)}

    def mooring(self, *arguments: str) -> str:
        done = self.command(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mooring.cli.main", *arguments]
        command += ["--kubeconfig", str(self.kubeconfig)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def claim(self) -> Any:
        return self.get("pvc", "data")

    def volume(self) -> Any:
        return self.get("pv", self.claim()["spec"]["volumeName"])

    def has(self) -> str:
        found: str = self.claim()["status"]["capacity"]["storage"]
        return found

    def account(self, pool: str = "images") -> str:
        found: str = self.get("pools.mooring.dev", pool)["status"]["allocated"]
        return found

    def conditions(self) -> dict[str, str]:
        found = self.claim()["status"].get("conditions", [])
        return {one["type"]: one["status"] for one in found}

    def reasons(self) -> set[str]:
        return {one["reason"] for one in self.get("events")["items"]}

    def mounted(self) -> Path:
        return Path(self.mooring("mount", "data").split()[-1])

    def grown_to(self, size: str) -> None:
        """All there is says so, and nothing of the growth is left."""
        eventually(lambda: self.has() == size, f"it has {size}")
        eventually(lambda: not _left(self.volume()), "no note is left on the volume")
        claim, volume = self.claim(), self.volume()
        assert volume["spec"]["capacity"]["storage"] == size
        assert claim["status"].get("allocatedResourceStatuses", {}) == {}
        assert not {"Resizing", "FileSystemResizePending"} & set(self.conditions())
        assert self.account() == size


def _left(volume: Any) -> set[str]:
    notes = {"mooring.dev/grows-to", "volume.alpha.kubernetes.io/pre-resize-capacity"}
    return notes & set(volume["metadata"].get("annotations", {}))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Growing]:
    made = Growing(tmp_path)
    made.start()
    yield made
    assert made.process is not None
    if made.process.poll() is None:
        made.run("delete", "pvc", "data")
        made.stop()


def size_of(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize


def test_an_ext4_that_nobody_uses_grows_at_once(server: Growing) -> None:
    server.prepare()
    server.ask("128Mi")
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")


def test_an_ext4_that_is_used_grows_when_it_is_unmounted(server: Growing) -> None:
    server.prepare()
    path = server.mounted()
    before = size_of(path)
    server.ask("128Mi")
    eventually(
        lambda: "FileSystemResizePending" in server.conditions() or server.has() == "128Mi",
        "it waits, or has grown where the kernel lets it",
    )
    if server.has() != "128Mi":
        claim, volume = server.claim(), server.volume()
        assert claim["status"]["allocatedResourceStatuses"] == {"storage": "NodeResizePending"}
        assert server.conditions() == {"FileSystemResizePending": "True"}
        notes = volume["metadata"]["annotations"]
        assert notes["volume.alpha.kubernetes.io/pre-resize-capacity"] == "64Mi"
        assert (server.has(), volume["spec"]["capacity"]["storage"]) == ("64Mi", "128Mi")
        assert size_of(path) == before
        assert "FileSystemResizeRequired" in server.reasons()
    server.mooring("umount", "data")
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")


def _died(server: Growing, point: str, size: str, *, used: bool = False) -> bool:
    """Grow with a death at the point. False if it was never passed.

    used  mounted, so that the file system is left to be grown where it is unmounted
    """
    if used:
        server.mounted()
    server.stop()
    server.start(MOORING_CRASH_AT=point)
    eventually(server.is_ready, "it serves")
    server.ask_mortal(size)
    if used:
        eventually(lambda: server.is_dead() or server.waits() or server.is_grown(size), "it waits")
        server.command("umount", "data")
    eventually(lambda: server.is_dead() or server.is_grown(size), "it died, or all was done")
    if not server.is_dead():
        return False
    assert server.process is not None
    assert server.process.wait(10) == -signal.SIGKILL
    server.start()
    if used:
        server.command("umount", "data")
    return True


@pytest.mark.parametrize("point", [one for one in POOL_POINTS if one != "resize.given-back"])
def test_killed_at_any_step_the_next_start_goes_on(server: Growing, point: str) -> None:
    server.prepare()
    passed = _died(server, point, "128Mi", used=point.startswith("resize.node-"))
    server.grown_to("128Mi")
    assert size_of(server.mounted()) > 110 * MIB
    server.mooring("umount", "data")
    if not passed:
        pytest.skip("this kernel grows an ext4 that is mounted, so there is no step at the node")
