"""The backend that hangs when it is told to is as good as the real one when it is not."""

import asyncio
from pathlib import Path

import pytest

from mooring.drivers.interface import Driver, asset_name
from testbed.hanging import HangingDriver
from testbed.hangs import CALLS, Hangs
from testbed.hosts import eventually
from tests.conformance.driver_bench import CHECKS, NAME, OTHER, SIZE_BYTES, Backend, Bench, Check

HANGING = Backend("hanging", HangingDriver.at, "directory.")


@pytest.mark.system
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_the_contract(check: Check, tmp_path: Path) -> None:
    await check(Bench(HANGING, tmp_path))


@pytest.mark.parametrize("asset", ["", NAME])
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_hangs_until_it_is_let_go_on(call: str, asset: str, tmp_path: Path) -> None:
    bench = Bench(HANGING, tmp_path)
    driver, hangs = await bench.started(), Hangs(bench.root)
    if call != "create":
        await driver.create(NAME, SIZE_BYTES)
    hangs.begin(call, asset)
    hanging = asyncio.create_task(_called(driver, call))
    await asyncio.to_thread(eventually, lambda: hangs.held(call, asset) == 1, "a call hangs")
    if asset:
        await driver.create(OTHER, SIZE_BYTES)
        await driver.publish(OTHER)
        await driver.unpublish(OTHER)
        await driver.delete(OTHER)
    assert not hanging.done()
    hangs.end(call, asset)
    await hanging
    await _called(driver, call)
    assert list(hangs.place.iterdir()) == []


async def test_a_volume_that_hangs_however_often_it_is_tried_is_in_no_others_way(
    tmp_path: Path,
) -> None:
    bench = Bench(HANGING, tmp_path)
    driver, hangs = await bench.started(), Hangs(bench.root)
    for name in (NAME, OTHER):
        await driver.create(name, SIZE_BYTES)
    hangs.begin("publish", NAME)
    tries = [asyncio.create_task(driver.publish(NAME)) for _ in range(5)]
    await asyncio.to_thread(eventually, lambda: hangs.held("publish", NAME) > 0, "a call hangs")
    await driver.publish(OTHER)
    assert hangs.held("publish", NAME) == 1
    hangs.end("publish", NAME)
    await asyncio.gather(*tries)


async def test_large_volumes_that_are_being_deleted_are_in_no_others_way(tmp_path: Path) -> None:
    bench = Bench(HANGING, tmp_path)
    driver, hangs = await bench.started(), Hangs(bench.root)
    large = [asset_name(f"large-{number}") for number in range(4)]
    for name in (OTHER, *large):
        await driver.create(name, SIZE_BYTES)
    hangs.begin("delete")
    deleting = [asyncio.create_task(driver.delete(name)) for name in large]
    await asyncio.to_thread(eventually, lambda: hangs.held("delete") == 4, "they are deleted")
    await driver.publish(OTHER)
    await driver.create(NAME, SIZE_BYTES)
    assert hangs.held("delete") == 4
    hangs.end("delete")
    await asyncio.gather(*deleting)


async def _called(driver: Driver, call: str) -> None:
    match call:
        case "create":
            await driver.create(NAME, SIZE_BYTES)
        case "delete":
            await driver.delete(NAME)
        case "publish":
            await driver.publish(NAME)
        case _:
            await driver.unpublish(NAME)
