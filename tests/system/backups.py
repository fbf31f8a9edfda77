"""A server with a pool on a real file system, and repositories of real restic."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mooring.api.certificates import Authority
from mooring.host import copies, mounts
from tests.conformance.driver_bench import MAKE_DISK
from tests.system.server import Server, free_port
from tests.system.server import eventually as eventually_within

PASSWORD: Final = "correct horse"
POOLS: Final = {"directory": "", "btrfs": "btrfs", "loopfile": "xfs"}  # driver → disk it needs
PATIENCE_S: Final = 180.0  # of programs that run niced, on a machine that others use
DISK_BYTES: Final = 8 << 30  # sparse
MIB: Final = 1 << 20


def eventually(look: Callable[[], bool], what: str) -> None:
    """Wait for a condition, and long."""
    eventually_within(look, what, PATIENCE_S)


@contextmanager
def disk(kind: str, place: Path) -> Iterator[Path]:
    """A file system of this kind on a loop device; "" for a plain directory."""
    root = place / "disk"
    root.mkdir()
    if not kind:
        yield root
        return
    image = place / "image"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run([*MAKE_DISK[kind], str(image)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=True)
    try:
        yield root
    finally:
        for point in reversed(mounts.mounts_below(str(place))):
            mounts.unmount(Path(point))


@contextmanager
def small_disk(point: Path, size: str) -> Iterator[Path]:
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True)


@contextmanager
def s3_store(place: Path, authority: Authority | None = None) -> Iterator[str]:
    """The URL of a store that speaks S3, with a certificate of an authority if there is one."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    scheme = "http"
    if authority is not None:
        authority.ensure(["127.0.0.1"])
        command += ["-c", str(authority.certificate), "-k", str(authority.key)]
        scheme = "https"
    with (place / "moto.log").open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    url = f"{scheme}://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            trusting = ssl._create_unverified_context()
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5, context=trusting).close()
        except OSError:
            return False
        return True

    try:
        eventually(answers, "moto answers")
        yield url
    finally:
        process.terminate()
        process.wait(10)


