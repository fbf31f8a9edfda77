"""A whole Mooring with a claim `data` of a real backend, as tests of its growth need it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tests.system.server import Server, eventually

MIB: Final = 1 << 20


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


def a_claim(class_: str, size: str, vac: str = "") -> dict[str, Any]:
    more = {"volumeAttributesClassName": vac} if vac else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class_,
            "resources": {"requests": {"storage": size}},
            **more,
        },
    }


class Growing(Server):
    """A server with a claim `data` in a pool of images, of ext4 unless said otherwise."""

    def prepare(
        self, size: str = "64Mi", *, vac: str = "", root: Path | None = None, **options: Any
    ) -> None:
        driver = "loopfile.mooring.dev"
        spec = {"loopfile": {"fsType": "ext4", **options}}
        pool = a_pool("images", driver, root or self.place / "images", **spec)
        self.objects(pool, a_class("images", driver), a_claim("images", size, vac))
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

    def end(self) -> None:
        """Nothing of it is left mounted."""
        if not self.is_dead():
            self.run("delete", "pvc", "data", "--wait=true", "--timeout=20s")
            eventually(lambda: not self.get("pv")["items"], "its volume is gone")
            self.stop()

    def status(self) -> dict[str, Any]:
        """Of the claim; nothing if nobody answers."""
        done = self.run("get", "pvc", "data", "-o", "json")
        return json.loads(done.stdout)["status"] if done.returncode == 0 else {}

    def is_grown(self, size: str) -> bool:
        status = self.status()
        return status.get("capacity") == {"storage": size} and not self.volume_notes()

    def waits(self) -> bool:
        found = self.status().get("conditions", [])
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

    def grown_to(self, size: str, pool: str = "images") -> None:
        """All there is says so, and nothing of the growth is left."""
        eventually(lambda: self.has() == size, f"it has {size}")
        eventually(lambda: not _left(self.volume()), "no note is left on the volume")
        claim, volume = self.claim(), self.volume()
        assert volume["spec"]["capacity"]["storage"] == size
        assert claim["status"].get("allocatedResourceStatuses", {}) == {}
        assert not {"Resizing", "FileSystemResizePending"} & set(self.conditions())
        assert self.account(pool) == size


def _left(volume: Any) -> set[str]:
    notes = {"mooring.dev/grows-to", "volume.alpha.kubernetes.io/pre-resize-capacity"}
    return notes & set(volume["metadata"].get("annotations", {}))


@contextmanager
def disk(directory: Path, kind: str, size_bytes: int) -> Iterator[Path]:
    """A file system of its own, mounted meanwhile."""
    image, point = directory / f"{kind}.img", directory / kind
    with image.open("wb") as file:
        file.truncate(size_bytes)
    point.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


def size_of(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize
