"""What every backend must do, as checks that run on any of them. test_drivers.py runs them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from mooring.drivers.errors import BadAssetName, NoSuchAsset, PoolMissing, PoolTaken, SizeMismatch
from mooring.drivers.interface import Asset, AssetName, Driver, Place, asset_name
from mooring.errors import MooringError

MIB = 1 << 20
NAME = asset_name("pvc-0a1b2c3d-0000-4000-8000-000000000001")
OTHER = asset_name("pvc-0a1b2c3d-0000-4000-8000-000000000002")
SIZE_BYTES = 64 * MIB  # above every backend's smallest
ESCAPES = ["", ".", "..", "../x", "/etc", "a/b", "a\0b", ".hidden", "-rf", "A", "a\n", "x" * 300]
UNTIL_DEAD_S = 60
CHILD = "tests.conformance.driver_child"


@dataclass(frozen=True)
class Backend:
    """One line of test_drivers.py.

    name     by which driver_child.py makes it in a process of its own
    make     the same here
    points   what its crash points begin with
    """

    name: str
    make: Callable[[Place], Driver]
    points: str


class Bench:
    """A backend on a root of its own, with hands to do it harm."""

    def __init__(self, backend: Backend, directory: Path) -> None:
        self.backend = backend
        self.directory = directory
        self.root = directory / "pool"
        self.outside = directory / "outside"
        self.outside.mkdir()
        (self.outside / "precious").write_text("kept")

    def place(self, uid: str = "uid-of-pool", root: Path | None = None) -> Place:
        return Place("bench", uid, root or self.root)

    def driver(self, uid: str = "uid-of-pool") -> Driver:
        """As a process that has just begun would have it."""
        return self.backend.make(self.place(uid))

    async def started(self) -> Driver:
        driver = self.driver()
        await driver.start(new=True)
        return driver

    async def restarted(self) -> Driver:
        driver = self.driver()
        await driver.start(new=False)
        return driver

    def killed_at(self, point: str, *call: str) -> bool:
        """Make a call in a process that dies at a point; whether it did."""
        child = subprocess.run(
            [sys.executable, "-m", CHILD, self.backend.name, str(self.root), *call],
            env={**os.environ, "MOORING_CRASH_AT": point},
            timeout=UNTIL_DEAD_S,
            capture_output=True,
            check=False,
        )
        return child.returncode == -signal.SIGKILL

    def precious_is_kept(self) -> bool:
        return (self.outside / "precious").read_text() == "kept"

    def names_on_disk(self) -> set[str]:
        return set(os.listdir(self.root))


Check = Callable[[Bench], Awaitable[None]]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


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
async def names_that_lead_elsewhere_are_refused_by_every_call(bench: Bench) -> None:
    driver = await bench.started()
    for text in ESCAPES:
        name = AssetName(text)
        await _refused(
            BadAssetName,
            partial(driver.create, name, SIZE_BYTES),
            partial(driver.delete, name),
            partial(driver.expand, name, SIZE_BYTES),
            partial(driver.publish, name),
            partial(driver.unpublish, name),
        )
    assert bench.precious_is_kept()


@check
async def links_in_a_volume_are_removed_and_not_followed(bench: Bench) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    data = await driver.publish(NAME)
    (data / "out").symlink_to(bench.outside)
    (data / "up").symlink_to("../../..")
    (data / "file").symlink_to(bench.outside / "precious")
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
    if data.is_mount():
        pytest.skip("its data is a file system of its own")
    data.rename(bench.directory / "moved")
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
    bench.root.rename(bench.directory / "away")
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
    bench.root.rename(bench.directory / "away")
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
    (bench.directory / "away").rename(bench.root)
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


async def killed_while_starting(bench: Bench, point: str) -> None:
    assert bench.killed_at(point, "start")
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    assert await _names(await bench.restarted()) == [NAME]


async def killed_while_creating(bench: Bench, point: str) -> None:
    driver = await bench.started()
    kept = await driver.create(OTHER, SIZE_BYTES)
    assert bench.killed_at(point, "create", NAME, str(SIZE_BYTES))
    assert set(await driver.assets()) <= {kept, Asset(NAME, SIZE_BYTES)}  # whole, or not at all
    driver = await bench.restarted()
    made = await driver.create(NAME, SIZE_BYTES)
    assert await driver.create(NAME, SIZE_BYTES) == made
    assert sorted(await driver.assets()) == sorted([made, kept])
    await driver.delete(NAME)
    await driver.delete(OTHER)
    assert not {name for name in bench.names_on_disk() if NAME in name or OTHER in name}


async def killed_while_deleting(bench: Bench, point: str) -> None:
    driver = await bench.started()
    kept = await driver.create(OTHER, SIZE_BYTES)
    await driver.create(NAME, SIZE_BYTES)
    (await driver.publish(NAME) / "file").write_text("data")
    await driver.unpublish(NAME)
    assert bench.killed_at(point, "delete", NAME)
    driver = bench.driver()  # not even started anew: repeating the call is enough
    await driver.delete(NAME)
    assert await driver.assets() == [kept]
    assert not {name for name in bench.names_on_disk() if NAME in name}
    await driver.create(NAME, SIZE_BYTES)
    assert os.listdir(await driver.publish(NAME)) in ([], ["lost+found"])


async def killed_while_expanding(bench: Bench, point: str) -> None:
    driver = await bench.started()
    await driver.create(NAME, SIZE_BYTES)
    assert bench.killed_at(point, "expand", NAME, str(2 * SIZE_BYTES))
    driver = await bench.restarted()
    larger = await driver.expand(NAME, 2 * SIZE_BYTES)
    assert larger.size_bytes >= 2 * SIZE_BYTES
    assert await driver.assets() == [larger]


KILLED: dict[str, Callable[[Bench, str], Awaitable[None]]] = {
    "start": killed_while_starting,
    "create": killed_while_creating,
    "delete": killed_while_deleting,
    "expand": killed_while_expanding,
}
