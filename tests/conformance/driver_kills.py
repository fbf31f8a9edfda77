"""Every call of a backend, killed (-9) at each step that it has, then repeated."""

import os
from collections.abc import Awaitable, Callable

import pytest

from mooring.drivers.interface import Asset, Driver, Source
from tests.conformance.driver_bench import NAME, OTHER, SIZE_BYTES, SNAPSHOT, Bench

NONE_HERE = "it has none on this disk, and says so"


async def _names(driver: Driver) -> list[str]:
    return sorted(asset.name for asset in await driver.assets())


async def _emptied(bench: Bench, driver: Driver) -> None:
    """All of it can be deleted, and leaves nothing."""
    for asset in await driver.assets():
        await driver.unpublish(asset.name)
        await driver.delete(asset.name)
    for snapshot in await driver.snapshots():
        await driver.delete_snapshot(snapshot.name)
    ours = (NAME, OTHER, SNAPSHOT)
    assert not {name for name in bench.names_on_disk() if any(one in name for one in ours)}
    assert bench.held_by_the_host() == []


async def killed_while_starting(bench: Bench, point: str) -> None:
    assert await bench.killed_at(point, "start")
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    assert await _names(await bench.restarted()) == [NAME]


async def killed_while_creating(bench: Bench, point: str) -> None:
    driver = await bench.started()
    kept = await driver.create(OTHER, SIZE_BYTES)
    assert await bench.killed_at(point, "create", NAME, str(SIZE_BYTES))
    assert set(await driver.assets()) <= {kept, Asset(NAME, SIZE_BYTES)}  # whole, or not at all
    driver = await bench.restarted()
    made = await driver.create(NAME, SIZE_BYTES)
    assert await driver.create(NAME, SIZE_BYTES) == made
    assert sorted(await driver.assets()) == sorted([made, kept])
    await _emptied(bench, driver)


async def killed_while_deleting(bench: Bench, point: str) -> None:
    driver = await bench.started()
    kept = await driver.create(OTHER, SIZE_BYTES)
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    await driver.unpublish(NAME)
    assert await bench.killed_at(point, "delete", NAME)
    driver = bench.driver()  # not even started anew: repeating the call is enough
    await driver.delete(NAME)
    assert await driver.assets() == [kept]
    assert not {name for name in bench.names_on_disk() if NAME in name}
    await driver.create(NAME, SIZE_BYTES)
    assert os.listdir(await driver.publish(NAME)) in ([], ["lost+found"])


async def killed_while_expanding(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    await driver.unpublish(NAME)
    assert await bench.killed_at(point, "expand", NAME, str(2 * SIZE_BYTES))
    driver = await bench.restarted()
    larger = await driver.expand(NAME, 2 * SIZE_BYTES)
    assert larger.size_bytes >= 2 * SIZE_BYTES
    assert await driver.assets() == [larger]
    assert (await driver.publish(NAME) / "file").read_text() == "data"


async def killed_while_publishing(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    assert await bench.killed_at(point, "publish", NAME)
    driver = await bench.restarted()
    (await driver.publish(NAME) / "file").write_text("data")
    assert len(bench.held_by_the_host()) <= 2  # a mount and its device, if it has such
    await driver.unpublish(NAME)
    assert (await driver.publish(NAME) / "file").read_text() == "data"
    await _emptied(bench, driver)


async def killed_while_unpublishing(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    assert await bench.killed_at(point, "unpublish", NAME)
    driver = await bench.restarted()
    await driver.unpublish(NAME)
    assert bench.held_by_the_host() == []
    assert (await driver.publish(NAME) / "file").read_text() == "data"
    await _emptied(bench, driver)


async def killed_while_making_a_snapshot(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    if not driver.features.snapshots:
        pytest.skip(NONE_HERE)
    (await driver.publish(NAME) / "file").write_text("before")
    assert await bench.killed_at(point, "snapshot", SNAPSHOT, NAME)
    driver = await bench.restarted()
    (await driver.publish(NAME) / "other").write_text("it can be written to")
    made = await driver.snapshot(SNAPSHOT, NAME)
    assert await driver.snapshots() == [made]
    await driver.create(OTHER, SIZE_BYTES, Source(snapshot=SNAPSHOT))
    assert (await driver.publish(OTHER) / "file").read_text() == "before"
    await _emptied(bench, driver)


async def killed_while_deleting_a_snapshot(bench: Bench, point: str) -> None:
    driver = await bench.started()
    kept = await driver.create(NAME, SIZE_BYTES)
    if not driver.features.snapshots:
        pytest.skip(NONE_HERE)
    await driver.snapshot(SNAPSHOT, NAME)
    assert await bench.killed_at(point, "delete_snapshot", SNAPSHOT)
    driver = bench.driver()
    await driver.delete_snapshot(SNAPSHOT)
    assert await driver.snapshots() == []
    assert await driver.assets() == [kept]
    assert not {name for name in bench.names_on_disk() if SNAPSHOT in name}


async def killed_while_cloning(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    if not driver.features.clones:
        pytest.skip(NONE_HERE)
    (await driver.publish(NAME) / "file").write_text("data")
    assert await bench.killed_at(point, "clone", OTHER, NAME, str(2 * SIZE_BYTES))
    driver = await bench.restarted()
    (await driver.publish(NAME) / "other").write_text("it can be written to")
    made = await driver.create(OTHER, 2 * SIZE_BYTES, Source(asset=NAME))
    assert made.size_bytes >= 2 * SIZE_BYTES
    assert await _names(driver) == [NAME, OTHER]
    assert await driver.create(OTHER, 2 * SIZE_BYTES, Source(asset=NAME)) == made
    assert (await driver.publish(OTHER) / "file").read_text() == "data"
    await _emptied(bench, driver)


async def killed_while_modifying(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    assert await bench.killed_at(point, "modify", NAME)
    driver = await bench.restarted()
    for attribute, values in driver.features.attributes.items():
        await driver.modify(NAME, {attribute: values[-1]})
    await driver.unpublish(NAME)
    assert (await driver.publish(NAME) / "file").read_text() == "data"
    await _emptied(bench, driver)


KILLED: dict[str, Callable[[Bench, str], Awaitable[None]]] = {
    "start": killed_while_starting,
    "create": killed_while_creating,
    "delete": killed_while_deleting,
    "expand": killed_while_expanding,
    "modify": killed_while_modifying,
    "publish": killed_while_publishing,
    "unpublish": killed_while_unpublishing,
    "snapshot": killed_while_making_a_snapshot,
    "delete_snapshot": killed_while_deleting_a_snapshot,
    "clone": killed_while_cloning,
}