class Backed:
    """A server, its pool, and what is kept of its volumes."""

    def __init__(self, place: Path, driver: str, root: Path) -> None:
        self.place, self.driver, self.root = place, driver, root
        self.server = Server(place, options=("--backup-dir", str(place)))
        self.repository = str(place / "repository")
        self.environment: dict[str, str] = {}
        self.trusting: list[str] = []  # options of restic

    def start(self, point: str = "") -> None:
        """The first time with all it needs; killed at a point if one is given."""
        is_new = self.server.process is None
        self.server.start(**({"MOORING_CRASH_AT": point} if point else {}))
        eventually(self.server.is_ready, f"ready; {self.log()}")
        if is_new:
            self.server.apply(self._objects())

    def _objects(self) -> str:
        spec = f"{{driver: {self.driver}.mooring.dev, node: here, root: {self.root}/pool}}"
        return (
            f"apiVersion: mooring.dev/v1\nkind: Pool\nmetadata: {{name: p}}\nspec: {spec}\n---\n"
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: p}\n"
            f"provisioner: {self.driver}.mooring.dev\nparameters: {{pool: p}}\n---\n"
            "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\n"
            f"stringData: {{password: {PASSWORD}}}\n---\n"
        )

    def log(self) -> str:
        return (self.place / "log").read_text()[-3000:]

    def put_repository(self, url: str = "", secret: str = "key", store: str = "") -> None:
        """store  the Secret with the keys of an S3 store"""
        if url:
            self.repository = url
        extra = f", credentialsSecret: {{name: {store}}}" if store else ""
        self.server.apply(
            "apiVersion: mooring.dev/v1\nkind: BackupRepository\nmetadata: {name: r}\n"
            f'spec: {{url: "{self.repository}", passwordSecret: {{name: {secret}}}{extra}}}\n---\n'
        )

    def repository_ready(self) -> str:
        conditions = self.server.get("backuprepository", "r").get("status", {}).get("conditions")
        return conditions[0]["status"] if conditions else ""

    def claim(self, name: str, size: str = "300Mi", source: str = "") -> None:
        ref = f"\n  dataSourceRef: {{apiGroup: mooring.dev, kind: VolumeBackup, name: {source}}}"
        self.server.run(
            *("apply", "--validate=false", "-f", "-"),
            stdin="apiVersion: v1\nkind: PersistentVolumeClaim\n"
            f"metadata: {{name: {name}}}\nspec:\n  storageClassName: p\n"
            f"  accessModes: [ReadWriteOnce]\n  resources: {{requests: {{storage: {size}}}}}"
            f"{ref if source else ''}\n",
        )

    def bound(self, name: str) -> None:
        eventually(lambda: self.server.phase("pvc", name) == "Bound", f"bound; {self.log()}")

    def mounted(self, name: str) -> Path:
        return Path(self.mooring("mount", name).strip())

    def let_go(self, name: str) -> None:
        self.mooring("umount", name)

    def mooring(self, *arguments: str) -> str:
        done = self.run_mooring(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_mooring(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mooring.cli.main", *arguments]
        return subprocess.run(
            [*command, "--kubeconfig", str(self.server.kubeconfig)],
            capture_output=True,
            text=True,
            timeout=120,
        )

    def back_up(self, name: str, claim: str = "db", **spec: Any) -> None:
        wanted = {"source": {"persistentVolumeClaimName": claim}, "repository": "r", **spec}
        doc = {
            "apiVersion": "mooring.dev/v1",
            "kind": "VolumeBackup",
            "metadata": {"name": name},
            "spec": wanted,
        }
        self.server.run("apply", "--validate=false", "-f", "-", stdin=json.dumps(doc))

    def status(self, name: str) -> Any:
        return self.server.get("volumebackup", name).get("status", {})

    def completed(self, name: str) -> Any:
        def ended() -> bool:
            return self.status(name).get("phase") in ("Completed", "Failed")

        eventually(ended, f"backup {name} has ended; {self.log()}")
        status = self.status(name)
        assert status["phase"] == "Completed", status
        return status

    def restic(self, *arguments: str) -> str:
        """As a person would use it."""
        environment = {
            **os.environ,
            **self.environment,
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_REPOSITORY": self.repository,
        }
        command = ["restic", "--no-cache", *self.trusting, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def snapshots(self) -> list[Any]:
        found: list[Any] = json.loads(self.restic("snapshots", "--json", "--no-lock")) or []
        return found

    def assets(self) -> list[str]:
        """All that is in the pool, half-made things as well."""
        return sorted(
            one.name for one in (self.root / "pool").iterdir() if not one.name.startswith(".moor")
        )


def hostile_tree(top: Path) -> None:
    """Files of all kinds, with all that belongs to them."""
    (top / "d/e").mkdir(parents=True)
    (top / "d/plain").write_text("hello")
    (top / "d/random").write_bytes(os.urandom(3 * MIB))
    os.link(top / "d/random", top / "d/e/linked")
    os.symlink("/etc/passwd", top / "out")
    os.symlink("d/plain", top / "in")
    os.mkfifo(top / "pipe", 0o640)
    (top / "d/owned").write_text("of somebody")
    os.chown(top / "d/owned", 12345, 54321)
    os.chmod(top / "d/owned", 0o4750)
    os.setxattr(top / "d/owned", "user.colour", b"\x00\xffred")
    os.symlink("x", top / "owned-link")
    os.lchown(top / "owned-link", 77, 78)
    with (top / "sparse").open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(32 * MIB)
        file.write(b"in the middle")
    (top / "new\nline").write_text("odd")
    Path(os.fsdecode(os.fsencode(top) + b"/not-utf8-\xff")).write_text("odd")
    (top / "-rf").write_text("odd")
    (top / "empty").mkdir(mode=0o711)
    os.utime(top / "d/plain", ns=(10**18 + 1, 10**18 + 123456789))
    os.utime(top / "d", ns=(10**18, 10**18 + 987654321))
    os.chown(top, 999, 998)
    os.chmod(top, 0o2770)


def differs(original: Path, copy: Path) -> list[str]:
    found = asyncio.run(copies.compared(original, copy, lambda _: None))
    return found.differs.named


def kept_copy(original: Path, place: Path) -> Path:
    """What it is now, to be compared with later."""
    subprocess.run(["cp", "-a", str(original), str(place)], check=True)
    return place


HAS_RESTIC: Final = shutil.which("restic") is not None
