"""Storage semantics §18: snapshots and contents, a test for each rule of snapshot-controller."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import pytest

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.names import (
    CLAIM_AS_SOURCE,
    CLONING_PROTECTION,
    CONTENT_BOUND,
    POOL_ATTRIBUTE,
    SNAPSHOT_AS_SOURCE,
    SNAPSHOT_BOUND,
    SNAPSHOT_GOING,
)
from mooring.model.pool import Pool
from mooring.model.snapshot import Snapshot, SnapshotClass, SnapshotContent, SnapshotError
from mooring.model.volume import Volume
from mooring.rules.snapshots import (
    Decision,
    content_decision,
    content_document,
    snapshot_decision,
    source_decision,
)
from tests.rules.making import NOW, a_volume
from tests.rules.snapshot_making import (
    BOTH,
    CREATED,
    CREATED_NS,
    a_content,
    a_pair,
    a_pool,
    a_snapshot,
    a_snapshot_class,
    from_claim,
    from_snapshot,
    in_pool,
    pointing_elsewhere,
    ready,
)
from tests.spec.plugin import case

V = TypeVar("V", bound=View)
GOING = {SNAPSHOT_GOING: "yes", POOL_ATTRIBUTE: "fast"}


@dataclass(frozen=True)
class Seen:
    """All that a decision may look at."""

    things: Sequence[View] = ()
    waiting: Sequence[Claim] = ()

    def _one(self, type_: type[V], key: str) -> V | None:
        return next((one for one in self.things if isinstance(one, type_) and one.key == key), None)

    def content(self, name: str) -> SnapshotContent | None:
        return self._one(SnapshotContent, name)

    def claim(self, key: str) -> Claim | None:
        return self._one(Claim, key)

    def volume(self, name: str) -> Volume | None:
        return self._one(Volume, name)

    def pool(self, name: str) -> Pool | None:
        return self._one(Pool, name)

    def snapshot_classes(self) -> list[SnapshotClass]:
        return [one for one in self.things if isinstance(one, SnapshotClass)]

    def restoring(self, snapshot: Snapshot) -> Sequence[Claim]:
        return self.waiting


def decided(snapshot: Snapshot, *things: View) -> Decision:
    return snapshot_decision(snapshot, Seen(things), NOW)


def after(decision: Decision, old: V) -> V:
    """What becomes of an object."""
    for had, new in decision.writes:
        if had == old:
            assert isinstance(new, type(old))
            return new
    return old


def reasons(decision: Decision) -> list[tuple[str, str]]:
    return [(note.type, note.reason) for note in decision.events]


# Of a claim


@pytest.mark.rule("18.31", "18.35", "18.36", "18.37")
def test_a_snapshot_of_a_claim_gets_a_content_and_all_is_kept_meanwhile() -> None:
    claim, volume = a_pair()
    snapshot, pool = a_snapshot(class_="snaps"), a_pool()
    decision = decided(snapshot, claim, volume, a_snapshot_class(), pool)
    assert decision.making is not None
    assert reasons(decision) == [("Normal", "CreatingSnapshot")]
    new = after(decision, snapshot)
    assert new.content_name == f"snapcontent-{snapshot.uid}"
    assert new.status.ready_to_use is False
    assert new.metadata.finalizers == BOTH
    assert after(decision, claim).has_finalizer(CLAIM_AS_SOURCE)
    assert (pool, pool) in decision.writes  # or it might be deleted at the same moment
    doc = content_document(snapshot, decision.making)
    assert doc == {
        "metadata": {
            "name": f"snapcontent-{snapshot.uid}",
            "finalizers": [CONTENT_BOUND],
            "annotations": {POOL_ATTRIBUTE: "fast"},
        },
        "spec": {
            "volumeSnapshotRef": {
                "kind": "VolumeSnapshot",
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "namespace": "default",
                "name": "monday",
                "uid": snapshot.uid,
                "resourceVersion": "5",
            },
            "deletionPolicy": "Delete",
            "driver": "btrfs.mooring.dev",
            "volumeSnapshotClassName": "snaps",
            "source": {"volumeHandle": "pvc-db"},
            "sourceVolumeMode": "Filesystem",
        },
    }


@pytest.mark.rule("2.13", "18.26")
def test_without_a_class_it_gets_its_drivers_default() -> None:
    claim, volume = a_pair()
    others = [a_snapshot_class("far", default=True, driver="x.example.com"), a_snapshot_class("b")]
    found = a_snapshot_class("a", default=True, policy="Retain")
    snapshot = a_snapshot()
    decision = decided(snapshot, claim, volume, *others, found)
    assert after(decision, snapshot).spec.volume_snapshot_class_name == "a"
    assert decision.making is not None
    assert decision.making.class_ == found


PAIR = a_pair()
CLASS = a_snapshot_class()


@pytest.mark.parametrize(
    ("class_", "things", "reason", "why"),
    [
        ("snaps", (CLASS,), "SnapshotContentCreationFailed", "claim db does not exist"),
        (
            "snaps",
            (*a_pair(deleted=True), CLASS),
            "SnapshotContentCreationFailed",
            "claim db is being deleted",
        ),
        case(
            "18.40",
            "snaps",
            (*a_pair(phase="Pending", volume=""), CLASS),
            "SnapshotContentCreationFailed",
            "the PVC db is not yet bound to a PV",
        ),
        case(
            "18.40",
            "snaps",
            (PAIR[0], CLASS),
            "SnapshotContentCreationFailed",
            "not yet bound to a PV",
        ),
        (
            "snaps",
            (PAIR[0], pointing_elsewhere(PAIR[1]), CLASS),
            "SnapshotContentCreationFailed",
            "bound to another claim",
        ),
        (
            "snaps",
            (PAIR[0], PAIR[1].with_spec(csi=None), CLASS),
            "SnapshotContentCreationFailed",
            "only csi has snapshots",
        ),
        (
            "snaps",
            (*PAIR, CLASS, a_pool(deleted=True)),
            "SnapshotContentCreationFailed",
            "pool fast is being deleted",
        ),
        ("none", (*PAIR, CLASS), "GetSnapshotClassFailed", '"none" not found'),
        (
            "far",
            (*PAIR, a_snapshot_class("far", driver="x.example.com")),
            "GetSnapshotClassFailed",
            "is of x.example.com, the volume of btrfs.mooring.dev",
        ),
        (None, (*PAIR, CLASS), "SetDefaultSnapshotClassFailed", "cannot find default"),
        case(
            "18.27",
            None,
            (*PAIR, a_snapshot_class("b", default=True), a_snapshot_class("a", default=True)),
            "SetDefaultSnapshotClassFailed",
            "2 default snapshot classes were found: a, b",
        ),
    ],
)
def test_what_keeps_a_snapshot_from_being_made_is_in_its_status_and_tried_again(
    class_: str | None, things: tuple[View, ...], reason: str, why: str
) -> None:
    snapshot = a_snapshot(class_=class_)
    decision = decided(snapshot, *things)
    assert (decision.making, decision.failed) == (None, True)
    assert reasons(decision) == [("Warning", reason)]
    status = after(decision, snapshot).status
    assert status.error is not None
    assert (status.error.time, status.ready_to_use) == (NOW, False)
    assert why in status.error.message
    again = decided(after(decision, snapshot), *things)
    assert (again.writes, again.failed) == ((), True)  # the time of an error is when it began


# Bound


@pytest.mark.rule("18.32")
def test_a_snapshot_says_what_its_content_has_and_people_are_told_once() -> None:
    snapshot = a_snapshot(content="snapcontent-uid-monday", finalizers=BOTH, ready_to_use=False)
    content = a_content(
        snapshot,
        snapshot_handle="fast/snapshot-1",
        creation_time=CREATED_NS,
        restore_size=2 << 30,
        ready_to_use=True,
    )
    decision = decided(snapshot, content)
    new = after(decision, snapshot)
    assert new.status.creation_time == CREATED
    assert (new.status.restore_size, new.status.ready_to_use) == ("2Gi", True)
    assert new.status.error is None
    assert reasons(decision) == [("Normal", "SnapshotCreated"), ("Normal", "SnapshotReady")]
    assert decided(new, content)[1:3] == ((), ())


@pytest.mark.rule("18.32")
def test_an_error_of_the_content_is_told_by_the_snapshot_until_it_is_over() -> None:
    snapshot = a_snapshot(content="snapcontent-uid-monday", finalizers=BOTH)
    error = SnapshotError(time=NOW, message="failed to take snapshot")
    failed = after(decided(snapshot, a_content(snapshot, error=error)), snapshot)
    assert failed.status.error == error
    healed = after(decided(failed, a_content(snapshot, creation_time=CREATED_NS)), failed)
    assert healed.status.error is None


@pytest.mark.rule("18.38")
def test_a_content_that_was_there_before_gets_the_uid_and_the_class() -> None:
    snapshot = a_snapshot(of="", content="old", class_="snaps")
    content = a_content(snapshot, name="old", uid="", handle="fast/kept", finalizers=())
    decision = decided(snapshot, content)
    bound = after(decision, content)
    assert bound.is_of(snapshot)
    assert bound.spec.volume_snapshot_class_name == "snaps"
    assert bound.has_finalizer(CONTENT_BOUND)
    assert after(decision, snapshot).content_name == "old"


@pytest.mark.rule("18.39")
@pytest.mark.parametrize(
    ("content", "reason", "why"),
    [
        (None, "SnapshotContentMissing", "VolumeSnapshotContent old is missing"),
        (
            a_content(a_snapshot("tuesday"), name="old", uid="", handle="fast/kept"),
            "SnapshotBindFailed",
            "spec.volumeSnapshotRef of old is default/tuesday",
        ),
        (
            a_content(a_snapshot(), name="old", uid="another", handle="fast/kept"),
            "SnapshotBindFailed",
            "with uid another",
        ),
        (a_content(a_snapshot(), name="old"), "SnapshotBindFailed", "is made of a volume"),
        (
            a_content(a_snapshot(), name="old", uid="", handle="fast/kept", deleted=True),
            "SnapshotBindFailed",
            "old is being deleted",
        ),
    ],
)
def test_a_content_that_does_not_fit_is_not_bound(
    content: SnapshotContent | None, reason: str, why: str
) -> None:
    snapshot = a_snapshot(of="", content="old")
    decision = decided(snapshot, *([content] if content else []))
    assert reasons(decision) == [("Warning", reason)]
    new = after(decision, snapshot)
    assert new.content_name == ""
    assert new.status.error is not None
    assert why in new.status.error.message


def test_a_snapshot_whose_content_was_lost_is_not_cut_again() -> None:
    bare = a_snapshot()
    snapshot = ready(bare, a_content(bare))
    decision = decided(snapshot, *a_pair(), a_snapshot_class(default=True), a_pool())
    assert decision.making is None
    assert reasons(decision) == [("Warning", "SnapshotContentMissing")]
    assert after(decision, snapshot).status.ready_to_use is False


# Deleted


def leaving(snapshot: Snapshot, *things: View, waiting: Sequence[Claim] = ()) -> Decision:
    return snapshot_decision(snapshot, Seen(things, waiting), NOW)


GONE = a_snapshot(content="snapcontent-uid-monday", finalizers=BOTH, deleted=True)


@pytest.mark.rule("18.35")
def test_a_snapshot_stays_while_a_claim_is_restored_from_it() -> None:
    decision = leaving(GONE, a_content(GONE), waiting=[from_snapshot()])
    assert (decision.writes, decision.delete) == ((), None)
    assert reasons(decision) == [("Warning", "SnapshotDeletePending")]
    assert "default/new" in decision.events[0].message


@pytest.mark.rule("18.33")
def test_its_content_is_told_first_then_deleted_then_it_goes() -> None:
    content = a_content(GONE)
    first = leaving(GONE, content)
    told = after(first, content)
    assert told.annotations[SNAPSHOT_GOING] == "yes"
    assert (after(first, GONE), first.delete) == (GONE, None)
    second = leaving(GONE, told)
    assert second.delete == told
    assert after(second, GONE).metadata.finalizers == ()


@pytest.mark.rule("18.34")
def test_a_content_of_policy_retain_is_told_and_stays() -> None:
    decision = leaving(GONE, a_content(GONE, policy="Retain", annotations=GOING))
    assert decision.delete is None
    assert after(decision, GONE).metadata.finalizers == ()


@pytest.mark.parametrize("content", [None, a_content(GONE, uid="another")])
def test_without_a_content_of_its_own_it_just_goes(content: SnapshotContent | None) -> None:
    decision = leaving(GONE, *([content] if content else []))
    assert after(decision, GONE).metadata.finalizers == ()
    assert decision.delete is None


# Contents by themselves


@pytest.mark.rule("18.33", "18.34")
@pytest.mark.parametrize("other", [None, a_snapshot("monday").with_metadata(uid="another")])
def test_a_content_whose_snapshot_was_seen_going_goes_by_its_policy(
    other: Snapshot | None,
) -> None:
    told = a_content(a_snapshot(), annotations=GOING)
    assert content_decision(told, other, None).delete == told
    kept = a_content(a_snapshot(), policy="Retain", annotations=GOING)
    assert content_decision(kept, other, None)[1:5] == ((), (), None, None)


@pytest.mark.parametrize("other", [None, a_snapshot("monday").with_metadata(uid="another")])
def test_a_content_that_was_copied_here_without_its_snapshot_keeps_its_data(
    other: Snapshot | None,
) -> None:
    copied = a_content(a_snapshot(), handle="fast/kept")
    assert content_decision(copied, other, None)[1:5] == ((), (), None, None)


def test_a_content_that_waits_for_its_snapshot_is_left_alone() -> None:
    content = a_content(a_snapshot(), name="old", uid="", handle="fast/kept")
    assert content_decision(content, None, None).writes == ()


@pytest.mark.rule("18.36")
def test_a_content_is_protected_and_knows_its_pool() -> None:
    snapshot = a_snapshot()
    content = a_content(snapshot, annotations={}, finalizers=())
    new = after(content_decision(content, snapshot, in_pool(a_volume("pvc-db"))), content)
    assert new.has_finalizer(CONTENT_BOUND)
    assert new.pool == "fast"


@pytest.mark.parametrize(
    ("handle", "pool", "asset"),
    [
        ("", "fast", "snapshot-uid-monday"),
        ("slow/snapshot-1", "slow", "snapshot-1"),
        ("without", "fast", "snapshot-uid-monday"),
    ],
)
def test_a_handle_tells_pool_and_asset(handle: str, pool: str, asset: str) -> None:
    content = a_content(a_snapshot(), handle=handle)
    assert (content.pool, content.asset) == (pool, asset)


# Claims that something is made from


@pytest.mark.rule("18.37")
@pytest.mark.parametrize(
    ("snapshots", "kept"),
    [
        ([], False),
        ([a_snapshot(content="c")], True),
        ([a_snapshot()], False),  # not begun
        ([a_snapshot(content="c", creation_time=CREATED)], False),  # cut
        ([a_snapshot(content="c", error=SnapshotError(message="no"))], False),
        ([a_snapshot(content="c", deleted=True)], False),
    ],
)
def test_a_claim_is_kept_while_a_snapshot_of_it_is_cut(
    snapshots: list[Snapshot], kept: bool
) -> None:
    claim = a_pair()[0].with_finalizer(CLAIM_AS_SOURCE)
    new = after(source_decision(claim, snapshots, []), claim)
    assert new.has_finalizer(CLAIM_AS_SOURCE) == kept


@pytest.mark.rule("2.16", "18.16")
@pytest.mark.parametrize("clones", [[], [from_claim()]])
def test_a_claim_is_kept_while_it_is_cloned(clones: list[Claim]) -> None:
    claim = a_pair()[0].with_finalizer(CLONING_PROTECTION)
    new = after(source_decision(claim, [], clones), claim)
    assert new.has_finalizer(CLONING_PROTECTION) == bool(clones)


def test_a_claim_being_deleted_is_let_go_as_any_other() -> None:
    claim = a_pair(deleted=True)[0].with_finalizer(SNAPSHOT_BOUND).with_finalizer(CLAIM_AS_SOURCE)
    new = after(source_decision(claim, [], []), claim)
    assert new.metadata.finalizers == (SNAPSHOT_BOUND,)
    assert SNAPSHOT_AS_SOURCE not in new.metadata.finalizers
