"""Storage semantics §4, a test for each row, and the traps of §22 that are about claims."""

import pytest

from mooring.model.claim import Claim
from mooring.model.metadata import ObjectReference
from mooring.model.names import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    HOSTNAME,
    PRE_RESIZE_CAPACITY,
    SELECTED_NODE,
    STORAGE_CLASS_BETA,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
    Phase,
)
from mooring.model.selector import only_node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from tests.rules.deciding import claim_after, decided, is_bound, told, volume_after
from tests.rules.making import MODES, a_claim, a_class, a_volume, labelled, pointer

BOUND_BEFORE = {BIND_COMPLETED: "yes"}
REST = {BOUND_BY_CONTROLLER: "yes", BIND_COMPLETED: "yes"}


# §4 A: never bound, names no volume


@pytest.mark.rule("4.A1", "11.25")
def test_a1_a_claim_is_bound_to_the_volume_that_fits_best_and_nobody_is_told() -> None:
    claim, volume = a_claim(), a_volume("v1", size="2Gi")
    decision = decided(claim, a_volume("v2", size="3Gi"), volume)
    assert is_bound(decision, claim, volume)


@pytest.mark.rule("4.A1a", "12.12")
def test_a1_static_volumes_of_a_class_that_has_no_object_are_matched() -> None:
    claim, volume = a_claim(class_="manual"), a_volume(class_="manual")
    assert is_bound(decided(claim, volume), claim, volume)


@pytest.mark.rule("4.A1")
def test_a1_a_volume_that_fits_comes_before_the_default_class() -> None:
    claim, volume = a_claim(class_=None), a_volume()
    assert is_bound(decided(claim, volume, a_class(default=True)), claim, volume)


@pytest.mark.rule("4.A2")
def test_a2_a_claim_without_class_gets_the_default_and_nothing_else_happens() -> None:
    claim = a_claim(class_=None)
    decision = decided(claim, a_class("fast", default=True))
    assert [new for _, new in decision.writes] == [claim.with_class("fast")]
    assert not decision.events


@pytest.mark.rule("1.2.36", "12.6", "22.2")
@pytest.mark.parametrize(
    "claim",
    [a_claim(class_=""), a_claim(class_=None, annotations={STORAGE_CLASS_BETA: ""})],
    ids=["empty class in spec", "empty class in the annotation"],
)
def test_a2_a_claim_that_says_no_class_is_never_given_the_default(claim: Claim) -> None:
    decision = decided(claim, a_class(default=True))
    assert claim_after(decision, claim).class_name == ""
    assert told(decision) == [("Normal", "FailedBinding")]


@pytest.mark.rule("4.A3")
def test_a3_a_claim_of_a_waiting_class_waits_for_its_first_consumer() -> None:
    claim = a_claim(class_="late")
    decision = decided(claim, a_class("late", waits=True), a_volume(class_="late"))
    assert not decision.writes
    assert told(decision) == [("Normal", "WaitForFirstConsumer")]


@pytest.mark.rule("4.A3a")
def test_a3_it_waits_for_the_pod_that_uses_it_to_get_a_node() -> None:
    decision = decided(a_claim(class_="late"), a_class("late", waits=True), pod=True)
    assert told(decision) == [("Normal", "WaitForPodScheduled")]


@pytest.mark.rule("4.A3", "4.A5", "4.S1", "8.5", "22.14")
@pytest.mark.parametrize("class_", [a_class("late", waits=True), None], ids=["A.3", "A.5"])
def test_a3_a5_a_forged_phase_is_corrected_and_what_it_claimed_to_have(
    class_: StorageClass | None,
) -> None:
    claim = a_claim(
        class_="late" if class_ else "",
        phase=Phase.BOUND,
        capacity={"storage": "9Gi"},
        access_modes=(MODES["RWO"],),
        current_volume_attributes_class_name="gold",
    )
    after = claim_after(decided(claim, *([class_] if class_ else [])), claim)
    assert after.phase == Phase.PENDING
    assert not after.status.capacity
    assert not after.status.access_modes
    assert after.status.current_volume_attributes_class_name is None


@pytest.mark.rule("2.5", "4.A4", "10.3")
def test_a4_a_claim_of_an_immediate_class_is_to_be_provisioned() -> None:
    claim = a_claim(class_="fast")
    decision = decided(claim, a_class("fast", provisioner="example.com/nfs"))
    after = claim_after(decision, claim)
    assert after.annotations[STORAGE_PROVISIONER] == "example.com/nfs"
    assert after.annotations[STORAGE_PROVISIONER_BETA] == "example.com/nfs"
    assert after.status == claim.status
    assert told(decision) == [("Normal", "ExternalProvisioning")]


