"""A volume that several hosts reach, and one writer at a time: whoever is silent has stopped."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.docker import images
from tests.docker.joined import JoinedHost, ServerHost
from tests.docker.testbed import Bed, Done, Host, eventually, needs_hosts

pytestmark = [pytest.mark.system, needs_hosts]
LEASE = ("--node-lease", "3")  # writers are stopped after two seconds of silence
SHARED = """\
apiVersion: mooring.dev/v1
kind: Pool
metadata: {{name: shared}}
spec: {{driver: directory.mooring.dev, root: {root}, directory: {{shared: true}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: leased}}
provisioner: directory.mooring.dev
parameters: {{pool: shared, fencing: lease}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: plain}}
provisioner: directory.mooring.dev
parameters: {{pool: shared}}
"""
WRITING = "while true; do echo {name} >>/data/log; sync /data/log; sleep 0.02; done"


class Hosts:
    """A server on a host of its own, and two that write."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.server = ServerHost(self._powered("s")).start()
        self.root = bed.place / "shared"
        self.root.mkdir()
        text = SHARED.format(root=self.root)
        self.server.kubectl("apply", "--filename", "-", stdin=text)
        self.a, self.b = (self.joined(name) for name in ("a", "b"))

    def _powered(self, name: str) -> Host:
        host = self.bed.host(name)
        host.up()
        return host

    def joined(self, name: str) -> JoinedHost:
        joined = JoinedHost(self._powered(name), self.server).join().start(*LEASE)
        joined.host.dockerd()
        images.load(joined.host)
        return joined

    def remove(self, name: str) -> Done:
        """A host, for good."""
        kubeconfig = ("--kubeconfig", str(self.server.data_dir / "kubeconfig"))
        return self.server.mooring("node", "remove", name, "--yes", *kubeconfig)

    def log(self, claim: str) -> Path:
        """What writers of a claim have written."""
        asset = self.root / self.server.volume(claim)["metadata"]["name"]
        return next(asset.rglob("log"), asset / "log")

    def writers(self, claim: str) -> list[str]:
        """In the order of their records."""
        path = self.log(claim)
        return path.read_text().split() if path.exists() else []


@pytest.fixture(scope="module")
def hosts(bed: Bed) -> Hosts:
    return Hosts(bed)


def write(joined: JoinedHost, claim: str, *options: str) -> None:
    """A container that goes on writing."""
    name = joined.host.name
    joined.host.docker(
        *("run", "--detach", "--name", claim, "--volume", f"{claim}:/data", *options),
        *("--stop-signal", "KILL", images.SHELL, "sh", "-c", WRITING.format(name=name)),
    )


def has_begun(joined: JoinedHost, claim: str) -> bool:
    """Whether a container could be started that goes on writing."""
    joined.host.try_docker("rm", "--force", claim)
    with suppress(AssertionError):
        write(joined, claim)
        return True
    return False


def may_write(joined: JoinedHost, claim: str) -> Callable[[], bool]:
    """Whether a container of another host has come to it."""

    def tried() -> bool:
        name = joined.host.name
        command = f"for i in $(seq 20); do echo {name} >>/data/log; sleep 0.02; done"
        mount = ("--rm", "--volume", f"{claim}:/data")
        return joined.host.try_docker("run", *mount, images.SHELL, "sh", "-c", command).code == 0

    return tried


def is_one_after_the_other(writers: list[str]) -> bool:
    """Whether nobody wrote again once another had: the checker."""
    changes = [one for one, before in zip(writers, [None, *writers], strict=False) if one != before]
    return len(changes) == len(set(changes))


def test_the_checker_finds_two_writers() -> None:
    assert is_one_after_the_other(["a", "a", "b", "b"])
    assert is_one_after_the_other([])
    assert not is_one_after_the_other(["a", "b", "a"])


def hang(hosts: Hosts) -> None:
    hosts.a.freeze()


def cut(hosts: Hosts) -> None:
    hosts.a.host.cut()


