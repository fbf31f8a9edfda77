"""Which routes spoil a configuration, found by asking the checker about some of them at a time."""

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from mooring.edge.errors import ConfigRejected
from mooring.edge.quarantine import Quarantine, spoilers
from mooring.edge.routes import Route, routes_of
from mooring.engine.swarm import Port
from tests.edge.making import a_service, some_settings


def a_route(number: int, **labels: str) -> Route:
    name = f"web{number}"
    service = a_service(name, host=f"{name}.example.com", **labels)
    routes, problems = routes_of(service, some_settings(), {})
    assert problems == []
    return routes[0]


ROUTES = [a_route(number) for number in range(1000)]


class Checker:
    """Takes no configuration with certain routes, or none at all."""

    def __init__(self, bad: Collection[Route], *, takes_none: bool = False) -> None:
        self.bad, self.takes_none = frozenset(bad), takes_none
        self.asked = 0

    async def refusal(self, routes: Collection[Route]) -> ConfigRejected | None:
        self.asked += 1
        found = sorted(one.service for one in routes if one in self.bad)
        if found or self.takes_none:
            return ConfigRejected("HAProxy", f"it is because of {found}")
        return None


@given(bad=st.sets(st.integers(0, 29)), known=st.sets(st.integers(0, 29)))
async def test_just_those_are_found_that_spoil(bad: set[int], known: set[int]) -> None:
    routes = ROUTES[:30]
    checker = Checker([routes[one] for one in bad])
    found = await spoilers(routes, [routes[one] for one in known], checker.refusal)
    assert {route for route, _ in found} == checker.bad
    for route, said in found:
        assert said.said == f"it is because of {[route.service]}"


async def test_one_of_a_thousand_is_found_by_asking_some_twenty_times() -> None:
    checker = Checker(ROUTES[617:618])
    found = await spoilers(ROUTES, [], checker.refusal)
    assert [route for route, _ in found] == ROUTES[617:618]
    assert checker.asked <= 2 + 2 * 10
    again = Checker(ROUTES[617:618])
    await spoilers(ROUTES, [one for one in ROUTES if one not in again.bad], again.refusal)
    assert again.asked == 2  # the others were taken before


async def test_where_nothing_is_taken_it_is_no_route() -> None:
    assert await spoilers(ROUTES, [], Checker([], takes_none=True).refusal) == []


def test_a_refused_route_goes_on_as_it_was_until_its_labels_are_others() -> None:
    before, refused, mended = (a_route(1, timeout=f"{some}s") for some in (1, 2, 3))
    quarantine = Quarantine()
    quarantine.add(refused, before, ConfigRejected("HAProxy", "no\nway"))
    quarantine.add(ROUTES[2], ROUTES[2], ConfigRejected("HAProxy", "no"))
    served, problems = quarantine.sifted([refused, *ROUTES[2:4]])
    assert served == [before, ROUTES[3]]
    assert [(one.reason, one.service, one.message) for one in problems] == [
        (
            "ConfigRejected",
            "web1",
            "the proxy does not take this route, so it stays as it was; report it: 'no\\nway'",
        ),
        (
            "ConfigRejected",
            "web2",
            "the proxy does not take this route, so it is left out; report it: 'no'",
        ),
    ]
    assert quarantine.sifted([mended]) == ([mended], [])


def test_a_refused_route_gets_nothing_of_who_has_its_port_now() -> None:
    def nodes(published: int, port: int = 80, **labels: str) -> Route:
        service = a_service("web", Port(port, published, "ingress"), host="a.b", **labels)
        return routes_of(service, some_settings(), {})[0][0]

    for refused, published in ((nodes(8081, check="/"), 8081), (nodes(8080, 81, check="/"), 0)):
        quarantine = Quarantine()
        quarantine.add(refused, nodes(8080), ConfigRejected("HAProxy", "no"))
        ((kept,), _) = quarantine.sifted([refused])
        assert (kept.check, kept.published) == ("tcp", published)
