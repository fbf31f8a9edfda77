"""The limit of waste, as namespaces and classes say it: what is bound, and who is woken."""

from mooring.model.names import MAX_WASTE, STORAGE_PROVISIONER, Phase
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_claim_doc, a_class_doc, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES
from tests.controllers.test_scheduler import a_pod, add_node, pod_of


def limit(plant: ClockedPlant, times: str | None) -> None:
    """The namespace default says it, or says nothing any longer."""

    def change(doc: Doc) -> None:
        doc["metadata"]["annotations"] = {} if times is None else {MAX_WASTE: times}

    assert plant.edit("namespaces", "default", change)
    plant.settle()


def a_huge_volume(**spec: object) -> Doc:
    return a_volume_doc(capacity={"storage": "1Ti"}, **spec)


def add_class(plant: ClockedPlant, times: str, **fields: object) -> None:
    plant.put(CLASSES, {**a_class_doc("fast"), **fields, "parameters": {MAX_WASTE: times}})


def test_without_a_limit_a_claim_gets_a_volume_of_any_size(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_huge_volume())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert plant.claim().phase == Phase.BOUND


def test_a_namespace_refuses_its_claims_what_is_too_large(plant: ClockedPlant) -> None:
    limit(plant, "4")
    plant.put(VOLUMES, a_huge_volume())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert plant.claim().phase == Phase.PENDING
    assert plant.told("db") == [("Normal", "FailedBinding")]
    plant.put(VOLUMES, a_volume_doc("v2", capacity={"storage": "4Gi"}))
    assert plant.claim().volume_name == "v2"


def test_a_class_refuses_it_too_and_its_provisioner_is_asked_instead(plant: ClockedPlant) -> None:
    add_class(plant, "1.5")
    plant.put(VOLUMES, a_huge_volume(storageClassName="fast"))
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    assert plant.claim().volume_name == ""
    assert plant.claim().annotations[STORAGE_PROVISIONER] == "example.com"


def why_pending(plant: ClockedPlant) -> list[str]:
    return [event["message"] for event in plant.events("db")]


def test_a_claim_that_waits_for_the_limit_of_its_namespace_alone_is_told_of_it(
    plant: ClockedPlant,
) -> None:
    limit(plant, "4")
    plant.put(VOLUMES, a_huge_volume())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert why_pending(plant) == [
        "what fits is more than 4 times as large as asked, "
        "which namespace default forbids by mooring.dev/max-waste"
    ]


def test_a_claim_that_waits_for_the_limit_of_its_class_is_told_of_it_beside_the_provisioner(
    plant: ClockedPlant,
) -> None:
    add_class(plant, "1.5", provisioner="kubernetes.io/no-provisioner")
    plant.put(VOLUMES, a_huge_volume(storageClassName="fast"))
    plant.put(CLAIMS, a_claim_doc(class_="fast"))
    assert why_pending(plant) == [
        "no volume plugin matched name: kubernetes.io/no-provisioner, and what fits is more than "
        "1.5 times as large as asked, which class fast forbids by mooring.dev/max-waste"
    ]


def test_a_claim_that_no_volume_fits_is_not_told_of_a_limit(plant: ClockedPlant) -> None:
    limit(plant, "4")
    plant.put(VOLUMES, a_huge_volume(volumeMode="Block"))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert why_pending(plant) == [
        "no persistent volumes available for this claim and no storage class is set"
    ]


def test_claims_that_wait_are_looked_at_when_the_limit_of_their_namespace_changes(
    plant: ClockedPlant,
) -> None:
    limit(plant, "4")
    plant.put(VOLUMES, a_huge_volume())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    limit(plant, "1023.9")
    assert plant.claim().phase == Phase.PENDING
    limit(plant, "1024")
    assert plant.claim().volume_name == "v1"


def test_a_limit_taken_away_lets_claims_have_what_comes_later(plant: ClockedPlant) -> None:
    limit(plant, "4")
    plant.put(CLAIMS, a_claim_doc(class_=""))
    limit(plant, None)
    plant.put(VOLUMES, a_huge_volume())
    assert plant.claim().volume_name == "v1"


def test_a_stricter_limit_takes_nothing_away_that_is_bound(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_huge_volume())
    plant.put(CLAIMS, a_claim_doc(class_=""))
    limit(plant, "1")
    plant.look_at("default/db")
    assert plant.claim().phase == Phase.BOUND


def test_who_names_a_volume_gets_it_whatever_its_size(plant: ClockedPlant) -> None:
    limit(plant, "4")
    plant.put(VOLUMES, a_huge_volume())
    plant.put(CLAIMS, a_claim_doc(class_="", volumeName="v1"))
    assert plant.claim().phase == Phase.BOUND


def test_a_volume_reserved_for_the_claim_is_taken_whatever_its_size(plant: ClockedPlant) -> None:
    limit(plant, "4")
    plant.put(VOLUMES, a_huge_volume(claimRef={"namespace": "default", "name": "db"}))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    assert plant.claim().phase == Phase.BOUND


def test_a_volume_that_one_claim_may_not_waste_goes_to_another_that_may(
    plant: ClockedPlant,
) -> None:
    limit(plant, "4")
    plant.put(CLAIMS, a_claim_doc("small", class_=""))
    plant.put(CLAIMS, a_claim_doc("large", "", resources={"requests": {"storage": "256Gi"}}))
    plant.put(VOLUMES, a_huge_volume())
    assert plant.claim("large").volume_name == "v1"
    assert plant.claim("small").volume_name == ""


def test_a_pod_gets_no_volume_that_wastes_too_much_until_the_limit_allows_it(
    plant: ClockedPlant,
) -> None:
    by_hand = {"provisioner": "kubernetes.io/no-provisioner"}
    add_class(plant, "2", volumeBindingMode="WaitForFirstConsumer", **by_hand)
    limit(plant, "4")
    plant.put(CLASSES, {**a_class_doc("hand", mode="WaitForFirstConsumer"), **by_hand})
    add_node(plant, "n1")
    for class_ in ("fast", "hand"):
        volume = a_volume_doc(class_, storageClassName=class_, capacity={"storage": "8Gi"})
        plant.put(VOLUMES, volume)
        plant.put(CLAIMS, a_claim_doc(class_, class_))
        plant.put("pods", a_pod(class_, name=class_))
    assert [pod_of(plant, name).node_name for name in ("fast", "hand")] == ["", ""]
    limit(plant, "8")
    assert [pod_of(plant, name).node_name for name in ("fast", "hand")] == ["", "n1"]
    assert plant.claim("hand").phase == Phase.BOUND