@pytest.mark.rule("10.3")
def test_a4_each_look_tells_that_it_is_waited_for_without_writing_again() -> None:
    asked = dict.fromkeys((STORAGE_PROVISIONER, STORAGE_PROVISIONER_BETA), "example.com/nfs")
    decision = decided(
        a_claim(class_="fast", annotations=asked), a_class("fast", provisioner="example.com/nfs")
    )
    assert not decision.writes
    assert told(decision) == [("Normal", "ExternalProvisioning")]


@pytest.mark.rule("4.A4")
def test_a4_a_claim_of_a_waiting_class_is_provisioned_once_a_node_is_selected() -> None:
    claim = a_claim(class_="late", annotations={SELECTED_NODE: "n1"})
    decision = decided(claim, a_class("late", waits=True))
    assert STORAGE_PROVISIONER in claim_after(decision, claim).annotations


@pytest.mark.rule("10.1", "10.2")
@pytest.mark.parametrize(
    "classes",
    [[], [a_class("fast", provisioner="kubernetes.io/no-provisioner")]],
    ids=["class missing", "nobody provisions for Kubernetes' own names"],
)
def test_a4_what_cannot_be_provisioned_is_told_and_nothing_is_written(
    classes: list[StorageClass],
) -> None:
    decision = decided(a_claim(class_="fast"), *classes)
    assert not decision.writes
    assert told(decision) == [("Warning", "ProvisioningFailed")]


@pytest.mark.rule("4.A5", "11.1")
@pytest.mark.parametrize("class_", ["", None], ids=["no class wanted", "no default there"])
def test_a5_a_claim_without_class_for_which_nothing_fits_stays_pending(class_: str | None) -> None:
    decision = decided(a_claim(class_=class_), a_volume(size="1Mi"))
    assert not decision.writes
    assert told(decision) == [("Normal", "FailedBinding")]


WAITS = {
    "A.2 it is given a class first": (a_claim(class_=None), [a_class(default=True)], False),
    "A.3 it waits for its consumer": (a_claim(class_="late"), [a_class("late", waits=True)], False),
    "A.4 it is provisioned for a node": (
        a_claim(class_="late", annotations={SELECTED_NODE: "n1"}),
        [a_class("late", waits=True)],
        False,
    ),
    "A.4 it is provisioned": (a_claim(class_="fast"), [a_class("fast")], True),
    "A.4 its class is missing": (a_claim(class_="fast"), [], True),
    "A.5 it has no class": (a_claim(), [], True),
    "A.1 it has one": (a_claim(), [a_volume()], False),
    "B it names one": (a_claim(volume="v1"), [], False),
    "C it had one": (a_claim(annotations=BOUND_BEFORE), [], False),
}


@pytest.mark.parametrize(("claim", "things", "waits"), WAITS.values(), ids=WAITS)
def test_whether_a_volume_that_comes_to_fit_is_to_wake_the_claim(
    claim: Claim, things: list[Volume | StorageClass], waits: bool
) -> None:
    assert decided(claim, *things).waits is waits


# §4 B: never bound, names a volume


@pytest.mark.rule("4.B1")
def test_b1_a_claim_waits_silently_for_the_volume_it_names() -> None:
    claim = a_claim(volume="v1", phase=Phase.BOUND, capacity={"storage": "1Gi"})
    decision = decided(claim)
    assert claim_after(decision, claim).phase == Phase.PENDING
    assert not decision.events


@pytest.mark.rule("4.B2b")
def test_b2_a_claim_gets_the_free_volume_it_names() -> None:
    claim, volume = a_claim(volume="v1"), a_volume("v1", size="5Gi", modes="RWX,RWO")
    assert is_bound(decided(claim, volume), claim, volume)


B2_MISFITS = {
    "being deleted": a_volume(class_="c", deleted=True),
    "too small": a_volume(class_="c", size="1G"),
    "of another class": a_volume(class_="d"),
    "of another attributes class": a_volume(class_="c", attributes_class="gold"),
    "of another volume mode": a_volume(class_="c", volume_mode="Block"),
    "lacking an access mode": a_volume(class_="c", modes="ROX,RWX"),
}


