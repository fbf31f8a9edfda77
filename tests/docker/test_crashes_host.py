"""The power of a host fails before, in the middle of and after each call of Docker to Mooring.

Nothing is mounted when it comes back, and no path that was given then is anybody's.
"""

import pytest

from tests.docker.blows import HostDies, PowerFails
from tests.docker.moments import ALL, SOME, Moment
from tests.docker.mooring import Mooring
from tests.docker.points import PASSED
from tests.docker.relay import SENT, Relay, relayed
from tests.docker.story import Story
from tests.docker.testbed import Bed, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

# Each comes once for a volume that was mounted; there are two.
AT_START = ("unpublish.unprotected", "unpublish.removed", "ids.start.voided", "attach.detached")

# While a claim is made, a volume is mounted, given back, and removed; see test_crashes_mooring.py.
FAST = (
    "provision.asset-made",
    "use.noted",
    "publish.bound",
    "docker.mount.done",
    "unpublish.unprotected",
    "delete.asset-deleted",
)


@pytest.fixture(scope="module")
def between(bed: Bed) -> tuple[Mooring, Relay]:
    """Mooring and Docker on a host, and who sees what they say to each other."""
    return relayed(bed.host("between"))


def test_a_story_goes_on_over_eight_failures_of_power(between: tuple[Mooring, Relay]) -> None:
    mooring, relay = between
    blow = HostDies(mooring, relay, *SOME)
    story = Story(mooring, "failures", blow).tell()
    assert story.strikes == [moment.step for moment in SOME]


def test_a_story_goes_on_over_six_failures_in_the_middle_of_mooring(
    moored: Mooring,
) -> None:
    blow = PowerFails(moored, *FAST)
    Story(moored, "middle", blow).tell()
    assert blow.left == []


def test_mooring_may_die_again_and_again_while_it_clears_up(between: tuple[Mooring, Relay]) -> None:
    mooring, relay = between
    blow = HostDies(mooring, relay, Moment("copy", 6, SENT), points=AT_START)
    story = Story(mooring, "again", blow).tell()
    assert story.strikes == ["copy"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ALL, ids=str)
def test_failing_at_any_moment_nothing_is_lost_or_left(
    between: tuple[Mooring, Relay], moment: Moment
) -> None:
    mooring, relay = between
    story = Story(mooring, f"m{ALL.index(moment)}", HostDies(mooring, relay, moment)).tell()
    assert story.strikes == [moment.step]


@pytest.mark.slow
@pytest.mark.parametrize("point", PASSED)
def test_failing_anywhere_in_mooring_nothing_is_lost_or_left(moored: Mooring, point: str) -> None:
    story = Story(moored, f"middle-{point}", PowerFails(moored, point)).tell()
    assert story.strikes, f"{point} was never passed"
