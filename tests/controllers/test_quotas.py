"""Claims are held to the quotas and limits of their namespace. Storage semantics §16."""

import asyncio
from typing import Any

import pytest

from mooring.model.claim import Claim
from mooring.model.quota import ResourceQuota
from mooring.objects.errors import Forbidden
from mooring.objects.kind import Doc
from tests.controllers.clocked import ClockedPlant, a_volume_doc
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

QUOTAS = ResourceQuota.resource
FAST_REQUESTS = "fast.storageclass.storage.k8s.io/requests.storage"
FAST_CLAIMS = "fast.storageclass.storage.k8s.io/persistentvolumeclaims"


def a_quota(name: str = "q", scopes: Doc | None = None, **hard: str) -> Doc:
    spec: Doc = {"hard": {key.replace("_", "."): value for key, value in hard.items()}}
    if scopes:
        spec |= scopes
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def a_claim(name: str, size: str = "1Gi", **spec: Any) -> Doc:
    whole = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": size}},
    }
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {**whole, **spec}}


def used(plant: ClockedPlant, name: str = "q") -> dict[str, Any]:
    quota = plant.view(ResourceQuota, f"default/{name}")
    assert quota is not None
    return dict(quota.status.used)


def put(plant: ClockedPlant, doc: Doc) -> None:
    plant.put(QUOTAS, doc)
    plant.settle()


def refusal(plant: ClockedPlant, doc: Doc) -> str:
    with pytest.raises(Forbidden) as error:
        plant._run(plant.creation(CLAIMS, doc))
    return str(error.value)


@pytest.mark.rule("1.4.5", "16.2", "16.6", "16.10")
def test_claims_are_charged_until_nothing_is_left(plant: ClockedPlant) -> None:
    put(plant, a_quota(requests_storage="3Gi", persistentvolumeclaims="5"))
    assert plant.create(CLAIMS, a_claim("a", "2Gi"))
    assert used(plant) == {"requests.storage": "2Gi", "persistentvolumeclaims": "1"}
    said = refusal(plant, a_claim("b", "2Gi"))
    assert "exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=2Gi" in said
    assert "limited: requests.storage=3Gi" in said
    assert plant.create(CLAIMS, a_claim("b", "1Gi"))
    assert used(plant)["requests.storage"] == "3Gi"


@pytest.mark.rule("16.9", "20.12")
def test_what_is_charged_is_whole_bytes(plant: ClockedPlant) -> None:
    put(plant, a_quota(requests_storage="1"))
    assert plant.create(CLAIMS, a_claim("a", "100m"))
    assert used(plant) == {"requests.storage": "1"}
    assert not plant.create(CLAIMS, a_claim("b", "100m"))


@pytest.mark.rule("16.1")
@pytest.mark.parametrize("key", ["persistentvolumeclaims", "count/persistentvolumeclaims"])
def test_claims_are_counted(plant: ClockedPlant, key: str) -> None:
    put(plant, a_quota(**{key: "1"}))
    assert plant.create(CLAIMS, a_claim("a"))
    assert not plant.create(CLAIMS, a_claim("b"))


@pytest.mark.rule("16.3", "16.4")
def test_a_class_has_limits_of_its_own_and_claims_without_one_take_nothing_of_them(
    plant: ClockedPlant,
) -> None:
    put(plant, a_quota(**{FAST_REQUESTS: "1Gi", FAST_CLAIMS: "1"}))
    assert plant.create(CLAIMS, a_claim("a"))
    assert not plant.create(CLAIMS, a_claim("b"))
    assert plant.create(CLAIMS, a_claim("slow", "9Gi", storageClassName="slow"))
    assert plant.create(CLAIMS, a_claim("none", "9Gi", storageClassName=""))
    assert used(plant) == {FAST_REQUESTS: "1Gi", FAST_CLAIMS: "1"}


@pytest.mark.rule("1.4.6", "16.4")
def test_the_class_that_counts_is_the_one_it_gets_by_default(plant: ClockedPlant) -> None:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    class_ = {"metadata": {"name": "fast", "annotations": default}, "provisioner": "example.com/d"}
    plant.put(CLASSES, class_)
    put(plant, a_quota(**{FAST_CLAIMS: "1"}))
    assert plant.create(CLAIMS, a_claim("a", storageClassName=None))
    assert used(plant) == {FAST_CLAIMS: "1"}


