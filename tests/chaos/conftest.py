"""A bed with a world for each test, and what its hosts logged if it fails."""

from collections.abc import Iterator

import pytest

from testbed.hosts import Bed, a_bed
from tests.chaos.world import World
from tests.docker.conftest import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture
def bed() -> Iterator[Bed]:
    with a_bed() as made:
        yield made


@pytest.fixture
def world(bed: Bed) -> Iterator[World]:
    made = World(bed)
    try:
        yield made.start()
    finally:
        made.close()
