"""A plant whose time a test moves."""

from collections.abc import Iterator

import pytest

from tests.controllers.clocked import ClockedPlant


@pytest.fixture
def plant() -> Iterator[ClockedPlant]:
    made = ClockedPlant()
    yield made
    made.close()
