"""What every backend must do when another process wants its place: one at a time has it."""

import os
from functools import partial

import pytest

from mooring.drivers.errors import PoolMissing, PoolTaken
from mooring.drivers.interface import AssetName, Driver
from mooring.drivers.root import MARK
from mooring.drivers.tenure import HOLDER
from tests.conformance.driver_bench import (
    NAME,
    OTHER,
    SIZE_BYTES,
    SNAPSHOT,
    Bench,
    check,
    disk_check,
)


async def _refused(bench: Bench, driver: Driver, holder: str) -> None:
    """By every call, which says who has it; and nothing is changed."""
    before = bench.names_on_disk()
    calls = [
        partial(driver.start, new=False),
        partial(driver.start, new=True),
        partial(driver.create, OTHER, SIZE_BYTES),
        partial(driver.delete, NAME),
        partial(driver.publish, NAME),
        driver.assets,
        driver.usage,
    ]
    if driver.features.expands:
        calls.append(partial(driver.expand, NAME, 2 * SIZE_BYTES))
    if driver.features.snapshots:
        calls += [partial(driver.snapshot, SNAPSHOT, NAME), driver.snapshots]
        calls.append(partial(driver.delete_snapshot, SNAPSHOT))
    for call in calls:
        with pytest.raises(PoolTaken, match=f"served by {holder} "):
            await call()
    assert bench.names_on_disk() == before


async def _names(driver: Driver) -> list[AssetName]:
    return [asset.name for asset in await driver.assets()]


async def _serve_side_by_side(bench: Bench, driver: Driver) -> bool:
    """Whether the place is one that several hosts share. Then the second is not refused."""
    if not driver.features.shared:
        return False
    await driver.create(NAME, SIZE_BYTES)
    with bench.served_elsewhere():
        await driver.create(OTHER, SIZE_BYTES)
        assert sorted(await _names(driver)) == [NAME, OTHER]
    return True


@check
async def a_process_that_comes_second_is_refused_until_the_first_is_killed(bench: Bench) -> None:
    driver = await bench.started()
    if await _serve_side_by_side(bench, driver):
        return
    await driver.create(NAME, SIZE_BYTES)
    await bench.stopped()
    with bench.served_elsewhere() as first:
        await _refused(bench, driver, f"process {first.pid} on")
        first.kill()
        first.wait()
        assert await _names(driver) == [NAME]
    await driver.create(OTHER, SIZE_BYTES)
    assert sorted(await _names(await bench.restarted())) == [NAME, OTHER]


@check
async def a_process_that_comes_second_is_refused_until_the_first_ends(bench: Bench) -> None:
    driver = await bench.started()
    if await _serve_side_by_side(bench, driver):
        return
    await driver.create(NAME, SIZE_BYTES)
    with bench.served_elsewhere(expect="PoolTaken"):
        assert await _names(driver) == [NAME]
    await bench.stopped()
    with bench.served_elsewhere() as first:
        await _refused(bench, driver, f"process {first.pid} on")
    with bench.served_elsewhere():  # one after the other, and none is refused
        pass
    assert await _names(driver) == [NAME]


@disk_check
async def mounts_of_its_own_are_no_way_around_the_first(bench: Bench) -> None:
    driver = await bench.started()
    if await _serve_side_by_side(bench, driver):
        return
    await driver.create(NAME, SIZE_BYTES)
    apart = ("unshare", "--mount", "--uts", "--propagation", "private")
    with bench.served_elsewhere(*apart, expect="PoolTaken"):
        assert await _names(driver) == [NAME]
    await bench.stopped()
    with bench.served_elsewhere(*apart) as first:
        await _refused(bench, driver, f"process {first.pid} on")
        first.kill()
        first.wait()
        assert await _names(driver) == [NAME]


@check
async def a_root_that_is_away_is_let_go_and_taken_again_when_it_is_back(bench: Bench) -> None:
    driver = await bench.started()
    if await _serve_side_by_side(bench, driver):
        return
    await driver.create(NAME, SIZE_BYTES)
    away = bench.disk / "away"
    bench.root.rename(away)
    with pytest.raises(PoolMissing):
        await driver.assets()
    away.rename(bench.root)
    with bench.served_elsewhere() as first:
        await _refused(bench, driver, f"process {first.pid} on")
    assert await _names(driver) == [NAME]
    with bench.served_elsewhere(expect="PoolTaken"):
        await driver.create(OTHER, SIZE_BYTES)


@check
async def who_has_it_need_not_be_known(bench: Bench) -> None:
    """A disk that was full or read-only then."""
    driver = await bench.started()
    if await _serve_side_by_side(bench, driver):
        return
    await driver.create(NAME, SIZE_BYTES)
    await bench.stopped()
    with bench.served_elsewhere():
        os.removexattr(bench.root / MARK, HOLDER)
        await _refused(bench, driver, "another process")
