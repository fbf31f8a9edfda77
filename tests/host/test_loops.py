"""Files as devices, and what is asked of the file systems on them."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from errno import EINVAL
from pathlib import Path
from threading import Barrier
from typing import Final

import pytest

from mooring.host import files, filesystems, loops, mounts
from mooring.host.errors import MountFailed
from mooring.host.mounts import Restriction
from tests.host.privileges import needs_mounts

pytestmark = [needs_mounts, pytest.mark.system]
SIZE_BYTES: Final = 64 << 20


@pytest.fixture
def image(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file with an ext4."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(SIZE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def test_a_device_lasts_as_long_as_its_use(image: int, tmp_path: Path) -> None:
    assert loops.loop_of(image) is None
    with loops.attached(image) as loop:
        assert loops.loop_of(image) == loop
        assert loop.path == str(tmp_path / "image")
    assert loops.loop_of(image) is None


def test_a_device_stays_while_it_is_mounted_and_is_held_by_that(image: int) -> None:
    with loops.attached(image) as loop:
        assert not loops.is_held(loop)
        mount = mounts.file_system(loop.node, "ext4")
        root = mount.__enter__()
    assert loops.loop_of(image) == loop
    assert loops.is_held(loop)
    assert os.listdir(root) == ["lost+found"]
    mount.__exit__(None, None, None)
    assert loops.loop_of(image) is None
    assert not loops.is_held(loop)


def test_many_devices_are_made_at_once(tmp_path: Path) -> None:
    together = Barrier(8)

    def number(which: int) -> int:
        with (tmp_path / str(which)).open("w+b") as file:
            file.truncate(1 << 20)
            together.wait()
            with loops.attached(file.fileno()) as loop:
                together.wait()
                return loop.number

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(number, range(8)))) == 8


def test_a_device_that_was_made_by_hand_can_be_ended(image: int, tmp_path: Path) -> None:
    subprocess.run(["losetup", "--find", tmp_path / "image"], check=True)
    loop = loops.loop_of(image)
    assert loop is not None
    loops.detach(loop)
    loops.detach(loop)
    assert loops.loop_of(image) is None


def test_a_file_system_that_is_mounted_nowhere_forbids_what_it_is_told_to(image: int) -> None:
    strict = Restriction.NO_SUID | Restriction.NO_DEVICES
    with loops.attached(image) as loop:
        with mounts.file_system(loop.node, "ext4", ["errors=remount-ro"], strict) as root:
            flags = os.fstatvfs(root).f_flag
            assert flags & strict == strict
            assert [one for one in mounts.mount_table() if one.device == loop.device] == []


def test_a_file_system_can_be_given_its_place(image: int, tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.mkdir()
    with loops.attached(image) as loop, mounts.file_system(loop.node, "ext4") as root:
        with files.directory(point) as fd:
            mounts.attach(root, fd)
    assert os.listdir(point) == ["lost+found"]
    mounts.unmount(point)
    assert loops.loop_of(image) is None


def test_what_is_no_file_system_is_refused_with_its_reason(image: int) -> None:
    os.ftruncate(image, 0)
    os.ftruncate(image, SIZE_BYTES)
    with loops.attached(image) as loop:
        with (
            pytest.raises(MountFailed, match=loop.node) as told,
            mounts.file_system(loop.node, "ext4"),
        ):
            pass
    assert told.value.number == EINVAL


def test_what_is_frozen_can_be_looked_at_and_is_thawed_by_anybody(image: int) -> None:
    with loops.attached(image) as loop, mounts.file_system(loop.node, "ext4") as root:
        with filesystems.frozen(root), mounts.file_system(loop.node, "ext4") as again:
            assert os.listdir(again) == ["lost+found"]
            filesystems.thaw(again)
            os.mkdir("written", dir_fd=root)
        filesystems.thaw(root)