def test_a_host_that_is_heard_of_keeps_what_it_uses(hosts: Hosts) -> None:
    hosts.a.create("kept", "leased")
    write(hosts.a, "kept")
    eventually(lambda: "a" in hosts.writers("kept"), "it writes")
    assert hosts.b.create("kept", "leased").code == 0  # the same claim
    said = hosts.b.host.try_docker("run", "--rm", "--volume", "kept:/data", images.SHELL, "true")
    assert "AttachedElsewhere" in said.err, said.err
    hosts.a.host.docker("rm", "--force", "kept")
    eventually(may_write(hosts.b, "kept"), "it is let go, so the other has it")


@pytest.mark.parametrize("fault", [hang, pytest.param(cut, marks=pytest.mark.slow)])
def test_a_host_that_is_silent_has_stopped_before_another_writes(
    hosts: Hosts, fault: Callable[[Hosts], None]
) -> None:
    claim = f"by-{fault.__name__}"
    hosts.a.create(claim, "leased")
    write(hosts.a, claim, "--restart", "always")
    eventually(lambda: "a" in hosts.writers(claim), "it writes")
    hosts.b.create(claim, "leased")
    fault(hosts)
    try:
        eventually(lambda: has_begun(hosts.b, claim), "the other has it")
        eventually(lambda: "b" in hosts.writers(claim), "and writes")
    finally:
        if fault is hang:
            hosts.a.thaw()
        else:
            hosts.a.host.heal()
    # Its engine tries again and again to start what it had; the other still writes.
    said = "in use on b"
    eventually(lambda: said in hosts.a.host.try_docker("start", claim).err, "it is refused")
    assert is_one_after_the_other(hosts.writers(claim)), hosts.writers(claim)
    hosts.b.host.docker("rm", "--force", claim)
    reasons = {one["reason"] for one in hosts.server.get("events")["items"]}
    assert "TakenOver" in reasons
    hosts.a.host.docker("rm", "--force", claim)


@pytest.mark.slow
def test_without_its_watchdog_a_host_that_hangs_writes_on_and_the_checker_finds_it(
    hosts: Hosts,
) -> None:
    """That it is the watchdog that keeps the other tests from it."""
    hosts.a.create("planted", "leased")
    write(hosts.a, "planted")
    eventually(lambda: "a" in hosts.writers("planted"), "it writes")
    hosts.b.create("planted", "leased")
    hosts.a.freeze()
    assert hosts.a.host.run("pkill", "--full", "mooring.node.watchdog").code == 0
    try:
        eventually(lambda: has_begun(hosts.b, "planted"), "the other has it")
        eventually(
            lambda: not is_one_after_the_other(hosts.writers("planted")), "there are two writers"
        )
    finally:
        hosts.a.thaw()
    hosts.b.host.docker("rm", "--force", "planted")
    hosts.a.host.docker("rm", "--force", "planted")


@pytest.mark.slow
@pytest.mark.parametrize("point", ["attach.taking-over", "attach.taken-over", "attach.intended"])
def test_killed_while_it_takes_over_a_host_has_it_when_it_is_back(hosts: Hosts, point: str) -> None:
    claim = point.replace(".", "-")
    hosts.a.create(claim, "leased")
    write(hosts.a, claim)
    eventually(lambda: "a" in hosts.writers(claim), "it writes")
    hosts.b.create(claim, "leased")
    hosts.b.stop()
    hosts.b.start(*LEASE, MOORING_CRASH_AT=point)
    hosts.a.freeze()
    try:
        eventually(lambda: not has_begun(hosts.b, claim) and hosts.b.has_ended, "it is killed")
        hosts.b.start(*LEASE)
        eventually(lambda: has_begun(hosts.b, claim), "it has it")
        eventually(lambda: "b" in hosts.writers(claim), "and writes")
    finally:
        hosts.a.thaw()
    said = "in use on b"
    eventually(lambda: said in hosts.a.host.try_docker("start", claim).err, "the other is refused")
    assert is_one_after_the_other(hosts.writers(claim)), hosts.writers(claim)
    hosts.b.host.docker("rm", "--force", claim)
    eventually(lambda: hosts.a.host.try_docker("start", claim).code == 0, "it is let go")
    eventually(lambda: hosts.writers(claim)[-1] == "a", "and written to where it was before")
    hosts.a.host.docker("rm", "--force", claim)