@pytest.mark.rule("16.11")
def test_a_claim_that_goes_gives_its_share_back(plant: ClockedPlant) -> None:
    put(plant, a_quota(requests_storage="1Gi"))
    assert plant.create(CLAIMS, a_claim("a"))
    assert plant.delete(CLAIMS, "default/a")
    plant.settle()
    assert used(plant) == {"requests.storage": "0"}
    assert plant.create(CLAIMS, a_claim("b"))


def test_what_was_there_before_the_quota_counts(plant: ClockedPlant) -> None:
    assert plant.create(CLAIMS, a_claim("a", "2Gi"))
    put(plant, a_quota(requests_storage="1Gi"))
    assert used(plant) == {"requests.storage": "2Gi"}
    assert not plant.create(CLAIMS, a_claim("b", "1Mi"))


def test_a_limit_that_changes_holds_at_once(plant: ClockedPlant) -> None:
    put(plant, a_quota(requests_storage="1Gi"))

    def raised(doc: Doc) -> None:
        doc["spec"]["hard"] = {"requests.storage": "5Gi"}

    plant.edit(QUOTAS, "default/q", raised)
    assert plant.create(CLAIMS, a_claim("a", "4Gi"))
    plant.settle()
    assert used(plant) == {"requests.storage": "4Gi"}


def test_every_quota_of_the_namespace_is_charged(plant: ClockedPlant) -> None:
    for name, most in (("a", "2Gi"), ("b", "3Gi"), ("c", "9Gi")):
        put(plant, a_quota(name, requests_storage=most))
    assert plant.create(CLAIMS, a_claim("one", "2Gi"))
    assert "exceeded quota: a" in refusal(plant, a_claim("two"))
    assert [used(plant, one)["requests.storage"] for one in "abc"] == ["2Gi", "2Gi", "2Gi"]


def test_many_at_once_get_no_more_than_there_is(plant: ClockedPlant) -> None:
    for name in ("a", "b"):
        put(plant, a_quota(name, persistentvolumeclaims="7"))
    plant.dawdle(3)

    async def all_at_once() -> list[object]:
        made = (plant.creation(CLAIMS, a_claim(f"c{number}")) for number in range(20))
        return await asyncio.gather(*made, return_exceptions=True)

    answers = plant._run(all_at_once())
    there = plant.objects.views(Claim, "default")
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert (len(there), len(refused)) == (7, 13)
    plant.restart()  # counts anew
    plant.settle()
    assert [used(plant, one)["persistentvolumeclaims"] for one in "ab"] == ["7", "7"]


def test_what_was_charged_for_a_claim_that_is_not_stored_is_given_back(
    plant: ClockedPlant,
) -> None:
    put(plant, a_quota("a", persistentvolumeclaims="7"))
    put(plant, a_quota("b", persistentvolumeclaims="7"))
    plant.dawdle(5)
    twins = [plant.creation(CLAIMS, a_claim("same")) for _ in range(5)]
    plant.together(*twins)
    plant.settle()
    assert [used(plant, one)["persistentvolumeclaims"] for one in "ab"] == ["1", "1"]


def test_many_that_come_and_go_leave_a_true_account(plant: ClockedPlant) -> None:
    for name in ("a", "b"):
        put(plant, a_quota(name, requests_storage="50Gi"))
    plant.dawdle(11)
    for round_ in range(4):
        plant.together(
            *(plant.creation(CLAIMS, a_claim(f"c{round_}-{number}")) for number in range(10)),
            *(plant.deletion(CLAIMS, f"default/c{round_ - 1}-{number}") for number in range(7)),
        )
    plant.settle()
    left = sum(one.request.bytes() for one in plant.claims()) >> 30
    assert left == 10 + 3 * 3
    assert [used(plant, one)["requests.storage"] for one in "ab"] == [f"{left}Gi"] * 2


