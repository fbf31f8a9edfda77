"""How soon traffic follows a task and leaves it, with agents and without, beside each other."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.docker.testbed import Bed, needs_hosts
from tests.edge.entry import Counted, Entry, lacking
from tests.edge.hearing import ENDS_BY_TERM, NAMES, Hearing, Running, hears, powered, settled
from tests.edge.storm import WEB, Asked, moment, times

pytestmark = [pytest.mark.system, pytest.mark.slow, needs_hosts]
EACH = 24  # tasks that are told to end, and that are killed
REPLICAS = 4


@pytest.fixture(scope="module")
def hearing(bed: Bed) -> Hearing:
    if why := lacking():
        pytest.skip(why)
    return Hearing(bed)


@pytest.fixture(scope="module")
def entries(hearing: Hearing, bed: Bed) -> Iterator[dict[str, Entry]]:
    hosts = {name: powered(bed, name) for name in ("agents", "managers")}
    made = {
        "agents": hearing.entry(hosts["agents"]),
        "managers": Entry(hosts["managers"], hearing.manager),
    }
    for one in made.values():
        one.start()
    made["agents"].create("web", REPLICAS, *ENDS_BY_TERM)
    settled(hearing, [*made.values()], REPLICAS)
    hears(made["agents"], NAMES)
    yield made
    for one in made.values():
        one.kill()


def test_traffic_follows_tasks_and_leaves_them(hearing: Hearing, entries: dict[str, Entry]) -> None:
    known: dict[str, Running] = {}
    began: dict[str, float] = {}
    ended: dict[str, list[tuple[Running, float]]] = {"stop": [], "kill": []}
    counts: dict[str, Counted] = {}
    asked: dict[str, Asked] = {}
    with ExitStack() as open_:
        for name, entry in entries.items():
            counts[name] = open_.enter_context(entry.load(WEB))
            asked[name] = open_.enter_context(Asked(entry))
        for number in range(2 * EACH):
            how = ("stop", "kill")[number % 2]
            before = settled(hearing, [*entries.values()], REPLICAS)
            one = before[number % REPLICAS]
            ended[how].append((one, getattr(one, how)()))
            found = settled(hearing, [*entries.values()], REPLICAS, without=one)
            new = [it for it in found if it.id not in {old.id for old in before}]
            known |= {it.id[:12]: it for it in new}
            began |= {it.id[:12]: moment(it.began) for it in new}
    for name, counted in counts.items():
        print(f"{name}: {counted.done} GETs, {counted.said['failed']} failed: {counted.failures}")
        first = [counted.seen(it)[0] - at for it, at in began.items() if it in counted.answered]
        print(times(f"{name}: from a task's start to its first request", first))
        for how, those in ended.items():
            last = [max(asked[name].last.get(it.address, at) - at, 0.0) for it, at in those]
            print(times(f"{name}: from {how} to the last request", last), sorted(last))
    assert counts["agents"].failures == []
