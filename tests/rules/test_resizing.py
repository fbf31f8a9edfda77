"""Storage semantics §14, row by row."""

import pytest

from mooring.model.claim import Claim, ClaimCondition
from mooring.model.names import GROWS_TO, PRE_RESIZE_CAPACITY, STORAGE, STORAGE_RESIZER, Phase
from mooring.model.quantity import Quantity
from mooring.rules import resizing as rules
from tests.rules.making import LONG_AGO, NOW, a_claim, a_volume, pointer

GIB, TWO, THREE = (Quantity.parse(text) for text in ("1Gi", "2Gi", "3Gi"))
OTHER = ClaimCondition(type="ModifyingVolume", status="True", last_transition_time=LONG_AGO)


def growing(
    progress: str = "", *, asks: str = "2Gi", has: str = "1Gi", target: str = "2Gi", **more: object
) -> Claim:
    status: dict[str, object] = {"capacity": {STORAGE: has}, **more}
    if progress:
        status["allocated_resource_statuses"] = {STORAGE: progress}
        status["allocated_resources"] = {STORAGE: target}
    return a_claim(size=asks, volume="v1", phase=Phase.BOUND, **status)


def conditions(claim: Claim) -> dict[str, tuple[str, str | None]]:
    return {one.type: (one.status, one.last_transition_time) for one in claim.status.conditions}


@pytest.mark.rule("14.17", "14.19")
@pytest.mark.parametrize(
    ("claim", "target"),
    [
        (growing(), TWO),
        (growing(asks="1Gi"), None),
        (growing(asks="1Gi", has="5Gi"), None),
        (a_claim(size="2Gi", volume="v1"), None),  # not Bound
        # What is in progress is gone on with, though the user asks for another size.
        (growing("ControllerResizeInProgress", asks="1536Mi"), TWO),
        (growing("ControllerResizeInProgress", asks="3Gi"), TWO),
        (growing("NodeResizePending", asks="3Gi"), TWO),
        (growing("NodeResizeInProgress", asks="1536Mi"), TWO),
        # What cannot be done is given up for another request.
        (growing("ControllerResizeInfeasible", asks="1536Mi"), Quantity.parse("1536Mi")),
        (growing("NodeResizeInfeasible", asks="3Gi"), THREE),
        # Left from a growth that is done.
        (growing("ControllerResizeInProgress", has="2Gi"), None),
        (growing("ControllerResizeInProgress", asks="3Gi", has="2Gi"), THREE),
    ],
)
def test_what_a_volume_is_to_become(claim: Claim, target: Quantity | None) -> None:
    assert rules.growth_target(claim) == target


@pytest.mark.rule("2.8", "14.9", "14.9a", "14.9b")
def test_the_start_marks_the_claim() -> None:
    old = growing(
        "ControllerResizeInfeasible",
        target="5Gi",
        conditions=(ClaimCondition(type="ControllerResizeError", status="True"), OTHER),
    )
    claim = rules.begun(old, TWO, "d", NOW)
    assert conditions(claim) == {"Resizing": ("True", NOW), "ModifyingVolume": ("True", LONG_AGO)}
    assert claim.annotations[STORAGE_RESIZER] == "d"
    assert claim.status.allocated_resources == {STORAGE: "2Gi"}
    assert rules.progress(claim) == "ControllerResizeInProgress"
    assert rules.begun(claim, TWO, "d", "later") is claim


@pytest.mark.rule("14.11")
def test_without_a_node_step_it_is_done() -> None:
    claim = rules.grown(rules.begun(growing(conditions=(OTHER,)), TWO, "d", NOW), TWO)
    assert claim.status.capacity == {STORAGE: "2Gi"}
    assert claim.status.conditions == (OTHER,)
    assert claim.status.allocated_resource_statuses == {}
    assert claim.status.allocated_resources == {STORAGE: "2Gi"}


