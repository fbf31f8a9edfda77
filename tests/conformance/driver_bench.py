"""What the checks of every backend stand on: a root of its own, with hands to do it harm."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from mooring.drivers.interface import Driver, Place, asset_name
from mooring.host import files, mounts

MIB: Final = 1 << 20
NAME = asset_name("pvc-0a1b2c3d-0000-4000-8000-000000000001")
OTHER = asset_name("pvc-0a1b2c3d-0000-4000-8000-000000000002")
SNAPSHOT = asset_name("snapshot-0a1b2c3d-0000-4000-8000-000000000003")
SIZE_BYTES: Final = 300 * MIB  # above every backend's smallest
ESCAPES = ["", ".", "..", "../x", "/etc", "a/b", "a\0b", ".hidden", "-rf", "A", "a\n", "x" * 300]
UNTIL_DEAD_S: Final = 60
CHILD: Final = "tests.conformance.driver_child"
SIMPLE_QUOTAS_SINCE: Final = (6, 7)
DISK_BYTES: Final = 4 << 30  # sparse
NFS: Final = "nfs"
# Where what an NFS server of this host has as its root is; it exports what is mounted below, too.
NFS_ROOT: Final = os.environ.get("MOORING_TEST_NFS_ROOT", "")
MAKE_DISK: Final[Mapping[str, list[str]]] = {
    "xfs": ["mkfs.xfs", "-q"],
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@dataclass(frozen=True)
class Backend:
    """One line of test_drivers.py.

    name     by which driver_child.py makes it in a process of its own
    make     the same here
    points   what its crash points begin with
    disk     the file system that its root has to be on, one of MAKE_DISK; "" for any
    options  of the pool
    since    the first kernel that can do it
    """

    name: str
    make: Callable[[Place], Driver]
    points: tuple[str, ...]
    disk: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    since: tuple[int, ...] = ()


class Bench:
    """A backend on a root of its own."""

    def __init__(self, backend: Backend, directory: Path) -> None:
        self.backend = backend
        self.directory = directory
        self.disk = directory / "disk"
        self.disk.mkdir()
        self.root = self.disk / "pool"
        self.outside = directory / "outside"
        self.outside.mkdir()
        (self.outside / "precious").write_text("kept")
        self._drivers: list[Driver] = []

    def place(self, uid: str = "uid-of-pool", root: Path | None = None) -> Place:
        return Place("bench", uid, root or self.root, self.backend.options)

    def driver(self, uid: str = "uid-of-pool") -> Driver:
        """As a process that has just begun would have it."""
        made = self.backend.make(self.place(uid))
        self._drivers.append(made)
        return made

    async def stopped(self) -> None:
        """The place is free for other processes."""
        for driver in self._drivers:
            await driver.stop()

    async def started(self) -> Driver:
        driver = self.driver()
        await driver.start(new=True)
        return driver

    async def restarted(self) -> Driver:
        driver = self.driver()
        await driver.start(new=False)
        return driver

    async def killed_at(self, point: str, *call: str) -> bool:
        """Make a call in a process that dies at a point; whether it did."""
        await self.stopped()
        child = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", CHILD, self.backend.name, str(self.root), *call],
            env={**os.environ, "MOORING_CRASH_AT": point},
            timeout=UNTIL_DEAD_S,
            capture_output=True,
            check=False,
        )
        return child.returncode == -signal.SIGKILL

    @contextmanager
    def served_elsewhere(self, *within: str, expect: str = "") -> Iterator[subprocess.Popen[str]]:
        """Another process that has the pool; it ends, or is killed, at the end.

        within  a command to run it in, such as in mounts of its own
        expect  it is refused, and says this
        """
        command = [*within, sys.executable, "-m", CHILD, self.backend.name, str(self.root), "serve"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            if expect:
                assert expect in child.communicate(timeout=UNTIL_DEAD_S)[1]
            else:
                assert child.stdout.readline().startswith("process ")
            yield child

    def precious_is_kept(self) -> bool:
        return (self.outside / "precious").read_text() == "kept"

    def names_on_disk(self) -> set[str]:
        return set(os.listdir(self.root))

    def held_by_the_host(self) -> list[str]:
        """Mounts below the root, and loop devices of files there."""
        found = mounts.mounts_below(str(self.root))
        for device in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):  # it ends at this moment
                if device.read_text().startswith(f"{self.root}/"):
                    found.append(str(device))
        return found

    @contextmanager
    def filled(self, but_bytes: int = 0) -> Iterator[None]:
        """Hardly a byte is free on its disk meanwhile, but as many as are said."""
        ballast, spare = self.disk / "ballast", self.disk / "spare"
        with spare.open("wb") as file:
            if but_bytes:
                os.posix_fallocate(file.fileno(), 0, but_bytes)
        with ballast.open("wb", buffering=0) as file:
            for chunk in (256 * MIB, 16 * MIB, MIB, 4096):
                with suppress(OSError):
                    while True:
                        end = file.seek(0, os.SEEK_END)
                        os.posix_fallocate(file.fileno(), end, chunk)
        spare.unlink()
        self.synced()
        try:
            yield
        finally:
            ballast.unlink()
            self.synced()

    def synced(self) -> None:
        """What was removed is free."""
        with files.directory(self.disk) as fd:
            files.file_system_synced(fd)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Its disk is, as after an error of the disk below."""
        subprocess.run(["mount", "-o", "remount,ro", self.disk], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", self.disk], check=True)


def exported(place: Place) -> Place:
    """With the option that says which export its root is."""
    server_side = place.root.parent.with_name("server") / place.root.name
    path = f"/{server_side.relative_to(NFS_ROOT)}"
    return replace(place, options={"server": "127.0.0.1", "path": path})


def _mounted_nfs(image: Path, target: Path) -> None:
    """What a server of this host exports. Skips the test where there is none."""
    if not NFS_ROOT:
        pytest.skip("needs an NFS server and a kernel with NFS: `make slow` has a machine of them")
    served = target.with_name("server")
    served.mkdir()
    _mounted("ext4", image, served)
    source = f"127.0.0.1:/{served.relative_to(NFS_ROOT)}"
    subprocess.run(["mount", "-t", "nfs", "-o", "retry=0", source, target], check=True)


def _unmounted(point: str) -> None:
    """A server keeps what it exported for as long as it remembers its clients."""
    if NFS_ROOT:
        subprocess.run(["umount", "--lazy", point], check=True)
    else:
        mounts.unmount(Path(point))


def _mounted(kind: str, image: Path, target: Path) -> None:
    """Make a disk in a file. Skips the test where that cannot be."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if os.geteuid() or not shutil.which(MAKE_DISK[kind][0], path=path):
        pytest.skip(f"needs root, and the program {MAKE_DISK[kind][0]}")
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    search = {**os.environ, "PATH": path}
    subprocess.run([*MAKE_DISK[kind], image], check=True, capture_output=True, env=search)
    done = subprocess.run(["mount", "-o", "loop", image, target], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this host mounts no {kind}: {done.stderr.strip()}")


@asynccontextmanager
async def on_a_bench(backend: Backend, directory: Path, disk: str = "") -> AsyncIterator[Bench]:
    """A bench, and nothing of it mounted at the end.

    disk  a disk of its own, if the backend does not need one
    """
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < backend.since:
        pytest.skip(f"needs a kernel from {'.'.join(map(str, backend.since))} on")
    bench = Bench(backend, directory)
    try:
        if kind := backend.disk or disk:
            (_mounted_nfs if kind == NFS else partial(_mounted, kind))(
                directory / "image", bench.disk
            )
        yield bench
    finally:
        await bench.stopped()  # what it has open would keep its disk mounted
        for point in reversed(mounts.mounts_below(str(directory))):
            _unmounted(point)
        (directory / "image").unlink(missing_ok=True)  # some tests fill it


Check = Callable[[Bench], Awaitable[None]]
CHECKS: list[Check] = []
DISK_CHECKS: list[Check] = []  # those that need a disk of the bench's own, and to mount


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def disk_check(function: Check) -> Check:
    DISK_CHECKS.append(function)
    return function
