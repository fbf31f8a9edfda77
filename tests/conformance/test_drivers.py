"""One suite for every backend; a new one is a line in BACKENDS."""

from pathlib import Path

import pytest

from mooring.crashpoints import POINTS
from mooring.drivers.interface import Asset, AssetName, Features, Place, Usage
from mooring.drivers.registry import DRIVERS, driver_for
from mooring.model.names import BUILT_DRIVERS
from tests.conformance.driver_suite import CHECKS, KILLED, Backend, Bench, Check


def _registered(name: str, points: str) -> Backend:
    return Backend(name, lambda place: driver_for(name, place), points)


BACKENDS = [
    _registered("directory.mooring.dev", "directory."),
]


class IdleDriver:
    """Says yes to all and does nothing: the suite must see through it in every check."""

    features = Features(expands=True)

    def __init__(self, place: Place) -> None:
        self.place = place

    async def start(self, *, new: bool) -> None:
        self.place.root.mkdir(exist_ok=True)

    async def create(self, name: AssetName, size_bytes: int) -> Asset:
        return Asset(name, size_bytes)

    async def delete(self, name: AssetName) -> None:
        return None

    async def expand(self, name: AssetName, size_bytes: int) -> Asset:
        return Asset(name, size_bytes)

    async def assets(self) -> list[Asset]:
        return []

    async def publish(self, name: AssetName) -> Path:
        return self.place.root

    async def unpublish(self, name: AssetName) -> None:
        return None

    async def usage(self) -> Usage:
        return Usage(0, 0)


IDLE = Backend("idle", IdleDriver, "directory.")
CUTS = [
    pytest.param(backend, point, id=f"{backend.name}-{point}")
    for backend in BACKENDS
    for point in sorted(POINTS)
    if point.startswith(backend.points)
]


def _named(value: object) -> str:
    return value.name if isinstance(value, Backend) else getattr(value, "__name__", str(value))


@pytest.mark.parametrize("backend", BACKENDS, ids=_named)
@pytest.mark.parametrize("check", CHECKS, ids=_named)
async def test_a_backend_keeps_the_contract(backend: Backend, check: Check, tmp_path: Path) -> None:
    await check(Bench(backend, tmp_path))


@pytest.mark.parametrize("check", CHECKS, ids=_named)
async def test_a_driver_that_does_nothing_fails_every_check(check: Check, tmp_path: Path) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as failure:
        await check(Bench(IDLE, tmp_path))
    assert not isinstance(failure.value, pytest.skip.Exception)


@pytest.mark.system
@pytest.mark.parametrize(("backend", "point"), CUTS)
async def test_a_call_killed_at_any_point_is_whole_when_repeated(
    backend: Backend, point: str, tmp_path: Path
) -> None:
    await KILLED[point.split(".")[1]](Bench(backend, tmp_path), point)


@pytest.mark.system
@pytest.mark.parametrize("call", KILLED)
async def test_a_driver_that_does_nothing_fails_the_checks_of_crashes(
    call: str, tmp_path: Path
) -> None:
    point = next(name for name in sorted(POINTS) if name.startswith(f"directory.{call}."))
    with pytest.raises(AssertionError):
        await KILLED[call](Bench(IDLE, tmp_path), point)


def test_every_registered_backend_is_in_this_suite_and_has_crash_points() -> None:
    assert [backend.name for backend in BACKENDS] == list(DRIVERS)
    assert set(DRIVERS) == BUILT_DRIVERS
    for backend in BACKENDS:
        calls = {name.split(".")[1] for name in POINTS if name.startswith(backend.points)}
        assert {"create", "delete"} <= calls <= set(KILLED)
