"""What every backend must do, as checks that run on any of them. test_drivers.py runs them.

More of them are in driver_limits.py, driver_snapshots.py and driver_kills.py.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from mooring.drivers.errors import (
    BadAssetName,
    BadAttribute,
    NoSuchAsset,
    PoolMissing,
    PoolTaken,
    SizeMismatch,
)
from mooring.drivers.interface import AssetName, Driver, Source, asset_name
from mooring.errors import MooringError
from tests.conformance.driver_bench import ESCAPES, NAME, OTHER, SIZE_BYTES, SNAPSHOT, Bench, check


async def _names(driver: Driver) -> list[AssetName]:
    return sorted(asset.name for asset in await driver.assets())


async def _refused(error: type[Exception], *calls: Callable[[], Awaitable[object]]) -> None:
    for call in calls:
        with pytest.raises(error):
            await call()


@check
async def what_was_created_is_found_with_at_least_its_size(bench: Bench) -> None:
    driver = await bench.started()
    made = await driver.create(NAME, SIZE_BYTES)
    assert made.size_bytes >= SIZE_BYTES
    assert await driver.assets() == [made]


@check
async def creating_twice_returns_the_same_asset(bench: Bench) -> None:
    driver = await bench.started()
    first = await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    assert await driver.create(NAME, SIZE_BYTES) == first
    assert (await driver.publish(NAME) / "file").read_text() == "data"
    assert await driver.assets() == [first]


@check
async def another_size_of_the_same_name_is_refused(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    with pytest.raises(SizeMismatch):
        await driver.create(NAME, 2 * SIZE_BYTES)


@check
async def creating_at_once_makes_one_asset_and_tells_everybody(bench: Bench) -> None:
    driver, second = await bench.started(), await bench.restarted()
    made = await asyncio.gather(
        *(one.create(NAME, SIZE_BYTES) for one in (driver, second) for _ in range(8))
    )
    assert len(set(made)) == 1
    assert await driver.assets() == [made[0]]


@check
async def a_restart_changes_nothing(bench: Bench) -> None:
    driver = await bench.started()
    made = {await driver.create(NAME, SIZE_BYTES), await driver.create(OTHER, SIZE_BYTES)}
    (await driver.publish(NAME) / "file").write_text("data")
    driver = await bench.restarted()
    assert set(await driver.assets()) == made
    assert (await driver.publish(NAME) / "file").read_text() == "data"


@check
async def deleting_removes_one_asset_and_its_data_and_may_be_repeated(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    await driver.create(OTHER, SIZE_BYTES)
    place = await driver.publish(NAME)
    (place / "file").write_text("data")
    await driver.unpublish(NAME)
    await driver.delete(NAME)
    await driver.delete(NAME)
    assert await _names(driver) == [OTHER]
    assert not place.exists()
    await driver.create(NAME, SIZE_BYTES)
    assert os.listdir(await driver.publish(NAME)) in ([], ["lost+found"])


@check
async def what_is_absent_cannot_be_published_or_expanded(bench: Bench) -> None:
    driver = await bench.started()
    with pytest.raises(NoSuchAsset):
        await driver.publish(NAME)
    if driver.features.expands:
        with pytest.raises(NoSuchAsset):
            await driver.expand(NAME, SIZE_BYTES)


@check
async def publishing_twice_gives_one_place_and_unpublishing_may_be_repeated(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    first = await driver.publish(NAME)
    (first / "file").write_text("data")
    assert await driver.publish(NAME) == first
    await driver.create(OTHER, SIZE_BYTES)
    assert await driver.publish(OTHER) != first
    await driver.unpublish(NAME)
    await driver.unpublish(NAME)
    assert (await driver.publish(NAME) / "file").read_text() == "data"


@check
async def expanding_raises_the_size_for_good_and_never_lowers_it(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    if not driver.features.expands:
        pytest.skip("it says that it does not expand")
    larger = await driver.expand(NAME, 2 * SIZE_BYTES)
    assert larger.size_bytes >= 2 * SIZE_BYTES
    assert await driver.expand(NAME, 2 * SIZE_BYTES) == larger
    assert await driver.expand(NAME, SIZE_BYTES) == larger
    assert await (await bench.restarted()).assets() == [larger]


@check
async def what_it_offers_to_change_can_be_changed_while_it_is_used_and_nothing_else(
    bench: Bench,
) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    for attribute, values in driver.features.attributes.items():
        for value in (*values, values[0], values[0]):
            await driver.modify(NAME, {attribute: value})
        await _refused(NoSuchAsset, partial(driver.modify, OTHER, {attribute: values[0]}))
        await _refused(BadAttribute, partial(driver.modify, NAME, {attribute: "no such value"}))
    await _refused(BadAttribute, partial(driver.modify, NAME, {"no such attribute": "1"}))
    await driver.unpublish(NAME)
    assert (await (await bench.restarted()).publish(NAME) / "file").read_text() == "data"


@check
async def names_that_lead_elsewhere_are_refused_by_every_call(bench: Bench) -> None:
    driver = await bench.started()
    for text in ESCAPES:
        name = AssetName(text)
        await _refused(
            BadAssetName,
            partial(driver.create, name, SIZE_BYTES),
            partial(driver.delete, name),
            partial(driver.expand, name, SIZE_BYTES),
            partial(driver.modify, name, {}),
            partial(driver.publish, name),
            partial(driver.unpublish, name),
            partial(driver.used_bytes, name),
            partial(driver.delete_snapshot, name),
        )
        if driver.features.snapshots:
            await _refused(
                BadAssetName,
                partial(driver.snapshot, name, NAME),
                partial(driver.snapshot, SNAPSHOT, name),
                partial(driver.create, NAME, SIZE_BYTES, Source(snapshot=name)),
            )
        if driver.features.clones:
            source = Source(asset=name)
            await _refused(BadAssetName, partial(driver.create, NAME, SIZE_BYTES, source))
    assert bench.precious_is_kept()


@check
async def links_in_a_volume_are_removed_and_not_followed(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    (data / "out").symlink_to(bench.outside)
    (data / "up").symlink_to("../../..")
    (data / "file").symlink_to(bench.outside / "precious")
    with suppress(OSError):  # where its data is a file system of its own
        os.link(bench.outside / "precious", data / "second-name")
    await driver.unpublish(NAME)
    await driver.delete(NAME)
    assert await driver.assets() == []
    assert not data.exists()
    assert bench.precious_is_kept()


@check
async def a_link_in_place_of_the_data_leads_nowhere(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    await driver.unpublish(NAME)
    if not data.exists():
        pytest.skip("its data is a file system of its own")
    data.rename(bench.disk / "moved")
    data.symlink_to(bench.outside)
    with pytest.raises(MooringError):
        await driver.publish(NAME)
    try:
        await driver.delete(NAME)
    except MooringError:
        assert data.is_symlink()
    assert bench.precious_is_kept()


@check
async def a_root_that_is_missing_is_said_to_be_and_not_made_anew(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    bench.root.rename(bench.disk / "away")
    await _refused(
        PoolMissing,
        partial(driver.create, OTHER, SIZE_BYTES),
        partial(driver.delete, NAME),
        partial(driver.publish, NAME),
        driver.assets,
        driver.usage,
        bench.restarted,
    )
    assert not bench.root.exists()


@check
async def a_disk_that_is_not_mounted_at_the_root_is_missing(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    bench.root.rename(bench.disk / "away")
    bench.root.mkdir()
    await _refused(
        PoolMissing,
        partial(driver.create, NAME, SIZE_BYTES),
        partial(driver.delete, NAME),
        driver.assets,
        bench.restarted,
    )
    assert bench.names_on_disk() == set()
    bench.root.rmdir()
    (bench.disk / "away").rename(bench.root)
    assert await _names(driver) == [NAME]


@check
async def two_pools_on_one_root_are_refused(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    stranger = bench.driver(uid="uid-of-another")
    await _refused(
        PoolTaken,
        partial(stranger.start, new=True),
        partial(stranger.start, new=False),
        partial(stranger.create, OTHER, SIZE_BYTES),
        partial(stranger.delete, NAME),
        stranger.assets,
    )
    assert await _names(driver) == [NAME]


@check
async def starting_a_pool_as_new_again_keeps_what_is_in_it(bench: Bench) -> None:
    made = await (await bench.started()).create(NAME, SIZE_BYTES)
    assert await (await bench.started()).assets() == [made]


@check
async def things_in_the_root_that_are_not_assets_stay_and_are_not_listed(bench: Bench) -> None:
    driver = await bench.started()
    (bench.root / "photos").mkdir()
    (bench.root / "photos" / "holiday").write_text("kept")
    (bench.root / "notes").write_text("kept")
    made = await driver.create(NAME, SIZE_BYTES)
    for name in ("photos", "notes"):
        await _refused(
            MooringError,
            partial(driver.delete, asset_name(name)),
            partial(driver.create, asset_name(name), SIZE_BYTES),
        )
    await bench.restarted()
    assert await driver.assets() == [made]
    assert (bench.root / "photos" / "holiday").read_text() == "kept"


@check
async def usage_counts_the_place_of_the_pool(bench: Bench) -> None:
    usage = await (await bench.started()).usage()
    assert 0 <= usage.used_bytes <= usage.total_bytes
    assert usage.free_bytes == usage.total_bytes - usage.used_bytes
    assert usage.total_bytes > 0
