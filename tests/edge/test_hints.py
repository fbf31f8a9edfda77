"""What agents tell of tasks counts where it is further than what managers say, and for a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.edge.hints import BELIEVED_S, ENDING_S, Hints
from mooring.edge.model import Memory, Wish, model_of
from mooring.engine.swarm import GRACE_S, Node, Swarm, Task
from mooring.model.task_container import HostTasks, State, TaskContainer, TaskPort
from tests.edge.making import a_node, a_service, a_swarm, a_task, some_settings

PORTS = (TaskPort(80, 30001),)
GONE = "gone"  # of a server


def told(state: State, *, host: str = "h1", task: str = "t1") -> HostTasks:
    return HostTasks(host, (TaskContainer("c1", task, "idweb", state, PORTS),))


def heard(*words: HostTasks) -> Hints:
    """All of them at 0."""
    hints = Hints()
    for one in words:
        hints.take(one, 0.0)
    return hints


def swarm_of(task: Task, node: Node | None = None) -> Swarm:
    return a_swarm(a_service("web"), task, node or a_node())


def becomes(hints: Hints, swarm: Swarm, now: float = 0.0) -> Wish | str:
    """Of the server of the only task."""
    model, _ = model_of(hints.applied(swarm, now), some_settings(), Memory())
    servers = model.backends["svc_idweb_"].servers
    assert all((one.address, one.port) == ("10.0.0.1", 30001) for one in servers)
    return servers[0].wish if servers else GONE


@pytest.mark.parametrize(
    ("state", "desired", "word", "wish"),
    [
        ("preparing", "running", "starting", GONE),
        ("preparing", "running", "running", Wish.SERVE),
        ("starting", "running", "running", Wish.SERVE),
        ("starting", "running", "ending", Wish.LEAVE),
        ("starting", "running", "ended", GONE),
        ("starting", "shutdown", "running", GONE),
        ("ready", "ready", "running", GONE),
        ("running", "running", "starting", Wish.SERVE),
        ("running", "running", "running", Wish.SERVE),
        ("running", "running", "ending", Wish.LEAVE),
        ("running", "running", "ended", GONE),
        ("running", "shutdown", "running", Wish.LEAVE),
        ("running", "shutdown", "ending", Wish.LEAVE),
        ("running", "shutdown", "ended", GONE),
        ("failed", "running", "running", GONE),
        ("shutdown", "shutdown", "running", GONE),
        ("failed", "running", "ending", GONE),
    ],
)
def test_what_becomes_of_a_server(state: str, desired: str, word: State, wish: Wish | str) -> None:
    # The manager of one that does not run yet tells no port.
    task = a_task(1, state=state, desired=desired, published=None if state == "running" else 0)
    assert becomes(heard(told(word)), swarm_of(task)) == wish


@pytest.mark.parametrize(
    ("word", "runs", "until_s", "then"),
    [
        ("running", False, BELIEVED_S, GONE),
        ("ending", True, GRACE_S + ENDING_S, Wish.SERVE),
        ("ended", True, BELIEVED_S, Wish.SERVE),
    ],
)
def test_after_a_while_the_managers_word_counts(
    word: State, runs: bool, until_s: float, then: Wish | str
) -> None:
    """One that lives is kept out for no longer, whatever was told of it."""
    task = a_task(1) if runs else a_task(1, state="starting", published=0)
    hints = heard(told(word))
    assert becomes(hints, swarm_of(task), until_s - 1) != then
    assert becomes(hints, swarm_of(task), until_s) == then


@pytest.mark.parametrize("late", ["starting", "running", "ending"])
def test_late_words_bring_nothing_back(late: State) -> None:
    hints = heard(told("ended"), told(late))
    assert becomes(hints, swarm_of(a_task(1))) == GONE
    assert becomes(hints, swarm_of(a_task(1, state="starting", published=0))) == GONE


def test_what_is_told_again_is_believed_for_no_longer() -> None:
    hints = heard(told("ending"))
    hints.take(told("ending"), GRACE_S)
    assert becomes(hints, swarm_of(a_task(1)), GRACE_S + ENDING_S) == Wish.SERVE


def test_what_an_agent_tells_of_no_more_has_ended() -> None:
    hints = heard(told("running"))
    hints.take(HostTasks("h1"), 10.0)
    assert becomes(hints, swarm_of(a_task(1)), 10.0) == GONE


def test_a_host_speaks_of_its_own_tasks_alone() -> None:
    """Whoever has an agent's token can say what he likes of tasks elsewhere."""
    swarm = swarm_of(a_task(1))
    assert becomes(heard(told("ended", host="h2")), swarm) == Wish.SERVE
    # Nor does it hide what their own host says.
    both = heard(told("ended"), told("running", host="h2"))
    assert becomes(both, swarm) == GONE


