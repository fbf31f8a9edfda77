"""What a claim takes of a quota, and which quotas are about it. Storage semantics §16."""

import msgspec
import pytest

from mooring.model.claim import Claim, ModifyVolumeStatus
from mooring.model.names import STORAGE_CLASS_BETA
from mooring.model.quantity import parse_quantity
from mooring.model.quota import ResourceQuota
from mooring.rules.quota import exceeded, exceeded_quota, is_in_scope, use_of
from tests.rules.making import a_claim
from tests.spec.plugin import case

FAST = "fast.storageclass.storage.k8s.io"


@pytest.mark.parametrize(
    ("claim", "taken"),
    [
        case("16.2 16.4", a_claim(size="2Gi"), {"requests.storage": "2Gi"}),
        case(
            "16.3",
            a_claim(size="2Gi", class_="fast"),
            {
                "requests.storage": "2Gi",
                f"{FAST}/requests.storage": "2Gi",
                f"{FAST}/persistentvolumeclaims": "1",
            },
        ),
        case(
            "16.4",
            a_claim(annotations={STORAGE_CLASS_BETA: "fast"}),
            {
                "requests.storage": "1Gi",
                f"{FAST}/requests.storage": "1Gi",
                f"{FAST}/persistentvolumeclaims": "1",
            },
        ),
        case("16.9", a_claim(size="100m"), {"requests.storage": "1"}),
        case(
            "16.8",
            a_claim(size="2Gi", allocated_resources={"storage": "3Gi"}),
            {"requests.storage": "3Gi"},
        ),
        case(
            "16.8",
            a_claim(size="2Gi", allocated_resources={"storage": "1Gi"}),
            {"requests.storage": "2Gi"},
        ),
    ],
)
def test_16_a_claim_takes(claim: Claim, taken: dict[str, str]) -> None:
    counts = {"persistentvolumeclaims": "1", "count/persistentvolumeclaims": "1"}
    assert {key: amount.canonical() for key, amount in use_of(claim).items()} == counts | taken


def of_class(spec: str = "", current: str = "", target: str = "") -> Claim:
    status: dict[str, object] = {"current_volume_attributes_class_name": current or None}
    if target:
        status["modify_volume_status"] = ModifyVolumeStatus(
            target_volume_attributes_class_name=target, status="InProgress"
        )
    return a_claim(attributes_class=spec or None, **status)


@pytest.mark.rule("16.5")
@pytest.mark.parametrize(
    ("claim", "counted"),
    [
        (of_class("gold"), True),
        (of_class("tin", current="gold"), True),
        (of_class("tin", target="gold"), True),
        (of_class("tin", "tin", "tin"), False),
        (of_class(), False),
    ],
)
def test_16_the_scope_of_an_attributes_class_is_of_claims_that_name_it_anywhere(
    claim: Claim, counted: bool
) -> None:
    one = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    spec = {"hard": {}, "scopeSelector": {"matchExpressions": [one]}}
    quota = msgspec.convert({"metadata": {"name": "q"}, "spec": spec}, ResourceQuota)
    assert is_in_scope(quota, claim) is counted


def test_a_refusal_names_the_quota_by_which_it_is_one() -> None:
    doc = {
        "metadata": {"name": "few.of-gold"},
        "spec": {"hard": {"persistentvolumeclaims": "0"}},
        "status": {"used": {"persistentvolumeclaims": "1"}},
    }
    quota = msgspec.convert(doc, ResourceQuota)
    why = exceeded(quota, quota, {"persistentvolumeclaims": parse_quantity("1")})
    assert exceeded_quota(f'claims "a" is forbidden: {why}') == "few.of-gold"
    assert exceeded_quota("minimum storage usage per PersistentVolumeClaim is 1Gi") == ""
