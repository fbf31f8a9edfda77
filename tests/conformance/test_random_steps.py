"""Two thousand random steps on every backend, some of them killed: nothing leaks, nothing is lost.

The short walks always have the same seed, so that what fails was changed; the long ones have
another one each time. A seed that failed is tried again by MOORING_WALK_SEED=… and the name of the
test.
"""

import os
import secrets
from pathlib import Path

import pytest

from mooring.model.names import BTRFS_DRIVER, DIRECTORY_DRIVER
from tests.conformance.driver_bench import MIB, Backend, on_a_bench
from tests.conformance.test_drivers import BACKENDS
from tests.conformance.walk import Walk
from tests.host.privileges import needs_mounts

pytestmark = [needs_mounts, pytest.mark.system]
QUICK = (DIRECTORY_DRIVER, BTRFS_DRIVER)  # no devices, no file systems to be made
SMALLEST = 256 * MIB  # of an xfs


def _steps(backend: Backend) -> int:
    return 400 if backend.name.startswith(QUICK) else 270


async def _walked(backend: Backend, place: Path, steps: int, seed: str) -> Walk:
    seed = os.environ.get("MOORING_WALK_SEED") or seed
    async with on_a_bench(backend, place, "ext4") as bench:
        is_quick = backend.name.startswith(QUICK)
        first_bytes = 16 * MIB if is_quick or backend.options.get("fsType") else SMALLEST
        walk = Walk(bench, seed, first_bytes)
        walk.run(steps)
    print(f"seed {seed}: {walk.steps} steps, {walk.cut_off} cut off, {walk.made} names")
    return walk


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
async def test_a_random_walk_with_kills_loses_nothing_and_leaves_nothing(
    backend: Backend, tmp_path: Path
) -> None:
    walk = await _walked(backend, tmp_path, _steps(backend), "always")
    assert walk.cut_off > walk.steps // 50  # else it shows nothing


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)
async def test_a_walk_ten_times_as_long(backend: Backend, tmp_path: Path) -> None:
    await _walked(backend, tmp_path, 10 * _steps(backend), secrets.token_hex(4))
