"""What tests of mounts need, and why they are left out without it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mooring.host import mounts
from mooring.host.processes import checked


def _may_mount() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        return mounts.can_bind(Path(directory))


needs_mounts = pytest.mark.skipif(not _may_mount(), reason="needs root's right to mount")
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


async def small_disk(target: Path, size: str) -> None:
    """A file system of few bytes in memory. The test unmounts it."""
    await checked("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(target), deadline_s=10)
