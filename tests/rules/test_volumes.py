"""Storage semantics §5 and §9, a test for each row, and the traps of §22 that are about volumes."""

import msgspec
import pytest

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import (
    BOUND_BY_CONTROLLER,
    EXTERNAL_PROVISIONER_FINALIZER,
    MIGRATED_TO,
    PROVISIONED_BY,
    PV_CONTROLLER_FINALIZER,
    PV_PROTECTION,
    Phase,
)
from mooring.model.volume import CSISource, HostPathSource, LocalSource, NFSSource, Volume
from mooring.rules.volumes import (
    Reclaim,
    VolumeDecision,
    failed,
    guarded,
    is_at_rest,
    may_delete_externally,
    reclaim_decision,
    volume_decision,
)
from tests.rules.making import NOW, a_claim, a_volume, pointer

BY_CONTROLLER = {BOUND_BY_CONTROLLER: "yes"}
MADE = {PROVISIONED_BY: "example.com"}
OURS = "directory.mooring.dev"
EVERY_PHASE = ["Pending", "Available", "Bound", "Released", "Failed"]
NOT_ENDED = ["Pending", "Available", "Bound"]


def after(decision: VolumeDecision | Reclaim, before: Volume) -> Volume:
    """The volume once the writes are stored."""
    changed: list[View] = [new for _, new in decision.writes]
    assert len(changed) <= 1
    return next((new for new in changed if isinstance(new, Volume)), before)


def told(decision: VolumeDecision | Reclaim) -> list[tuple[str, str, str]]:
    """Kinds, types and reasons of the events."""
    return [(note.about.kind, note.type, note.reason) for note in decision.events]


def with_source(volume: Volume, source: str, path: str = "/tmp/data") -> Volume:
    sources: dict[str, object] = {
        "host_path": HostPathSource(path=path),
        "local": LocalSource(path=path),
        "nfs": NFSSource(server="nas", path=path),
        "csi": CSISource(driver="example.com", volume_handle="h"),
    }
    return volume.with_spec(**{source: sources[source]})


def pointing(claim: Claim, **how: object) -> Volume:
    return a_volume(claim=pointer(claim), **how)  # type: ignore[arg-type]


# §5 row 1


@pytest.mark.rule("1.1.40", "5.1", "22.6")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_1_a_volume_without_claim_is_available_from_every_phase(phase: str) -> None:
    volume = a_volume(phase=phase).with_status(message="was bad")
    new = after(volume_decision(volume, None, NOW), volume)
    assert (new.phase, new.status.message) == (Phase.AVAILABLE, "")


def test_row_1_an_available_volume_is_left_alone() -> None:
    assert volume_decision(a_volume(), None, NOW).writes == ()


def test_row_1_the_moment_of_a_change_of_phase_is_noted_and_kept() -> None:
    volume = a_volume(phase="Pending")
    new = after(volume_decision(volume, None, NOW), volume)
    assert new.status.last_phase_transition_time == NOW


# §5 row 2


@pytest.mark.rule("5.2")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_2_a_volume_reserved_by_name_alone_is_available_and_wakes_the_claim(phase: str) -> None:
    volume = a_volume(claim=pointer("db"), phase=phase)
    decision = volume_decision(volume, a_claim("db"), NOW)
    assert after(decision, volume).phase == Phase.AVAILABLE
    assert after(decision, volume).claim_ref == pointer("db")
    assert decision.wake == "default/db"


# §5 row 3


@pytest.mark.rule("5.3")
@pytest.mark.parametrize("phase", NOT_ENDED)
def test_row_3_a_volume_whose_claim_is_gone_is_released(phase: str) -> None:
    volume = pointing(a_claim("db"), phase=phase)
    decision = volume_decision(volume, None, NOW)
    assert after(decision, volume).phase == Phase.RELEASED
    assert after(decision, volume).claim_ref == volume.claim_ref
    assert decision.reclaim


@pytest.mark.rule("5.3")
@pytest.mark.parametrize("phase", NOT_ENDED)
def test_row_3_a_claim_of_that_name_with_another_uid_is_not_the_claim(phase: str) -> None:
    volume = pointing(a_claim("db", uid="old"), phase=phase)
    decision = volume_decision(volume, a_claim("db", uid="new", volume="v1"), NOW)
    assert after(decision, volume).phase == Phase.RELEASED
    assert decision.reclaim


