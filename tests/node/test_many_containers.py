"""What the containers of other hosts cost this one: nothing."""

import pytest

from mooring.engine.engine import Engine
from mooring.node.mirrors import mirror_of_id
from tests.docker.testbed import Host, needs_hosts
from tests.node.test_containers import a_world

pytestmark = [pytest.mark.system, needs_hosts]


async def test_mirrors_of_other_hosts_are_not_looked_at(plain_host: Host) -> None:
    async with a_world(Engine(plain_host.socket, "local")) as world:
        for number in range(3):
            mirrored = mirror_of_id("default/db", f"id-{number}", "elsewhere")
            await world.make("pods", mirrored.doc, mirrored.namespace)
        await world.mirror.start()
        assert await world.mirror.refresh("db")
        shelf = world.objects.cache.shelves["pods"]
        for entry in shelf.entries():
            entry.seen = None
        assert await world.mirror.refresh("db")
        await world.look_at_all()
        assert [one.seen for one in shelf.entries()] == [None, None, None]
