"""An agent at two servers of which one stands still."""

import signal
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from mooring.node.fence import USUAL
from testbed.etcd import Cluster, lacking
from tests.system.agents import AgentProcess
from tests.system.server import eventually
from tests.system.servers import OneOfSeveral, started

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]
RENEWALS = 4  # that are looked at


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[OneOfSeveral]]:
    etcd = Cluster(tmp_path / "etcd")
    etcd.start()
    options = ("--store", f"etcd://{','.join(etcd.endpoints)}")
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
    made = started([OneOfSeveral(place, options=options) for place in places])
    yield made
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)
            one.stop()
    etcd.stop()


def test_a_host_stays_alive_while_its_server_hangs(
    servers: list[OneOfSeveral], tmp_path: Path
) -> None:
    """Its writers would be stopped after this much silence, counted between its own renewals."""
    first, second = servers
    there = [f"https://127.0.0.1:{second.port}"]
    agent = AgentProcess(first, tmp_path / "a", "a").join(servers=there).start()
    assert first.process is not None
    renewals: list[datetime] = []

    def are_renewed() -> bool:
        text = second.get("lease", "a", "-n", "kube-node-lease")["spec"]["renewTime"]
        at = datetime.fromisoformat(text)
        if at not in renewals:
            renewals.append(at)
        return len(renewals) > RENEWALS

    eventually(lambda: are_renewed() or bool(renewals), "it is alive")
    first.process.send_signal(signal.SIGSTOP)
    eventually(are_renewed, "it goes on at the other server")
    silent_s = max((late - early).total_seconds() for early, late in pairwise(renewals))
    assert silent_s < USUAL.stop_s, renewals
    assert agent.stop() == 0