@pytest.mark.slow
def test_a_host_that_is_removed_has_stopped_before_another_writes(hosts: Hosts) -> None:
    gone = hosts.joined("gone")
    for class_, claim in (("plain", "unpromised"), ("leased", "promised")):
        gone.create(claim, class_)
        write(gone, claim)
        eventually(lambda claim=claim: "gone" in hosts.writers(claim), "it writes")
        hosts.b.create(claim, class_)
        if class_ == "plain":
            refused = hosts.remove("gone")
            assert refused.code == 1
            assert "[Conflict]" in refused.err, refused.err
            gone.host.docker("rm", "--force", claim)
    eventually(lambda: hosts.remove("gone").code == 0, "what it let go is free")
    eventually(may_write(hosts.b, "promised"), "the other has it")
    assert is_one_after_the_other(hosts.writers("promised")), hosts.writers("promised")
    assert hosts.writers("promised")[-1] == "b"


def is_running(joined: JoinedHost, claim: str) -> bool:
    said = joined.host.docker("inspect", "--format", "{{.State.Running}}", claim)
    return said.strip() == "true"


@pytest.mark.slow
def test_a_host_whose_volume_an_operator_gave_away_stops_when_it_is_back(hosts: Hosts) -> None:
    """There and back again: first b has what was a's, then a has it again."""
    claim = "given"
    hosts.a.create(claim, "plain")
    write(hosts.a, claim)
    eventually(lambda: "a" in hosts.writers(claim), "it writes")
    hosts.b.create(claim, "plain")
    for loser, winner in ((hosts.a, hosts.b), (hosts.b, hosts.a)):
        name, other = loser.host.name, winner.host.name
        taint = ("taint", "node", name, "node.kubernetes.io/out-of-service")
        loser.host.cut()
        try:
            mount = ("run", "--rm", "--volume", f"{claim}:/data", images.SHELL, "true")
            said = "HolderUnreachable"
            eventually(lambda: said in winner.host.try_docker(*mount).err, "it is held")  # noqa: B023
            hosts.server.kubectl(*taint[:3], f"{taint[3]}=:NoExecute")
            eventually(lambda: has_begun(winner, claim), "the other has it")  # noqa: B023
        finally:
            loser.host.heal()
        eventually(lambda: not is_running(loser, claim), "who is back has stopped")  # noqa: B023
        hosts.server.kubectl(*taint[:3], f"{taint[3]}-")
        before = hosts.writers(claim)
        said = f"in use on {other}"
        eventually(lambda: said in loser.host.try_docker("start", claim).err, "it is refused")  # noqa: B023
        eventually(lambda: len(hosts.writers(claim)) > len(before), "one writes")  # noqa: B023
        assert set(hosts.writers(claim)[len(before) :]) == {other}
    reasons = [one["reason"] for one in hosts.server.get("events")["items"]]
    assert reasons.count("FencedOff") >= 2
    for one in (hosts.a, hosts.b):
        one.host.docker("rm", "--force", claim)


def test_without_the_word_of_an_operator_a_plain_class_is_taken_by_nobody(hosts: Hosts) -> None:
    hosts.a.create("plain", "plain")
    write(hosts.a, "plain")
    eventually(lambda: "a" in hosts.writers("plain"), "it writes")
    hosts.b.create("plain", "plain")
    hosts.a.host.crash()
    mount = ("run", "--rm", "--volume", "plain:/data", images.SHELL, "true")
    eventually(
        lambda: "HolderUnreachable" in hosts.b.host.try_docker(*mount).err, "nobody may have it"
    )
    hosts.server.kubectl("taint", "node", "a", "node.kubernetes.io/out-of-service=:NoExecute")
    eventually(may_write(hosts.b, "plain"), "the operator's word counts")
    reasons = {one["reason"] for one in hosts.server.get("events")["items"]}
    assert "ForcedDetach" in reasons