@pytest.mark.rule("4.B2a", "11.3")
@pytest.mark.parametrize("volume", B2_MISFITS.values(), ids=B2_MISFITS)
def test_b2_a_claim_does_not_get_the_volume_it_names_if_that_is(volume: Volume) -> None:
    claim = a_claim(class_="c", volume="v1", phase=Phase.LOST)
    decision = decided(claim, volume)
    assert volume_after(decision) is None
    assert claim_after(decision, claim).phase == Phase.PENDING
    assert told(decision) == [("Warning", "VolumeMismatch")]


@pytest.mark.rule("4.B2")
def test_b2_what_is_wrong_is_told_in_a_fixed_order() -> None:
    volume = a_volume(size="1Mi", modes="ROX", class_="d", volume_mode="Block", deleted=True)
    volume = volume.with_spec(volume_attributes_class_name="gold")
    right = a_volume(class_="c")
    claim, order = a_claim(class_="c", volume="v1"), []
    for mended in (
        volume,
        volume := volume.with_metadata(deletion_timestamp=None),
        volume := volume.with_spec(capacity=right.spec.capacity),
        volume := volume.with_spec(storage_class_name="c"),
        volume := volume.with_spec(volume_attributes_class_name=None),
        volume := volume.with_spec(volume_mode="Filesystem"),
    ):
        order.append(decided(claim, mended).events[0].message.partition(": ")[2])
    assert order == [
        "the volume is marked for deletion",
        "requested PV is too small",
        "storageClassName does not match",
        "volumeAttributesClassName does not match",
        "incompatible volumeMode",
        "incompatible accessMode",
    ]


@pytest.mark.rule("4.B2", "20.12")
@pytest.mark.parametrize(
    ("claim_size", "volume_size", "fits"),
    [("100m", "1", True), ("1500m", "1", False), ("1001m", "1500m", True)],
)
def test_b2_sizes_are_compared_in_whole_bytes_rounded_up(
    claim_size: str, volume_size: str, fits: bool
) -> None:
    claim = a_claim(volume="v1", size=claim_size)
    decision = decided(claim, a_volume(size=volume_size))
    assert (volume_after(decision) is not None) is fits


B2_UNCHECKED = {
    "phase": (a_claim(volume="v1"), a_volume(phase=Phase.RELEASED)),
    "labels": (a_claim(volume="v1", selector=labelled(app="db")), a_volume()),
    "node affinity": (a_claim(volume="v1"), a_volume(affinity=only_node(HOSTNAME, "n1"))),
    "waiting class": (a_claim(volume="v1", class_="late"), a_volume(class_="late")),
}


@pytest.mark.rule("4.B2c", "4.B5", "22.3")
@pytest.mark.parametrize(("claim", "volume"), B2_UNCHECKED.values(), ids=B2_UNCHECKED)
def test_b2_of_a_named_volume_these_are_not_checked(claim: Claim, volume: Volume) -> None:
    decision = decided(claim, volume, a_class("late", waits=True))
    assert is_bound(decision, claim, volume)


@pytest.mark.rule("4.B5", "12.9")
def test_b2_a_claim_that_names_a_volume_gets_no_default_class() -> None:
    claim = a_claim(class_=None, volume="v1")
    decision = decided(claim, a_volume(class_="fast"), a_class("fast", default=True))
    assert claim_after(decision, claim).spec.storage_class_name is None
    assert told(decision) == [("Warning", "VolumeMismatch")]


@pytest.mark.rule("4.B3", "22.3")
@pytest.mark.parametrize("uid", ["", "uid-db"], ids=["no uid", "its uid"])
def test_b3_volume_and_claim_that_name_each_other_are_bound_unchecked(uid: str) -> None:
    claim = a_claim(class_="c", volume="v1", size="1Ti", modes="RWX")
    volume = a_volume(
        claim=pointer(uid=uid), size="1Mi", volume_mode="Block", attributes_class="gold"
    )
    assert is_bound(decided(claim, volume), claim, volume)


ELSEWHERE = {"another claim": pointer("other"), "another uid": pointer(uid="uid-of-old")}


@pytest.mark.rule("4.B4", "11.2")
@pytest.mark.parametrize("ref", ELSEWHERE.values(), ids=ELSEWHERE)
def test_b4_a_volume_named_by_a_user_that_belongs_to_another_is_waited_for(
    ref: ObjectReference,
) -> None:
    claim = a_claim(volume="v1", phase=Phase.BOUND)
    decision = decided(claim, a_volume(claim=ref))
    assert volume_after(decision) is None
    assert claim_after(decision, claim).phase == Phase.PENDING
    assert told(decision) == [("Warning", "FailedBinding")]


