"""How soon traffic follows a task and leaves it, with agents and without, beside each other; and
what happens to servers and agents meanwhile."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.edge.entry import Counted, Entry, lacking
from tests.edge.hearing import (
    ENDS_BY_TERM,
    NAMES,
    Hearing,
    hears,
    powered,
    settled,
    state_of,
)
from tests.edge.storm import WEB, Asked, Storm, moment, times

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


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_traffic_follows_tasks_and_leaves_them(
    how: str, hearing: Hearing, entries: dict[str, Entry]
) -> None:
    """stop: told to end by SIGTERM, which they ignore for three seconds; kill: kill -9."""
    both = [*entries.values()]
    began: dict[str, float] = {}  # when containers did, by their names
    ended: list[tuple[str, float]] = []  # addresses, and when
    counts: dict[str, Counted] = {}
    asked: dict[str, Asked] = {}
    with ExitStack() as open_:
        for name, entry in entries.items():
            counts[name] = open_.enter_context(entry.load(WEB))
            asked[name] = open_.enter_context(Asked(entry))
        for number in range(EACH):
            before = settled(hearing, both, REPLICAS)
            one = before[number % REPLICAS]
            ended.append((one.address, one.stop() if how == "stop" else one.kill()))
            found = settled(hearing, both, REPLICAS, without=one)
            new = {it.id for it in found} - {it.id for it in before}
            began |= {it.id[:12]: moment(it.began) for it in found if it.id in new}
    for name, counted in counts.items():
        print(f"{name}: {counted.done} GETs, failed: {counted.failures}")
        first = [counted.seen(it)[0] - at for it, at in began.items() if it in counted.answered]
        print(times(f"{name}: from a task's start to its first request", first))
        last = [max(asked[name].last.get(address, at) - at, 0.0) for address, at in ended]
        print(times(f"{name}: from {how} to the last request", last))
    if how == "stop":
        assert counts["agents"].failures == []
    else:  # whoever was killed had begun to answer
        cut = [why for _, _, why, _ in counts["agents"].failures]
        assert all(one.startswith("IncompleteReadError") for one in cut)
        assert len(cut) <= EACH


def test_one_that_goes_on_after_sigterm_is_back(
    hearing: Hearing, entries: dict[str, Entry]
) -> None:
    entry = entries["agents"]
    one = settled(hearing, [entry], REPLICAS)[0]
    with entry.load(WEB) as counted:
        one.host.docker("kill", "--signal", "TERM", one.id)
        eventually(lambda: state_of(entry, one.task) == "leaves", "it is drained")
        assert one.runs
        eventually(lambda: state_of(entry, one.task) == "serves", "it is back")
    assert one.runs
    assert counted.failures == []


def test_other_signals_mean_no_end(hearing: Hearing, entries: dict[str, Entry]) -> None:
    entry = entries["agents"]
    one, other = settled(hearing, [entry], REPLICAS)[:2]
    one.host.docker("kill", "--signal", "USR1", one.id)
    other.stop()  # told later, so the first word is there by then
    eventually(lambda: state_of(entry, other.task) == "leaves", "the other is drained")
    assert state_of(entry, one.task) == "serves"
    settled(hearing, [entry], REPLICAS, without=other)


def test_without_the_server_it_goes_by_managers(
    hearing: Hearing, entries: dict[str, Entry]
) -> None:
    entry = entries["agents"]
    before = settled(hearing, [entry], REPLICAS)
    with entry.load(WEB) as counted:
        hearing.server.kill9()
        before[0].stop()
        settled(hearing, [entry], REPLICAS, without=before[0])
        assert "not heard" in entry.mooring("status").out
        hearing.server.start()
        hears(entry, NAMES)
        one = settled(hearing, [entry], REPLICAS)[0]
        one.stop()
        eventually(lambda: state_of(entry, one.task) == "leaves", "it is drained")
        settled(hearing, [entry], REPLICAS, without=one)
    assert [one for one in counted.failures if "IncompleteReadError" not in one[2]] == []


def test_a_host_without_its_agent_goes_by_managers(
    hearing: Hearing, entries: dict[str, Entry]
) -> None:
    entry, agent = entries["agents"], hearing.joined[-1]
    agent.stop(signal.SIGKILL)
    one = next(it for it in settled(hearing, [entry], REPLICAS) if it.host is agent.host)
    one.stop()
    settled(hearing, [entry], REPLICAS, without=one)
    agent.start()  # what went meanwhile has ended, what came is known
    one = next(it for it in settled(hearing, [entry], REPLICAS) if it.host is agent.host)
    one.stop()
    eventually(lambda: state_of(entry, one.task) == "leaves", "it is drained")
    settled(hearing, [entry], REPLICAS, without=one)


def test_a_token_that_an_admin_ends_is_good_no_more(
    hearing: Hearing, entries: dict[str, Entry]
) -> None:
    entry = entries["agents"]
    kubeconfig = ("--kubeconfig", str(hearing.server.data_dir / "kubeconfig"))
    ended = hearing.server.mooring("edge", "token", entry.host.name, "--end", *kubeconfig)
    assert ended.code == 0, ended.err
    eventually(lambda: "AgentsNotHeard" in entry.mooring("status").out, "it hears nothing")
    assert "401" in entry.mooring("status").out
    settled(hearing, [entry], REPLICAS)
    hearing.agents(entry.host)  # its files are written anew, and read again
    hears(entry, NAMES)


def test_through_a_storm_no_get_fails(
    hearing: Hearing, entries: dict[str, Entry], tmp_path_factory: pytest.TempPathFactory
) -> None:
    entry = entries["agents"]
    hearing.manager.docker("service", "rm", "web")
    eventually(lambda: not hearing.containers("web"), "it is gone")
    storm = Storm(entry, hearing.hosts, tmp_path_factory.mktemp("work"))
    storm.begin()
    with Asked(entry) as asked, entry.load(WEB, "--pause", "0.001") as counted:
        storm.all(services=10)
    print(storm.told(counted))
    print(times("a task's running to its first request", storm.to_first([counted])))
    print(times("a task's death to its last request", storm.to_last(asked.last)))
    assert counted.failures == []