@pytest.mark.rule("5.3a", "8.3")
@pytest.mark.parametrize("phase", ["Released", "Failed"])
def test_row_3_released_and_failed_volumes_keep_their_phase_and_are_reclaimed(phase: str) -> None:
    decision = volume_decision(pointing(a_claim("db"), phase=phase), None, NOW)
    assert decision.writes == ()
    assert decision.reclaim


# §5 row 4


@pytest.mark.rule("5.4")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_4_a_claim_that_names_no_volume_yet_is_woken(phase: str) -> None:
    claim = a_claim("db")
    decision = volume_decision(pointing(claim, phase=phase), claim, NOW)
    assert decision.wake == "default/db"
    assert (decision.writes, decision.events) == ((), ())


@pytest.mark.rule("5.4a")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_4_another_volume_mode_is_told_on_both_and_changes_nothing(phase: str) -> None:
    claim = a_claim("db", volume_mode="Block")
    decision = volume_decision(pointing(claim, phase=phase), claim, NOW)
    assert told(decision) == [
        ("PersistentVolume", "Warning", "VolumeMismatch"),
        ("PersistentVolumeClaim", "Warning", "VolumeMismatch"),
    ]
    assert (decision.writes, decision.wake, decision.reclaim) == ((), "", False)


@pytest.mark.rule("5.4a")
def test_row_4_a_mode_that_is_not_said_is_filesystem() -> None:
    claim = a_claim("db", volume_mode=None)
    assert volume_decision(pointing(claim, volume_mode="Filesystem"), claim, NOW).wake


# §5 row 5


@pytest.mark.rule("1.1.40", "5.5")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_5_the_volume_that_its_claim_names_is_bound_from_every_phase(phase: str) -> None:
    claim = a_claim("db", volume="v1")
    volume = pointing(claim, phase=phase).with_status(message="was bad")
    decision = volume_decision(volume, claim, NOW)
    assert (after(decision, volume).phase, after(decision, volume).status.message) == ("Bound", "")
    assert not decision.reclaim


# §5 rows 6 to 8: the claim took another volume

ELSEWHERE = a_claim("db", volume="other")


@pytest.mark.rule("5.6")
@pytest.mark.parametrize("phase", NOT_ENDED)
@pytest.mark.parametrize("annotations", [MADE, MADE | BY_CONTROLLER])
def test_row_6_a_surplus_dynamic_volume_is_released_and_reclaimed(
    phase: str, annotations: dict[str, str]
) -> None:
    volume = pointing(ELSEWHERE, phase=phase, annotations=annotations, policy="Delete")
    decision = volume_decision(volume, ELSEWHERE, NOW)
    assert after(decision, volume).phase == Phase.RELEASED
    assert decision.reclaim


@pytest.mark.rule("5.6")
def test_row_6_a_surplus_volume_that_failed_stays_failed_and_is_reclaimed() -> None:
    volume = pointing(ELSEWHERE, phase="Failed", annotations=MADE, policy="Delete")
    decision = volume_decision(volume, ELSEWHERE, NOW)
    assert (decision.writes, decision.reclaim) == ((), True)


@pytest.mark.rule("5.7")
@pytest.mark.parametrize(
    ("annotations", "policy"),
    [(BY_CONTROLLER, "Delete"), (BY_CONTROLLER, "Retain"), (BY_CONTROLLER | MADE, "Retain")],
)
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_7_a_volume_that_the_controller_chose_is_free_again(
    phase: str, annotations: dict[str, str], policy: str
) -> None:
    volume = pointing(ELSEWHERE, phase=phase, annotations=annotations, policy=policy)
    decision = volume_decision(volume, ELSEWHERE, NOW)
    new = after(decision, volume)
    assert new.claim_ref is None
    assert BOUND_BY_CONTROLLER not in new.annotations
    assert new.phase == Phase.AVAILABLE
    assert not decision.reclaim


@pytest.mark.rule("5.8")
@pytest.mark.parametrize(
    ("annotations", "policy"), [({}, "Delete"), ({}, "Retain"), (MADE, "Retain")]
)
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_row_8_a_volume_that_an_admin_reserved_stays_reserved_without_the_uid(
    phase: str, annotations: dict[str, str], policy: str
) -> None:
    volume = pointing(ELSEWHERE, phase=phase, annotations=annotations, policy=policy)
    decision = volume_decision(volume, ELSEWHERE, NOW)
    new = after(decision, volume)
    assert new.claim_ref == msgspec.structs.replace(ELSEWHERE.reference(), uid="")
    assert new.phase == Phase.AVAILABLE
    assert not decision.reclaim


# §5 row 0 and §13: finalizers

IN_TREE = {PROVISIONED_BY: "kubernetes.io/host-path"}


