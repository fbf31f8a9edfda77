"""A growth that fails takes nothing along: neither of the disk, nor for a smaller one after it."""

import os
from pathlib import Path

import pytest

from mooring.drivers.errors import NeedsRepair, PoolFull
from mooring.drivers.interface import Asset
from mooring.drivers.loopfile import LoopfileDriver
from tests.conformance.driver_bench import Backend, on_a_bench
from tests.drivers.test_loopfile import (
    BOTH,
    MIB,
    NAME,
    SIZE_BYTES,
    a_driver,
    may_grow_ext4,
    needs_mounts,
    room,
    root,
    written,
)

__all__ = ["root"]  # a fixture
pytestmark = [needs_mounts, pytest.mark.system]


@pytest.mark.parametrize("is_published", [True, False])
@pytest.mark.parametrize("kind", BOTH)
async def test_what_an_image_has_beyond_its_volume_is_not_given_to_it(
    root: Path, kind: str, is_published: bool
) -> None:
    if kind == "ext4" and is_published and not may_grow_ext4():
        pytest.skip("an ext4 cannot grow here while it is mounted")
    driver = await a_driver(root, kind)
    await driver.create(NAME, SIZE_BYTES)
    if is_published:
        await driver.publish(NAME)
    os.truncate(root / NAME / "image", 8 * SIZE_BYTES)  # as a growth leaves it that was killed
    assert await driver.expand(NAME, 2 * SIZE_BYTES) == Asset(NAME, 2 * SIZE_BYTES)
    assert 1.8 * SIZE_BYTES <= room(await driver.publish(NAME)) <= 2 * SIZE_BYTES
    await driver.unpublish(NAME)
    assert await driver.expand(NAME, 3 * SIZE_BYTES) == Asset(NAME, 3 * SIZE_BYTES)
    assert 2.7 * SIZE_BYTES <= room(await driver.publish(NAME)) <= 3 * SIZE_BYTES


async def test_a_file_system_that_has_more_already_is_not_made_smaller(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    await driver.unpublish(NAME)
    image = root / NAME / "image"
    about = (root / NAME / "about").read_bytes()
    await driver.expand(NAME, 4 * SIZE_BYTES)
    (root / NAME / "about").write_bytes(about)  # as if it had been killed before it wrote that
    await driver.expand(NAME, 2 * SIZE_BYTES)
    assert room(await driver.publish(NAME)) >= 3.6 * SIZE_BYTES
    assert image.stat().st_size >= 4 * SIZE_BYTES


async def test_a_growth_of_what_is_damaged_leaves_the_image_as_large_as_it_was(root: Path) -> None:
    driver = await a_driver(root, "ext4")
    await driver.create(NAME, SIZE_BYTES)
    image = root / NAME / "image"
    before = image.stat().st_size
    with image.open("r+b") as file:
        file.seek(4096)  # the descriptors of groups; e2fsck -p does not rebuild them
        file.write(os.urandom(8192))
    with pytest.raises(NeedsRepair):
        await driver.expand(NAME, 8 * SIZE_BYTES)
    assert image.stat().st_size == before


@pytest.mark.parametrize("kind", BOTH)
async def test_a_smaller_growth_after_one_that_found_the_disk_full_is_no_larger_than_it_says(
    kind: str, tmp_path: Path
) -> None:
    if kind == "ext4" and not may_grow_ext4():
        pytest.skip("an ext4 cannot grow here while it is mounted")
    backend = Backend("loopfile", LoopfileDriver, ("loopfile.",), options={"fsType": kind})
    async with on_a_bench(backend, tmp_path, "ext4") as bench:
        driver = await bench.started()
        await driver.create(NAME, SIZE_BYTES)
        written(await driver.publish(NAME), MIB)
        image = bench.root / NAME / "image"
        before = image.stat().st_size
        with bench.filled(MIB):
            with pytest.raises(PoolFull):
                await driver.expand(NAME, 64 * SIZE_BYTES)
        assert image.stat().st_size == before
        assert await driver.assets() == [Asset(NAME, SIZE_BYTES)]
        assert await driver.expand(NAME, 2 * SIZE_BYTES) == Asset(NAME, 2 * SIZE_BYTES)
        await driver.unpublish(NAME)
        data = await driver.publish(NAME)
        assert room(data) <= 2 * SIZE_BYTES
        assert (data / "file").stat().st_size == MIB
