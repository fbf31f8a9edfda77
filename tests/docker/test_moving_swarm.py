"""A service of a swarm whose volume moves with it when its host is drained, and loses no byte."""

from functools import partial
from itertools import pairwise
from typing import Final

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.mooring import DRIVER
from tests.docker.test_moving import CLASSES
from tests.docker.testbed import Bed, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
# Plants a tree once, and says of each start whether that is as it was; then goes on counting.
WRITER: Final = """\
cd /data
if [ ! -e digests ]; then
    for i in $(seq 40); do mkdir -p d$i; head -c 50000 /dev/urandom >d$i/f; ln d$i/f d$i/g; done
    find . -type f -name '[fg]' | sort | xargs sha256sum >new && sync && mv new digests
fi
sha256sum -c digests >/dev/null && verdict=whole || verdict=broken
n=$(tail -n 1 log 2>/dev/null | cut -d' ' -f2)
while :; do n=$((${n:-0} + 1)); echo "$NODE $n $verdict" >>log; sync; done
"""


class Swarm:
    """A manager with the server, and two hosts for tasks."""

    def __init__(self, bed: Bed) -> None:
        self.manager = self._powered(bed, "s")
        self.server = ServerHost(self.manager).start()
        self.manager.dockerd()
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.ip)
        self.server.kubectl("apply", "--filename", "-", stdin=CLASSES)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        self.joined: dict[str, JoinedHost] = {}
        for name in ("a", "b"):
            joined = JoinedHost(self._powered(bed, name), self.server).join().start()
            joined.host.dockerd()
            images.load(joined.host)
            words = ("--token", token, "--advertise-addr", joined.host.ip)
            joined.host.docker("swarm", "join", *words, f"{self.manager.ip}:2377")
            self.joined[name] = joined

    def _powered(self, bed: Bed, name: str) -> Host:
        host = bed.host(name)
        host.up()
        return host

    def records(self, node: str, claim: str) -> list[tuple[str, int, str]]:
        """What has been written, as it lies on a host; nothing if nothing of it is there."""
        claims = self.server.get("persistentvolumeclaims")["items"]
        named = {one["metadata"]["name"]: one["spec"].get("volumeName") for one in claims}
        asset = self.joined[node].pool / (named.get(claim) or "none")
        lines = next((one.read_text().splitlines() for one in asset.rglob("log")), [])
        whole = [one.split() for one in lines if one.count(" ") == 2]
        return [(node, int(n), verdict) for node, n, verdict in whole]

    def label(self, node: str, claim: str) -> str:
        how = f'{{{{index .Spec.Labels "mooring.vol.default.{claim}"}}}}'
        return self.manager.docker("node", "inspect", "--format", how, node)

    def available(self, node: str, how: str) -> None:
        self.manager.docker("node", "update", "--availability", how, node)


@pytest.fixture(scope="module")
def swarm(bed: Bed) -> Swarm:
    return Swarm(bed)


@pytest.mark.parametrize("ways", ["ab", pytest.param("aba", marks=pytest.mark.slow)])
def test_a_drained_host_gives_its_volume_to_the_next_and_no_byte_is_lost(
    swarm: Swarm, ways: str
) -> None:
    claim = f"app-{ways}"
    mount = f"type=volume,source={claim},target=/data,volume-driver={DRIVER}"
    swarm.available("a", "active")
    swarm.available("b", "drain")
    swarm.manager.docker(
        *("service", "create", "--name", claim, "--detach", "--no-resolve-image"),
        *("--endpoint-mode", "dnsrr", "--restart-delay", "0s", "--stop-signal", "KILL"),
        *("--constraint", "node.role==worker", "--env", "NODE={{.Node.Hostname}}"),
        *("--mount", f"{mount},volume-opt=class=moves,volume-opt=size=64Mi"),
        *(images.SHELL, "sh", "-c", WRITER),
    )
    before: list[tuple[str, int, str]] = []
    for here, there in pairwise(ways):
        eventually(
            partial(has_written, swarm, claim, here, len(before) + 20), f"it writes on {here}"
        )
        swarm.available(there, "active")
        swarm.available(here, "drain")
        eventually(partial(has_written, swarm, claim, there, len(before)), f"it writes on {there}")
        found = swarm.records(there, claim)
        assert [one[1] for one in found] == list(range(1, len(found) + 1))  # none lost, none twice
        assert {one[2] for one in found} == {"whole"}
        assert found[: len(before)] == before
        before = found
    nodes = [one[0] for one in before]
    changes = [two for one, two in pairwise(["", *nodes]) if one != two]
    assert changes == [*ways]
    there, here = ways[-1], ways[-2]
    eventually(lambda: swarm.label(there, claim) == "true", "its label has moved, too")
    assert not swarm.label(here, claim)
    swarm.manager.docker("service", "rm", claim)


def has_written(swarm: Swarm, claim: str, node: str, after: int) -> bool:
    """Whether a task there has written more than those before it."""
    return any(one[0] == node for one in swarm.records(node, claim)[after:])