@pytest.mark.rule("13.9")
def test_row_0_a_live_volume_is_protected_behind_other_finalizers() -> None:
    volume = a_volume().with_finalizer("example.com/own")
    assert guarded(volume).metadata.finalizers == ("example.com/own", PV_PROTECTION)


@pytest.mark.rule("13.10")
@pytest.mark.parametrize("phase", ["Pending", "Available", "Released", "Failed"])
def test_row_0_a_volume_being_deleted_is_let_go_unless_bound(phase: str) -> None:
    volume = a_volume(phase=phase, deleted=True).with_finalizer(PV_PROTECTION)
    assert guarded(volume).metadata.finalizers == ()


@pytest.mark.rule("13.10")
def test_row_0_a_bound_volume_being_deleted_is_held() -> None:
    volume = a_volume(phase="Bound", deleted=True).with_finalizer(PV_PROTECTION)
    assert guarded(volume) is volume


@pytest.mark.rule("13.13")
def test_row_0_nothing_is_added_to_a_volume_being_deleted() -> None:
    volume = a_volume(phase="Bound", deleted=True, policy="Delete", annotations=IN_TREE)
    assert guarded(volume) is volume


@pytest.mark.rule("2.15", "13.13")
@pytest.mark.parametrize(
    ("annotations", "policy", "held"),
    [
        (IN_TREE, "Delete", True),
        (IN_TREE, "Retain", False),
        (IN_TREE, "Recycle", False),
        (IN_TREE | {MIGRATED_TO: "example.com"}, "Delete", False),
        (MADE, "Delete", False),
        ({}, "Delete", False),
    ],
)
def test_row_0_what_is_made_in_tree_to_be_deleted_is_held_until_its_data_is_gone(
    annotations: dict[str, str], policy: str, held: bool
) -> None:
    volume = guarded(a_volume(annotations=annotations, policy=policy))
    assert volume.has_finalizer(PV_CONTROLLER_FINALIZER) == held


@pytest.mark.rule("13.14")
def test_row_0_what_is_no_longer_to_be_deleted_is_held_no_longer() -> None:
    volume = a_volume(annotations=IN_TREE, policy="Delete", deleted=True, phase="Bound")
    held = volume.with_finalizer(PV_CONTROLLER_FINALIZER)
    assert guarded(held) is held
    kept = held.with_spec(persistent_volume_reclaim_policy="Retain")
    assert not guarded(kept).has_finalizer(PV_CONTROLLER_FINALIZER)


@pytest.mark.parametrize(
    ("volume", "rests"),
    [
        (guarded(a_volume()), True),
        (a_volume(), False),
        (guarded(a_volume(phase="Pending")), False),
        (guarded(a_volume(claim=pointer("db"))), False),
        (guarded(a_volume(deleted=True)), False),
        (a_volume(policy="Delete", annotations=IN_TREE).with_finalizer(PV_PROTECTION), False),
    ],
)
def test_a_volume_at_rest_is_one_that_looking_at_would_not_change(
    volume: Volume, rests: bool
) -> None:
    assert is_at_rest(volume) == rests


# §9

ROOTS = ("/srv/pool",)


def reclaimed(volume: Volume, *, used: bool = False) -> Reclaim:
    return reclaim_decision(volume, used, ROOTS, NOW)


def released(
    policy: str, source: str = "csi", path: str = "/tmp/data", phase: str = "Released", by: str = ""
) -> Volume:
    annotations = {PROVISIONED_BY: by} if by else {}
    volume = pointing(a_claim("db"), phase=phase, policy=policy, annotations=annotations)
    return with_source(volume, source, path)


def fails(volume: Volume, reason: str, *, used: bool = False) -> bool:
    """Whether it becomes Failed, with a message, and that is told as a warning."""
    step = reclaimed(volume, used=used)
    new = after(step, volume)
    told_as = [(note.about.kind, note.type, note.reason, note.message) for note in step.events]
    return (
        new.phase == Phase.FAILED
        and told_as == [("PersistentVolume", "Warning", reason, new.status.message)]
        and not (step.delete_path or step.recycle_path)
    )


@pytest.mark.rule("9.1")
@pytest.mark.parametrize("source", ["host_path", "local", "nfs", "csi"])
def test_retain_does_nothing(source: str) -> None:
    step = reclaimed(released("Retain", source))
    assert step == Reclaim(step.why)


