"""Claims that pods have of their own. Storage semantics §19."""

from typing import Any

import pytest

from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, VOLUMES
from tests.controllers.test_scheduler import (
    PODS,
    add_class,
    add_node,
    pod_of,
    provision,
    says,
    selected,
)

REFUSED = ("Warning", "FailedBinding")


def a_pod(name: str = "p", class_: str = "late", **metadata: Any) -> Doc:
    template = {"metadata": metadata, "spec": a_claim_doc(class_=class_)["spec"]}
    volume = {"name": "own", "ephemeral": {"volumeClaimTemplate": template}}
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, "volumes": [volume]}}


def owners(plant: ClockedPlant, claim: str = "p-own") -> list[Doc]:
    doc = plant.objects.one(CLAIMS, f"default/{claim}")
    assert doc is not None
    found: list[Doc] = doc["metadata"].get("ownerReferences") or []
    return found


@pytest.mark.rule("19.1", "19.2")
def test_a_claim_of_the_pods_name_and_the_volumes_is_made_and_owned_by_the_pod(
    plant: ClockedPlant,
) -> None:
    plant.put(PODS, a_pod(labels={"a": "b"}, annotations={"c": "d"}))
    claim = plant.claim("p-own")
    assert (claim.metadata.labels, claim.annotations["c"]) == ({"a": "b"}, "d")
    assert (claim.class_name, claim.request.canonical()) == ("late", "1Gi")
    pod = pod_of(plant)
    assert owners(plant) == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "uid": pod.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_it_is_made_for_pods_that_have_a_node_too(plant: ClockedPlant) -> None:
    doc = a_pod()
    doc["spec"]["nodeName"] = "n1"
    plant.put(PODS, doc)
    assert plant.claim("p-own").class_name == "late"


def test_the_pod_gets_its_node_with_it(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    add_class(plant)
    plant.put(PODS, a_pod())
    assert selected(plant, "p-own") == "n1"
    provision(plant, "p-own")
    assert pod_of(plant).node_name == "n1"


@pytest.mark.rule("11.2", "19.5")
def test_a_claim_of_that_name_is_never_adopted_and_the_pod_is_told(plant: ClockedPlant) -> None:
    add_node(plant, "n1")
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc("p-own", ""))
    plant.put(PODS, a_pod())
    assert owners(plant) == []
    why = "PVC default/p-own was not created for pod default/p (pod is not owner)"
    told = {one["reason"]: one for one in plant.events("p")}
    assert told["FailedBinding"]["message"] == f"ephemeral volume own: {why}"
    assert told["FailedBinding"]["source"] == {"component": "ephemeral_volume"}
    assert says(plant)[2] == f"0/1 nodes are available: {why}."
    assert pod_of(plant).node_name == ""


@pytest.mark.rule("19.6")
def test_when_the_claim_of_others_goes_the_pod_gets_its_own(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc("p-own", ""))
    plant.put(PODS, a_pod())
    plant.delete(CLAIMS, "default/p-own")
    plant.settle()
    assert [one["kind"] for one in owners(plant)] == ["Pod"]


@pytest.mark.rule("19.5")
def test_a_claim_of_an_earlier_pod_of_the_name_is_not_its_own(plant: ClockedPlant) -> None:
    plant.put(PODS, a_pod())
    held = {"finalizers": ["example.com/keep"]}
    plant.edit(CLAIMS, "default/p-own", lambda doc: doc["metadata"].update(held))
    earlier = pod_of(plant).uid
    plant.delete(PODS, "default/p")
    plant.put(PODS, a_pod())
    assert [one["uid"] for one in owners(plant)] == [earlier]
    assert REFUSED in plant.told("p")


@pytest.mark.rule("19.4")
def test_a_pod_that_is_being_deleted_gets_none(plant: ClockedPlant) -> None:
    plant.away()
    doc = a_pod()
    doc["metadata"]["finalizers"] = ["example.com/wait"]
    plant.create(PODS, doc)
    plant.delete(PODS, "default/p")
    plant.back()
    assert plant.claims() == []


def test_what_refuses_the_claim_is_told_and_tried_again(plant: ClockedPlant) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}}
    plant.put("resourcequotas", quota)
    plant.put(PODS, a_pod())
    (told,) = [one for one in plant.events("p") if one["reason"] == "FailedBinding"]
    assert told["message"].startswith("ephemeral volume own: create PVC p-own: ")
    assert "exceeded quota: none" in told["message"]
    assert plant.claims() == []
    plant.delete("resourcequotas", "default/none")
    plant.pass_time(1)
    assert [one["kind"] for one in owners(plant)] == ["Pod"]


@pytest.mark.rule("19.7")
def test_the_claim_goes_with_its_pod(plant: ClockedPlant) -> None:
    plant.put(PODS, a_pod())
    plant.delete(PODS, "default/p")
    plant.settle()
    assert plant.claims() == []
