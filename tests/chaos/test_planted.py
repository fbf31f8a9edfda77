"""That the checkers have teeth at a whole world too: what is wrong there, they find."""

import pytest

from testbed import etcd
from testbed.hosts import eventually
from testbed.linearizable import violations
from tests.chaos.stamps import disorder, records
from tests.chaos.workers import Histories, Swapper
from tests.chaos.world import WANDERING, WELL_S, World
from tests.docker.testbed import needs_hosts

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    needs_hosts,
    pytest.mark.skipif(bool(etcd.lacking()), reason=etcd.lacking()),
]


def test_two_hosts_write_where_nobody_watches(world: World) -> None:
    """The swarm takes its host for lost, and so does its agent's lease say; it writes on."""
    world.services()
    assert disorder(world.logs()[WANDERING]) == []
    name = records(world.logs()[WANDERING])[-1].writer.host
    machine = next(one for one in world.machines if one.name == name)
    machine.dockerd.freeze()
    machine.agent.freeze()
    machine.watchdog.kill()
    try:
        eventually(lambda: bool(disorder(world.logs()[WANDERING])), "two are found", WELL_S)
    finally:
        machine.agent.thaw()
        machine.dockerd.thaw()


def test_reads_that_may_be_old_are_found_to_be(world: World) -> None:
    """With resourceVersion=0 a server answers from what it knows, which is old while the member of
    etcd that tells it stands still."""
    histories = Histories()
    how = ([one.host.ip for one in world.machines], world.client, "planted")
    swappers = [Swapper(histories, f"s{n}", *how, may_be_old=True) for n in range(3)]
    for one in swappers:
        one.start()
    member = world.machines[0].etcd
    member.freeze()
    try:
        eventually(lambda: bool(violations(histories.copy())), "an old read is found", WELL_S)
    finally:
        member.thaw()
        for one in swappers:
            one.end()
        for one in swappers:
            one.join()
