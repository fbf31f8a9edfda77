"""What every backend must do that says it has snapshots or clones, and what the others answer."""

import pytest

from mooring.drivers.errors import CannotDo, NoSuchAsset, NoSuchSnapshot
from mooring.drivers.interface import Driver, Source, asset_name
from tests.conformance.driver_bench import NAME, OTHER, SIZE_BYTES, SNAPSHOT, Bench, check

ABSENT = asset_name("pvc-absent")


async def _written(driver: Driver, text: str) -> None:
    (await driver.publish(NAME) / "file").write_text(text)


async def _read(driver: Driver, name: str) -> str:
    return (await driver.publish(asset_name(name)) / "file").read_text()


@check
async def a_snapshot_is_what_the_asset_was_also_while_it_is_written_to(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    await _written(driver, "before")
    if not driver.features.snapshots:
        with pytest.raises(CannotDo):
            await driver.snapshot(SNAPSHOT, NAME)
        return
    made = await driver.snapshot(SNAPSHOT, NAME)
    await _written(driver, "after")
    assert made.size_bytes >= SIZE_BYTES
    assert await driver.snapshots() == [made]
    restored = await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
    assert await _read(driver, OTHER) == "before"
    assert await _read(driver, NAME) == "after"
    assert restored in await driver.assets()
    assert await (await bench.restarted()).snapshots() == [made]


@check
async def a_snapshot_made_twice_is_the_first_one(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    if not driver.features.snapshots:
        assert await driver.snapshots() == []
        return
    await _written(driver, "before")
    first = await driver.snapshot(SNAPSHOT, NAME)
    await _written(driver, "after")
    assert await driver.snapshot(SNAPSHOT, NAME) == first
    await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
    assert await _read(driver, OTHER) == "before"


@check
async def a_snapshot_outlives_its_asset_and_what_is_made_from_it_outlives_the_snapshot(
    bench: Bench,
) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    if not driver.features.snapshots:
        await driver.delete_snapshot(SNAPSHOT)
        assert len(await driver.assets()) == 1
        return
    await _written(driver, "kept")
    await driver.snapshot(SNAPSHOT, NAME)
    await driver.unpublish(NAME)
    await driver.delete(NAME)
    assert await driver.snapshot(SNAPSHOT, NAME) == (await driver.snapshots())[0]
    made = await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
    await driver.delete_snapshot(SNAPSHOT)
    await driver.delete_snapshot(SNAPSHOT)
    assert await driver.snapshots() == []
    assert await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT)) == made
    assert await _read(driver, OTHER) == "kept"
    assert not {name for name in bench.names_on_disk() if SNAPSHOT in name}


@check
async def a_clone_has_the_content_and_a_life_of_its_own(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    await _written(driver, "before")
    source = Source(asset=NAME)
    if not driver.features.clones:
        with pytest.raises(CannotDo):
            await driver.create(OTHER, SIZE_BYTES, source)
        return
    made = await driver.create(OTHER, SIZE_BYTES, source)
    await _written(driver, "after")
    assert await driver.create(OTHER, SIZE_BYTES, source) == made
    assert await _read(driver, OTHER) == "before"  # both are at hand at once
    await driver.unpublish(NAME)
    await driver.delete(NAME)
    assert await _read(driver, OTHER) == "before"
    assert await driver.create(OTHER, SIZE_BYTES, source) == made


@check
async def what_is_made_from_something_may_be_larger_and_is_never_smaller(bench: Bench) -> None:
    driver = await bench.started()
    kept = await driver.create(NAME, SIZE_BYTES)
    await _written(driver, "kept")
    if not driver.features.clones:
        assert await driver.assets() == [kept]
        return
    larger = await driver.create(OTHER, 2 * SIZE_BYTES, Source(asset=NAME))
    assert larger.size_bytes >= 2 * SIZE_BYTES
    assert await _read(driver, OTHER) == "kept"
    third = asset_name("pvc-third")
    assert (await driver.create(third, SIZE_BYTES, Source(asset=OTHER))).size_bytes >= (
        larger.size_bytes
    )


@check
async def a_source_that_is_absent_is_said_to_be_and_nothing_is_made(bench: Bench) -> None:
    driver = await bench.started()
    kept = await driver.create(OTHER, SIZE_BYTES)
    missing = [
        (NoSuchSnapshot, Source(snapshot=SNAPSHOT), driver.features.snapshots),
        (NoSuchAsset, Source(asset=ABSENT), driver.features.clones),
    ]
    for error, source, can in missing:
        with pytest.raises(error if can else CannotDo):
            await driver.create(NAME, SIZE_BYTES, source)
    if driver.features.snapshots:
        with pytest.raises(NoSuchAsset):
            await driver.snapshot(SNAPSHOT, ABSENT)
    assert await driver.snapshots() == []
    assert await driver.assets() == [kept]
    assert not {name for name in bench.names_on_disk() if NAME in name or SNAPSHOT in name}


@check
async def a_snapshot_is_no_asset_and_an_asset_is_no_snapshot(bench: Bench) -> None:
    driver = await bench.started()
    kept = await driver.create(NAME, SIZE_BYTES)
    if driver.features.snapshots:
        await driver.snapshot(SNAPSHOT, NAME)
        with pytest.raises(NoSuchAsset):
            await driver.publish(SNAPSHOT)
    await driver.delete_snapshot(NAME)
    await driver.delete(SNAPSHOT)
    assert await driver.assets() == [kept]
    assert len(await driver.snapshots()) == driver.features.snapshots
