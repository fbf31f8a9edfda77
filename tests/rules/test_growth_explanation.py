"""What keeps a claim from what it asks for is said, with what would help."""

import pytest

from mooring.model.claim import Claim, ClaimCondition, ModifyVolumeStatus
from mooring.model.metadata import Metadata
from mooring.model.names import POOL_ATTRIBUTE, STORAGE, Phase
from mooring.model.pool import Pool, PoolSpec, PoolStatus
from mooring.model.volume import CSISource, Volume
from mooring.rules.growth_explanation import unfinished
from tests.rules.making import a_claim, a_volume, pointer

DRIVER = "directory.mooring.dev"


def growing(progress: str = "", said: str = "", **status: object) -> Claim:
    conditions = (ClaimCondition(type="ControllerResizeError", status="True", message=said),)
    marks: dict[str, object] = {"conditions": conditions} if said else {}
    if progress:
        marks["allocated_resource_statuses"] = {STORAGE: progress}
        marks["allocated_resources"] = {STORAGE: "3Gi"}
    return a_claim(
        size="3Gi", volume="v1", phase=Phase.BOUND, capacity={STORAGE: "1Gi"}, **marks, **status
    )


def pooled() -> Volume:
    source = CSISource(driver=DRIVER, volume_handle="h", volume_attributes={POOL_ATTRIBUTE: "p"})
    return a_volume(claim=pointer("db", uid="uid-db")).with_spec(csi=source)


def a_pool(capacity: str) -> Pool:
    spec = PoolSpec(driver=DRIVER, node="here", root="/srv/p", capacity=capacity)
    return Pool(metadata=Metadata(name="p"), spec=spec, status=PoolStatus(allocated="1Gi"))


@pytest.mark.parametrize(
    ("claim", "capacity", "said", "help_"),
    [
        (growing(), "9Gi", "it is to grow from 1Gi to 3Gi, which the agent of here is to do", ""),
        (
            growing("NodeResizePending"), "9Gi",
            "it is to grow from 1Gi to 3Gi, and has the room; its file system grows once nobody "
            "mounts it", "stop what uses it for a moment",
        ),
        (
            growing("ControllerResizeInfeasible", "as it was then"), "2Gi",
            "it is to grow from 1Gi to 3Gi, which cannot be done: pool p has 2Gi, 1Gi is taken, "
            "asked for 2Gi",
            "ask for less, but more than 1Gi; or kubectl edit pool p, to raise spec.capacity",
        ),
        (
            growing("ControllerResizeInfeasible", "the disk is full"), "9Gi",
            "it is to grow from 1Gi to 3Gi, which cannot be done: the disk is full",
            "ask for less, but more than 1Gi; or put that right",
        ),
    ],
)  # fmt: skip
def test_why_it_has_not_grown(claim: Claim, capacity: str, said: str, help_: str) -> None:
    assert unfinished(claim, pooled(), [a_pool(capacity)]) == ((said,), help_)


def test_a_volume_that_nobody_grows_is_told_as_such() -> None:
    found = unfinished(growing(), a_volume(), [])
    assert found.help == "a new claim of that size, and its data copied"
    assert found.details[0].startswith("it is to grow from 1Gi to 3Gi, but Mooring grows no volume")


def test_a_claim_that_has_what_it_asks_for_needs_no_word() -> None:
    has = a_claim(volume="v1", phase=Phase.BOUND, capacity={STORAGE: "1Gi"})
    assert unfinished(has, pooled(), [a_pool("2Gi")]) == ((), "")


@pytest.mark.parametrize(
    ("progress", "said", "help_"),
    [
        ("", "it is to become of VolumeAttributesClass fast", ""),
        (
            "Pending", "it is to become of VolumeAttributesClass fast, which does not exist",
            "create VolumeAttributesClass fast; or name another",
        ),
        (
            "Infeasible",
            "it is to become of VolumeAttributesClass fast, which failed: it says speed=9",
            "name another VolumeAttributesClass",
        ),
    ],
)  # fmt: skip
def test_why_it_is_not_of_its_class(progress: str, said: str, help_: str) -> None:
    error = ClaimCondition(type="ModifyVolumeError", status="True", message="it says speed=9")
    modify = ModifyVolumeStatus(target_volume_attributes_class_name="fast", status=progress)
    claim = a_claim(
        volume="v1",
        phase=Phase.BOUND,
        attributes_class="fast",
        capacity={STORAGE: "1Gi"},
        conditions=(error,),
        modify_volume_status=modify if progress else None,
    )
    assert unfinished(claim, pooled(), [a_pool("2Gi")]) == ((said,), help_)
