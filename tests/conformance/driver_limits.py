"""What every backend must do at its limits: a size that holds, a full disk, one that is away."""

import os
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path

import pytest

from mooring.drivers.errors import InUse, PoolFull
from mooring.drivers.interface import Driver, Source
from mooring.errors import MooringError
from mooring.host import files
from tests.conformance.driver_bench import (
    MIB,
    NAME,
    OTHER,
    SIZE_BYTES,
    SNAPSHOT,
    Bench,
    check,
    disk_check,
)
from tests.host.privileges import bound


def written_bytes(file: Path, at_most: int) -> int:
    """How much could be written to a file, all of it on the disk."""
    written, chunk = 0, os.urandom(MIB)
    with file.open("wb", buffering=0) as out:
        try:
            while written < at_most:
                written += out.write(chunk)
            os.fsync(out.fileno())
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT):
                raise
    return written


async def _fits(driver: Driver, size_bytes: int) -> None:
    """As much fits into NAME as was promised, nearly, and no more."""
    ballast = await driver.publish(NAME) / "ballast"
    written = written_bytes(ballast, size_bytes + 32 * MIB)
    assert 0.9 * size_bytes <= written <= size_bytes, written / size_bytes
    ballast.unlink()


@disk_check
async def a_size_holds_and_neighbours_are_unharmed(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    await driver.create(OTHER, SIZE_BYTES)
    if not driver.features.enforces_size:
        pytest.skip("it says that it does not enforce a size")
    ballast = await driver.publish(NAME) / "ballast"
    written = written_bytes(ballast, SIZE_BYTES + 32 * MIB)
    assert 0.9 * SIZE_BYTES <= written <= SIZE_BYTES, written / SIZE_BYTES
    assert written_bytes(await driver.publish(OTHER) / "file", 8 * MIB) == 8 * MIB
    ballast.unlink()  # at the limit as well
    await _fits(driver, SIZE_BYTES)


@disk_check
async def what_was_expanded_while_it_was_at_hand_or_not_has_its_new_size(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    if not (driver.features.enforces_size and driver.features.expands):
        pytest.skip("it says that it does not enforce a size, or expand")
    (await driver.publish(NAME) / "file").write_text("kept")
    with suppress(MooringError):  # it may be possible only when it is not mounted
        await driver.expand(NAME, 2 * SIZE_BYTES)
    await driver.unpublish(NAME)
    (await driver.publish(NAME) / "file").read_text()
    assert (await driver.expand(NAME, 2 * SIZE_BYTES)).size_bytes >= 2 * SIZE_BYTES
    await _fits(driver, 2 * SIZE_BYTES)
    await driver.unpublish(NAME)
    await driver.expand(NAME, 3 * SIZE_BYTES)
    await _fits(driver, 3 * SIZE_BYTES)
    assert (await driver.publish(NAME) / "file").read_text() == "kept"


@check
async def what_is_written_is_counted_if_that_takes_no_walk(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    before = await driver.used_bytes(NAME)
    if before is None:
        assert await driver.assets() != []
        return
    written_bytes(data / "file", 32 * MIB)
    with files.directory(data) as fd:
        files.file_system_synced(fd)
    during = await driver.used_bytes(NAME)
    assert during is not None
    assert 31 * MIB <= during - before <= 40 * MIB
    await driver.unpublish(NAME)
    after = await driver.used_bytes(NAME)
    assert after is not None
    assert after >= 31 * MIB


@disk_check
async def what_does_not_fit_into_a_full_pool_is_not_there(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(OTHER, SIZE_BYTES)
    with bench.filled():
        try:
            made = [await driver.create(NAME, SIZE_BYTES)]
        except PoolFull:
            made = []
        assert [one for one in await driver.assets() if one.name == NAME] == made
        if driver.features.snapshots:
            try:
                kept = [await driver.snapshot(SNAPSHOT, OTHER)]
            except PoolFull:
                kept = []
            assert await driver.snapshots() == kept
        await bench.restarted()
        if not made:
            assert not {name for name in bench.names_on_disk() if NAME in name}
    again = await driver.create(NAME, SIZE_BYTES)
    assert again in await driver.assets()


@disk_check
async def a_full_pool_can_be_emptied(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    assert len(await driver.assets()) == 1
    with bench.filled():
        await driver.delete(NAME)
        assert await driver.assets() == []


@disk_check
async def a_read_only_disk_loses_nothing(bench: Bench) -> None:
    driver = await bench.started()
    kept = await driver.create(NAME, SIZE_BYTES)
    with bench.read_only():
        with pytest.raises(MooringError):
            await driver.create(OTHER, SIZE_BYTES)
        with pytest.raises(MooringError):
            await driver.delete(NAME)
        assert await driver.assets() == [kept]
    assert await driver.create(NAME, SIZE_BYTES) == kept
    await driver.create(OTHER, SIZE_BYTES)


@disk_check
async def what_is_mounted_somewhere_is_not_deleted(bench: Bench) -> None:
    driver = await bench.started()
    kept = await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("kept")
    user = bench.directory / "user"
    user.mkdir()
    with bound(await driver.publish(NAME), user):
        with pytest.raises(InUse):
            await driver.delete(NAME)
        await driver.unpublish(NAME)
        with pytest.raises(InUse):
            await driver.delete(NAME)
        assert await driver.assets() == [kept]
        assert (user / "file").read_text() == "kept"
    await driver.delete(NAME)
    assert await driver.assets() == []


@disk_check
async def what_somebody_still_has_is_published_again_as_the_same(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    user = bench.directory / "user"
    user.mkdir()
    with bound(await driver.publish(NAME), user):
        await driver.unpublish(NAME)
        (user / "file").write_text("kept")
        driver = await bench.restarted()
        again = await driver.publish(NAME)
        assert again.samefile(user)
        assert (again / "file").read_text() == "kept"
        if driver.features.snapshots:
            await driver.snapshot(SNAPSHOT, NAME)
            (user / "file").write_text("written on")
    await driver.unpublish(NAME)
    if driver.features.snapshots:
        await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
        assert (await driver.publish(OTHER) / "file").read_text() == "kept"
        await driver.unpublish(OTHER)
    assert bench.held_by_the_host() == []


@disk_check
async def nothing_is_left_when_all_is_deleted(bench: Bench) -> None:
    driver = await bench.started()
    before = bench.names_on_disk()
    for name in (NAME, OTHER):
        await driver.create(name, SIZE_BYTES)
        written_bytes(await driver.publish(name) / "file", 8 * MIB)
    if driver.features.snapshots:
        await driver.snapshot(SNAPSHOT, NAME)
        await driver.delete_snapshot(SNAPSHOT)
    for name in (NAME, OTHER):
        await driver.unpublish(name)
        await driver.delete(name)
    assert bench.held_by_the_host() == []
    assert bench.names_on_disk() == before != set()