@pytest.mark.rule("9.3")
@pytest.mark.parametrize("source", ["host_path", "local", "nfs", "csi"])
@pytest.mark.parametrize("by", ["example.com", OURS])
def test_delete_of_what_somebody_else_made_is_left_to_them(source: str, by: str) -> None:
    step = reclaimed(released("Delete", source, by=by))
    assert step == Reclaim(step.why)


@pytest.mark.rule("9.3")
def test_delete_of_a_static_csi_volume_is_left_to_its_driver() -> None:
    step = reclaimed(released("Delete", "csi"))
    assert step == Reclaim("example.com deletes it")


@pytest.mark.rule("2.4")
@pytest.mark.parametrize("by", ["", "kubernetes.io/host-path"])
def test_delete_of_what_was_migrated_is_left_to_its_driver(by: str) -> None:
    volume = released("Delete", "host_path", by=by).annotated(**{MIGRATED_TO: "example.com"})
    assert reclaimed(volume) == Reclaim("example.com deletes it")


@pytest.mark.rule("9.4")
@pytest.mark.parametrize("source", ["local", "nfs"])
def test_delete_of_a_static_source_that_nobody_deletes_fails(source: str) -> None:
    assert fails(released("Delete", source), "VolumeFailedDelete")


@pytest.mark.rule("9.4")
@pytest.mark.parametrize("source", ["local", "nfs", "csi", "host_path"])
def test_delete_of_what_an_unknown_in_tree_plugin_made_fails(source: str) -> None:
    assert fails(released("Delete", source, by="kubernetes.io/aws-ebs"), "VolumeFailedDelete")


@pytest.mark.rule("9.5")
@pytest.mark.parametrize("by", ["", "kubernetes.io/host-path"])
def test_delete_of_a_host_path_below_tmp_removes_it(by: str) -> None:
    step = reclaimed(released("Delete", "host_path", "/tmp/data", by=by))
    assert (step.delete_path, step.writes, step.events) == ("/tmp/data", (), ())


@pytest.mark.rule("9.5")
@pytest.mark.parametrize("path", ["/srv/data", "/tmp", "/tmpfoo", "/srv/tmp/data", "tmp/data"])
def test_delete_of_a_host_path_elsewhere_fails(path: str) -> None:
    assert fails(released("Delete", "host_path", path), "VolumeFailedDelete")


@pytest.mark.parametrize("path", ["/srv/pool/shared", "/srv/pool//a/b/"])
def test_recycle_empties_a_host_path_below_the_root_of_a_pool(path: str) -> None:
    step = reclaimed(released("Recycle", "host_path", path))
    assert (step.recycle_path, step.recycle_root) == (path, "/srv/pool")
    assert (step.writes, step.events) == ((), ())


@pytest.mark.rule("9.6c")
@pytest.mark.parametrize(
    "path", ["/srv/pool", "/srv/pools/x", "/srv", "/tmp/data", "/srv/pool/pvc-7/data"]
)
def test_recycle_of_a_host_path_elsewhere_fails(path: str) -> None:
    assert fails(released("Recycle", "host_path", path), "VolumeFailedRecycle")


@pytest.mark.rule("9.6b", "9.6c")
@pytest.mark.parametrize("source", ["local", "nfs", "csi"])
def test_recycle_of_a_source_without_recycler_fails(source: str) -> None:
    assert fails(released("Recycle", source), "VolumeFailedRecycle")


@pytest.mark.rule("9.6", "11.18")
@pytest.mark.parametrize("source", ["host_path", "nfs"])
def test_recycle_waits_for_pods_that_use_the_old_claim_and_that_is_no_failure(source: str) -> None:
    step = reclaimed(released("Recycle", source, "/srv/pool/shared"), used=True)
    assert told(step) == [("PersistentVolume", "Normal", "VolumeFailedRecycle")]
    assert (step.writes, step.recycle_path, step.busy) == ((), "", True)


@pytest.mark.rule("9.7", "11.19")
def test_an_unknown_policy_fails() -> None:
    assert fails(released("Burn"), "VolumeUnknownReclaimPolicy")


@pytest.mark.rule("11.14")
def test_a_failure_is_told_on_the_transition_only() -> None:
    volume = released("Delete", "local", phase="Failed")
    again = after(reclaimed(volume), volume)
    assert again.status.message
    assert reclaimed(volume).events == ()
    assert reclaimed(again) == Reclaim(again.status.message)


@pytest.mark.rule("1.1.40")
def test_a_failure_with_another_message_replaces_the_message() -> None:
    volume = released("Delete", phase="Failed").with_status(message="first")
    step = failed(volume, "VolumeFailedDelete", "second", NOW)
    assert after(step, volume).status.message == "second"
    assert step.events == ()


