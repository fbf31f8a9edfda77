"""How many files may be open."""

import resource
from collections.abc import Iterator

import pytest

from mooring.host.open_files import WANTED, raised_limit


@pytest.fixture
def most() -> Iterator[int]:
    """The hard limit; the soft one is put back after."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield WANTED if before[1] == resource.RLIM_INFINITY else before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def limited(soft: int) -> None:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )


def test_the_limit_is_raised_as_far_as_it_may_be_but_not_without_end(most: int) -> None:
    limited(512)
    assert raised_limit() == min(most, WANTED)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(most, WANTED)


def test_a_limit_that_is_higher_stays(most: int) -> None:
    if most <= WANTED:
        pytest.skip(f"no more than {most} files may be open here")
    limited(WANTED + 1)
    assert raised_limit() == WANTED + 1
