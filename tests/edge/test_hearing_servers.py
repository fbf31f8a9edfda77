"""An edge and agents at several servers: one of them is enough."""

import pytest

from testbed import etcd
from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.edge.entry import Entry, lacking
from tests.edge.hearing import ENDS_BY_TERM, NAMES, Hearing, hears, powered, settled, state_of
from tests.edge.storm import WEB

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs_hosts,
    pytest.mark.skipif(bool(etcd.lacking()), reason=etcd.lacking()),
]


@pytest.fixture(scope="module")
def hearing(bed: Bed) -> Hearing:
    if why := lacking():
        pytest.skip(why)
    return Hearing(bed, several=True)


@pytest.fixture(scope="module")
def entry(hearing: Hearing, bed: Bed) -> Entry:
    made = hearing.entry(powered(bed, "edge"))
    made.start()
    made.create("web", 3, *ENDS_BY_TERM)
    settled(hearing, [made], 3)
    hears(made, NAMES)
    return made


def test_a_server_that_hangs_is_left_for_the_other(hearing: Hearing, entry: Entry) -> None:
    with entry.load(WEB) as counted, hearing.hanging():
        hears_by(entry, hearing.urls[1])
        one = next(it for it in settled(hearing, [entry], 3) if it.host.name != NAMES[0])
        one.stop()
        settled(hearing, [entry], 3, without=one)  # as long as its agent waits, by managers
        drained_by_agents(hearing, entry)
    assert counted.failures == []


def test_what_agents_say_goes_by_the_server_that_is_left(hearing: Hearing, entry: Entry) -> None:
    """The one that is killed was the first of both, and has the agent of its host in it."""
    others = NAMES[1:]
    with entry.load(WEB) as counted:
        hearing.server.kill9()
        hears_by(entry, hearing.urls[1])
        one = next(it for it in settled(hearing, [entry], 3) if it.host.name in others)
        one.stop()
        eventually(lambda: state_of(entry, one.task) == "leaves", "it is drained")
        assert one.runs
        settled(hearing, [entry], 3, without=one)
        hearing.server.start()
        first = next(it for it in settled(hearing, [entry], 3) if it.host.name not in others)
        first.stop()
        eventually(lambda: state_of(entry, first.task) == "leaves", "it is drained, too")
        settled(hearing, [entry], 3, without=first)
    assert counted.failures == []


def drained_by_agents(hearing: Hearing, entry: Entry) -> None:
    """Tell tasks of other hosts to end until one is drained before it has ended."""

    def look() -> bool:
        one = next(it for it in settled(hearing, [entry], 3) if it.host.name != NAMES[0])
        one.stop()
        seen = ""
        while seen != "leaves" and one.runs:
            seen = state_of(entry, one.task)
        settled(hearing, [entry], 3, without=one)
        return seen == "leaves"

    eventually(look, "an agent is heard")


def hears_by(entry: Entry, url: str) -> None:
    eventually(lambda: url in entry.mooring("status").out, f"agents are heard by {url}")
