"""Mooring killed at each place that its calls pass, while Docker asks and containers run."""

import pytest

from tests.docker.blows import MooringDies
from tests.docker.mooring import Mooring
from tests.docker.points import PASSED
from tests.docker.story import Story
from tests.docker.testbed import needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

# One story with a death at each, in an order in which they come: while a claim is made, a volume is
# mounted, given back, and removed. What each leaves behind differs.
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
)
# How often the story passes the points of a call. All others are killed at these counts too, as far
# as the story passes them so often.
COUNTS = (1, 2, 3, 5, 8, 13)


def test_a_story_goes_on_over_thirteen_deaths(moored: Mooring) -> None:
    blow = MooringDies(moored, *FAST)
    Story(moored, "deaths", blow).tell()
    assert blow.left == []


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("point", PASSED)
def test_killed_anywhere_nothing_is_lost_or_left(moored: Mooring, point: str, count: int) -> None:
    story = Story(moored, f"{point}-{count}", MooringDies(moored, f"{point}:{count}")).tell()
    assert story.strikes or count > 1, f"{point} was never passed"
