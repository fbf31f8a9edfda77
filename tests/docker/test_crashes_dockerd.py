"""dockerd killed before, in the middle of and after each call that it makes to Mooring.

The containers outlive it, and are stopped or started again when it is there again.
"""

from contextlib import suppress

import pytest

from tests.docker.blows import DockerDies, MooringDies, Together
from tests.docker.moments import ALL, CALLS, JOIN_THE_OTHER_WAY, SOME, Moment
from tests.docker.mooring import Mooring
from tests.docker.relay import SENT, Relay, relayed
from tests.docker.story import SLEEP, Nothing, Story
from tests.docker.testbed import Bed, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]

LIVE = "--live-restore"
AT_ACTIVATION = (
    "ids.epoch.written",
    pytest.param("docker.activate.asked", marks=pytest.mark.slow),
    pytest.param("docker.activate.done", marks=pytest.mark.slow),
)


@pytest.fixture(scope="module")
def between(bed: Bed) -> tuple[Mooring, Relay]:
    """Mooring and Docker on a host, and who sees what they say to each other."""
    return relayed(bed.host("here"))


class Listening(Nothing):
    """Notes what is called in each step."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.heard: dict[str, list[str]] = {}

    def before(self, step: str) -> None:
        self.relay.calls = self.heard[step] = []


class Outlived(DockerDies):
    """Its containers run on, as the same processes."""

    def _strike(self) -> None:
        self._pids = self._sleeping()
        super()._strike()

    def _mend(self) -> None:
        super()._mend()
        assert self._sleeping() == self._pids != set()

    def _sleeping(self) -> set[str]:
        """Docker is not asked: a command that is under way may hold it up."""
        found = set()
        for line in self.relay.host.seen("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it ended
                if line.read_text().startswith("\0".join(SLEEP)):
                    found.add(line.parent.name)
        return found


def test_a_story_makes_the_calls_at_which_it_is_struck(between: tuple[Mooring, Relay]) -> None:
    mooring, relay = between
    listening = Listening(relay)
    Story(mooring, "calm", listening).tell()
    heard = {
        step: " ".join(call for call in calls if call != "Capabilities")  # once for each dockerd
        for step, calls in listening.heard.items()
    }
    assert heard["join"] in (CALLS["join"], JOIN_THE_OTHER_WAY)
    assert heard == CALLS | {"join": heard["join"]}


def test_a_story_goes_on_over_eight_deaths_of_dockerd(between: tuple[Mooring, Relay]) -> None:
    mooring, relay = between
    blow = DockerDies(relay, *SOME)
    story = Story(mooring, "deaths", blow).tell()
    assert blow.left == []
    assert story.strikes == [moment.step for moment in SOME]


def test_containers_that_outlive_dockerd_keep_what_they_were_given(bed: Bed) -> None:
    """With --live-restore nothing is mounted anew, and the old IDs are given back later."""
    mooring, relay = relayed(bed.host("restoring"), LIVE)
    moments = (Moment("copy"), Moment("copy", 6, SENT), Moment("leave"), Moment("stop"))
    blow = Outlived(relay, *moments, flags=[LIVE])
    story = Story(mooring, "outlived", blow).tell()
    assert story.strikes == [moment.step for moment in moments]


@pytest.mark.parametrize("point", AT_ACTIVATION)
def test_mooring_may_die_of_a_dockerd_that_is_there_again(
    between: tuple[Mooring, Relay], point: str
) -> None:
    mooring, relay = between
    dies = MooringDies(mooring, point)
    docker_dies = DockerDies(relay, Moment("copy", 6, SENT))
    Story(mooring, f"both-{point}", Together(docker_dies, dies)).tell()
    assert dies.left == [], f"{point} was never passed"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ALL, ids=str)
def test_killed_at_any_moment_nothing_is_lost_or_left(
    between: tuple[Mooring, Relay], moment: Moment
) -> None:
    mooring, relay = between
    story = Story(mooring, f"m{ALL.index(moment)}", DockerDies(relay, moment)).tell()
    assert story.strikes == [moment.step]
