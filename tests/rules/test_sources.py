"""Storage semantics §18: what a claim may be cloned or restored from; a test for each condition."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from mooring.model.claim import Claim
from mooring.model.names import ALLOW_MODE_CHANGE
from mooring.model.snapshot import Snapshot, SnapshotContent
from mooring.model.volume import Volume
from mooring.rules.sources import Origin, cloned, elsewhere, restored, source_mark
from tests.rules.making import a_claim, a_class
from tests.rules.snapshot_making import (
    DRIVER,
    a_content,
    a_pair,
    a_pool,
    a_snapshot,
    from_claim,
    from_other,
    from_snapshot,
    in_pool,
    pointing_elsewhere,
    ready,
)
from tests.spec.plugin import case

CLASS = a_class("fast", provisioner=DRIVER)
Pair = tuple[Claim | None, Volume | None]
Kept = tuple[Snapshot | None, SnapshotContent | None]


@pytest.mark.rule("18.14")
def test_a_clone_is_of_what_its_source_has() -> None:
    claim, volume = a_pair()
    assert cloned(from_claim(), CLASS, claim, volume) == Origin("fast", asset="pvc-db")


@pytest.mark.rule("18.13", "18.14")
def test_a_clone_may_be_larger_and_of_another_class_of_the_same_driver() -> None:
    claim, volume = a_pair()
    other = a_class("other", provisioner=DRIVER)
    assert isinstance(cloned(from_claim(size="2Gi", class_="other"), other, claim, volume), Origin)


def _pair(change: Callable[[Claim, Volume], Pair] = lambda *pair: pair, **claim: object) -> Pair:
    return change(*a_pair(**claim))


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        case("18.11", (None, None), "source claim default/db does not exist"),
        case("18.11", _pair(deleted=True), "source claim default/db is being deleted"),
        case("18.11", _pair(phase="Pending"), "source claim default/db is not Bound"),
        case("18.11", _pair(phase="Lost"), "source claim default/db is not Bound"),
        case("18.12", _pair(class_=None), "claim default/db has no storage class"),
        case("18.15", _pair(lambda claim, _: (claim, None)), "volume pvc-db is not its own"),
        case(
            "18.15",
            _pair(lambda claim, volume: (claim, pointing_elsewhere(volume))),
            "volume pvc-db is not its own",
        ),
        case(
            "18.13",
            _pair(lambda claim, volume: (claim, in_pool(volume, "loopfile.mooring.dev"))),
            "source claim default/db is of loopfile.mooring.dev, and class fast of btrfs",
        ),
        case(
            "18.13",
            _pair(lambda claim, volume: (claim, volume.with_spec(csi=None))),
            "source claim default/db is of no driver",
        ),
        case("18.13", _pair(volume_mode="Block"), "is of volumeMode Block, asked for Filesystem"),
        case(
            "18.14", _pair(size="2Gi"), "source claim default/db asks for 2Gi, and spec.resources"
        ),
    ],
)
def test_what_cannot_be_cloned(pair: Pair, why: str) -> None:
    found = cloned(from_claim(), CLASS, *pair)
    assert isinstance(found, str)
    assert why in found


@pytest.mark.rule("18.12")
def test_a_clone_needs_a_class_of_its_own() -> None:
    found = cloned(from_claim(class_=None), CLASS, *a_pair())
    assert found == "claim default/new has no storage class, and a clone needs one on both sides"


def test_nothing_is_cloned_from_itself() -> None:
    claim = from_claim("new")
    assert "from itself" in str(cloned(claim, CLASS, claim, None))


def _kept(
    snapshot: Callable[[Snapshot], Snapshot | None] = lambda one: one,
    content: Callable[[SnapshotContent], SnapshotContent | None] = lambda one: one,
    **fields: object,
) -> Kept:
    bare = a_snapshot()
    has = a_content(bare, snapshot_handle="fast/snapshot-1", ready_to_use=True, **fields)
    return snapshot(ready(bare, has)), content(has)


def test_a_restore_is_of_what_the_handle_of_its_content_says() -> None:
    assert restored(from_snapshot(), CLASS, *_kept()) == Origin("fast", snapshot="snapshot-1")


def _other(content: SnapshotContent) -> SnapshotContent:
    ref = replace(content.spec.volume_snapshot_ref, uid="another")
    return content.with_spec(volume_snapshot_ref=ref)


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        case("18.17", (None, None), "snapshot default/monday does not exist"),
        case(
            "18.17",
            _kept(lambda one: one.with_metadata(deletion_timestamp="2026-01-01T00:00:00Z")),
            "snapshot default/monday is being deleted",
        ),
        case(
            "18.17",
            _kept(lambda one: one.with_status(bound_volume_snapshot_content_name="")),
            "snapshot default/monday is not bound to a content yet",
        ),
        case(
            "18.17",
            _kept(lambda one: one.with_status(ready_to_use=False)),
            "snapshot default/monday is not ready to use",
        ),
        case(
            "18.17",
            _kept(lambda one: one.with_status(ready_to_use=None)),
            "snapshot default/monday is not ready to use",
        ),
        (_kept(content=lambda _: None), "which does not exist"),
        case("18.18", _kept(content=_other), "is not of snapshot default/monday"),
        case(
            "18.18",
            _kept(driver="loopfile.mooring.dev"),
            "snapshot default/monday is of loopfile.mooring.dev, and class fast of btrfs",
        ),
        case(
            "18.19",
            _kept(lambda one: one.with_status(restore_size="2Gi")),
            "snapshot default/monday needs 2Gi, and spec.resources.requests.storage is 1Gi",
        ),
        case("18.20", _kept(mode="Block"), f"has not annotation {ALLOW_MODE_CHANGE}=true"),
        case(
            "18.20",
            _kept(mode="Block", annotations={ALLOW_MODE_CHANGE: "yes"}),
            f"has not annotation {ALLOW_MODE_CHANGE}=true",
        ),
    ],
)
def test_what_cannot_be_restored(kept: Kept, why: str) -> None:
    found = restored(from_snapshot(), CLASS, *kept)
    assert isinstance(found, str)
    assert why in found


@pytest.mark.rule("18.20")
def test_another_volume_mode_may_be_had_if_the_content_says_so() -> None:
    kept = _kept(mode="Block", annotations={ALLOW_MODE_CHANGE: "true"})
    assert isinstance(restored(from_snapshot(), CLASS, *kept), Origin)


@pytest.mark.rule("18.19")
def test_a_restore_may_be_larger() -> None:
    assert isinstance(restored(from_snapshot(size="5Gi"), CLASS, *_kept()), Origin)


def test_a_source_in_another_pool_is_told_with_the_pool_to_use() -> None:
    there = Origin("fast", asset="pvc-db")
    assert elsewhere(there, a_pool("fast"), a_pool("fast")) == ""
    found = elsewhere(there, a_pool("slow"), a_pool("fast"))
    assert found.startswith("the source is in pool fast, and pool slow cannot be filled")
    assert found.endswith("use a StorageClass with parameter pool=fast")
    assert "in pool fast on far," in elsewhere(there, a_pool("slow"), a_pool("fast", node="far"))
    assert "'fast', which does not exist" in elsewhere(there, a_pool("slow"), None)


def test_claims_are_found_by_what_they_are_to_be_filled_from() -> None:
    assert source_mark(from_snapshot()) == "VolumeSnapshot default/monday"
    assert source_mark(from_claim()) == "PersistentVolumeClaim default/db"
    assert source_mark(from_other()) == ""
    assert source_mark(a_claim()) == ""