# §9: the external deleter


@pytest.mark.rule("9.8a", "22.10")
@pytest.mark.parametrize("phase", ["Pending", "Available", "Bound", "Failed"])
def test_trap_10_the_external_deleter_acts_on_the_phase_released_exactly(phase: str) -> None:
    assert may_delete_externally(released("Delete", by=OURS), OURS)
    assert not may_delete_externally(released("Delete", by=OURS, phase=phase), OURS)


@pytest.mark.rule("9.8a", "22.10")
@pytest.mark.parametrize("policy", ["Retain", "Recycle"])
def test_trap_10_the_external_deleter_reads_the_policy_of_the_moment(policy: str) -> None:
    assert not may_delete_externally(released(policy, by=OURS), OURS)


@pytest.mark.rule("5.6", "22.10")
def test_trap_10_a_surplus_dynamic_volume_is_released_with_policy_delete_only() -> None:
    for policy, phase in (("Delete", Phase.RELEASED), ("Retain", Phase.AVAILABLE)):
        volume = pointing(ELSEWHERE, phase="Bound", annotations=MADE, policy=policy)
        assert after(volume_decision(volume, ELSEWHERE, NOW), volume).phase == phase


@pytest.mark.rule("9.8")
def test_the_external_deleter_deletes_static_volumes_of_its_driver_and_nobody_elses() -> None:
    assert may_delete_externally(released("Delete"), "example.com")
    assert not may_delete_externally(released("Delete"), OURS)
    assert not may_delete_externally(released("Delete", by="other.com"), "example.com")


@pytest.mark.rule("9.8b")
def test_the_external_deleter_leaves_what_is_being_deleted_without_its_finalizer() -> None:
    volume = released("Delete", by=OURS).with_metadata(deletion_timestamp=NOW)
    assert not may_delete_externally(volume, OURS)
    assert may_delete_externally(volume.with_finalizer(EXTERNAL_PROVISIONER_FINALIZER), OURS)


# §22


@pytest.mark.rule("9.1a", "22.5")
def test_trap_5_a_claim_made_anew_is_not_the_old_one_until_the_uid_is_cleared() -> None:
    volume = pointing(a_claim("db", uid="old"), phase="Released")
    anew = a_claim("db", uid="new")
    assert volume_decision(volume, anew, NOW).reclaim
    cleared = volume.with_spec(claim_ref=pointer("db"))
    decision = volume_decision(cleared, anew, NOW)
    assert after(decision, cleared).phase == Phase.AVAILABLE
    assert decision.wake == anew.key


@pytest.mark.rule("5.1", "22.6")
@pytest.mark.parametrize("phase", ["Released", "Failed"])
def test_trap_6_no_phase_sticks_to_a_volume_without_claim(phase: str) -> None:
    volume = a_volume(phase=phase).with_status(message="m")
    new = after(volume_decision(volume, None, NOW), volume)
    assert (new.phase, new.status.message) == (Phase.AVAILABLE, "")


@pytest.mark.rule("22.7")
def test_trap_7_who_chose_decides_whether_the_whole_pointer_goes_or_its_uid() -> None:
    for annotations, left in ((BY_CONTROLLER, None), ({}, "")):
        volume = pointing(ELSEWHERE, phase="Bound", annotations=annotations)
        ref = after(volume_decision(volume, ELSEWHERE, NOW), volume).claim_ref
        assert (ref and ref.uid) == left


@pytest.mark.rule("22.9")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_trap_9_protection_of_a_volume_looks_at_its_phase_alone(phase: str) -> None:
    claim = a_claim("db", volume="v1")
    for volume in (
        a_volume(phase=phase, deleted=True),
        pointing(claim, phase=phase, deleted=True),
    ):
        held = guarded(volume.with_finalizer(PV_PROTECTION)).has_finalizer(PV_PROTECTION)
        assert held == (phase == Phase.BOUND)


@pytest.mark.rule("8.5", "22.14")
@pytest.mark.parametrize("phase", EVERY_PHASE)
def test_trap_14_a_forged_phase_is_corrected_from_the_pointers(phase: str) -> None:
    claim = a_claim("db", volume="v1")
    bound, gone = pointing(claim, phase=phase), pointing(a_claim("gone"), phase=phase)
    assert after(volume_decision(bound, claim, NOW), bound).phase == Phase.BOUND
    ended = Phase.FAILED if phase == Phase.FAILED else Phase.RELEASED
    assert after(volume_decision(gone, None, NOW), gone).phase == ended
