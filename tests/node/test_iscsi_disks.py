"""When a file system is made on a disk: never where something may be. No target is needed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mooring.host import loops
from mooring.host.iscsi import Disk
from mooring.host.processes import run
from mooring.node.errors import DiskUnreadable, NoFileSystemOnDisk, OtherFileSystem
from mooring.node.iscsi import IscsiSource
from mooring.node.remote import RemotePlaces
from tests.host.privileges import needs_mounts

pytestmark = [
    needs_mounts,
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs the program mkfs.ext4"),
]
SIZE_BYTES: Final = 64 << 20
MIB: Final = 1 << 20


class Plant:
    """A device of a file."""

    def __init__(self, file: Path, loop: loops.Loop) -> None:
        self.file, self.disk = file, Disk(f"loop{loop.number}", loop.device)

    async def kind(self, *, is_new: bool = True) -> str:
        places = RemotePlaces(self.file.parent / "state")
        source = IscsiSource(places, "uid", ("host:3260",), "iqn", 1, is_new=is_new)
        return await source._kind(self.disk)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    file = tmp_path / "disk"
    with file.open("w+b") as opened:
        opened.truncate(SIZE_BYTES)
        with loops.attached(opened.fileno()) as loop:
            yield Plant(file, loop)


async def test_an_empty_disk_gets_a_file_system_and_keeps_it(plant: Plant) -> None:
    assert await plant.kind() == "ext4"
    assert await plant.kind(is_new=False) == "ext4"


async def test_a_disk_that_cannot_be_read_is_not_empty(plant: Plant) -> None:
    os.truncate(plant.file, 0)  # below the device, whose reads fail now
    probed = await run("blkid", "-p", plant.disk.node, deadline_s=20)
    assert probed.status == 2  # as of an empty one
    for is_new in (True, False):
        with pytest.raises(DiskUnreadable):
            await plant.kind(is_new=is_new)
    assert plant.file.stat().st_size == 0


async def test_a_disk_whose_end_cannot_be_read_is_not_empty(plant: Plant) -> None:
    os.truncate(plant.file, SIZE_BYTES // 2)
    with pytest.raises(DiskUnreadable):
        await plant.kind()
    assert plant.file.stat().st_size == SIZE_BYTES // 2
    assert not any(plant.file.read_bytes())


async def test_a_disk_that_is_not_there_is_not_empty(tmp_path: Path, plant: Plant) -> None:
    plant.disk = Disk("mooring-none", "0:0")
    with pytest.raises(DiskUnreadable):
        await plant.kind()
    assert not Path(plant.disk.node).exists()


@pytest.mark.parametrize("where", [0, MIB - 1, SIZE_BYTES - MIB, SIZE_BYTES - 1])
async def test_a_disk_with_bytes_that_nobody_knows_is_left_alone(plant: Plant, where: int) -> None:
    with plant.file.open("r+b") as file:
        file.seek(where)
        file.write(b"x")
    before = plant.file.read_bytes()
    with pytest.raises(OtherFileSystem):
        await plant.kind()
    with pytest.raises(NoFileSystemOnDisk):
        await plant.kind(is_new=False)
    assert plant.file.read_bytes() == before
