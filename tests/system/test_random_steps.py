"""Random steps of clients, the server killed (-9) at random moments: nothing leaks or is lost.

A seed that failed is tried again by MOORING_WALK_SEED=….
"""

import hashlib
import http.client
import importlib.util
import json
import os
import random
import secrets
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from mooring.drivers.root import MARK, SNAPSHOT
from mooring.host import mounts
from tests.host.privileges import needs_mounts
from tests.system.server import Server, eventually

pytestmark = [
    pytest.mark.system,
    needs_mounts,
    pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="needs the program mkfs.btrfs"),
]
MIB: Final = 1 << 20
KILLED: Final = 0.2  # of the steps
MOST: Final = 5
CLAIMS: Final = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES: Final = "/api/v1/persistentvolumes"
GROUP: Final = "snapshot.storage.k8s.io"
SNAPSHOTS: Final = f"/apis/{GROUP}/v1/namespaces/default/volumesnapshots"
CONTENTS: Final = f"/apis/{GROUP}/v1/volumesnapshotcontents"
CAN_CLONE: Final = importlib.util.find_spec("mooring.node.snapshotting") is not None
CAN_GROW: Final = importlib.util.find_spec("mooring.node.resizing") is not None


class Client:
    """Of a server that may be killed under it, and is started again then."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._connection: http.client.HTTPSConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Asked anew after a death, when nobody knows whether it was done."""
        while True:
            try:
                return self._asked(method, path, body)
            except (OSError, http.client.HTTPException):
                self._connection = None
                assert self.server.process is not None
                assert self.server.process.wait(20) == -signal.SIGKILL, "it died by itself"
                self.server.start()

    def _asked(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self._connection is None:
            users = yaml.safe_load(self.server.kubeconfig.read_text())["users"]
            self._token = f"Bearer {users[0]['user']['token']}"
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1",
                self.server.port,
                timeout=30,
                context=ssl._create_unverified_context(),
            )
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {"Authorization": self._token, "Content-Type": f"application/{kind}"}
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def items(self, path: str) -> dict[str, Any]:
        status, found = self.ask("GET", path)
        assert status == 200, found
        return {one["metadata"]["name"]: one for one in found["items"]}