def test_a_claim_that_leaves_a_scope_is_given_back(plant: ClockedPlant) -> None:
    one = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    scopes = {"scopeSelector": {"matchExpressions": [one]}}
    put(plant, a_quota(scopes=scopes, persistentvolumeclaims="1"))
    assert plant.create(CLAIMS, a_claim("a", volumeAttributesClassName="gold"))
    assert not plant.create(CLAIMS, a_claim("b", volumeAttributesClassName="gold"))

    def bound(doc: Doc) -> None:
        doc["status"] = {"phase": "Bound"}

    def silver(doc: Doc) -> None:
        doc["spec"]["volumeAttributesClassName"] = "silver"

    plant.away()
    plant.edit(CLAIMS, "default/a", bound, status="status")
    assert plant.edit(CLAIMS, "default/a", silver)
    plant.back()
    plant.settle()
    assert used(plant) == {"persistentvolumeclaims": "0"}


def test_a_request_that_is_only_tried_is_refused_too(plant: ClockedPlant) -> None:
    put(plant, a_quota(persistentvolumeclaims="0"))
    kind = plant.objects.kinds[CLAIMS]
    with pytest.raises(Forbidden):
        plant._run(plant.objects.create(kind, "default", a_claim("a"), dry_run=True))


@pytest.mark.rule("16.5")
@pytest.mark.parametrize(
    ("expression", "counted"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "In", "values": ["gold"]}, True),
        ({"operator": "In", "values": ["silver"]}, False),
        ({"operator": "NotIn", "values": ["gold"]}, False),
        ({"operator": "DoesNotExist"}, False),
    ],
)
def test_a_scope_counts_claims_by_their_attributes_class(
    plant: ClockedPlant, expression: Doc, counted: bool
) -> None:
    one = {"scopeName": "VolumeAttributesClass", **expression}
    scopes = {"scopeSelector": {"matchExpressions": [one]}}
    put(plant, a_quota(scopes=scopes, persistentvolumeclaims="5"))
    assert plant.create(CLAIMS, a_claim("a", volumeAttributesClassName="gold"))
    plant.settle()
    assert used(plant) == {"persistentvolumeclaims": str(int(counted))}


@pytest.mark.rule("14.4", "16.7", "1.4.5")
def test_a_claim_that_grows_is_charged_for_it(plant: ClockedPlant) -> None:
    class_ = {"metadata": {"name": "fast"}, "provisioner": "example.com/d"}
    plant.put(CLASSES, class_ | {"allowVolumeExpansion": True})
    plant.put(VOLUMES, a_volume_doc(storageClassName="fast"))
    put(plant, a_quota(requests_storage="3Gi"))
    plant.put(CLAIMS, a_claim("a"))
    assert plant.claim("a").phase == "Bound"

    def asks(size: str) -> bool:
        requests = {"storage": size}
        return plant.edit(
            CLAIMS, "default/a", lambda doc: doc["spec"]["resources"].update(requests=requests)
        )

    assert asks("2Gi")
    assert used(plant) == {"requests.storage": "2Gi"}
    assert not asks("4Gi")
    assert asks("3Gi")
    assert used(plant) == {"requests.storage": "3Gi"}


@pytest.mark.rule("16.8")
def test_what_a_growth_set_about_counts_though_less_is_asked_for_since(plant: ClockedPlant) -> None:
    put(plant, a_quota(requests_storage="9Gi"))
    assert plant.create(CLAIMS, a_claim("a"))
    begun = {"allocatedResources": {"storage": "5Gi"}}
    plant.edit(CLAIMS, "default/a", lambda doc: doc["status"].update(begun), "status")
    plant.settle()
    plant.restart()  # counts anew
    plant.settle()
    assert used(plant) == {"requests.storage": "5Gi"}


def a_range(**limit: Doc) -> Doc:
    limits = [{"type": "PersistentVolumeClaim", **limit}]
    return {"metadata": {"name": "r", "namespace": "default"}, "spec": {"limits": limits}}


@pytest.mark.rule("16.12")
def test_a_claim_keeps_within_the_limits_of_its_namespace(plant: ClockedPlant) -> None:
    plant.put("limitranges", a_range(min={"storage": "1Gi"}, max={"storage": "2Gi"}))
    assert "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi" in (
        refusal(plant, a_claim("small", "512Mi"))
    )
    assert "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi" in (
        refusal(plant, a_claim("large", "3Gi"))
    )
    assert plant.create(CLAIMS, a_claim("fits", "2Gi"))
