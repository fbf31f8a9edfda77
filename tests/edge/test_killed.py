"""The edge killed at each place that a crash could matter, started again, and all is well.

A client asks all the time. Before each start the swarm has changed in every way that an edge
follows, so that it passes all the points: a new service, one that is gone, a task that is to end,
certificates that came, went and were renewed.
"""

import importlib
import pkgutil
import shutil
from collections.abc import Callable, Iterator

import pytest

import mooring.edge
from mooring.crashpoints import POINTS
from tests.docker.testbed import Bed, eventually, needs_hosts
from tests.edge.killed import WEB, Mortal, mortals_of

pytestmark = [pytest.mark.system, needs_hosts]

for module in pkgutil.walk_packages(mooring.edge.__path__, "mooring.edge."):
    importlib.import_module(module.name)

PROXIES = ("haproxy", "nginx")
# How often a start writes a file, with all that there is to do: each time is a place of its own.
WRITES = {"haproxy": 19, "nginx": 6}
# These are passed where the proxy does not run, or refuses a route.
STARTS = ("edge.haproxy.started", "edge.nginx.started")
REFUSED = "edge.quarantined"
QUICK = {
    ("haproxy", "edge.haproxy.map-swapped"),
    ("haproxy", "edge.haproxy.reload-sent"),
    ("nginx", "edge.nginx.reloaded"),
}
RELOADS_AT_MOST = 2  # of HAProxy: the one that was cut off, and one more


def _places(proxy: str) -> list[str]:
    """All that an edge with this proxy passes."""
    others = tuple(f"edge.{one}." for one in PROXIES if one != proxy)
    found = sorted(one for one in POINTS if one.startswith("edge.") and not one.startswith(others))
    return found + [f"edge.file.written:{number}" for number in range(2, WRITES[proxy] + 1)]


CASES = [
    pytest.param(
        proxy,
        place,
        marks=() if (proxy, place) in QUICK else pytest.mark.slow,
        id=f"{proxy}-{place}",
    )
    for proxy in PROXIES
    for place in _places(proxy)
]
FIRST = [
    pytest.param(proxy, place, id=f"{proxy}-{place}")
    for proxy in PROXIES
    for place in _places(proxy)
    if place != REFUSED
]


@pytest.fixture(scope="module")
def mortals(bed: Bed) -> Iterator[Callable[[str], Mortal]]:
    """An edge with the proxy of that name, which goes from one test to the next."""
    with mortals_of(bed) as made:
        yield made


@pytest.fixture
def mortal(mortals: Callable[[str], Mortal], proxy: str) -> Mortal:
    return mortals(proxy)


@pytest.mark.parametrize(("proxy", "place"), CASES)
def test_killed_anywhere_the_next_start_goes_on(mortal: Mortal, place: str) -> None:
    mortal.kill()
    mortal.change(spoiled=place == REFUSED)
    if place in STARTS:
        mortal.end_proxy()
        dies(mortal, place)
    else:
        pids, reloads = mortal.proxies(), _reloads(mortal)
        # A reload of nginx cuts connections that are kept open.
        words = () if mortal.proxy == "haproxy" else ("--close",)
        with mortal.entry.load(WEB, *words) as counted:
            dies(mortal, place)
        assert counted.failures == []
        assert counted.done > 0
        assert mortal.proxies() == pids
        assert _reloads(mortal) <= reloads + RELOADS_AT_MOST
    assert len(mortal.proxies()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("proxy", "place"), FIRST)
def test_killed_anywhere_at_its_first_start_the_next_goes_on(mortal: Mortal, place: str) -> None:
    """With an empty directory. A start has then not all to do, so some places are not passed."""
    mortal.kill()
    mortal.end_proxy()
    shutil.rmtree(mortal.entry.directory)
    mortal.change()
    mortal.start(place)
    eventually(lambda: mortal.died() or mortal.serves(), f"it died at {place}, or serves")
    if mortal.died():
        mortal.start()
    mortal.settles()
    assert len(mortal.proxies()) == 1


def dies(mortal: Mortal, place: str) -> None:
    """A death there, and another start."""
    mortal.start(place)
    eventually(mortal.died, f"it died at {place}")
    mortal.start()
    mortal.settles()


def _reloads(mortal: Mortal) -> int:
    """Of HAProxy, since it was started. nginx counts none: of the last start of the edge."""
    return mortal.reloads() if mortal.proxy == "haproxy" else mortal.status()["reloads"]
