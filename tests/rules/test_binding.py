"""Storage semantics §7: what a bind leaves on both sides; §4 and §8: the status that goes with it.

A bind is four writes in Kubernetes and one commit here. Whatever of the four somebody else made,
or left undone, the same function completes it.
"""

import msgspec
import pytest

from mooring.model.claim import Claim
from mooring.model.metadata import ObjectReference
from mooring.model.names import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PRE_RESIZE_CAPACITY,
    Phase,
)
from mooring.model.volume import Volume
from mooring.rules.binding import bound, rolled_back, unbound_status
from tests.rules.making import LONG_AGO, MODES, NOW, a_claim, a_volume, pointer


def chosen_by_controller(claim: Claim, volume: Volume) -> tuple[bool, bool]:
    """Whether the claim and the volume carry bound-by-controller once they are bound."""
    after = bound(claim, volume, NOW)
    return BOUND_BY_CONTROLLER in after[0].annotations, BOUND_BY_CONTROLLER in after[1].annotations


# The four writes


@pytest.mark.rule("7.1")
def test_write_1_the_volume_gets_a_full_reference_to_the_claim() -> None:
    _, volume = bound(a_claim(), a_volume(), NOW)
    assert volume.claim_ref == ObjectReference(
        kind="PersistentVolumeClaim",
        api_version="v1",
        namespace="default",
        name="db",
        uid="uid-db",
        resource_version="7",
    )


DIFFERENT = {
    "uid missing": pointer(),
    "another name": pointer("other", uid="uid-db"),
    "another namespace": msgspec.structs.replace(pointer(uid="uid-db"), namespace="prod"),
}


@pytest.mark.rule("7.1")
@pytest.mark.parametrize("ref", DIFFERENT.values(), ids=DIFFERENT)
def test_write_1_a_reference_that_differs_is_replaced_whole(ref: ObjectReference) -> None:
    _, volume = bound(a_claim(), a_volume(claim=ref), NOW)
    assert volume.claim_ref == a_claim().reference()


@pytest.mark.rule("7.1")
def test_write_1_a_reference_that_means_the_claim_is_left_as_it_is() -> None:
    ref = pointer(uid="uid-db")  # by hand, without resourceVersion
    _, volume = bound(a_claim(), a_volume(claim=ref), NOW)
    assert volume.claim_ref == ref


@pytest.mark.rule("1.1.40", "1.1.41", "7.2")
def test_write_2_the_volume_is_bound_from_now_on() -> None:
    volume = a_volume(phase=Phase.FAILED).with_status(message="no", reason="by somebody")
    _, after = bound(a_claim(), volume, NOW)
    assert after.phase == Phase.BOUND
    assert after.status.last_phase_transition_time == NOW
    assert after.status.message == ""
    assert after.status.reason == "by somebody"  # not the controller's to write


def test_write_2_a_volume_that_is_bound_keeps_the_time_since_when() -> None:
    _, after = bound(a_claim(), a_volume(claim=pointer(a_claim()), phase=Phase.BOUND), NOW)
    assert after.status.last_phase_transition_time == LONG_AGO


@pytest.mark.rule("2.1", "7.3", "7.3a")
def test_write_3_the_claim_names_the_volume_and_is_marked_as_bound_once() -> None:
    claim, _ = bound(a_claim(), a_volume("v9"), NOW)
    assert claim.volume_name == "v9"
    assert claim.annotations == {BOUND_BY_CONTROLLER: "yes", BIND_COMPLETED: "yes"}


@pytest.mark.rule("7.3a", "7.12")
def test_write_3_a_claim_that_names_the_volume_is_marked_as_bound_once_too() -> None:
    claim, _ = bound(a_claim(volume="v1"), a_volume("v1"), NOW)
    assert claim.annotations == {BIND_COMPLETED: "yes"}


@pytest.mark.rule("2.1")
def test_write_3_a_mark_that_is_there_is_left_whatever_its_value() -> None:
    claim = a_claim(volume="v1", annotations={BIND_COMPLETED: ""})
    assert bound(claim, a_volume("v1"), NOW)[0].annotations == {BIND_COMPLETED: ""}


@pytest.mark.rule("7.4")
def test_write_4_the_claim_says_what_it_got() -> None:
    volume = a_volume(size="5Gi", modes="RWX,RWO", attributes_class="gold")
    status = bound(a_claim(attributes_class="gold"), volume, NOW)[0].status
    assert status.phase == Phase.BOUND
    assert status.access_modes == (MODES["RWX"], MODES["RWO"])
    assert status.capacity == {"storage": "5Gi"}
    assert status.current_volume_attributes_class_name == "gold"


# A stop after any of them: what is there already is skipped

WHOLE = bound(a_claim(), a_volume(), NOW)


def stopped_after(writes: int) -> tuple[Claim, Volume]:
    """Claim and volume as Kubernetes leaves them when it stops after so many writes."""
    claim, volume = a_claim(), a_volume()
    if writes >= 1:
        volume = msgspec.structs.replace(WHOLE[1], status=volume.status)
    if writes >= 2:
        volume = WHOLE[1]
    if writes >= 3:
        claim = msgspec.structs.replace(WHOLE[0], status=claim.status)
    return claim, volume


