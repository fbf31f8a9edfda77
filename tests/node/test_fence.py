"""A host that is not heard of, and another one that wants what it has. Docker volumes §9."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from mooring.errors import MooringError
from mooring.host import mounts
from mooring.host.errors import MountFailed
from mooring.model.attachment import Attachment
from mooring.model.node import NODE_LEASES, Node
from mooring.node.attachments import AttachedElsewhere, Attachments, HolderUnreachable
from mooring.node.fence import Fence, LeaseLost, Times
from mooring.node.heartbeat import Heartbeat
from mooring.node.watch import FILE, Watch
from mooring.node.watchdog import boot_s, fence
from mooring.objects.kind import Doc
from mooring.objects.leases import LEASES, SeenLeases
from mooring.rules.events import EventNote
from mooring.rules.fencing import MARGIN_S
from mooring.store.interface import Conflict
from tests.controllers.clocked import a_claim_doc
from tests.controllers.plant import CLAIMS, CLASSES, a_pod_doc
from tests.host.privileges import a_small_disk, fill, needs_mounts
from tests.node.host_plant import HERE, HostPlant, a_pool_class

THERE = "there"
LEASE_S = 15
NEVER, ALWAYS = Times(1e9), Times(0.0)  # silent for too long


class SharedPlant(HostPlant):
    """With a volume that two hosts reach, whose class has them fence themselves."""

    pool_spec: ClassVar[Doc] = {"node": "", "directory": {"shared": True}}

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        parameters = {"pool": "local", "fencing": "lease"}
        self.put(
            CLASSES,
            a_pool_class("local") | {"metadata": {"name": "leased"}, "parameters": parameters},
        )
        self.put(CLAIMS, a_claim_doc(class_="leased"))
        self.settle()
        self.told: list[EventNote] = []
        spec = {"holderIdentity": THERE, "leaseDurationSeconds": LEASE_S}
        lease: Doc = {"metadata": {"name": THERE}, "spec": spec}
        self._run(self.objects.create(self.objects.kinds[LEASES], NODE_LEASES, lease))
        self.here, self.there = (self._attachments(one) for one in (HERE, THERE))

    def _attachments(self, node: str) -> Attachments:
        return Attachments(self.objects, node, self.told.append)

    def intend(self, attachments: Attachments) -> None:
        self._run(attachments.intend(self.made()))

    def holder(self) -> str:
        (found,) = self.objects.views(Attachment)
        return found.node

    def fence(self, state: Path, times: Times) -> Fence:
        """Of a host that has been heard of."""
        found = self.started(state, times)
        self._run(found.renewed(boot_s()))
        return found

    def started(self, state: Path, times: Times) -> Fence:
        state.mkdir(exist_ok=True)
        watch = Watch(state, state / "run", launch=lambda _: None)
        return Fence(
            *(self.objects, self.agent.publisher, self.here, HERE, watch, self.told.append, times)
        )

    def watched(self, state: Path) -> list[str]:
        """Uids of the volumes that the watchdog is told of."""
        file = state / FILE
        told = json.loads(file.read_bytes())["volumes"] if file.exists() else []
        return [Path(one).parent.name for one in told]

    def renew(self, node: str) -> None:
        text = self.clock.text.replace("Z", ".000000Z")
        key = f"{NODE_LEASES}/{node}"
        assert self.edit(LEASES, key, lambda doc: doc["spec"].update(renewTime=text))

    def reasons(self) -> list[str]:
        return [one.reason for one in self.told]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[SharedPlant]:
    made = SharedPlant(tmp_path)
    yield made
    for one in (made.here, made.there):
        one.stop()
    made.close()


def test_a_volume_of_a_shared_pool_is_of_no_host(plant: SharedPlant) -> None:
    assert plant.made().hosts == ()


@pytest.mark.parametrize(
    ("after_s", "error"),
    [
        (1, AttachedElsewhere),
        (LEASE_S - 1, AttachedElsewhere),
        (LEASE_S, HolderUnreachable),
        (LEASE_S + MARGIN_S - 0.5, HolderUnreachable),
    ],
)
def test_what_a_silent_host_has_is_its_own_until_it_has_stopped(
    plant: SharedPlant, after_s: float, error: type[MooringError]
) -> None:
    plant.intend(plant.there)
    plant.clock.move(after_s)
    with pytest.raises(error, match=THERE):
        plant.intend(plant.here)
    assert plant.holder() == THERE


def test_then_it_is_anothers(plant: SharedPlant) -> None:
    plant.intend(plant.there)
    plant.clock.move(LEASE_S + MARGIN_S)
    plant.intend(plant.here)
    assert (plant.holder(), plant.reasons()) == (HERE, ["TakenOver"])


def test_a_host_that_was_heard_of_again_keeps_it(plant: SharedPlant) -> None:
    plant.intend(plant.there)
    plant.clock.move(LEASE_S + MARGIN_S)
    plant.renew(THERE)
    with pytest.raises(AttachedElsewhere):
        plant.intend(plant.here)


PLAIN = a_pool_class("local") | {"metadata": {"name": "leased"}}
LEASED = PLAIN | {"parameters": {"pool": "local", "fencing": "lease"}}


def made_anew(plant: SharedPlant, class_: Doc) -> None:
    plant.delete(CLASSES, "leased")
    plant.put(CLASSES, class_)
    plant.settle()


def test_what_counts_is_what_a_host_has_promised_when_it_took_a_volume(plant: SharedPlant) -> None:
    made_anew(plant, PLAIN)
    plant.intend(plant.there)
    made_anew(plant, LEASED)
    plant.clock.move(LEASE_S + MARGIN_S)
    with pytest.raises(HolderUnreachable):
        plant.intend(plant.here)
    assert plant.holder() == THERE


def test_a_promise_is_kept_whatever_becomes_of_the_class(
    plant: SharedPlant, tmp_path: Path
) -> None:
    fence, volume = plant.fence(tmp_path / "fence", NEVER), plant.made()
    plant.intend(plant.here)
    made_anew(plant, PLAIN)
    fence.holds(volume)
    assert plant.watched(tmp_path / "fence") == [volume.uid]
    lost = plant.fence(tmp_path / "lost", ALWAYS)
    with pytest.raises(LeaseLost):
        lost.refuse(volume)
    plant.intend(plant.here)
    made_anew(plant, LEASED)
    fence.let_go(volume.uid)
    assert plant.watched(tmp_path / "fence") == []


def test_an_attachment_that_was_made_without_a_promise_has_none_later(
    plant: SharedPlant, tmp_path: Path
) -> None:
    made_anew(plant, PLAIN)
    plant.intend(plant.here)
    made_anew(plant, LEASED)
    plant.intend(plant.here)
    plant.fence(tmp_path / "fence", NEVER).holds(plant.made())
    assert plant.watched(tmp_path / "fence") == []


def test_a_promise_that_is_not_there_any_more_does_not_count(plant: SharedPlant) -> None:
    plant.intend(plant.there)
    plant.clock.move(LEASE_S + MARGIN_S)
    (held,) = plant.objects.views(Attachment)
    plant.edit(Attachment.resource, held.name, lambda doc: doc["metadata"].pop("annotations"))
    with pytest.raises(HolderUnreachable):
        plant.intend(plant.here)


def test_a_volume_for_one_container_passes_from_host_to_host_in_the_same_way(
    plant: SharedPlant,
) -> None:
    claim = a_claim_doc("single", class_="leased", accessModes=["ReadWriteOncePod"])
    plant.put(CLAIMS, claim)
    plant.settle()
    volume = plant.made("single")
    plant._run(plant.there.intend(volume))
    with pytest.raises(AttachedElsewhere):
        plant._run(plant.here.intend(volume))
    plant.clock.move(LEASE_S + MARGIN_S)
    plant._run(plant.here.intend(volume))
    assert plant.holder() == HERE


def test_of_a_host_whose_lease_is_deleted_nothing_is_known_for_a_term(plant: SharedPlant) -> None:
    leases = SeenLeases(plant.objects)
    leases.start()
    plant.clock.move(LEASE_S - 1)
    plant.delete(LEASES, f"{NODE_LEASES}/{THERE}")
    assert leases.late_s(THERE) == -LEASE_S
    plant.clock.move(LEASE_S)
    assert leases.late_s(THERE) == 0
    leases.stop()


def test_no_volume_passes_in_a_commit_that_comes_after_a_renewal(plant: SharedPlant) -> None:
    plant.intend(plant.there)
    leases = SeenLeases(plant.objects)
    seen = leases.unrenewed(THERE)
    plant.renew(THERE)
    (held,) = plant.objects.views(Attachment)
    kind = plant.objects.kinds[Attachment.resource]
    with pytest.raises(Conflict):
        plant._run(plant.objects.delete(kind, held.name, checks=[seen]))
    plant._run(plant.objects.delete(kind, held.name, checks=[leases.unrenewed(THERE)]))
    assert not plant.objects.views(Attachment)


def test_starting_again_is_no_renewal(plant: SharedPlant, tmp_path: Path) -> None:
    state = tmp_path / "fence"
    state.mkdir()
    times, now_s = Times(LEASE_S), boot_s()
    told = {"agent": 1, "until": now_s + times.stop_s - 5, "volumes": ["/nowhere"]}
    (state / FILE).write_text(json.dumps(told))
    assert 5 <= plant.started(state, times).silent_s < times.stop_s


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"until": 9e9, "volumes": []},
        {"until": 9e9, "volumes": ["/nowhere"], "boot": "another"},
    ],
)
def test_who_has_told_nothing_mounts_nothing_before_a_renewal_is_acknowledged(
    plant: SharedPlant, tmp_path: Path, told: Doc
) -> None:
    """Its Lease may have run out: what it takes another host would have at once."""
    state = tmp_path / "fence"
    state.mkdir()
    (state / FILE).write_text(json.dumps(told))
    fence = plant.started(state, Times(LEASE_S))
    assert fence.is_lost
    with pytest.raises(LeaseLost, match="since its agent started"):
        fence.refuse(plant.made())
    plant._run(fence.renewed(boot_s()))
    assert not fence.is_lost


def test_a_host_that_is_not_heard_of_mounts_nothing_that_another_may_have(
    plant: SharedPlant, tmp_path: Path
) -> None:
    plant.fence(tmp_path / "well", NEVER).refuse(plant.made())
    with pytest.raises(LeaseLost, match="may be another host's by now"):
        plant.fence(tmp_path / "lost", ALWAYS).refuse(plant.made())


def test_what_was_taken_while_it_was_mounted_is_not_given_to_anybody(
    plant: SharedPlant, tmp_path: Path
) -> None:
    fence, volume = plant.fence(tmp_path / "fence", NEVER), plant.made()
    plant.intend(plant.here)
    fence.holds(volume)
    fence.confirm(volume)
    plant._run(plant.here.detach(volume.name))
    plant.intend(plant.there)
    with pytest.raises(LeaseLost):
        fence.confirm(volume)
    fence.let_go(volume.uid)


def out_of_service(plant: SharedPlant, node: str) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    if plant.view(Node, node) is None:
        plant.put("nodes", {"metadata": {"name": node}})
    plant.edit("nodes", node, lambda doc: doc.setdefault("spec", {}).update(taints=[taint]))


def test_back_after_an_operator_gave_it_away_a_host_ends_what_it_had_too(
    plant: SharedPlant, tmp_path: Path
) -> None:
    made_anew(plant, PLAIN)
    fence, volume = plant.fence(tmp_path / "fence", NEVER), plant.made()
    plant.intend(plant.here)
    fence.holds(volume)
    fence.confirm(volume)
    plant.clock.move(LEASE_S)
    out_of_service(plant, HERE)
    plant.intend(plant.there)
    assert (plant.holder(), plant.reasons()) == (THERE, ["ForcedDetach"])
    plant._run(fence.renewed(boot_s()))
    assert plant.reasons() == ["ForcedDetach", "FencedOff"]
    assert plant.watched(tmp_path / "fence") == []  # it never was the watchdog's


def test_started_again_after_an_operator_gave_it_away_it_ends_it_as_well(
    plant: SharedPlant, tmp_path: Path
) -> None:
    made_anew(plant, PLAIN)
    plant.intend(plant.there)
    plant._run(plant.fence(tmp_path / "fence", NEVER).begin([plant.made()]))
    assert plant.reasons() == ["FencedOff"]


@needs_mounts
def test_who_writes_to_what_was_given_away_is_killed_when_the_host_is_back(
    plant: SharedPlant,
) -> None:
    made_anew(plant, PLAIN)

    async def used() -> Path:
        return (await plant.agent.users.give("default/db", "id1")).path

    path = plant._run(used())
    # No child of the agent's, which is this process.
    words = ["setsid", "--fork", "sleep", "infinity"]
    with subprocess.Popen(words, cwd=path, stdout=subprocess.PIPE) as writer:
        plant.clock.move(LEASE_S)
        out_of_service(plant, HERE)
        plant.intend(plant.there)
        plant.beat()
        assert writer.stdout is not None
        assert writer.stdout.read() == b""  # it has ended
    assert not mounts.mounts_at(str(path))


def test_no_volume_is_given_away_by_force_once_its_host_is_heard_of(plant: SharedPlant) -> None:
    made_anew(plant, PLAIN)
    plant.intend(plant.there)
    out_of_service(plant, THERE)
    plant.clock.move(LEASE_S)
    plant.renew(THERE)
    with pytest.raises(AttachedElsewhere):
        plant.intend(plant.here)


@needs_mounts
def test_what_the_watchdog_cannot_be_told_counts_as_soon_as_it_can(
    plant: SharedPlant, tmp_path: Path
) -> None:
    with a_small_disk(tmp_path / "full") as full:
        fence = plant.fence(full, Times(LEASE_S))
        heartbeat = Heartbeat(plant.objects, HERE, fence)
        plant.intend(plant.here)
        plant._run(heartbeat.beat())
        fence.holds(plant.made())
        counted_s = boot_s() - fence.silent_s
        filler = fill(full)
        plant._run(heartbeat.beat())
        assert boot_s() - fence.silent_s == pytest.approx(counted_s, abs=0.01)
        with pytest.raises(MountFailed, match="watch over"):
            fence.holds(plant.made())
        filler.unlink()
        plant._run(heartbeat.beat())
        assert boot_s() - fence.silent_s > counted_s


@needs_mounts
def test_what_cannot_be_unmounted_is_watched_until_it_is(plant: SharedPlant) -> None:
    users, volume = plant.agent.users, plant.made()

    async def written_to_after_it_was_given_back() -> None:
        mounted = await users.give("default/db", "id1")
        with (mounted.path / "log").open("w"):
            await users.take("default/db", "id1")
            await users.settle(volume)
            assert plant.watched(plant.state) == [volume.uid]
        while plant.watched(plant.state):  # it may just be looked at how much is in it
            await users.settle(volume)

    plant._run(written_to_after_it_was_given_back())
    assert not plant.objects.views(Attachment)


@needs_mounts
def test_who_has_a_claim_that_is_being_deleted_gets_its_data_again_and_no_empty_directory(
    plant: SharedPlant,
) -> None:
    users, volume = plant.agent.users, plant.made()

    async def given() -> Path:
        return (await users.give("default/db", "id1")).path

    path = plant._run(given())
    (path / "data").touch()
    plant.put("pods", a_pod_doc("holder", "db", HERE))
    plant.delete(CLAIMS, "default/db")
    assert fence([path]) == []  # as the watchdog does
    assert (plant._run(given()) / "data").exists()
    plant._run(plant.here.detach(volume.name))
    plant.intend(plant.there)
    with pytest.raises(LeaseLost):
        plant._run(given())
    plant.delete("pods", "default/holder")


def test_back_again_it_ends_what_another_has_taken_before_it_counts_as_well(
    plant: SharedPlant, tmp_path: Path
) -> None:
    fence, volume = plant.fence(tmp_path / "fence", ALWAYS), plant.made()
    plant.intend(plant.here)
    fence.holds(volume)
    plant._run(fence.renewed(boot_s()))
    assert plant.reasons() == []
    plant._run(plant.here.detach(volume.name))
    plant.intend(plant.there)
    plant._run(fence.renewed(boot_s()))
    assert plant.reasons() == ["FencedOff"]
    assert json.loads((tmp_path / "fence" / FILE).read_text())["volumes"] == []
