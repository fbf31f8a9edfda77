"""Mooring killed at each place that its calls pass, while Docker asks and containers run."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.docker.blows import MooringDies
from tests.docker.moments import CALLS
from tests.docker.mooring import Mooring
from tests.docker.points import PASSED
from tests.docker.story import Story
from tests.docker.testbed import needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

# One story with a death at each, in an order in which they come: while a claim is made, a volume is
# mounted, given back, removed, and taken again. What each leaves behind differs.
FAST = (
    "docker.create.asked",
    "provision.asset-made",
    "docker.create.done",
    "use.noted",
    "ids.add.placed",
    "docker.mount.done",
    "publish.bound",
    "docker.unmount.asked",
    "docker.unmount.done",
    "unpublish.unmounted",
    "attach.detached",
    "docker.remove.asked",
    "docker.remove.done",
    "create.taken",
)
# Of what the story passes all the time, these times are enough.
SAMPLE = (1, 2, 3, 5, 8, 13, 21)
OFTEN = ("objects.", "sqlite.", "docker.get.")


def cases() -> Iterator[tuple[str, int]]:
    """Points, and at which passing of them to die: at those of a call, at each call."""
    called = Counter(" ".join(CALLS.values()).lower().split())
    for point in PASSED:
        room, name, *_ = point.split(".")
        if point.startswith(OFTEN):
            counts = SAMPLE
        else:
            counts = range(1, max(called[name], 1) + 1) if room == "docker" else SAMPLE[:4]
        yield from ((point, count) for count in counts)


def test_a_story_goes_on_over_fourteen_deaths(moored: Mooring) -> None:
    blow = MooringDies(moored, *FAST)
    Story(moored, "deaths", blow).tell()
    assert blow.left == []


@pytest.mark.slow
@pytest.mark.parametrize(("point", "count"), list(cases()))
def test_killed_anywhere_nothing_is_lost_or_left(moored: Mooring, point: str, count: int) -> None:
    name = f"{point}-{count}".replace("_", "-")  # as a claim may be called
    story = Story(moored, name, MooringDies(moored, f"{point}:{count}")).tell()
    assert story.strikes or count > 1, f"{point} was never passed"
