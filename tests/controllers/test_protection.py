"""Storage semantics §13, and trap 9 of §22, through admission and the controllers."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mooring.model.claim import Claim
from mooring.model.names import (
    EXTERNAL_PROVISIONER_FINALIZER,
    PV_CONTROLLER_FINALIZER,
    PV_PROTECTION,
    PVC_PROTECTION,
)
from mooring.model.pod import MIRROR, Pod
from mooring.model.volume import Volume
from mooring.objects.cache import Event
from mooring.objects.kind import Doc
from mooring.objects.views import view
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, VOLUMES, a_pod_doc

BY = "pv.kubernetes.io/provisioned-by"


def drop_finalizers(doc: Doc) -> None:
    doc["metadata"]["finalizers"] = []


def is_gone(plant: ClockedPlant, name: str = "db") -> bool:
    return plant.view(Claim, f"default/{name}") is None


def volume_is_gone(plant: ClockedPlant, name: str = "v1") -> bool:
    return plant.view(Volume, name) is None


# Claims


@pytest.mark.rule("13.1")
def test_a_new_claim_is_protected_behind_its_own_finalizers(plant: ClockedPlant) -> None:
    doc = a_claim_doc()
    doc["metadata"]["finalizers"] = ["example.com/own"]
    plant.create(CLAIMS, doc)
    assert plant.claim().metadata.finalizers == ("example.com/own", PVC_PROTECTION)


@pytest.mark.rule("13.2")
def test_a_live_claim_that_lost_its_protection_gets_it_again(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc())
    plant.edit(CLAIMS, "default/db", drop_finalizers)
    plant.settle()
    assert plant.claim().has_finalizer(PVC_PROTECTION)


@pytest.mark.rule("13.3")
def test_a_claim_that_no_pod_uses_goes_at_once(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc())
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert is_gone(plant)


@pytest.mark.rule("13.3", "13.19")
def test_a_claim_being_deleted_stays_while_a_pod_with_a_node_uses_it(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc())
    plant.create("pods", a_pod_doc("p", "db", "n1"))
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert plant.claim().being_deleted
    assert plant.claim().phase == plant.volume().phase == "Bound"
    plant.delete("pods", "default/p")
    plant.settle()
    assert is_gone(plant)
    assert plant.volume().phase == "Released"


@pytest.mark.rule("13.3")
def test_a_claim_stays_until_the_last_of_its_pods_is_gone(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc())
    for name in ("a", "b"):
        plant.create("pods", a_pod_doc(name, "db", "n1"))
    plant.delete(CLAIMS, "default/db")
    plant.delete("pods", "default/a")
    plant.settle()
    assert not is_gone(plant)
    plant.delete("pods", "default/b")
    plant.settle()
    assert is_gone(plant)


@pytest.mark.rule("13.4", "22.9")
@pytest.mark.parametrize("phase", ["Pending", "Running", "Succeeded", "Failed", "Unknown"])
def test_trap_9_a_pod_holds_its_claim_whatever_its_phase(plant: ClockedPlant, phase: str) -> None:
    plant.put(CLAIMS, a_claim_doc())
    plant.create("pods", a_pod_doc("p", "db", "n1"))
    plant.edit("pods", "default/p", lambda doc: doc["status"].update(phase=phase), "status")
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert not is_gone(plant)


@pytest.mark.rule("13.5", "22.9")
def test_trap_9_a_pod_without_node_holds_no_claim(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc())
    plant.create("pods", a_pod_doc("p", "db", ""))
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert is_gone(plant)


@pytest.mark.rule("13.6")
def test_a_pod_of_another_namespace_holds_no_claim(plant: ClockedPlant) -> None:
    plant.put("namespaces", {"metadata": {"name": "other"}})
    plant.put(CLAIMS, a_claim_doc())
    kind, doc = plant.objects.kinds["pods"], a_pod_doc("p", "db", "n1")
    plant.together(plant.objects.create(kind, "other", doc))
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert is_gone(plant)


def an_ephemeral_claim(plant: ClockedPlant, *, owned: bool) -> str:
    """p-data, and the pod p that it has the name of; the pod has a finalizer. Returns its uid."""
    doc = a_claim_doc("p-data", "")
    if not owned:
        plant.put(CLAIMS, doc)
    pod = a_pod_doc("p", "other", "n1")
    template = {"spec": doc["spec"]}
    pod["spec"]["volumes"] = [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}]
    pod["metadata"]["finalizers"] = ["example.com/own"]
    plant.put("pods", pod)
    uid = plant.claim("p-data").uid
    plant.delete(CLAIMS, "default/p-data")
    plant.settle()
    return uid


@pytest.mark.rule("13.7")
def test_a_pod_holds_the_claim_that_is_made_for_it_until_it_is_shut_down(
    plant: ClockedPlant,
) -> None:
    an_ephemeral_claim(plant, owned=True)
    assert not is_gone(plant, "p-data")
    plant.delete("pods", "default/p")
    plant.settle()
    assert plant.view(Pod, "default/p") is not None
    assert is_gone(plant, "p-data")


def test_a_pod_does_not_hold_a_claim_that_only_has_the_name_of_one_made_for_it(
    plant: ClockedPlant,
) -> None:
    uid = an_ephemeral_claim(plant, owned=False)
    assert plant.claim("p-data").uid != uid  # the pod has one of its own by now


def test_a_pod_that_names_a_claim_holds_it_until_the_pod_is_gone(plant: ClockedPlant) -> None:
    pod = a_pod_doc("p", "db", "n1")
    pod["metadata"]["finalizers"] = ["example.com/own"]
    plant.create("pods", pod)
    plant.put(CLAIMS, a_claim_doc())
    plant.delete(CLAIMS, "default/db")
    plant.delete("pods", "default/p")
    plant.settle()
    assert not is_gone(plant)
    plant.edit("pods", "default/p", drop_finalizers)
    plant.settle()
    assert is_gone(plant)


@pytest.mark.rule("3.2")
def test_pods_hold_claims_after_a_restart_too(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc())
    plant.create("pods", a_pod_doc("p", "db", "n1"))
    plant.delete(CLAIMS, "default/db")
    plant.restart()
    plant.settle()
    assert not is_gone(plant)


def test_a_claim_with_a_finalizer_of_somebody_else_waits_for_them(plant: ClockedPlant) -> None:
    doc = a_claim_doc()
    doc["metadata"]["finalizers"] = ["example.com/own"]
    plant.put(CLAIMS, doc)
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert plant.claim().metadata.finalizers == ("example.com/own",)
    plant.edit(CLAIMS, "default/db", drop_finalizers)
    assert is_gone(plant)


@pytest.mark.rule("1.4.16")
def test_no_finalizer_is_added_to_a_claim_being_deleted(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc())
    plant.create("pods", a_pod_doc("p", "db", "n1"))
    plant.delete(CLAIMS, "default/db")

    def add(doc: Doc) -> None:
        doc["metadata"]["finalizers"].append("example.com/late")

    assert not plant.edit(CLAIMS, "default/db", add)


# Volumes


@pytest.mark.rule("13.8")
def test_a_new_volume_is_protected_behind_its_own_finalizers(plant: ClockedPlant) -> None:
    doc = a_volume_doc()
    doc["metadata"]["finalizers"] = ["example.com/own"]
    plant.create(VOLUMES, doc)
    assert plant.volume().metadata.finalizers == ("example.com/own", PV_PROTECTION)


@pytest.mark.rule("5.0", "13.9")
def test_a_live_volume_that_lost_its_protection_gets_it_again(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_volume_doc())
    plant.edit(VOLUMES, "v1", drop_finalizers)
    plant.settle()
    assert plant.volume().has_finalizer(PV_PROTECTION)


@pytest.mark.rule("13.10")
@pytest.mark.parametrize("reserved", [False, True])
def test_a_volume_that_is_not_bound_goes_at_once(plant: ClockedPlant, reserved: bool) -> None:
    ref = {"claimRef": {"namespace": "default", "name": "db"}} if reserved else {}
    plant.put(VOLUMES, a_volume_doc(**ref))
    plant.delete(VOLUMES, "v1")
    plant.settle()
    assert volume_is_gone(plant)


@pytest.mark.rule("13.16", "13.18")
@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_a_bound_volume_being_deleted_stays_bound_until_its_claim_goes(
    plant: ClockedPlant, policy: str
) -> None:
    with TemporaryDirectory(dir="/tmp") as place:
        data = Path(place) / "data"
        data.mkdir()
        plant.put(VOLUMES, a_volume_doc(policy=policy, hostPath={"path": str(data)}))
        plant.put(CLAIMS, a_claim_doc())
        plant.delete(VOLUMES, "v1")
        plant.settle()
        assert plant.volume().being_deleted
        assert plant.volume().phase == plant.claim().phase == "Bound"
        plant.delete(CLAIMS, "default/db")
        plant.settle()
        assert volume_is_gone(plant)
        # Nothing held it for its data: an admin who deletes a static volume keeps the data.
        assert data.exists()


@pytest.mark.rule("2.15", "9.2", "13.14", "13.17")
def test_a_volume_made_in_tree_goes_after_its_data_with_policy_delete(plant: ClockedPlant) -> None:
    with TemporaryDirectory(dir="/tmp") as place:
        data = Path(place) / "data"
        data.mkdir()
        doc = a_volume_doc(policy="Delete", hostPath={"path": str(data)})
        doc["metadata"]["annotations"] = {BY: "kubernetes.io/host-path"}
        plant.put(VOLUMES, doc)
        plant.put(CLAIMS, a_claim_doc())
        assert plant.volume().has_finalizer(PV_CONTROLLER_FINALIZER)
        plant.delete(VOLUMES, "v1")
        plant.delete(CLAIMS, "default/db")
        plant.settle()
        assert volume_is_gone(plant)
        assert not data.exists()


@pytest.mark.rule("9.2")
def test_in_tree_first_the_data_goes_then_the_finalizer_then_the_object(
    plant: ClockedPlant,
) -> None:
    with TemporaryDirectory(dir="/tmp") as place:
        data = Path(place) / "data"
        data.mkdir()
        doc = a_volume_doc(policy="Delete", hostPath={"path": str(data)})
        doc["metadata"]["annotations"] = {BY: "kubernetes.io/host-path"}
        plant.put(VOLUMES, doc)
        plant.put(CLAIMS, a_claim_doc())
        seen = []

        def note(event: Event) -> None:
            if event.after is not None:
                volume = view(Volume, event.after)
                held = volume.has_finalizer(PV_CONTROLLER_FINALIZER)
                seen.append((data.exists(), held, volume.being_deleted))

        plant.objects.cache.shelves[VOLUMES].follow(note)
        plant.delete(CLAIMS, "default/db")
        plant.settle()
        released, *rest = dict.fromkeys(seen)
        assert (released, rest) == (
            (True, True, False),
            [(False, False, False), (False, False, True)],
        )
        assert volume_is_gone(plant)


@pytest.mark.rule("9.3")
def test_a_volume_that_an_external_provisioner_holds_waits_for_it(plant: ClockedPlant) -> None:
    doc = a_volume_doc(policy="Delete")
    doc["metadata"] |= {
        "annotations": {BY: "example.com"},
        "finalizers": [EXTERNAL_PROVISIONER_FINALIZER],
    }
    plant.put(VOLUMES, doc)
    plant.put(CLAIMS, a_claim_doc())
    plant.delete(VOLUMES, "v1")
    plant.delete(CLAIMS, "default/db")
    plant.settle()
    assert plant.volume().metadata.finalizers == (EXTERNAL_PROVISIONER_FINALIZER,)
    assert plant.volume().phase == "Released"


@pytest.mark.rule("6.5", "13.15")
def test_a_volume_being_deleted_is_never_newly_bound(plant: ClockedPlant) -> None:
    doc = a_volume_doc()
    doc["metadata"]["finalizers"] = ["example.com/own"]
    plant.put(VOLUMES, doc)
    plant.delete(VOLUMES, "v1")
    plant.put(CLAIMS, a_claim_doc("a"))
    plant.put(CLAIMS, a_claim_doc("b", volumeName="v1"))
    assert [plant.claim(name).phase for name in ("a", "b")] == ["Pending", "Pending"]


def test_trap_9_a_forged_phase_does_not_let_a_bound_volume_go_for_long(plant: ClockedPlant) -> None:
    """Protection looks at the phase alone, but the phase is put right before it is looked at."""
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc())
    plant.delete(VOLUMES, "v1")
    plant.edit(VOLUMES, "v1", lambda doc: doc["status"].update(phase="Released"), "status")
    plant.settle()
    assert plant.volume().phase == "Bound"


def test_containers_hold_their_claims_when_their_namespace_is_deleted(plant: ClockedPlant) -> None:
    plant.put("namespaces", {"metadata": {"name": "team"}})
    plant.together(plant.objects.create(plant.objects.kinds[CLAIMS], "team", a_claim_doc()))
    mirror = a_pod_doc("docker-here-web", "db", "here")
    mirror["metadata"]["labels"] = {MIRROR: "docker"}
    for pod in (mirror, a_pod_doc("plain", "other", "here")):
        plant.together(plant.objects.create(plant.objects.kinds["pods"], "team", pod))
    plant.delete("namespaces", "team")
    plant.settle()
    claim = plant.view(Claim, "team/db")
    assert claim is not None
    assert claim.being_deleted
    assert [pod.name for pod in plant.objects.views(Pod, "team")] == ["docker-here-web"]
    plant.delete("pods", "team/docker-here-web")
    plant.pass_time(1)  # then the claim goes
    plant.pass_time(1)  # and with nothing in it the namespace
    assert plant.view(Claim, "team/db") is None
    assert plant.objects.entry("namespaces", "team") is None