@pytest.mark.rule("2.2", "4.B4a")
@pytest.mark.parametrize("value", ["yes", ""])
def test_b4_a_claim_that_the_controller_pointed_there_keeps_its_status(value: str) -> None:
    claim = a_claim(volume="v1", phase=Phase.BOUND, annotations={BOUND_BY_CONTROLLER: value})
    decision = decided(claim, a_volume(claim=pointer("other")))
    assert not decision.writes
    assert told(decision) == [("Warning", "FailedBinding")]


# §4 C: bound before


def had(phase: str = Phase.BOUND, volume: str = "v1") -> Claim:
    """A claim that was bound once."""
    return a_claim(
        volume=volume,
        phase=phase,
        annotations=REST,
        capacity={"storage": "1Gi"},
        access_modes=(MODES["RWO"],),
    )


C_LOST = {
    "names none any more": (had(volume=""), [], "ClaimLost"),
    "is gone": (had(), [], "ClaimLost"),
    "points at another": (had(), [a_volume(claim=pointer("other", uid="uid-o"))], "ClaimMisbound"),
    "points at it without uid": (had(), [a_volume(claim=pointer())], "ClaimMisbound"),
    "points at another of its name": (
        had(),
        [a_volume(claim=pointer(uid="uid-of-old"))],
        "ClaimMisbound",
    ),
}


@pytest.mark.rule("4.C1", "4.C4", "4.S1", "11.12", "11.13")
@pytest.mark.parametrize(("claim", "volumes", "reason"), C_LOST.values(), ids=C_LOST)
def test_c_a_bound_claim_is_lost_when_its_volume(
    claim: Claim, volumes: list[Volume], reason: str
) -> None:
    decision = decided(claim, *volumes)
    after = claim_after(decision, claim)
    assert after.phase == Phase.LOST
    assert (after.status.capacity, after.status.access_modes) == ({}, ())
    assert volume_after(decision) is None
    assert told(decision) == [("Warning", reason)]


@pytest.mark.rule("2.1")
@pytest.mark.parametrize("value", ["yes", "", "no"])
def test_c_a_claim_was_bound_if_the_annotation_is_there_whatever_its_value(value: str) -> None:
    claim = a_claim(volume="v1", phase=Phase.BOUND, annotations={BIND_COMPLETED: value})
    assert told(decided(claim)) == [("Warning", "ClaimLost")]


@pytest.mark.rule("4.C5")
@pytest.mark.parametrize("volumes", [[], [a_volume(claim=pointer())]], ids=["C.1", "C.4"])
def test_c_a_lost_claim_is_told_once(volumes: list[Volume]) -> None:
    lost = a_claim(volume="v1", phase=Phase.LOST, annotations=REST)
    assert decided(lost, *volumes)[1:3] == ((), ())


@pytest.mark.rule("4.C2", "4.C6")
@pytest.mark.parametrize("phase", [Phase.BOUND, Phase.LOST, Phase.PENDING])
def test_c2_a_bound_claim_takes_back_its_volume_whose_pointer_was_lost(phase: Phase) -> None:
    claim, volume = had(phase), a_volume(size="1Mi", class_="d", volume_mode="Block")
    decision = decided(claim, volume)
    assert is_bound(decision, claim, volume)
    new = volume_after(decision)
    assert new is not None
    assert BOUND_BY_CONTROLLER in new.annotations


@pytest.mark.rule("4.C3")
def test_c3_whatever_is_missing_of_a_bind_is_put_right() -> None:
    claim, volume = had(Phase.PENDING), a_volume(claim=pointer(had()), phase=Phase.RELEASED)
    assert is_bound(decided(claim, volume), claim, volume)


@pytest.mark.rule("4.C3")
def test_c3_only_the_uid_counts() -> None:
    claim, volume = had(), a_volume(claim=pointer("other", uid="uid-db"), phase=Phase.BOUND)
    decision = decided(claim, volume)
    assert is_bound(decision, claim, volume)


def test_c3_a_bind_that_is_whole_is_not_written_again() -> None:
    decision = decided(had(), a_volume(claim=pointer(had()), phase=Phase.BOUND))
    assert not decision.writes
    assert not decision.events


@pytest.mark.rule("4.C7")
def test_c_without_the_annotation_a_lost_claim_starts_anew() -> None:
    claim, volume = a_claim(phase=Phase.LOST), a_volume("v2")
    assert is_bound(decided(claim, volume), claim, volume)


