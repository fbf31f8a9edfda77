"""What every backend must do when its disk is full, away or read-only in the middle of a call."""

import os
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from mooring.drivers.errors import PoolFailed, PoolFull, PoolMissing, PoolTaken
from mooring.drivers.interface import Asset, Driver, Source
from mooring.errors import MooringError
from mooring.host.errors import ProgramFailed
from mooring.host.processes import checked
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

# From nothing to what all steps of a call fit into: so it ends at one after the other.
FREE_BYTES = (0, 4096, 16 << 10, 64 << 10, 256 << 10, MIB, 4 * MIB, 16 * MIB, 66 * MIB, 80 * MIB)


def _calls(driver: Driver) -> dict[str, Callable[[], Awaitable[object]]]:
    """That make something; each is undone by _undone."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": partial(driver.create, NAME, SIZE_BYTES)
    }
    if driver.features.clones:
        calls["clone"] = partial(driver.create, NAME, 2 * SIZE_BYTES, Source(asset=OTHER))
    if driver.features.snapshots:
        calls["snapshot"] = partial(driver.snapshot, SNAPSHOT, OTHER)
    return calls


async def _undone(driver: Driver) -> None:
    await driver.delete(NAME)
    await driver.delete_snapshot(SNAPSHOT)


@disk_check
async def a_disk_that_is_full_at_any_step_leaves_nothing_half_made(bench: Bench) -> None:
    driver = await bench.started()
    kept = await driver.create(OTHER, SIZE_BYTES)
    content = os.urandom(MIB)
    (await driver.publish(OTHER) / "file").write_bytes(content)
    await driver.unpublish(OTHER)
    before, refused = bench.names_on_disk(), 0
    for free_bytes in FREE_BYTES:
        for name, call in _calls(driver).items():
            with bench.filled(free_bytes):
                try:
                    await call()
                except PoolFull:
                    refused += 1
                    assert bench.names_on_disk() == before, name
                assert kept in await driver.assets()
            await _undone(driver)
            assert bench.names_on_disk() == before, name
            assert bench.held_by_the_host() == [], name
    assert (await driver.publish(OTHER) / "file").read_bytes() == content
    for call in _calls(driver).values():
        await call()
        await _undone(driver)
    assert refused or not driver.features.enforces_size  # a directory needs hardly anything


@disk_check
async def a_volume_that_cannot_grow_on_a_full_disk_stays_as_it_is(bench: Bench) -> None:
    driver = await bench.started()
    made = await driver.create(NAME, SIZE_BYTES)
    if not driver.features.expands:
        pytest.skip("it says that it does not expand")
    (await driver.publish(NAME) / "file").write_text("kept")
    await driver.unpublish(NAME)
    sizes = [made.size_bytes]
    for step, free_bytes in enumerate(FREE_BYTES):
        asked_bytes = SIZE_BYTES + (step + 1) * 64 * MIB
        with bench.filled(free_bytes):
            try:
                sizes.append((await driver.expand(NAME, asked_bytes)).size_bytes)
            except PoolFull:
                assert await driver.assets() == [Asset(NAME, sizes[-1])]
            await bench.restarted()
        assert (await driver.publish(NAME) / "file").read_text() == "kept"
        await driver.unpublish(NAME)
        (found,) = await driver.assets()
        assert found.size_bytes in (sizes[-1], asked_bytes)  # what was begun may be ended by then
        sizes.append(found.size_bytes)
    assert (await driver.expand(NAME, 4 * SIZE_BYTES)).size_bytes == 4 * SIZE_BYTES
    assert {one for one in os.listdir(bench.root / NAME) if one.startswith(".")} == set()


@disk_check
async def a_disk_that_is_taken_away_under_a_running_pool_is_served_once_it_is_back(
    bench: Bench,
) -> None:
    driver = await bench.started()
    made = await driver.create(NAME, SIZE_BYTES)
    assert await driver.assets() == [made]
    if driver.features.shared:
        pytest.skip("its disk is the server's")
    with pytest.raises(ProgramFailed, match="busy"):
        await checked("umount", str(bench.disk), deadline_s=30)
    await checked("umount", "--lazy", str(bench.disk), deadline_s=30)
    for call in (
        driver.assets,
        partial(driver.create, OTHER, SIZE_BYTES),
        partial(driver.delete, NAME),
        partial(driver.publish, NAME),
        bench.restarted,
    ):
        with pytest.raises(PoolMissing):
            await call()
    assert os.listdir(bench.disk) == []  # nothing was made in its place
    image = str(bench.directory / "image")
    await checked("mount", "-o", "loop", image, str(bench.disk), deadline_s=30)
    assert await driver.assets() == [made]
    await driver.create(OTHER, SIZE_BYTES)


@check
async def another_pools_root_in_place_of_ours_is_refused_and_left_alone(bench: Bench) -> None:
    driver = await bench.started()
    made = await driver.create(NAME, SIZE_BYTES)
    ours, others = bench.disk / "ours", bench.disk / "others"
    bench.root.rename(ours)
    stranger = bench.driver("uid-of-another")
    await stranger.start(new=True)
    await stranger.create(OTHER, SIZE_BYTES)
    before = bench.names_on_disk()
    for call in (
        driver.assets,
        partial(driver.create, NAME, SIZE_BYTES),
        partial(driver.delete, OTHER),
        partial(driver.publish, OTHER),
        bench.restarted,
    ):
        with pytest.raises(PoolTaken):
            await call()
    assert bench.names_on_disk() == before
    bench.root.rename(others)
    ours.rename(bench.root)
    assert await driver.assets() == [made]


@disk_check
async def a_read_only_disk_is_told_by_every_call_that_would_write(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    await driver.create(OTHER, SIZE_BYTES)
    found, before = await driver.assets(), bench.names_on_disk()
    calls: list[Callable[[], Awaitable[object]]] = [
        partial(driver.create, SNAPSHOT, SIZE_BYTES),
        partial(driver.delete, NAME),
    ]
    if driver.features.expands:
        calls.append(partial(driver.expand, NAME, 2 * SIZE_BYTES))
    if driver.features.snapshots:
        calls.append(partial(driver.snapshot, SNAPSHOT, NAME))
    if driver.features.clones:
        calls.append(partial(driver.create, SNAPSHOT, SIZE_BYTES, Source(asset=NAME)))
    with bench.read_only():
        for call in calls:
            with pytest.raises(MooringError, match="Read-only") as told:
                await call()
            assert isinstance(told.value, PoolFailed)
        assert sorted(await driver.assets()) == sorted(found)
        assert bench.names_on_disk() == before
        assert bench.held_by_the_host() == []
    for call in calls[2:]:
        await call()
