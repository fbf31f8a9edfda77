"""A Mooring with a pool that can have snapshots, on a disk of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from mooring.host import mounts
from tests.system.server import Server, eventually

Doc = dict[str, Any]
MIB: Final = 1 << 20
SNAPSHOTS: Final = "snapshot.storage.k8s.io/v1"


class Backing(NamedTuple):
    """A driver on a disk. make: what makes the disk's file system. options: of the pool."""

    driver: str
    make: tuple[str, ...]
    options: Doc
    smallest: str = "32Mi"


BACKINGS: Final = {
    "btrfs": Backing("btrfs.mooring.dev", ("mkfs.btrfs", "-q"), {}),
    "loopfile-ext4": Backing(
        "loopfile.mooring.dev", ("mkfs.xfs", "-q"), {"loopfile": {"fsType": "ext4"}}
    ),
    "loopfile-xfs": Backing(
        "loopfile.mooring.dev", ("mkfs.xfs", "-q"), {"loopfile": {"fsType": "xfs"}}, "300Mi"
    ),
}


def snapshot(name: str, claim: str = "", content: str = "", class_: str | None = None) -> Doc:
    source = {"persistentVolumeClaimName": claim} if claim else {}
    if content:
        source = {"volumeSnapshotContentName": content}
    spec: Doc = {"source": source}
    if class_ is not None:
        spec["volumeSnapshotClassName"] = class_
    kind = {"apiVersion": SNAPSHOTS, "kind": "VolumeSnapshot"}
    return {**kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def filled(name: str, source: str, size: str, class_: str = "fast", **spec: Any) -> Doc:
    """A claim from "snapshot:NAME" or "volume:NAME"; from nothing if that is ""."""
    kind, _, of = source.partition(":")
    fields: Doc = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": class_,
        "resources": {"requests": {"storage": size}},
        **spec,
    }
    if kind == "snapshot":
        group = SNAPSHOTS.partition("/")[0]
        fields["dataSource"] = {"apiGroup": group, "kind": "VolumeSnapshot", "name": of}
    elif kind == "volume":
        fields["dataSource"] = {"kind": "PersistentVolumeClaim", "name": of}
    metadata = {"name": name, "namespace": "default"}
    head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    return {**head, "metadata": metadata, "spec": fields}


class Snapshotted:
    """The server, and its pool `fast` with a class and a default snapshot class of that name."""

    def __init__(self, server: Server, backing: Backing, disk: Path) -> None:
        self.server, self.backing, self.disk = server, backing, disk
        self.root = disk / "pool"
        self.size = backing.smallest

    def prepare(self) -> None:
        """Pools and classes; repeatable."""
        driver = self.backing.driver
        self.pool("fast", self.root)
        self.apply(self.snapshot_class("fast", default=True))
        self.apply(self.snapshot_class("kept", policy="Retain"))
        self.apply(self.storage_class("fast", driver))

    def pool(self, name: str, root: Path) -> None:
        spec = {"driver": self.backing.driver, "node": "here", "root": str(root)}
        spec |= self.backing.options
        head = {"apiVersion": "mooring.dev/v1", "kind": "Pool"}
        self.apply({**head, "metadata": {"name": name}, "spec": spec})

    def storage_class(self, name: str, driver: str, pool: str = "fast") -> Doc:
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": driver,
            "parameters": {"pool": pool},
        }

    def snapshot_class(self, name: str, *, policy: str = "Delete", default: bool = False) -> Doc:
        key = "snapshot.storage.kubernetes.io/is-default-class"
        return {
            "apiVersion": SNAPSHOTS,
            "kind": "VolumeSnapshotClass",
            "metadata": {"name": name, "annotations": {key: "true"} if default else {}},
            "driver": self.backing.driver,
            "deletionPolicy": policy,
        }

    def apply(self, *docs: Doc) -> None:
        for doc in docs:
            self.server.apply(json.dumps(doc))

    def find(self, *which: str) -> Doc | None:
        done = self.server.run("get", *which, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def has(self, *which: str) -> bool:
        return self.find(*which) is not None

    def bound(self, claim: str) -> Doc:
        eventually(lambda: self.server.phase("pvc", claim) == "Bound", f"{claim} is Bound")
        found: Doc = self.server.get("pvc", claim)
        return found

    def ready(self, name: str) -> Doc:
        def is_ready() -> bool:
            status = (self.find("volumesnapshot", name) or {}).get("status") or {}
            return status.get("readyToUse") is True

        eventually(is_ready, f"snapshot {name} is ready: {self.find('volumesnapshot', name)}")
        found: Doc = self.server.get("volumesnapshot", name)
        return found

    def content(self, name: str) -> Doc:
        """Of a snapshot that is bound."""
        bound = self.server.get("volumesnapshot", name)["status"]["boundVolumeSnapshotContentName"]
        found: Doc = self.server.get("volumesnapshotcontent", bound)
        return found

    def reasons(self, *about: str) -> set[str]:
        """Of the events about objects of these names."""
        events = self.server.get("events")["items"]
        return {one["reason"] for one in events if one["involvedObject"]["name"] in about}

    @contextmanager
    def mounted(self, claim: str) -> Iterator[Path]:
        """Where it is at hand on this host."""
        done = self.mooring("mount", claim)
        try:
            yield Path(done.split()[-1])
        finally:
            self.mooring("umount", claim)

    def write(self, claim: str, text: str) -> None:
        with self.mounted(claim) as path:
            (path / "file").write_text(text)

    def read(self, claim: str) -> str:
        with self.mounted(claim) as path:
            return (path / "file").read_text()

    def mooring(self, *arguments: str) -> str:
        done = self.try_mooring(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_mooring(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mooring.cli.main", *arguments],
            env={**os.environ, "KUBECONFIG": str(self.server.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def on_disk(self) -> set[str]:
        """What the pool's root has of assets and snapshots, half made ones too."""
        return {one.name for one in self.root.iterdir() if one.name != ".mooring-pool"}

    def intents(self) -> list[str]:
        found = (self.server.place / "data" / kind for kind in ("provisioning", "snapshotting"))
        return [one.name for place in found if place.exists() for one in place.iterdir()]


@contextmanager
def snapshotted(place: Path, kind: str) -> Iterator[Snapshotted]:
    """A disk, and a server that is not started yet."""
    server = Server(place)
    with a_disk(place, kind) as disk:
        try:
            yield Snapshotted(server, BACKINGS[kind], disk)
        finally:
            if server.process is not None:
                server.process.kill()
                server.process.wait()


@contextmanager
def a_disk(place: Path, kind: str) -> Iterator[Path]:
    """Made for a backing, and mounted; at the end nothing below `place` is. Skips the test where
    that cannot be."""
    backing = BACKINGS[kind]
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if os.geteuid() or not shutil.which(backing.make[0], path=path):
        pytest.skip(f"needs root, and the program {backing.make[0]}")
    disk, image = place / "disk", place / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(4 << 30)
    search = {**os.environ, "PATH": path}
    subprocess.run([*backing.make, image], check=True, capture_output=True, env=search)
    done = subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this host does not mount it: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        for point in reversed(mounts.mounts_below(str(place))):
            mounts.unmount(Path(point))
