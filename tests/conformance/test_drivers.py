"""One suite for every backend; a new one is a line in BACKENDS."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mooring.crashpoints import POINTS
from mooring.drivers.interface import Asset, AssetName, Features, Place, Snapshot, Source, Usage
from mooring.drivers.registry import DRIVERS, driver_for
from mooring.model import names
from mooring.model.names import BTRFS_DRIVER, NFS_DRIVER
from tests.conformance import (
    driver_alone,
    driver_full,
    driver_hostile,
    driver_limits,
    driver_sizes,
    driver_snapshots,
    driver_suite,
)
from tests.conformance.driver_bench import (
    CHECKS,
    DISK_CHECKS,
    NFS,
    SIMPLE_QUOTAS_SINCE,
    Backend,
    Bench,
    Check,
    exported,
    on_a_bench,
)
from tests.conformance.driver_kills import KILLED
from tests.host.privileges import needs_mounts

# They fill the lists of checks.
assert driver_suite, (
    driver_alone,
    driver_full,
    driver_hostile,
    driver_limits,
    driver_sizes,
    driver_snapshots,
)


def _registered(
    driver: str, disk: str = "", since: tuple[int, ...] = (), **options: object
) -> Backend:
    """A line of the registry; what is special about the pool is part of the name."""
    special = [disk, *map(str, options.values())] if disk else []
    # What it has of its own is before that: tests/vm/test_nfs.py.
    points = ("directory.",) if disk == NFS else (driver.partition(".")[0] + ".",)
    if driver == BTRFS_DRIVER:  # it is one that keeps directories, and more
        points += ("directory.",)
    name = " ".join([driver, *special])
    if disk == NFS:
        return Backend(name, lambda place: driver_for(driver, exported(place)), points, disk)
    return Backend(name, lambda place: driver_for(driver, place), points, disk, options, since)


BACKENDS = [
    _registered("directory.mooring.dev"),
    _registered("loopfile.mooring.dev", "xfs"),
    _registered("loopfile.mooring.dev", "ext4", fsType="ext4"),
    _registered("loopfile.mooring.dev", "btrfs", fsType="ext4", allocate=True),
    _registered(BTRFS_DRIVER, "btrfs"),
    _registered(BTRFS_DRIVER, "btrfs", SIMPLE_QUOTAS_SINCE, quotas="simple"),
    _registered(NFS_DRIVER, NFS),
]


class IdleDriver:
    """Says yes to all and does nothing: the suite must see through it in every check."""

    features = Features(
        enforces_size=True, snapshots=True, clones=True, expands=True, attributes={"a": ("b",)}
    )

    def __init__(self, place: Place) -> None:
        self.place = place

    async def start(self, *, new: bool) -> None:
        self.place.root.mkdir(exist_ok=True)

    async def stop(self) -> None:
        return None

    async def create(self, name: AssetName, size_bytes: int, source: Source | None = None) -> Asset:
        return Asset(name, size_bytes)

    async def delete(self, name: AssetName) -> None:
        return None

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        return Asset(name, size_bytes)

    async def modify(self, name: AssetName, attributes: Mapping[str, str]) -> None:
        return None

    async def assets(self) -> list[Asset]:
        return []

    async def snapshot(self, name: AssetName, of: AssetName) -> Snapshot:
        return Snapshot(name, 0, 0)

    async def delete_snapshot(self, name: AssetName) -> None:
        return None

    async def snapshots(self) -> list[Snapshot]:
        return []

    async def used_bytes(self, name: AssetName) -> int | None:
        return None

    async def publish(self, name: AssetName) -> Path:
        return self.place.root

    async def unpublish(self, name: AssetName) -> None:
        return None

    async def usage(self) -> Usage:
        return Usage(0, 0)


IDLE = Backend("idle", IdleDriver, ("directory.",))
ALL = [
    # Where it needs a disk of its own it needs root as well, and is not that quick.
    pytest.param(one, marks=[needs_mounts, pytest.mark.system] if one.disk else [], id=one.name)
    for one in BACKENDS
]
CUTS = [
    pytest.param(backend, point, id=f"{backend.name}-{point}")
    for backend in BACKENDS
    for point in sorted(POINTS)
    if point.startswith(backend.points)
]


BUILT_CALLS = [call for call in KILLED if any(f".{call}." in point for point in POINTS)]


def _named(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("check", CHECKS, ids=_named)
async def test_a_backend_keeps_the_contract(backend: Backend, check: Check, tmp_path: Path) -> None:
    async with on_a_bench(backend, tmp_path) as bench:
        await check(bench)


@needs_mounts
@pytest.mark.system
@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("check", DISK_CHECKS, ids=_named)
async def test_a_backend_keeps_the_contract_on_its_own_disk(
    backend: Backend, check: Check, tmp_path: Path
) -> None:
    async with on_a_bench(backend, tmp_path, "ext4") as bench:
        await check(bench)


@pytest.mark.system
@pytest.mark.parametrize("check", CHECKS, ids=_named)
async def test_a_driver_that_does_nothing_fails_every_check(check: Check, tmp_path: Path) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as failure:
        await check(Bench(IDLE, tmp_path))
    assert not isinstance(failure.value, pytest.skip.Exception)


@needs_mounts
@pytest.mark.system
@pytest.mark.parametrize("check", DISK_CHECKS, ids=_named)
async def test_a_driver_that_does_nothing_fails_every_check_on_a_disk(
    check: Check, tmp_path: Path
) -> None:
    async with on_a_bench(IDLE, tmp_path, "ext4") as bench:
        with pytest.raises((Exception, pytest.fail.Exception)) as failure:
            await check(bench)
    assert not isinstance(failure.value, pytest.skip.Exception)


@pytest.mark.system
@pytest.mark.parametrize(("backend", "point"), CUTS)
async def test_a_call_killed_at_any_point_is_whole_when_repeated(
    backend: Backend, point: str, tmp_path: Path
) -> None:
    async with on_a_bench(backend, tmp_path) as bench:
        await KILLED[point.split(".")[1]](bench, point)


@pytest.mark.system
@pytest.mark.parametrize("call", BUILT_CALLS)
async def test_a_driver_that_does_nothing_fails_the_checks_of_crashes(
    call: str, tmp_path: Path
) -> None:
    point = next(name for name in sorted(POINTS) if f".{call}." in name)
    with pytest.raises(AssertionError):
        await KILLED[call](Bench(IDLE, tmp_path), point)


def test_every_registered_backend_is_in_this_suite_and_has_crash_points() -> None:
    assert {backend.name.partition(" ")[0] for backend in BACKENDS} == set(DRIVERS)
    assert set(DRIVERS) == names.DRIVERS
    for backend in BACKENDS:
        calls = {name.split(".")[1] for name in POINTS if name.startswith(backend.points)}
        assert {"create", "delete"} <= calls <= KILLED.keys()