class Walk:
    """claims, snapshots   the content that each must have, by name"""

    def __init__(self, server: Server, root: Path, seed: str) -> None:
        self.client, self.root, self.seed = Client(server), root, seed
        self.random = random.Random(seed)
        self.claims: dict[str, dict[str, str]] = {}
        self.sizes: dict[str, int] = {}  # MiB, of claims, and of those that snapshots are of
        self.snapshots: dict[str, dict[str, str]] = {}
        self.made = self.kills = 0

    def run(self, steps: int) -> None:
        step, what = 0, ""
        try:
            for step in range(steps):  # noqa: B007
                what = self._step()
                self._settle()
                self._compare()
            while self.claims or self.snapshots:
                self._delete(next(iter([*self.claims, *self.snapshots])))
            self._settle()
            assert os.listdir(self.root) == [MARK]
        except Exception as error:
            raise AssertionError(f"seed {self.seed}, step {step}, {what}: {error!r}") from error

    # Steps

    def _step(self) -> str:
        claim = self.random.choice(list(self.claims)) if self.claims else ""
        snapshot = self.random.choice(list(self.snapshots)) if self.snapshots else ""
        possible = ["create"] if len(self.claims) < MOST else []
        if claim:
            possible += ["write", "write", "delete"] + ["grow"] * CAN_GROW
            if CAN_CLONE:
                possible += ["snapshot"] if len(self.snapshots) < MOST else []
                possible += ["clone"] if len(self.claims) < MOST else []
        if snapshot:
            possible += ["drop"] + ["restore"] * (len(self.claims) < MOST)
        kind = self.random.choice(possible)
        if self.random.random() < KILLED:
            self._kill_soon()
        match kind:
            case "create":
                self._create("", 16, {})
            case "restore":
                size = max(64, self.sizes[snapshot])  # a claim that is too small is refused
                self._create(snapshot, size, self.snapshots[snapshot])
            case "clone":
                self._create(claim, self.sizes[claim], self.claims[claim])
            case "write":
                self._write(claim)
            case "grow":
                self._grow(claim)
            case "snapshot":
                self._snapshot(claim)
            case "delete":
                self._delete(claim)
            case _:
                self._delete(snapshot)
        return f"{kind} {claim} {snapshot}"

    def _kill_soon(self) -> None:
        process = self.client.server.process
        assert process is not None
        threading.Timer(self.random.uniform(0, 0.15), process.kill).start()
        self.kills += 1

    def _name(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}-{self.made}"

    def _create(self, source: str, size: int, content: dict[str, str]) -> None:
        name = self._name("claim")
        spec: dict[str, Any] = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": f"{size}Mi"}},
        }
        if source in self.snapshots:
            spec["dataSource"] = {"apiGroup": GROUP, "kind": "VolumeSnapshot", "name": source}
        elif source:
            spec["dataSource"] = {"kind": "PersistentVolumeClaim", "name": source}
        self._post(CLAIMS, {"metadata": {"name": name}, "spec": spec})
        self.claims[name], self.sizes[name] = dict(content), size

    def _snapshot(self, claim: str) -> None:
        name = self._name("snapshot")
        source = {"persistentVolumeClaimName": claim}
        self._post(SNAPSHOTS, {"metadata": {"name": name}, "spec": {"source": source}})
        self.snapshots[name], self.sizes[name] = dict(self.claims[claim]), self.sizes[claim]

    def _post(self, path: str, doc: Any) -> None:
        status, answer = self.client.ask("POST", path, doc)
        assert status in (201, 409), answer  # 409: it was stored before a death

    def _grow(self, claim: str) -> None:
        self.sizes[claim] += 8
        requests = {"requests": {"storage": f"{self.sizes[claim]}Mi"}}
        body = {"spec": {"resources": requests}}
        status, answer = self.client.ask("PATCH", f"{CLAIMS}/{claim}", body)
        assert status == 200, answer

    def _write(self, claim: str) -> None:
        volume = self.client.items(CLAIMS)[claim]["spec"]["volumeName"]
        content = self.random.randbytes(self.random.randrange(MIB))
        name = f"file-{self.random.randrange(3)}"
        (self.root / volume / "data" / name).write_bytes(content)
        self.claims[claim][name] = hashlib.sha256(content).hexdigest()

    def _delete(self, name: str) -> None:
        path = CLAIMS if name in self.claims else SNAPSHOTS
        status, answer = self.client.ask("DELETE", f"{path}/{name}")
        assert status in (200, 404), answer
        (self.claims if path == CLAIMS else self.snapshots).pop(name)

    # What must be so

    unsettled = ""

    def _settle(self) -> None:
        try:
            eventually(self._is_settled, "all is done")
        except AssertionError as error:
            raise AssertionError(self.unsettled) from error

    def _is_settled(self) -> bool:
        """All that was asked for is done, and there is nothing else."""
        claims, volumes = self.client.items(CLAIMS), self.client.items(VOLUMES)
        ready = {name for name, one in claims.items() if self._is_bound(name, one)}
        bound = {one["spec"].get("volumeName") for one in claims.values()}
        snapshots = self.client.items(SNAPSHOTS)
        contents = self.client.items(CONTENTS)
        cut = {name for name, one in snapshots.items() if one.get("status", {}).get("readyToUse")}
        handles = {one.get("status", {}).get("snapshotHandle") for one in contents.values()}
        there = set(os.listdir(self.root)) - {MARK} if self.root.exists() else set()
        found = [set(claims), ready, set(volumes), set(snapshots), cut, there]
        wanted = [set(self.claims)] * 2 + [bound] + [set(self.snapshots)] * 2
        kept = {one for one in there if one.startswith(SNAPSHOT)}
        self.unsettled = f"{found}, wanted {wanted}, {handles}"
        return (
            found[:-1] == wanted
            and there - kept == set(volumes)
            and len(kept) == len(contents) == len(self.snapshots)
            and not self._intents()
        )

    def _is_bound(self, name: str, claim: Any) -> bool:
        status = claim.get("status", {})
        size = status.get("capacity", {}).get("storage", "0")
        wanted = self.sizes.get(name, 0)
        return status.get("phase") == "Bound" and (
            size.endswith("Gi") or int(size.rstrip("Mi") or 0) >= wanted
        )

    def _intents(self) -> list[str]:
        """Of volumes and snapshots that are being made."""
        state = self.client.server.place / "data"
        kinds = ("provisioning", "snapshotting")
        return [one for kind in kinds for one in os.listdir(state / kind)]

    def _compare(self) -> None:
        found = self.client.items(CLAIMS)
        for claim, content in self.claims.items():
            data = self.root / found[claim]["spec"]["volumeName"] / "data"
            sums = {
                one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in data.iterdir()
            }
            assert sums == content, claim


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    image, target = tmp_path / "image", tmp_path / "disk"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 30)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    yield target
    mounts.unmount(target)


@pytest.fixture
def server(tmp_path: Path, disk: Path) -> Iterator[Server]:
    made = Server(tmp_path).start()
    client = Client(made)
    for path, doc in (
        ("/apis/mooring.dev/v1/pools", _pool(disk / "pool")),
        ("/apis/storage.k8s.io/v1/storageclasses", _class()),
        (f"/apis/{GROUP}/v1/volumesnapshotclasses", _snapshot_class()),
    ):
        status, answer = client.ask("POST", path, doc)
        assert status == 201, answer
    yield made
    assert made.process is not None
    made.process.kill()
    made.process.wait()


def _pool(root: Path) -> Any:
    spec = {"driver": "btrfs.mooring.dev", "node": "here", "root": str(root)}
    return {"metadata": {"name": "fast"}, "spec": spec}


def _class() -> Any:
    return {
        "metadata": {"name": "fast"},
        "provisioner": "btrfs.mooring.dev",
        "parameters": {"pool": "fast"},
        "allowVolumeExpansion": True,
    }


def _snapshot_class() -> Any:
    return {
        "metadata": {
            "name": "fast",
            "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"},
        },
        "driver": "btrfs.mooring.dev",
        "deletionPolicy": "Delete",
    }


@pytest.mark.parametrize("steps", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_steps_of_clients_with_kills_leave_nothing_and_lose_nothing(
    server: Server, disk: Path, steps: int
) -> None:
    usual = "always" if steps < 100 else secrets.token_hex(4)
    seed = os.environ.get("MOORING_WALK_SEED") or usual
    walk = Walk(server, disk / "pool", seed)
    walk.run(steps)
    print(f"seed {seed}: {steps} steps, {walk.kills} kills, {walk.made} names")
