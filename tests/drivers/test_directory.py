"""What the directory driver promises beyond the contract of every backend."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.drivers.directory import DirectoryDriver
from mooring.drivers.errors import (
    AssetDamaged,
    BadPoolOption,
    InUse,
    NoSuchDriver,
    PoolFailed,
    PoolFull,
    PoolTaken,
)
from mooring.drivers.interface import Asset, Place, asset_name
from mooring.drivers.registry import driver_for
from mooring.host import mounts
from mooring.host.processes import checked
from tests.host.privileges import UNPRIVILEGED, bound, needs_mounts, small_disk

NAME = asset_name("pvc-1")
SIZE_BYTES = 1 << 20
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give things away")


MADE: list[DirectoryDriver] = []  # what they have open would keep a disk mounted


async def a_driver(root: Path, **options: object) -> DirectoryDriver:
    driver = DirectoryDriver.at(Place("local", "uid-1", root, options))
    MADE.append(driver)
    await driver.start(new=True)
    return driver


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Path]:
    """A disk of 1 MiB."""
    root = tmp_path / "small"
    root.mkdir()
    await small_disk(root, "1m")
    yield root
    while MADE:
        await MADE.pop().stop()
    mounts.unmount(root)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)


@pytest.mark.parametrize("left", ["pvc-1", ".doomed-pvc-1", "my-files"])
async def test_the_root_of_a_pool_that_is_gone_is_taken_over_once_it_is_empty(
    tmp_path: Path, left: str
) -> None:
    await a_driver(tmp_path)
    (tmp_path / "lost+found").mkdir()
    (tmp_path / left).mkdir()
    heir = DirectoryDriver.at(Place("local", "uid-2", tmp_path, former=frozenset({"uid-1"})))
    with pytest.raises(PoolTaken):
        await heir.start(new=True)
    (tmp_path / left).rmdir()
    other = DirectoryDriver.at(Place("local", "uid-3", tmp_path, former=frozenset({"uid-0"})))
    with pytest.raises(PoolTaken):
        await other.start(new=True)
    with pytest.raises(PoolTaken):
        await heir.start(new=False)
    await heir.start(new=True)
    await heir.create(NAME, SIZE_BYTES)
    assert sorted(os.listdir(tmp_path)) == [".mooring-pool", "lost+found", "pvc-1"]


@needs_root
async def test_a_new_volume_has_the_mode_and_the_owner_that_the_pool_says(tmp_path: Path) -> None:
    driver = await a_driver(tmp_path, mode="2770", uid=UNPRIVILEGED, gid=1234)
    await driver.create(NAME, SIZE_BYTES)
    data = (await driver.publish(NAME)).stat()
    assert (data.st_mode & 0o7777, data.st_uid, data.st_gid) == (0o2770, UNPRIVILEGED, 1234)


async def test_the_umask_of_whoever_started_it_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        driver = await a_driver(tmp_path)
        await driver.create(NAME, SIZE_BYTES)
        data = await driver.publish(NAME)
    finally:
        os.umask(before)
    assert data.stat().st_mode & 0o777 == 0o755
    assert data.parent.stat().st_mode & 0o777 == 0o711


@needs_root
async def test_the_user_of_a_volume_cannot_change_its_size_or_its_place(tmp_path: Path) -> None:
    driver = await a_driver(tmp_path, uid=UNPRIVILEGED)
    await driver.create(NAME, SIZE_BYTES)
    asset = (await driver.publish(NAME)).parent
    assert (asset.stat().st_uid, (asset / "size").stat().st_uid) == (0, 0)


@pytest.mark.parametrize(
    "options",
    [{"mode": "0999"}, {"mode": 755}, {"mode": "u+x"}, {"uid": -1}, {"gid": "0"}, {"uid": 2**32}],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadPoolOption, match=next(iter(options))):
        DirectoryDriver.at(Place("local", "uid-1", Path("/nowhere"), options))


def test_a_driver_that_nobody_knows_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(NoSuchDriver, match=r"directory\.mooring\.dev"):
        driver_for("floppy.mooring.dev", Place("local", "uid-1", Path("/nowhere")))


@needs_mounts
async def test_a_full_disk_is_said_to_be_full_and_nothing_is_left_behind(small: Path) -> None:
    driver = await a_driver(small)
    kept = await driver.create(asset_name("kept"), SIZE_BYTES)
    fill(small)
    with pytest.raises(PoolFull):
        await driver.create(NAME, SIZE_BYTES)
    assert sorted(os.listdir(small)) == [".mooring-pool", "ballast", "kept"]
    (small / "ballast").unlink()
    made = await driver.create(NAME, SIZE_BYTES)
    assert sorted(await driver.assets()) == sorted([kept, made])


@needs_mounts
async def test_an_expansion_on_a_full_disk_leaves_the_old_size(small: Path) -> None:
    driver = await a_driver(small)
    made = await driver.create(NAME, SIZE_BYTES)
    fill(small)
    with pytest.raises(PoolFull):
        await driver.expand(NAME, 2 * SIZE_BYTES)
    assert await driver.assets() == [made]
    assert sorted(os.listdir(small / NAME)) == ["data", "size"]


@needs_mounts
async def test_a_disk_that_became_read_only_fails_writes_and_still_serves_reads(
    small: Path,
) -> None:
    driver = await a_driver(small)
    made = await driver.create(NAME, SIZE_BYTES)
    await checked("mount", "-o", "remount,ro", str(small), deadline_s=10)
    with pytest.raises(PoolFailed, match="Read-only"):
        await driver.create(asset_name("pvc-2"), SIZE_BYTES)
    with pytest.raises(PoolFailed, match="Read-only"):
        await driver.delete(NAME)
    assert await driver.assets() == [made]
    assert (await driver.publish(NAME)).is_dir()


@needs_mounts
async def test_what_is_mounted_somewhere_is_in_use(tmp_path: Path) -> None:
    driver = await a_driver(tmp_path / "pool")
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    (data / "file").write_text("data")
    (tmp_path / "elsewhere").mkdir()
    with bound(data, tmp_path / "elsewhere"):
        with pytest.raises(InUse, match="elsewhere"):
            await driver.delete(NAME)
    assert (data / "file").read_text() == "data"
    await driver.delete(NAME)


@needs_mounts
async def test_a_mount_inside_a_volume_is_not_entered(tmp_path: Path) -> None:
    driver = await a_driver(tmp_path / "pool")
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    (data / "point").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("kept")
    with bound(tmp_path / "outside", data / "point"):
        with pytest.raises(InUse):
            await driver.delete(NAME)
        assert await driver.assets() == [Asset(NAME, SIZE_BYTES)]
    assert (tmp_path / "outside" / "precious").read_text() == "kept"


@pytest.mark.parametrize("content", ["", "many", "1 2", "\x00"])
async def test_an_asset_with_a_spoilt_size_is_not_listed_but_its_data_can_be_had(
    tmp_path: Path, content: str
) -> None:
    driver = await a_driver(tmp_path)
    await driver.create(NAME, SIZE_BYTES)
    (tmp_path / NAME / "size").write_text(content)
    assert await driver.assets() == []
    with pytest.raises(AssetDamaged):
        await driver.create(NAME, SIZE_BYTES)
    assert (await driver.publish(NAME)).is_dir()
    await driver.delete(NAME)
    assert await driver.assets() == []


async def test_a_link_in_place_of_an_asset_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    driver = await a_driver(tmp_path / "pool")
    await driver.create(NAME, SIZE_BYTES)
    (tmp_path / "pool" / NAME).rename(tmp_path / "moved")
    (tmp_path / "pool" / NAME).symlink_to("../moved")
    for call in (driver.publish, driver.delete):
        with pytest.raises(AssetDamaged):
            await call(NAME)
    assert await driver.assets() == []
    assert (tmp_path / "moved" / "data").is_dir()


async def test_a_start_removes_what_a_crash_left_and_spares_what_is_being_made(
    tmp_path: Path,
) -> None:
    driver = await a_driver(tmp_path)
    for leftover in (".making-pvc-1-aaaa", ".making-pvc-2-bbbb", ".doomed-pvc-3"):
        (tmp_path / leftover / "data").mkdir(parents=True)
    (tmp_path / ".making-mark-cccc").touch()
    (tmp_path / ".foreign").mkdir()
    worker = os.open(tmp_path / ".making-pvc-2-bbbb", os.O_RDONLY)
    try:
        fcntl.flock(worker, fcntl.LOCK_EX)
        await driver.start(new=False)
    finally:
        os.close(worker)
    assert sorted(os.listdir(tmp_path)) == [".foreign", ".making-pvc-2-bbbb", ".mooring-pool"]