# The traps of §22


@pytest.mark.rule("22.2")
@pytest.mark.parametrize("class_", ["", None])
def test_trap_2_no_class_and_an_empty_class_both_match_volumes_without_class(
    class_: str | None,
) -> None:
    claim, volume = a_claim(class_=class_), a_volume()
    assert is_bound(decided(claim, volume), claim, volume)


@pytest.mark.rule("22.3")
def test_trap_3_a_volume_that_points_at_the_claim_bypasses_class_selector_and_phase() -> None:
    claim = a_claim(class_="c", selector=labelled(app="db"))
    volume = a_volume(claim=pointer(), class_="d", phase=Phase.PENDING)
    assert is_bound(decided(claim, volume), claim, volume)


@pytest.mark.rule("22.3")
def test_trap_3_a_volume_that_points_at_the_claim_does_not_bypass_the_size() -> None:
    decision = decided(a_claim(size="2Gi"), a_volume(claim=pointer(), size="1Gi"))
    assert volume_after(decision) is None


@pytest.mark.rule("22.4")
def test_trap_4_no_pointer_at_all_is_repaired_but_a_pointer_without_uid_is_misbound() -> None:
    assert claim_after(decided(had(), a_volume()), had()).phase == Phase.BOUND
    assert claim_after(decided(had(), a_volume(claim=pointer())), had()).phase == Phase.LOST


@pytest.mark.rule("9.1", "22.5")
def test_trap_5_a_retained_volume_is_not_bound_again_by_name() -> None:
    old, new = a_claim(uid="uid-old"), a_claim(uid="uid-new")
    decision = decided(new, a_volume(claim=pointer(old), phase=Phase.RELEASED))
    assert volume_after(decision) is None


@pytest.mark.rule("9.1a", "22.5")
def test_trap_5_a_retained_volume_is_bound_by_name_once_its_uid_is_cleared() -> None:
    claim, volume = a_claim(uid="uid-new"), a_volume(claim=pointer(uid=""), phase=Phase.RELEASED)
    assert is_bound(decided(claim, volume), claim, volume)


@pytest.mark.rule("4.S3", "22.8")
def test_trap_8_the_capacity_of_a_bound_claim_is_not_copied_again() -> None:
    claim = had()
    decision = decided(claim, a_volume(claim=pointer(claim), size="5Gi", phase=Phase.RELEASED))
    assert claim_after(decision, claim).status.capacity == {"storage": "1Gi"}


@pytest.mark.rule("4.S4")
def test_trap_8_the_capacity_before_a_resize_counts_when_a_claim_becomes_bound() -> None:
    claim = had(Phase.LOST)
    volume = a_volume(claim=pointer(claim), size="5Gi", annotations={PRE_RESIZE_CAPACITY: "1536Mi"})
    assert claim_after(decided(claim, volume), claim).status.capacity == {"storage": "1536Mi"}


@pytest.mark.rule("10.39", "22.13")
def test_trap_13_with_a_node_selected_the_static_volumes_are_not_searched() -> None:
    claim = a_claim(class_="late", annotations={SELECTED_NODE: "n1"})
    decision = decided(claim, a_class("late", waits=True), a_volume(class_="late"))
    assert volume_after(decision) is None
    assert STORAGE_PROVISIONER in claim_after(decision, claim).annotations


@pytest.mark.rule("22.13")
def test_trap_13_without_it_only_a_volume_that_points_at_the_claim_is_bound() -> None:
    claim, volume = a_claim(class_="late"), a_volume("v2", claim=pointer())
    decision = decided(claim, a_class("late", waits=True), a_volume(class_="late"), volume)
    assert is_bound(decision, claim, volume)


@pytest.mark.rule("22.14")
@pytest.mark.parametrize("phase", [Phase.BOUND, Phase.LOST, "Forged"])
def test_trap_14_a_forged_phase_of_a_free_claim_is_corrected(phase: str) -> None:
    claim = a_claim(phase=phase)
    assert claim_after(decided(claim), claim).phase == Phase.PENDING


@pytest.mark.rule("8.5", "22.14")
def test_trap_14_a_bound_claim_forged_to_pending_is_bound_again() -> None:
    claim, volume = had(Phase.PENDING), a_volume(claim=pointer(had()), phase=Phase.BOUND)
    assert is_bound(decided(claim, volume), claim, volume)
