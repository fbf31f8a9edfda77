"""What tests of mounts need, and why they are left out without it."""

import asyncio
import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mooring.host import files, mounts
from mooring.host.processes import checked


def _may_mount() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        return mounts.can_bind(Path(directory))


def _may_make_immutable() -> bool:
    with tempfile.TemporaryDirectory() as path, files.directory(path) as directory:
        return files.set_immutable(directory, True) and files.set_immutable(directory, False)


needs_mounts = pytest.mark.skipif(not _may_mount(), reason="needs root's right to mount")
needs_immutable = pytest.mark.skipif(
    not _may_make_immutable(), reason="needs CAP_LINUX_IMMUTABLE, and a file system that knows it"
)
needs_fuse = pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs FUSE")
UNPRIVILEGED = 65534  # nobody


@contextmanager
def bound(source: Path, target: Path) -> Iterator[Path]:
    """A bind mount, taken away at the end whatever happened."""
    with mounts.handle(source) as seen:
        mounts.bind(seen, target)
    try:
        yield target
    finally:
        mounts.unmount(target)


@contextmanager
def elsewhere(
    propagation: str, script: str, *arguments: Path, within: int | None = None
) -> Iterator[int]:
    """A process in a mount namespace of its own, in which a shell script was run.

    It may get private copies of the mounts of every test that runs meanwhile, and so hold them.
    So tests that need this are marked `system`: they run alone.

    propagation  private, slave, shared or unchanged: of its copies of the mounts it began with
    within       a process that it got those from, instead of us
    """
    enter = ["nsenter", "--target", str(within), "--mount"] if within else []
    command = [*enter, "unshare", "--mount", "--propagation", propagation, "sh", "-ec"]
    with subprocess.Popen(
        [*command, f"{script}\necho ready\nread -r line", "sh", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.stdin.close()


@contextmanager
def hanging_disk(target: Path) -> Iterator[None]:
    """A file system that answers nothing until the end, when it is broken: FUSE without a server.

    The test unmounts it.
    """
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"hanging", os.fsencode(target), b"fuse", 0, options) == 0, ctypes.get_errno()
    try:
        yield
    finally:
        os.close(server)


@contextmanager
def a_small_disk(target: Path) -> Iterator[Path]:
    """A file system of few bytes in memory, while it is used."""
    target.mkdir()
    asyncio.run(small_disk(target, "64k"))
    try:
        yield target
    finally:
        mounts.unmount(target)


def fill(disk: Path) -> Path:
    """Leave no room on a file system. Returns the file that has it all."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


async def small_disk(target: Path, size: str) -> None:
    """A file system of few bytes in memory. The test unmounts it."""
    await checked("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(target), deadline_s=10)