def test_managers_may_say_who_speaks_for_a_node() -> None:
    swarm = swarm_of(a_task(1), a_node(host="agent-7"))
    assert becomes(heard(told("ended", host="agent-7")), swarm) == GONE
    assert becomes(heard(told("ended", host="h1")), swarm) == Wish.SERVE


def test_a_node_whose_name_has_capitals_is_its_host() -> None:
    node = Node("n1", "H1", "ready", "10.0.0.1")
    assert becomes(heard(told("ended")), swarm_of(a_task(1), node)) == GONE


def test_where_nothing_is_told_the_swarm_is_the_managers() -> None:
    swarm = swarm_of(a_task(1))
    assert Hints().applied(swarm, 0.0) is swarm
    assert heard(told("running")).applied(swarm, 0.0) is swarm
    assert heard(told("ended", task="t9")).applied(swarm, 0.0) is swarm


def test_managers_are_asked_more_often_for_what_they_have_yet_to_tell() -> None:
    swarm = swarm_of(a_task(1))
    assert heard(told("ended")).services(swarm, 0.0) == {"idweb"}
    assert heard(told("running")).services(swarm, 0.0) == set()
    # A task of which no look has told yet; of a service that nobody knows nothing is asked.
    assert heard(told("running", task="t2")).services(swarm, 0.0) == {"idweb"}
    assert heard(told("running", task="t2")).services(swarm, BELIEVED_S) == set()
    assert heard(told("running", task="t2")).services(a_swarm(), 0.0) == set()


def test_what_was_told_long_ago_is_forgotten() -> None:
    hints = heard(told("running"))
    hints.take(HostTasks("h1"), 1.0)
    hints.take(HostTasks("h1"), 1.0 + BELIEVED_S)
    assert hints == Hints({"h1"}, {"h1": {}})


# A task's life, and what its manager says at each moment of it.
LIFE: tuple[tuple[State | None, str], ...] = (
    (None, "preparing"),
    ("starting", "starting"),
    ("running", "running"),
    ("ending", "running"),
    ("ended", "failed"),
)
LAG_S = 20  # at most, of both; less than a word is believed


@given(
    moments=st.lists(st.integers(0, 30), min_size=4, max_size=4).map(sorted),
    looks=st.lists(st.tuples(st.integers(0, 60), st.integers(0, LAG_S)), max_size=30),
    words=st.lists(st.tuples(st.integers(0, 60), st.integers(0, LAG_S)), max_size=30),
)
def test_whatever_comes_late_the_dead_stay_out_and_the_living_come_back(
    moments: list[int], looks: list[tuple[int, int]], words: list[tuple[int, int]]
) -> None:
    """moments: of its life. looks, words: when managers and agents are heard, and how old what they
    say is by then. Agents' documents come in any order here, though a store keeps theirs."""

    def life(at: int) -> tuple[State | None, str]:
        return LIFE[sum(one <= at for one in moments)]

    hints, dead, state = Hints(), False, "preparing"
    heard = [(at, True, age) for at, age in looks] + [(at, False, age) for at, age in words]
    for at, by_manager, age in sorted(heard):
        said, told_state = life(at - age)
        if by_manager:  # who never goes back, as its lists have versions
            state = max(state, told_state, key=[one for _, one in LIFE].index)
        elif said is not None:
            hints.take(told(said), at)
            dead = dead or said == "ended"
        swarm = swarm_of(a_task(1, state=state, published=None if state == "running" else 0))
        wish = becomes(hints, swarm, at)
        if dead and at - moments[3] < BELIEVED_S:  # the manager knows by then
            assert wish == GONE
        assert hints.applied(swarm, at + BELIEVED_S) == swarm
