"""Storage semantics §11: reason, type, object and words of each event, told by the controllers."""

from pathlib import Path
from tempfile import mkdtemp

import pytest

from mooring.model.names import SELECTED_NODE
from mooring.model.volume import Volume
from mooring.objects.kind import Doc
from mooring.rules.events import EventNote
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_class_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES, a_pod_doc
from tests.host.privileges import bound as bound_at
from tests.host.privileges import needs_mounts

NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
BEFORE_BINDING = "waiting for first consumer to be created before binding"


def the_event(plant: ClockedPlant, reason: str, about: str = "db") -> Doc:
    """The only one of a reason about an object."""
    found = [one for one in plant.events(about) if one["reason"] == reason]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.rule("11.1", "11.26")
def test_an_event_has_all_that_kubernetes_writes(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    event = the_event(plant, "FailedBinding")
    about = event.pop("involvedObject")
    assert event.pop("metadata")["namespace"] == "default"
    assert about.pop("resourceVersion")
    assert about == {
        "kind": "PersistentVolumeClaim",
        "namespace": "default",
        "name": "db",
        "uid": plant.claim().uid,
        "apiVersion": "v1",
    }
    event.pop("count")
    assert {key: value for key, value in event.items() if key not in ("kind", "apiVersion")} == {
        "type": "Normal",
        "reason": "FailedBinding",
        "message": NO_CLASS,
        "source": {"component": "persistentvolume-controller"},
        "firstTimestamp": plant.clock.text,
        "lastTimestamp": plant.clock.text,
        "eventTime": None,
        "reportingComponent": "persistentvolume-controller",
        "reportingInstance": "",
    }


def test_events_about_volumes_are_in_the_namespace_default(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_volume_doc(policy="Delete", hostPath={"path": "/srv/x"}))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    event = the_event(plant, "VolumeFailedDelete", "v1")
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


# About claims: (what is there before, the claim, type, reason, message)

WAITS = (CLASSES, a_class_doc("late", mode="WaitForFirstConsumer"))
IN_TREE = (CLASSES, {"metadata": {"name": "ebs"}, "provisioner": "kubernetes.io/aws-ebs"})
NONE = (CLASSES, {"metadata": {"name": "none"}, "provisioner": "kubernetes.io/no-provisioner"})
OURS = (CLASSES, {"metadata": {"name": "own"}, "provisioner": "directory.mooring.dev"})
TAKEN = (VOLUMES, a_volume_doc(claimRef={"namespace": "default", "name": "other"}))
CASES: dict[str, tuple[list[tuple[str, Doc]], Doc, str, str, str]] = {
    "nothing fits": ([], a_claim_doc(class_=""), "Normal", "FailedBinding", NO_CLASS),
    "the volume is another's": (
        [TAKEN], a_claim_doc(class_="", volumeName="v1"), "Warning", "FailedBinding",
        'volume "v1" already bound to a different claim.',
    ),
    "the volume is too small": (
        [(VOLUMES, a_volume_doc(capacity={"storage": "1Mi"}))],
        a_claim_doc(class_="", volumeName="v1"), "Warning", "VolumeMismatch",
        'Cannot bind to requested volume "v1": requested PV is too small',
    ),
    "the volume is of another class": (
        [(VOLUMES, a_volume_doc(storageClassName="x"))],
        a_claim_doc(class_="", volumeName="v1"), "Warning", "VolumeMismatch",
        'Cannot bind to requested volume "v1": storageClassName does not match',
    ),
    "the volume is a block device": (
        [(VOLUMES, a_volume_doc(volumeMode="Block"))],
        a_claim_doc(class_="", volumeName="v1"), "Warning", "VolumeMismatch",
        'Cannot bind to requested volume "v1": incompatible volumeMode',
    ),
    "the volume lacks a mode": (
        [(VOLUMES, a_volume_doc(accessModes=["ReadOnlyMany"]))],
        a_claim_doc(class_="", volumeName="v1"), "Warning", "VolumeMismatch",
        'Cannot bind to requested volume "v1": incompatible accessMode',
    ),
    "the first consumer is awaited": (
        [WAITS], a_claim_doc(class_="late"), "Normal", "WaitForFirstConsumer", BEFORE_BINDING,
    ),
    "an external provisioner is awaited": (
        [(CLASSES, a_class_doc())], a_claim_doc(class_="fast"), "Normal", "ExternalProvisioning",
        "Waiting for a volume to be created either by the external provisioner 'example.com' or "
        "manually by the system administrator. If volume creation is delayed, please verify that "
        "the provisioner is running and correctly registered.",
    ),
    "our provisioner is awaited": (
        [OURS], a_claim_doc(class_="own"), "Normal", "ExternalProvisioning",
        "Waiting for a volume to be created by the external provisioner 'directory.mooring.dev'",
    ),
    "the class is missing": (
        [], a_claim_doc(class_="fast"), "Warning", "ProvisioningFailed",
        'storageclass.storage.k8s.io "fast" not found',
    ),
    "the plugin is not known": (
        [IN_TREE], a_claim_doc(class_="ebs"), "Warning", "ProvisioningFailed",
        "no volume plugin matched name: kubernetes.io/aws-ebs",
    ),
    "the class has no provisioner": (
        [NONE], a_claim_doc(class_="none"), "Warning", "ProvisioningFailed",
        "no volume plugin matched name: kubernetes.io/no-provisioner",
    ),
}  # fmt: skip


@pytest.mark.rule("10.1", "10.2", "11.1", "11.2", "11.3", "11.5", "11.7", "11.10")
@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_a_claim_is_told(plant: ClockedPlant, case: str) -> None:
    before, claim, type_, reason, message = CASES[case]
    for resource, doc in before:
        plant.put(resource, _copy(doc))
    plant.put(CLAIMS, _copy(claim))
    assert plant.told("db") == [(type_, reason)]
    assert the_event(plant, reason)["message"] == message


def _copy(doc: Doc) -> Doc:
    """Creating an object changes its document."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in doc.items()}


@pytest.mark.rule("4.A3a", "11.6")
def test_the_pod_that_is_awaited_is_told_once_there_is_one(plant: ClockedPlant) -> None:
    plant.put(CLASSES, a_class_doc("late", mode="WaitForFirstConsumer"))
    plant.create("pods", a_pod_doc("p", "db", ""))
    plant.put(CLAIMS, a_claim_doc(class_="late"))
    assert plant.told("db") == [("Normal", "WaitForPodScheduled")]


@pytest.mark.rule("10.3", "22.13")
def test_trap_13_a_selected_node_asks_for_provisioning(plant: ClockedPlant) -> None:
    plant.put(CLASSES, a_class_doc("late", mode="WaitForFirstConsumer"))
    doc = a_claim_doc(class_="late")
    doc["metadata"]["annotations"] = {SELECTED_NODE: "n1"}
    plant.put(CLAIMS, doc)
    assert plant.told("db") == [("Normal", "ExternalProvisioning")]


@pytest.mark.rule("11.25")
def test_a_bind_is_told_to_nobody(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert plant.claim().phase == "Bound"
    assert plant.events() == []


def bound(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc(class_=""))


@pytest.mark.rule("4.C1", "4.C5", "11.12")
def test_a_claim_that_loses_its_volume_is_told_once(plant: ClockedPlant) -> None:
    bound(plant)
    plant.away()
    plant.edit(VOLUMES, "v1", lambda doc: doc["metadata"].update(finalizers=[]))
    plant.delete(VOLUMES, "v1")
    plant.back()
    plant.restart()
    plant.settle()
    event = the_event(plant, "ClaimLost")
    assert (event["type"], event["count"]) == ("Warning", 1)
    assert event["message"] == (
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    )


@pytest.mark.rule("4.C4", "4.C5", "11.13")
def test_a_claim_whose_volume_is_anothers_is_told_once(plant: ClockedPlant) -> None:
    bound(plant)
    plant.edit(VOLUMES, "v1", lambda doc: doc["spec"]["claimRef"].update(uid="other"))
    plant.settle()
    plant.restart()
    plant.settle()
    event = the_event(plant, "ClaimMisbound")
    assert (event["type"], event["count"]) == ("Warning", 1)
    assert event["message"] == (
        "Two claims are bound to the same volume, this one is bound incorrectly"
    )


@pytest.mark.rule("4.C2", "4.C4", "4.C6", "8.4", "22.4")
def test_trap_4_a_bound_claim_meeting_a_pointer_without_uid_is_misbound(
    plant: ClockedPlant,
) -> None:
    bound(plant)
    plant.edit(VOLUMES, "v1", lambda doc: doc["spec"]["claimRef"].pop("uid"))
    plant.settle()
    assert plant.claim().phase == "Lost"
    plant.edit(VOLUMES, "v1", lambda doc: doc["spec"].pop("claimRef"))
    plant.settle()
    assert plant.claim().phase == "Bound"


# About volumes


@pytest.mark.rule("5.4a", "11.4")
def test_a_volume_mode_that_differs_is_told_on_both(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    uid = plant.claim().uid
    ref = {"namespace": "default", "name": "db", "uid": uid}
    plant.put(VOLUMES, a_volume_doc(volumeMode="Block", claimRef=ref))
    message = (
        'Cannot bind PersistentVolume "v1" to requested PersistentVolumeClaim "db" due to '
        "incompatible volumeMode."
    )
    for about in ("v1", "db"):
        event = the_event(plant, "VolumeMismatch", about)
        assert (event["type"], event["message"]) == ("Warning", message)
    assert plant.volume().phase == "Pending"


def released(plant: ClockedPlant, policy: str, **source: object) -> None:
    """v1 is released with this policy."""
    plant.put(VOLUMES, a_volume_doc(policy=policy, **source))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert plant.claim().phase == "Bound"
    plant.delete(CLAIMS, "default/db")
    plant.settle()


@pytest.mark.rule("1.1.40", "9.5", "9.6b", "11.14", "11.18")
@pytest.mark.parametrize(
    ("policy", "source", "reason", "message"),
    [
        (
            "Delete", {}, "VolumeFailedDelete",
            'host_path deleter only supports /tmp/.+ but received provided "/srv/v1"',
        ),
        (
            "Recycle", {}, "VolumeFailedRecycle",
            "only hostPaths below the root of a Pool, beside its volumes, are emptied: not /srv/v1",
        ),
        (
            "Recycle", {"hostPath": None, "nfs": {"server": "nas", "path": "/x"}},
            "VolumeFailedRecycle", "No recycler plugin found for the volume!",
        ),
    ],
)  # fmt: skip
def test_a_reclaim_that_cannot_be_is_told_once_and_said_in_the_status(
    plant: ClockedPlant, policy: str, source: Doc, reason: str, message: str
) -> None:
    released(plant, policy, **source)
    plant.restart()
    plant.settle()
    event = the_event(plant, reason, "v1")
    assert (event["type"], event["message"], event["count"]) == ("Warning", message, 1)
    assert (plant.volume().phase, plant.volume().status.message) == ("Failed", message)


def a_pool(plant: ClockedPlant, root: Path) -> None:
    spec = {"driver": "directory.mooring.dev", "root": str(root)}
    plant.put("pools.mooring.dev", {"metadata": {"name": "p"}, "spec": spec})


@pytest.mark.rule("9.6a", "11.16")
def test_a_recycled_volume_is_empty_and_free_again_and_that_is_told(
    plant: ClockedPlant, tmp_path: Path
) -> None:
    a_pool(plant, tmp_path)
    data = tmp_path / "shared"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "file").write_text("old")
    released(plant, "Recycle", hostPath={"path": str(data)})
    assert list(data.iterdir()) == []
    assert (plant.volume().phase, plant.volume().claim_ref) == ("Available", None)
    event = the_event(plant, "VolumeRecycled", "v1")
    assert (event["type"], event["message"]) == ("Normal", "Volume recycled")


@pytest.mark.rule("9.6a")
def test_a_recycled_volume_that_an_admin_reserved_stays_reserved(
    plant: ClockedPlant, tmp_path: Path
) -> None:
    a_pool(plant, tmp_path)
    (tmp_path / "shared").mkdir()
    ref = {"namespace": "default", "name": "db"}
    released(plant, "Recycle", hostPath={"path": str(tmp_path / "shared")}, claimRef=ref)
    found = plant.volume().claim_ref
    assert found is not None
    assert (found.key, found.uid, plant.volume().phase) == ("default/db", "", "Available")


@pytest.mark.rule("9.6", "11.18")
def test_pods_of_the_old_claim_put_recycling_off_and_that_is_normal(
    plant: ClockedPlant, tmp_path: Path
) -> None:
    a_pool(plant, tmp_path)
    (tmp_path / "shared").mkdir()
    plant.create("pods", a_pod_doc("p", "db", ""))
    released(plant, "Recycle", hostPath={"path": str(tmp_path / "shared")})
    event = the_event(plant, "VolumeFailedRecycle", "v1")
    assert (event["type"], event["message"]) == ("Normal", "Volume is used by pods")
    assert plant.volume().phase == "Released"
    plant.edit("pods", "default/p", lambda doc: doc["status"].update(phase="Failed"), "status")
    plant.pass_time(60)
    assert plant.volume().phase == "Available"


@pytest.mark.rule("9.6")
def test_a_new_claim_of_the_old_name_does_not_put_recycling_off(
    plant: ClockedPlant, tmp_path: Path
) -> None:
    a_pool(plant, tmp_path)
    (tmp_path / "shared").mkdir()
    plant.create("pods", a_pod_doc("p", "db", ""))
    released(plant, "Recycle", hostPath={"path": str(tmp_path / "shared")})
    plant.put(CLAIMS, a_claim_doc(class_="", accessModes=["ReadWriteMany"]))
    plant.pass_time(60)
    assert plant.volume().phase == "Available"


@pytest.mark.rule("3.9", "8.3", "9.2c")
def test_a_reclaim_that_fails_is_tried_again_when_its_time_has_come(
    plant: ClockedPlant, tmp_path: Path
) -> None:
    a_pool(plant, tmp_path)
    data = tmp_path / "shared"
    data.write_text("not a directory")
    released(plant, "Recycle", hostPath={"path": str(data)})
    assert plant.volume().phase == "Failed"
    data.unlink()
    data.mkdir()
    plant.pass_time(0.1)
    assert plant.volume().phase == "Failed"
    plant.pass_time(1)
    assert plant.volume().phase == "Available"
    assert ("Warning", "VolumeFailedRecycle") in plant.told("v1")


@pytest.mark.rule("3.4", "9.5")
def test_a_static_volume_below_tmp_is_deleted_with_its_data(plant: ClockedPlant) -> None:
    data = Path(mkdtemp(dir="/tmp"))
    (data / "file").write_text("x")
    released(plant, "Delete", hostPath={"path": str(data)})
    assert not data.exists()
    assert plant.view(Volume, "v1") is None
    assert plant.events("v1") == []


@pytest.mark.rule("9.2b", "11.15")
@needs_mounts
def test_what_is_in_use_is_deleted_later_and_that_is_normal(
    plant: ClockedPlant, tmp_path: Path
) -> None:
    data = Path(mkdtemp(dir="/tmp"))
    (data / "inner").mkdir()
    with bound_at(tmp_path, data / "inner"):
        released(plant, "Delete", hostPath={"path": str(data)})
        assert the_event(plant, "VolumeDelete", "v1")["type"] == "Normal"
        assert plant.volume().phase == "Released"
    plant.pass_time(15)
    assert not data.exists()
    assert plant.view(Volume, "v1") is None


# Again and again


@pytest.mark.rule("11.27")
def test_the_same_event_again_is_counted_and_dated(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    first, count = plant.clock.text, the_event(plant, "FailedBinding")["count"]
    plant.clock.move(30)
    plant.look_at("default/db")
    event = the_event(plant, "FailedBinding")
    assert event["count"] == count + 1
    assert (event["firstTimestamp"], event["lastTimestamp"]) == (first, plant.clock.text)


@pytest.mark.rule("11.27")
def test_the_same_event_is_counted_on_after_a_restart(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    count = the_event(plant, "FailedBinding")["count"]
    plant.restart()
    plant.settle()
    assert the_event(plant, "FailedBinding")["count"] == count + 1


def test_the_same_reason_in_other_words_is_another_event(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    plant.put(CLASSES, {"metadata": {"name": "fast"}, "provisioner": "kubernetes.io/x"})
    messages = {one["message"] for one in plant.events("db")}
    assert len(messages) == len(plant.events("db")) == 2


def test_a_claim_made_anew_under_the_same_name_has_events_of_its_own(plant: ClockedPlant) -> None:
    for _ in range(2):
        plant.put(CLAIMS, a_claim_doc(class_=""))
        plant.delete(CLAIMS, "default/db")
        plant.settle()
    uids = {one["involvedObject"]["uid"] for one in plant.events("db")}
    assert len(uids) == len(plant.events("db")) == 2


@pytest.mark.rule("11.30")
def test_an_object_that_is_told_about_all_the_time_is_told_about_less(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    looks = the_event(plant, "FailedBinding")["count"] + 40
    for _ in range(40):
        plant.look_at("default/db")
    assert the_event(plant, "FailedBinding")["count"] == 25
    plant.clock.move(299)
    plant.look_at("default/db")
    assert the_event(plant, "FailedBinding")["count"] == 25
    plant.clock.move(1)
    for _ in range(3):
        plant.look_at("default/db")
    # What was not told meanwhile counts with it, as in Kubernetes; the two after it not yet.
    assert the_event(plant, "FailedBinding")["count"] == looks + 2


def told(plant: ClockedPlant, *messages: str) -> list[tuple[str, int]]:
    """[(message, count)] of all events about the claim db, after these were told of it as well."""
    for message in messages:
        note = EventNote(plant.claim().reference(), "Warning", "Tried", message, "tester")
        plant.controllers.recorder.note(note)
    plant.settle()
    found = [one for one in plant.events("db") if one["reason"] == "Tried"]
    return sorted((one["message"], one["count"]) for one in found)


@pytest.mark.rule("11.29")
def test_many_that_differ_by_their_message_alone_become_one(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_="none"))
    apart = [f"try {number}" for number in range(9)]
    assert told(plant, *apart) == [(one, 1) for one in apart]
    assert told(plant, "try 9") == [
        ("(combined from similar events): try 9", 1),
        *((one, 1) for one in apart),
    ]
    assert told(plant, "try 10", "try 0")[:2] == [
        ("(combined from similar events): try 10", 2),
        ("try 0", 2),
    ]
    plant.clock.move(601)
    assert ("try 11", 1) in told(plant, "try 11")


def test_other_reasons_objects_and_components_are_not_similar(plant: ClockedPlant) -> None:
    for name in ("db", "web"):
        plant.put(CLAIMS, a_claim_doc(name, class_="none"))
    about = [plant.claim(name).reference() for name in ("db", "web")]
    notes = [
        EventNote(one, "Warning", reason, f"try {number}", component)
        for one in about
        for reason in ("Tried", "Failed")
        for component in ("one", "other")
        for number in range(9)
    ]
    for note in notes:
        plant.controllers.recorder.note(note)
    plant.settle()
    found = [one for one in plant.events() if one["reason"] in ("Tried", "Failed")]
    assert len(found) == len(notes)
    assert not any(one["message"].startswith("(combined") for one in found)


# An hour


@pytest.mark.rule("11.28")
def test_an_event_goes_an_hour_after_it_was_last_written(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    plant.clock.move(3000)
    plant.look_at("default/db")
    plant.clock.move(3599)
    plant.sweep()
    assert len(plant.events("db")) == 1
    plant.clock.move(2)
    plant.sweep()
    assert plant.events("db") == []


def test_an_event_that_went_is_told_anew(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(class_=""))
    plant.clock.move(3601)
    plant.sweep()
    plant.look_at("default/db")
    event = the_event(plant, "FailedBinding")
    assert (event["count"], event["firstTimestamp"]) == (1, plant.clock.text)


def a_clients_event(plant: ClockedPlant, last: str) -> None:
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    plant.put("events", {"metadata": {"name": "e"}, "involvedObject": about, "lastTimestamp": last})


def test_events_are_as_old_after_a_restart_as_they_say(plant: ClockedPlant) -> None:
    a_clients_event(plant, plant.clock.text)
    plant.clock.move(3601)
    plant.restart()
    plant.sweep()
    assert plant.events() == []


@pytest.mark.parametrize("said", ["2099-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "soon"])
def test_events_of_clients_go_too_whatever_time_they_say(plant: ClockedPlant, said: str) -> None:
    a_clients_event(plant, said)
    plant.restart()
    plant.clock.move(3601)
    plant.sweep()
    assert plant.events() == []
