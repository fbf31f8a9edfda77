"""What Docker is answered about claims: Docker volumes §2, §4, §6 and §11."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mooring.controllers.controllers import Controllers
from mooring.dockerplugin.status import status
from mooring.dockerplugin.transport import Request
from mooring.errors import MooringError
from mooring.model.attachment import Attachment
from mooring.model.claim import Claim
from mooring.model.names import DOCKER_NAME, SELECTED_NODE
from mooring.model.volume import Volume
from mooring.node.attachments import attachment_name
from mooring.node.containers import User
from mooring.objects.kind import Doc
from tests.controllers.clocked import a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES, a_pod_doc
from tests.dockerplugin.docker_plant import TEAM, WAITS, DockerPlant, of_local
from tests.node.host_plant import HERE, a_pool

POOLS = "pools.mooring.dev"
ATTACHMENTS = Attachment.resource


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[DockerPlant]:
    made = DockerPlant(tmp_path)
    yield made
    made.close()


def an_attachment(volume: str, node: str) -> Doc:
    source = {"persistentVolumeName": volume}
    return {
        "metadata": {"name": attachment_name(volume)},
        "spec": {"attacher": "directory.mooring.dev", "nodeName": node, "source": source},
    }


# What there is


def test_a_volume_is_described_by_its_claim(plant: DockerPlant) -> None:
    plant.call("Create", "db", size="2Gi")
    claim, shown = plant.claim(), plant.volume_named("db")
    assert (shown["Name"], shown["Mountpoint"]) == ("db", "")
    assert shown["CreatedAt"] == claim.metadata.creation_timestamp == plant.clock.text
    wanted = {"claim": "default/db", "phase": "Bound", "requested": "2Gi", "access": "rwo"}
    assert wanted.items() <= shown["Status"].items()


def test_a_volume_says_how_much_is_in_it_and_when_that_was_seen(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    name = plant.made().name
    (plant.root / name / "data/file").write_bytes(b"x" * (1 << 20))
    plant._run(plant.agent.usages.look(name))
    shown = plant.volume_named("db")["Status"]
    assert 1 << 20 <= shown["usedBytes"] < 2 << 20
    assert shown["usedAt"].endswith("Z")


def test_volumes_are_the_claims_of_the_namespaces_that_docker_reaches(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    plant.call("Create", "My_Data")
    plant.call("Create", f"{TEAM}/db")
    plant.put(CLAIMS, a_claim_doc("from-kubectl", class_="local"))
    closed = plant.objects.create(
        plant.objects.kinds[CLAIMS], "closed", a_claim_doc("hidden", class_="local")
    )
    plant.together(closed)
    assert plant.listed() == ["My_Data", "db", "from-kubectl", f"{TEAM}/db"]
    for name in plant.listed():
        assert plant.volume_named(name)["Name"] == name


def test_a_claim_that_is_being_deleted_is_shown_and_a_released_volume_is_not(
    plant: DockerPlant,
) -> None:
    plant.call("Create", "going")
    plant.call("Create", "gone", reclaim="retain")
    plant.hold("going")
    plant.delete(CLAIMS, "default/going")
    plant.call("Remove", "gone")
    assert plant.listed() == ["going"]
    assert plant.volume_named("going")["Status"]["phase"] == "Terminating"


@pytest.mark.parametrize("call", ["Get", "Path", "Mount"])
@pytest.mark.parametrize(
    ("name", "code"),
    [("none", "UnknownVolume"), ("", "BadName"), ("closed/db", "NamespaceNotAllowed")],
)
def test_what_is_no_volume_is_refused(plant: DockerPlant, call: str, name: str, code: str) -> None:
    assert plant.refusal(call, name, "id").startswith(f"{code}: ")


def test_an_unknown_call_is_refused(plant: DockerPlant) -> None:
    assert plant.refusal("Prune").startswith("NoSuchCall: Prune is no call of a volume plugin")


def test_the_scope_is_global_where_there_are_several_hosts(plant: DockerPlant) -> None:
    assert plant.call("Capabilities") == {"Capabilities": {"Scope": "local"}}
    plant.put("nodes", {"metadata": {"name": "there"}})
    assert plant.call("Capabilities") == {"Capabilities": {"Scope": "global"}}


def test_the_last_warning_about_a_claim_is_the_reason(plant: DockerPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="nowhere"))
    reason = plant.volume_named("db")["Status"]["reason"]
    assert reason == 'ProvisioningFailed: storageclass.storage.k8s.io "nowhere" not found'


def test_a_warning_about_an_earlier_claim_of_the_name_is_no_reason(plant: DockerPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="nowhere"))
    plant.drop()
    plant.call("Create", "db")
    assert "reason" not in plant.volume_named("db")["Status"]
    plant.restart()
    assert "reason" not in plant.volume_named("db")["Status"]


def test_the_reason_is_the_last_warning_after_a_restart_too(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    about = {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "db"}
    uid = plant.claim().uid
    for name, reason, minute in (("b", "First", 1), ("a", "Last", 3), ("c", "Second", 2)):
        warning = {
            "metadata": {"name": name},
            "involvedObject": {**about, "uid": uid},
            "type": "Warning",
            "reason": reason,
            "message": "said",
            "lastTimestamp": f"2099-01-01T00:0{minute}:00Z",
        }
        plant.create("events", warning)
    assert plant.volume_named("db")["Status"]["reason"] == "Last: said"
    plant.restart()
    assert plant.volume_named("db")["Status"]["reason"] == "Last: said"


def test_a_status_is_bounded_whatever_is_in_it() -> None:
    homes = [f"host-{number:060}" for number in range(200)]
    one = {"key": "kubernetes.io/hostname", "operator": "In", "values": homes}
    wide = {"matchExpressions": [one]}
    doc = a_volume_doc(nodeAffinity={"required": {"nodeSelectorTerms": [wide]}})
    users = [User("c" * 200, "/" + "d" * 4000, False, "running") for _ in range(40)]
    shown = status(
        msgspec.convert(a_claim_doc("d" * 253), Claim),
        msgspec.convert(doc, Volume),
        attached=["h" * 253] * 50,
        users=users,
        snapshots=[],
        reason="é" * 10_000,
        node="n" * 253,
        mounts_ok=True,
    )
    assert len(msgspec.json.encode(shown)) <= 4096


# Two names, one claim


def test_a_claim_has_one_name_that_docker_knows(plant: DockerPlant) -> None:
    plant.call("Create", "My_Data")
    (key,) = plant.claim_names()
    claim = key.removeprefix("default/")
    assert plant.claim(claim).annotations[DOCKER_NAME] == "My_Data"
    for call in ("Get", "Path", "Mount"):
        assert plant.refusal(call, claim, "id").startswith("UnknownVolume: ")
    assert plant.call("Remove", claim) == plant.call("Unmount", claim, "id") == {}
    assert plant.listed() == ["My_Data"]


def test_block_claims_are_no_volumes_of_docker(plant: DockerPlant) -> None:
    plant.put(VOLUMES, a_volume_doc(volumeMode="Block"))
    plant.put(CLAIMS, a_claim_doc(class_="", volumeMode="Block"))
    assert plant.listed() == []
    assert plant.refusal("Mount", "db", "id").startswith("NoWayToMount: volume db on here: ")


# Use


@pytest.mark.parametrize("call", ["Mount", "Unmount"])
@pytest.mark.parametrize("id_", ["", "i" * 4097])
def test_an_id_that_is_none_is_refused(plant: DockerPlant, call: str, id_: str) -> None:
    plant.call("Create", "db")
    assert plant.refusal(call, "db", id_).startswith("BadRequest: ")


def test_a_claim_without_a_volume_cannot_be_used(plant: DockerPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="nowhere"))
    said = plant.refusal("Mount", "db", "id")
    assert said.startswith("NotBound: volume db on here: claim default/db is Pending ")


def test_a_claim_made_a_moment_ago_is_waited_for(plant: DockerPlant) -> None:
    """Nobody has looked at it yet, so it is neither bound nor about to be."""
    plant.away()
    rbd = {"monitors": ["ceph.example"], "image": "data"}
    plant.create(VOLUMES, a_volume_doc(hostPath=None, rbd=rbd))
    plant.create(CLAIMS, a_claim_doc(class_=""))
    plant.controllers = Controllers(plant.objects)
    said = plant.beside(plant.controllers.start(), "Mount", "db", "id")
    assert said.startswith("NoWayToMount: volume db on here: ")


def test_docker_is_told_the_volume_by_the_name_that_it_says(plant: DockerPlant) -> None:
    plant.put(CLAIMS, a_claim_doc("my-data-5dfe8cd5", class_="nowhere"))
    assert plant.refusal("Mount", "my-data-5dfe8cd5", "id").startswith(
        "NotBound: volume my-data-5dfe8cd5 on here: "
    )


def test_a_first_consumer_is_told_why_its_volume_cannot_be_made(plant: DockerPlant) -> None:
    plant.put(POOLS, a_pool("small", plant.root.with_name("small"), capacity="1Gi"))
    late = of_local("late", parameters={"pool": "small"}, volumeBindingMode="WaitForFirstConsumer")
    plant.put(CLASSES, late)
    plant.call("Create", "db", size="2Gi", **{"class": "late"})
    said = plant.refusal("Mount", "db", "id")
    assert said.startswith("NoCapacityHere: volume db on here: ")
    assert SELECTED_NODE not in plant.claim().annotations


def test_a_first_consumer_on_another_host_is_told_where_the_volume_is_made(
    plant: DockerPlant,
) -> None:
    plant.call("Create", "db", **{"class": WAITS})
    chosen = {SELECTED_NODE: "there"}
    plant.edit(CLAIMS, "default/db", lambda doc: doc["metadata"]["annotations"].update(**chosen))
    said = plant.refusal("Mount", "db", "id")
    assert said.startswith("ProvisioningElsewhere: volume db on here: ")


def test_a_place_that_nobody_used_is_no_data_that_is_missing(plant: DockerPlant) -> None:
    """However often it is tried."""
    plant.call("Create", "db")
    volume = plant.made().name
    (plant.root / volume).rename(plant.root / "away")
    for _ in range(2):
        assert plant.refusal("Mount", "db", "id").startswith("NoSuchAsset: volume db on here: ")
    assert plant.stored_of(ATTACHMENTS) == []


def test_a_volume_that_another_host_has_is_refused_at_once(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    plant.put(ATTACHMENTS, an_attachment(plant.made().name, "there"))
    said = plant.refusal("Mount", "db", "id")
    assert said.startswith("HolderUnreachable: volume db on here: ")
    assert "is held by there, which is silent; if there is off for sure: kubectl taint" in said


def test_giving_back_what_was_never_given_is_success(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    assert plant.call("Unmount", "db", "id") == plant.call("Unmount", "none", "id") == {}


def test_a_mount_that_takes_long_hides_nothing_and_keeps_nobody_waiting(
    plant: DockerPlant,
) -> None:
    """Of a volume for one container."""
    plant.call("Create", "db", access="rwop", **{"class": WAITS})
    plant.away()
    began = asyncio.Event()
    plant.objects.cache.shelves[CLAIMS].follow(lambda _: began.set())  # it chooses this host

    async def asked_meanwhile() -> tuple[Any, str]:
        mount = Request(name="db", id="one")
        mounting = asyncio.create_task(plant.plugin.answer("Mount", mount, None))
        await began.wait()
        listed = await plant.plugin.answer("List", Request(), None)
        with pytest.raises(MooringError) as refused:
            await plant.plugin.answer("Remove", Request(name="db"), None)
        assert not mounting.done()
        mounting.cancel()
        await asyncio.gather(mounting, return_exceptions=True)
        return listed["Volumes"], refused.value.code

    listed, code = plant._run(asked_meanwhile())
    assert [one["Name"] for one in listed] == ["db"]
    assert code == "VolumeInUse"
    plant.back()


# Removal


def test_removing_takes_away_claim_volume_and_data(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    assert plant.call("Remove", "db") == {}
    assert plant.left() == []


def test_removing_what_is_not_there_is_success(plant: DockerPlant) -> None:
    assert plant.call("Remove", "db") == {}


def test_what_a_pod_uses_is_not_removed(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    plant.create("pods", a_pod_doc("user", "db", "there"))
    before = plant.stored()
    said = plant.refusal("Remove", "db")
    assert said.startswith("VolumeInUse: volume db on here is used by pod user on there; ")
    assert plant.stored() == before


def test_what_another_host_has_is_not_removed(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    plant.put(ATTACHMENTS, an_attachment(plant.made().name, "there"))
    assert plant.refusal("Remove", "db").startswith(
        "VolumeInUse: volume db on here is used by there; "
    )
    assert plant.claim_names() == ["default/db"]


def test_what_keeps_a_removed_volume_is_told(plant: DockerPlant) -> None:
    plant.call("Create", "db")
    plant.hold("db")
    for _ in range(2):
        said = plant.refusal("Remove", "db")
        assert said.startswith(
            "StillDeleting: volume db on here is still being deleted after 0.2 s: "
        )
        assert "finalizer example.com/hold; mooring explain pvc db -n default" in said


def test_calls_for_one_volume_at_the_same_time_make_and_remove_one(plant: DockerPlant) -> None:
    assert plant.at_once("Create", "db", times=6) == [{}] * 6
    assert plant.claim_names() == ["default/db"]
    assert plant.at_once("Remove", "db", times=6) == [{}] * 6
    assert plant.left() == []


def test_no_answer_is_a_fault_of_ours_whatever_the_name(plant: DockerPlant) -> None:
    for name in ("\0", "a\nb", "../x", "a" * 10_000, "\ud800", "a/b/c", "-v", "/", "team/", "é"):
        for call in ("Get", "Create", "Mount", "Unmount", "Path", "Remove"):
            with pytest.raises(MooringError) as caught:
                plant.call(call, name, "id")
            assert caught.value.code in ("BadName", "NamespaceNotAllowed")
    assert plant.left() == []
    assert HERE not in plant.listed()