@pytest.mark.rule("7.6")
@pytest.mark.parametrize("writes", range(4))
def test_a_bind_cut_off_after_any_write_is_completed(writes: int) -> None:
    assert bound(*stopped_after(writes), NOW) == WHOLE


def test_a_bind_that_is_whole_changes_nothing() -> None:
    claim, volume = bound(*WHOLE, "2030-01-01T00:00:00Z")
    assert claim is WHOLE[0]
    assert volume is WHOLE[1]


# Which annotations result

NAMED, POINTING = a_claim(volume="v1"), a_volume(claim=pointer())


@pytest.mark.rule("2.2", "7.1a", "7.10")
def test_who_was_chosen_both_when_the_claim_chose_freely() -> None:
    assert chosen_by_controller(a_claim(), a_volume()) == (True, True)


@pytest.mark.rule("7.1a", "7.11")
def test_who_was_chosen_only_the_claim_when_the_volume_pointed_at_it() -> None:
    assert chosen_by_controller(a_claim(), POINTING) == (True, False)


@pytest.mark.rule("7.12")
def test_who_was_chosen_only_the_volume_when_the_claim_named_it() -> None:
    assert chosen_by_controller(NAMED, a_volume()) == (False, True)


@pytest.mark.rule("7.13")
def test_who_was_chosen_neither_when_each_named_the_other() -> None:
    assert chosen_by_controller(NAMED, POINTING) == (False, False)


@pytest.mark.rule("7.14", "22.7")
def test_trap_7_a_volume_made_for_the_claim_is_not_marked_as_chosen() -> None:
    made = a_volume("pvc-uid-db", claim=pointer(uid="uid-db"))
    assert chosen_by_controller(a_claim(), made) == (True, False)


# The status of claims, §4 and §8


@pytest.mark.rule("4.S2", "4.S3", "22.8")
def test_modes_are_copied_each_time_capacity_only_at_the_transition() -> None:
    bound_claim = WHOLE[0]
    volume = a_volume(claim=pointer(bound_claim), size="9Gi", modes="RWX", attributes_class="gold")
    status = bound(bound_claim, volume, NOW)[0].status
    assert status.access_modes == (MODES["RWX"],)
    assert status.capacity == {"storage": "1Gi"}
    assert status.current_volume_attributes_class_name is None


@pytest.mark.rule("4.S3")
@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.LOST])
def test_capacity_is_copied_at_the_transition_from_either_phase(phase: Phase) -> None:
    claim = a_claim(phase=phase, capacity={"storage": "1Mi"})
    assert bound(claim, a_volume(size="9Gi"), NOW)[0].status.capacity == {"storage": "9Gi"}


@pytest.mark.rule("4.S4")
def test_capacity_is_that_before_the_resize_under_way() -> None:
    volume = a_volume(size="9Gi", annotations={PRE_RESIZE_CAPACITY: "4Gi"})
    assert bound(a_claim(), volume, NOW)[0].status.capacity == {"storage": "4Gi"}


@pytest.mark.rule("4.S5")
@pytest.mark.parametrize(
    ("phase", "current"), [(Phase.PENDING, "gold"), ("", "gold"), (Phase.LOST, None)]
)
def test_the_attributes_class_is_copied_from_pending_to_bound_only(
    phase: str, current: str | None
) -> None:
    status = bound(a_claim(phase=phase), a_volume(attributes_class="gold"), NOW)[0].status
    assert status.current_volume_attributes_class_name == current


@pytest.mark.rule("4.S1")
@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.LOST])
def test_an_unbound_claim_says_nothing_of_a_volume(phase: Phase) -> None:
    claim = bound(a_claim(attributes_class="gold"), a_volume(attributes_class="gold"), NOW)[0]
    status = unbound_status(claim, phase).status
    assert status == a_claim(phase=phase).status


def test_a_status_that_is_right_is_not_written() -> None:
    claim = a_claim()
    assert unbound_status(claim, Phase.PENDING) is claim


# Rolling back: the claim took another volume


@pytest.mark.rule("5.7", "22.7")
def test_trap_7_a_volume_the_controller_chose_is_free_again() -> None:
    volume = rolled_back(WHOLE[1], NOW)
    assert volume.claim_ref is None
    assert volume.annotations == {}
    assert volume.phase == Phase.AVAILABLE


@pytest.mark.rule("2.2")
def test_a_mark_of_the_controller_counts_whatever_its_value() -> None:
    marked = a_volume(claim=a_claim().reference(), annotations={BOUND_BY_CONTROLLER: ""})
    volume = rolled_back(marked, NOW)
    assert (volume.claim_ref, volume.annotations) == (None, {})


@pytest.mark.rule("5.8", "22.7")
def test_trap_7_a_volume_a_user_pointed_loses_only_the_uid() -> None:
    mine = a_volume(claim=a_claim().reference(), phase=Phase.BOUND)
    volume = rolled_back(mine, NOW)
    assert volume.claim_ref == msgspec.structs.replace(a_claim().reference(), uid="")
    assert volume.phase == Phase.AVAILABLE
