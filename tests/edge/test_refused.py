"""One route that a real proxy refuses: all others are served, before and after a start anew."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from mooring.edge.model import Memory, model_of
from mooring.edge.place import Place
from mooring.edge.remembered import remember
from mooring.edge.settings import ProxyName
from tests.edge.clients import settings_in
from tests.edge.kept import Kept
from tests.edge.making import a_service, a_swarm, a_task

pytestmark = pytest.mark.system
TOO_LONG_S = 10**18  # for either proxy's parser; no label can say it
GOOD = a_service("good")
SPOILING = a_service("bad", host="bad.example.com", timeout="for ever")


@pytest.fixture(params=["haproxy", "nginx"])
async def kept(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    name = cast("ProxyName", request.param)
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    made = Kept(settings_in(tmp_path, name))
    # A form from before the label went bad, as an older version may have remembered it.
    place = Place(made.settings.directory)
    place.make()
    _, memory = model_of(a_swarm(a_service("bad")), made.settings, Memory())
    routes = {key: replace(one, timeout_s=TOO_LONG_S) for key, one in memory.routes.items()}
    remember(place, Memory(routes))
    yield made
    await made.keeper.proxy.stop()


async def test_a_route_that_is_refused_keeps_no_other_from_being_served(kept: Kept) -> None:
    kept.swarm = a_swarm(GOOD, SPOILING, a_task(1, "bad"))
    async with kept.keeping():
        # Without a server a rule answers 503, and what is no rule 404.
        await kept.gets((503, ""), "good.example.com")
        await kept.gets((404, ""), "bad.example.com")
        problems = {one.reason: one for one in kept.keeper.state.model.problems}
        assert problems["ConfigRejected"].service == "bad"
        assert "timeout" in problems["ConfigRejected"].message
    kept.keeper = kept.anew()
    async with kept.keeping():
        kept.swarm = a_swarm(GOOD, a_service("bad"))
        await kept.gets((503, ""), "bad.example.com")
        await kept.gets((503, ""), "good.example.com")
