"""Agents tell the edge what becomes of containers, before the swarm's managers do."""

import pytest

from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.edge.entry import Entry, lacking
from tests.edge.hearing import ENDS_BY_TERM, NAMES, Hearing, hears, powered, settled, state_of

pytestmark = [pytest.mark.system, needs_hosts]


@pytest.fixture(scope="module")
def hearing(bed: Bed) -> Hearing:
    if why := lacking():
        pytest.skip(why)
    return Hearing(bed, NAMES[:2])


@pytest.fixture(scope="module")
def entry(hearing: Hearing, bed: Bed) -> Entry:
    made = hearing.entry(powered(bed, "edge"))
    made.start()
    made.create("web", 2, *ENDS_BY_TERM)
    settled(hearing, [made], 2)
    hears(made, NAMES[:2])
    return made


def test_a_task_that_was_told_to_end_is_drained_though_it_runs_on(
    hearing: Hearing, entry: Entry
) -> None:
    """No manager knows of that: by its word it is as it was."""
    one = hearing.containers("web")[0]
    with entry.load("web.example.com") as counted:
        one.stop()
        eventually(lambda: state_of(entry, one.task) == "leaves", "it is drained")
        assert one.runs
        eventually(lambda: not one.runs, "it ends")
        settled(hearing, [entry], 2, without=one)
    assert counted.failures == []
