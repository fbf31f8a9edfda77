"""Models made one after the other: as if each were made from nothing, with less work."""

from dataclasses import replace
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from mooring.edge.model import Memory, Modeller, model_of
from mooring.edge.settings import EntryPoint
from mooring.engine.swarm import Node, Service, Swarm, Task
from tests.edge.making import HTTP, MESHED, a_node, a_service, a_swarm, a_task, some_settings

SETTINGS = some_settings(HTTP, EntryPoint("https", 443, tls=True))
NAMES = (frozenset[str](), frozenset({"web.example.com", "*.a.example"}))
SERVICES = (
    a_service("web"),
    a_service("web", host="x.a.example"),
    a_service("web", host="web.example.com", mode="everywhere"),
    a_service("web", MESHED, host="web.example.com", weight="3"),
    a_service("api", host="web.example.com", created="2025-01-01T00:00:00Z"),
    a_service("api", MESHED, host="api.example.com", mode="mesh"),
    a_service("api", host="web.example.com", weight="1"),
)
TASKS = tuple(
    a_task(number, service, node=f"n{1 + number % 2}", desired=desired, published=published)
    for number, service in ((1, "web"), (2, "web"), (3, "api"))
    for desired, published in (("running", None), ("shutdown", None), ("shutdown", 0))
)
NODES = tuple(a_node(number, state=state) for number in (1, 2) for state in ("ready", "down"))


class Look(NamedTuple):
    swarm: Swarm
    names: frozenset[str]


def a_look(things: tuple[list[Service | Task | Node], ...], names: frozenset[str]) -> Look:
    return Look(a_swarm(*(replace(one) for some in things for one in some)), names)


def some(
    choice: tuple[Service | Task | Node, ...],
) -> st.SearchStrategy[list[Service | Task | Node]]:
    return st.lists(st.sampled_from(choice), max_size=4)


LOOKS = st.builds(
    a_look, st.tuples(some(SERVICES), some(TASKS), some(NODES)), st.sampled_from(NAMES)
)


@given(st.lists(LOOKS, min_size=2, max_size=6))
def test_a_model_is_the_same_whatever_was_made_before(looks: list[Look]) -> None:
    modeller, memory = Modeller(SETTINGS), Memory()
    for swarm, names in looks:
        wanted = model_of(swarm, SETTINGS, memory, names)
        made = modeller.model_of(swarm, memory, names)
        assert made == wanted
        assert list(made[0].backends) == list(wanted[0].backends)
        _, memory = made


def test_what_is_as_before_is_the_same_object() -> None:
    services = a_service("web"), a_service("api")
    modeller = Modeller(SETTINGS)
    first, memory = modeller.model_of(a_swarm(*services, a_task(1), a_task(3, "api")), Memory())
    looked_at_again = [replace(one) for one in services]
    later = a_swarm(*looked_at_again, a_task(1), a_task(2), a_task(3, "api"))
    second, _ = modeller.model_of(later, memory)
    assert second.rules is first.rules
    assert second.backends["svc_idapi_"] is first.backends["svc_idapi_"]
    assert second.backends["svc_idweb_"].route is first.backends["svc_idweb_"].route
    assert [one.key for one in second.backends["svc_idweb_"].servers] == ["t1", "t2"]
