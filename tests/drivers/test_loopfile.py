"""What the loopfile driver promises beyond the contract of every backend."""

import asyncio
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from mooring.drivers.errors import (
    AssetDamaged,
    BadPoolOption,
    GrowsLater,
    NeedsRepair,
    NoFileSystem,
    NoSuchAsset,
)
from mooring.drivers.imagefs import KINDS, can_have_xfs
from mooring.drivers.interface import Asset, AssetName, Place, asset_name
from mooring.drivers.loopfile import LoopfileDriver
from mooring.host import files, filesystems, loops, mounts
from mooring.host.errors import HostStuck
from tests.host.privileges import needs_mounts

pytestmark = [
    needs_mounts,
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs the program mkfs.ext4"),
]
needs_xfs = pytest.mark.skipif(not can_have_xfs(), reason="needs xfs, and the program mkfs.xfs")
BOTH: Final = ["ext4", pytest.param("xfs", marks=needs_xfs)]
MIB: Final = 1 << 20
NAME = asset_name("pvc-1")
SIZE_BYTES: Final = 300 * MIB
SYS_RESOURCE: Final = 1 << 24  # as a bit of the capabilities in /proc/self/status


def may_grow_ext4() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    (rights,) = (int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    return bool(rights & SYS_RESOURCE)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Of a pool; nothing is mounted below at the end."""
    yield tmp_path / "pool"
    for point in mounts.mounts_below(str(tmp_path)):
        mounts.unmount(Path(point))


async def a_driver(root: Path, kind: str, *, new: bool = True, **options: object) -> LoopfileDriver:
    driver = LoopfileDriver(Place("images", "uid-1", root, {"fsType": kind, **options}))
    await driver.start(new=new)
    return driver


def done(*command: str | Path) -> bool:
    """Run a program; whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def room(data: Path) -> int:
    """How much can be written."""
    disk = os.statvfs(data)
    return disk.f_bavail * disk.f_frsize


def taken(root: Path) -> int:
    """Of the pool's disk, by the image."""
    return (root / NAME / "image").stat().st_blocks * 512


def written(data: Path, size_bytes: int) -> None:
    with (data / "file").open("wb") as file:
        file.write(os.urandom(size_bytes))
        os.fsync(file.fileno())


@pytest.mark.parametrize(
    ("kind", "size_bytes"),
    [("ext4", size * MIB) for size in (16, 17, 100, 512, 2000, 10 << 10, 1 << 20)]
    + [
        pytest.param("xfs", size * MIB, marks=needs_xfs)
        for size in (256, 300, 512, 1000, 10 << 10, 1 << 20)
    ],
)
async def test_nearly_all_of_a_size_can_be_written_whatever_it_is(
    root: Path, kind: str, size_bytes: int
) -> None:
    driver = await a_driver(root, kind)
    assert await driver.create(NAME, size_bytes) == Asset(NAME, size_bytes)
    assert 0.93 <= room(await driver.publish(NAME)) / size_bytes <= 1


@pytest.mark.parametrize("times", [2, 40, 400])
@pytest.mark.parametrize("first_bytes", [MIB, SIZE_BYTES])
@pytest.mark.parametrize("kind", BOTH)
async def test_nearly_all_of_a_size_can_be_written_once_it_is_grown(
    root: Path, kind: str, first_bytes: int, times: int
) -> None:
    driver = await a_driver(root, kind)
    size_bytes = (await driver.create(NAME, first_bytes)).size_bytes * times
    await driver.expand(NAME, size_bytes)
    assert 0.9 <= room(await driver.publish(NAME)) / size_bytes <= 1


@pytest.mark.parametrize("kind", BOTH)
async def test_a_size_below_the_smallest_is_that(root: Path, kind: str) -> None:
    driver = await a_driver(root, kind)
    smallest = Asset(NAME, KINDS[kind].min_size_bytes)
    assert await driver.create(NAME, MIB) == smallest
    assert await driver.create(NAME, MIB) == smallest
    assert driver.features.min_size_bytes == smallest.size_bytes


@pytest.mark.parametrize("kind", BOTH)
async def test_a_volume_begins_empty_with_owner_and_mode_of_the_pool(root: Path, kind: str) -> None:
    driver = await a_driver(root, kind, mode="2750", uid=1000, gid=2000)
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    found = data.stat()
    assert (oct(found.st_mode)[-4:], found.st_uid, found.st_gid) == ("2750", 1000, 2000)
    assert list(data.iterdir()) == []
    flags = os.statvfs(data).f_flag
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV


@pytest.mark.parametrize("kind", BOTH)
async def test_what_is_deleted_in_a_volume_is_free_on_the_disk_of_the_pool(
    root: Path, kind: str
) -> None:
    driver = await a_driver(root, kind)
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    written(data, 64 * MIB)
    full = taken(root)
    (data / "file").unlink()
    await driver.unpublish(NAME)
    assert taken(root) <= full - 60 * MIB


@pytest.mark.parametrize("kind", BOTH)
async def test_a_pool_that_allocates_keeps_the_whole_size(root: Path, kind: str) -> None:
    driver = await a_driver(root, kind, allocate=True)
    await driver.create(NAME, SIZE_BYTES)
    assert taken(root) >= SIZE_BYTES
    data = await driver.publish(NAME)
    written(data, 16 * MIB)
    (data / "file").unlink()
    await driver.expand(NAME, SIZE_BYTES)
    await driver.unpublish(NAME)
    assert taken(root) >= SIZE_BYTES
    await driver.expand(NAME, 2 * SIZE_BYTES)
    assert taken(root) >= 2 * SIZE_BYTES


@pytest.mark.parametrize("kind", BOTH)
async def test_an_image_without_a_file_system_is_said_to_be_and_not_made_anew(
    root: Path, kind: str
) -> None:
    driver = await a_driver(root, kind)
    await driver.create(NAME, SIZE_BYTES)
    image = root / NAME / "image"
    size_bytes = image.stat().st_size
    os.truncate(image, 0)
    os.truncate(image, size_bytes)
    with pytest.raises(NoFileSystem) as told:
        await driver.publish(NAME)
    assert isinstance(told.value, NoSuchAsset)  # so that a volume that was used is DataMissing
    assert image.stat().st_blocks == 0
    await driver.delete(NAME)


@pytest.mark.parametrize("kind", BOTH)
async def test_a_damaged_file_system_is_mounted_nowhere_and_stays_as_it_is(
    root: Path, kind: str
) -> None:
    driver = await a_driver(root, kind)
    await driver.create(NAME, SIZE_BYTES)
    with (root / NAME / "image").open("r+b") as image:
        image.seek(512 if kind == "xfs" else 4096)  # behind the superblock
        image.write(b"\xff" * 400_000)
    for _ in range(2):
        with pytest.raises(NeedsRepair, match=f"{KINDS[kind].repair} {root}"):
            await driver.publish(NAME)
    assert mounts.mounts_below(str(root)) == []
    assert await driver.assets() == [Asset(NAME, SIZE_BYTES)]
    await driver.delete(NAME)


def _harmed(image: Path, kind: str) -> None:
    """So that it takes a person to mend it, and nothing is lost by that."""
    if kind == "ext4":  # the inode that keeps room for growth points to nowhere
        for what in ("sif <7> block[DIND] 4294967290", "ssv state 2"):  # and the kernel saw it
            assert done("debugfs", "-w", "-R", what, image)
        return
    with image.open("r+b") as file:  # the heads of the first group's free space and inodes
        file.seek(512)
        file.write(b"\xff" * 1536)


@pytest.mark.parametrize("kind", BOTH)
async def test_a_damaged_file_system_is_served_again_once_the_remedy_was_followed(
    root: Path, kind: str
) -> None:
    driver = await a_driver(root, kind)
    other = asset_name("pvc-2")
    for name in (NAME, other):
        await driver.create(name, SIZE_BYTES)
        (await driver.publish(name) / "file").write_text("kept")
        await driver.unpublish(name)
    _harmed(root / NAME / "image", kind)
    with pytest.raises(NeedsRepair) as told:
        await driver.publish(NAME)
    assert (await driver.publish(other) / "file").read_text() == "kept"
    program, *words = told.value.remedy.rpartition(": ")[2].split()
    assert Path(words[-1]) == root / NAME / "image"
    yes = ["-y"] if kind == "ext4" else []  # to what it asks a person
    subprocess.run([program, *yes, *words], capture_output=True)  # noqa: ASYNC221
    assert (await driver.publish(NAME) / "file").read_text() == "kept"


@pytest.mark.parametrize("kind", BOTH)
async def test_a_volume_that_was_cut_off_is_whole_when_it_is_published_next(
    root: Path, kind: str
) -> None:
    driver = await a_driver(root, kind)
    await driver.create(NAME, SIZE_BYTES)
    written(await driver.publish(NAME), 8 * MIB)
    image, as_it_was = root / NAME / "image", root.parent / "as-it-was"
    assert done("cp", "--sparse=always", image, as_it_was)  # mounted, so unclean
    await driver.unpublish(NAME)
    as_it_was.rename(image)
    assert ((await driver.publish(NAME)) / "file").stat().st_size == 8 * MIB


@pytest.mark.skipif(may_grow_ext4(), reason="an ext4 can grow here while it is mounted")
async def test_an_ext4_that_cannot_grow_now_grows_when_it_is_published_next(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    written(await driver.publish(NAME), MIB)
    for _ in range(2):
        with pytest.raises(GrowsLater, match="CAP_SYS_RESOURCE"):
            await driver.expand(NAME, 2 * SIZE_BYTES)
    assert await driver.assets() == [Asset(NAME, SIZE_BYTES)]
    await driver.unpublish(NAME)
    data = await driver.publish(NAME)
    assert await driver.assets() == [Asset(NAME, 2 * SIZE_BYTES)]
    assert room(data) >= 1.9 * SIZE_BYTES
    assert (data / "file").stat().st_size == MIB


@needs_xfs
async def test_an_xfs_grows_under_its_users(root: Path) -> None:
    driver = await a_driver(root, "xfs")
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    with (data / "file").open("wb") as file:
        await driver.expand(NAME, 2 * SIZE_BYTES)
        file.write(b"x")
    assert room(data) >= 1.9 * SIZE_BYTES


class Impatient(LoopfileDriver):
    """As the driver is once a call takes too long."""

    call_deadline_s = 5


@needs_xfs
async def test_volumes_whose_file_systems_hang_are_in_no_others_way(root: Path) -> None:
    driver = Impatient(Place("images", "uid-1", root, {"fsType": "xfs"}))
    await driver.start(new=True)
    hanging = [asset_name(f"hanging-{number}") for number in range(6)]  # more than there are places
    with ExitStack() as stack:
        for name in hanging:
            await driver.create(name, SIZE_BYTES)
            top = stack.enter_context(files.directory(await driver.publish(name)))
            stack.enter_context(filesystems.frozen(top))  # who writes to it waits
        grown = [driver.expand(name, 2 * SIZE_BYTES) for name in hanging]
        told = await asyncio.gather(*grown, return_exceptions=True)
        assert [type(one) for one in told] == [HostStuck] * len(hanging)
        await driver.create(NAME, SIZE_BYTES)
        written(await driver.publish(NAME), MIB)
        assert (await driver.expand(NAME, 2 * SIZE_BYTES)).size_bytes == 2 * SIZE_BYTES
        await driver.unpublish(NAME)
        await driver.delete(NAME)
        # At once, and no further thread hangs; some never had a place to hang in.
        used = await asyncio.gather(
            *(driver.used_bytes(name) for name in hanging), return_exceptions=True
        )
        assert HostStuck in {type(one) for one in used}
    for name in hanging:
        assert await _grown_once_it_answers(driver, name) == 2 * SIZE_BYTES


async def _grown_once_it_answers(driver: LoopfileDriver, name: AssetName) -> int:
    while True:
        with suppress(HostStuck):
            return (await driver.expand(name, 2 * SIZE_BYTES)).size_bytes
        await asyncio.sleep(0.01)


async def test_a_disk_that_shares_no_blocks_offers_no_snapshots(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    can = done("cp", "--reflink=always", root / ".mooring-pool", root.parent / "copy")
    assert driver.features.snapshots == driver.features.clones == can


async def test_a_device_that_nobody_uses_ends_at_the_start(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    image = root / NAME / "image"
    assert done("losetup", "--find", image)
    await a_driver(root, "ext4", new=False)
    with image.open("rb") as file:
        assert loops.loop_of(file.fileno()) is None


async def test_a_device_that_somebody_uses_stays_and_is_used_again(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    (data := await driver.publish(NAME)).joinpath("file").write_text("data")
    with (root / NAME / "image").open("rb") as file:
        before = loops.loop_of(file.fileno())
        driver = await a_driver(root, "ext4", new=False)
        assert await driver.publish(NAME) == data
        assert loops.loop_of(file.fileno()) == before
    assert len(mounts.mounts_below(str(root))) == 1
    assert (data / "file").read_text() == "data"


async def test_something_else_at_the_point_is_not_taken_for_the_volume(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    await driver.publish(NAME)
    await driver.unpublish(NAME)
    assert done("mount", "-t", "tmpfs", "none", root / NAME / "fs")
    with pytest.raises(AssetDamaged):
        await driver.publish(NAME)
    mounts.unmount(root / NAME / "fs")
    assert (await driver.publish(NAME)).is_dir()


async def test_work_of_another_process_on_an_asset_is_waited_for(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    with files.directory(root / NAME) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        publishing = asyncio.create_task(driver.publish(NAME))
        await driver.usage()  # others are not concerned
        assert not publishing.done()
        assert mounts.mounts_below(str(root)) == []
    assert (await publishing).is_dir()


async def test_a_call_that_is_cancelled_leaves_no_lock(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    for steps in range(12):
        publishing = asyncio.create_task(driver.publish(NAME))
        for _ in range(steps):
            await asyncio.sleep(0)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    assert (await driver.publish(NAME)).is_dir()
    assert len(mounts.mounts_below(str(root))) == 1


@pytest.mark.parametrize(
    ("option", "value"), [("fsType", "ntfs"), ("allocate", "yes"), ("mode", "rwx"), ("uid", -1)]
)
async def test_options_that_are_none_are_refused(root: Path, option: str, value: object) -> None:
    with pytest.raises(BadPoolOption, match=option):
        LoopfileDriver(Place("images", "uid-1", root, {option: value}))