@pytest.mark.rule("14.12", "14.13")
def test_with_a_node_step_it_waits_for_that() -> None:
    claim = rules.waiting_for_node(rules.begun(growing(), TWO, "d", LONG_AGO), NOW)
    assert conditions(claim) == {"FileSystemResizePending": ("True", NOW)}
    assert rules.progress(claim) == "NodeResizePending"
    assert claim.status.capacity == {STORAGE: "1Gi"}
    begun = rules.begun_at_node(claim)
    assert rules.progress(begun) == "NodeResizeInProgress"
    assert conditions(begun) == conditions(claim)
    assert conditions(rules.waiting_for_node(begun, "later")) == conditions(claim)
    assert rules.grown(begun, TWO).status.conditions == ()


@pytest.mark.rule("14.16")
@pytest.mark.parametrize(
    ("at_node", "state", "type_"),
    [
        (False, "ControllerResizeInfeasible", "ControllerResizeError"),
        (True, "NodeResizeInfeasible", "NodeResizeError"),
    ],
)
def test_what_cannot_be_done_is_told(at_node: bool, state: str, type_: str) -> None:
    begun = rules.begun(growing(), TWO, "d", LONG_AGO)
    claim = rules.infeasible(begun, "no room", NOW, at_node=at_node)
    assert rules.progress(claim) == state
    assert conditions(claim) == {"Resizing": ("True", LONG_AGO), type_: ("True", NOW)}
    assert claim.status.conditions[-1].message == "no room"
    assert rules.infeasible(claim, "no room", "later", at_node=at_node) is claim


def test_a_volume_is_charged_with_the_larger_of_what_it_has_and_what_it_is_to_have() -> None:
    volume = a_volume()
    assert volume.takes == GIB
    charged = rules.reserved(volume, TWO)
    assert (charged.takes, charged.capacity) == (TWO, GIB)
    assert rules.reserved(charged, GIB) is charged
    assert rules.unreserved(charged) == volume
    assert rules.enlarged(charged, TWO) == a_volume(size="2Gi")
    assert rules.enlarged(volume, GIB) is volume
    assert volume.annotated(**{GROWS_TO: "much"}).takes == GIB


@pytest.mark.rule("2.9", "14.12")
def test_the_size_before_is_noted_while_the_file_system_has_to_grow() -> None:
    charged = rules.reserved(a_volume(), TWO)
    pending = rules.enlarged(charged, TWO, GIB)
    assert pending.annotations == {PRE_RESIZE_CAPACITY: "1Gi"}
    assert rules.enlarged(pending, THREE, TWO).annotations == {PRE_RESIZE_CAPACITY: "1Gi"}
    assert rules.is_unfinished(pending)
    assert not rules.is_unfinished(rules.enlarged(pending, TWO))


@pytest.mark.rule("14.8")
def test_a_volume_is_of_the_claim_that_it_points_at_by_uid() -> None:
    claim = growing()
    volume = a_volume(claim=pointer("db", uid="uid-db"))
    assert rules.owner_of(volume, claim) is claim
    assert rules.owner_of(volume, None) is None
    assert rules.owner_of(a_volume(claim=pointer("db", uid="another")), claim) is None
    assert rules.owner_of(a_volume("v2", claim=pointer("db", uid="uid-db")), claim) is None


@pytest.mark.parametrize(
    ("claim", "looked_at"),
    [
        (growing(), True),
        (growing(asks="1Gi"), False),
        (growing(asks="1Gi", has="1024Mi"), True),  # it has more for all that texts say
        (a_claim(size="2Gi"), False),
        (growing("NodeResizePending", asks="2Gi", has="1Gi"), True),
    ],
)
def test_a_glance_tells_of_nearly_all_claims(claim: Claim, looked_at: bool) -> None:
    assert rules.has_what_it_asks(claim) is not looked_at
    if rules.growth_target(claim) is not None:
        assert looked_at
