"""`mooring explain snapshot`: each state, why, and what would help."""

from collections.abc import Sequence

import pytest

from mooring.model.claim import Claim
from mooring.model.metadata import View
from mooring.model.snapshot import Snapshot, SnapshotContent, SnapshotError
from mooring.rules.explanation import Explanation
from mooring.rules.snapshot_explanation import explained_snapshot
from tests.rules.snapshot_making import (
    BOTH,
    a_content,
    a_pair,
    a_snapshot,
    a_snapshot_class,
    from_snapshot,
    ready,
)
from tests.rules.test_snapshots import Seen

BOUND = a_snapshot(content="snapcontent-uid-monday", finalizers=BOTH)


def explained(snapshot: Snapshot, *things: View, waiting: Sequence[Claim] = ()) -> Explanation:
    content = next((one for one in things if isinstance(one, SnapshotContent)), None)
    return explained_snapshot(snapshot, content, Seen(things, waiting))


def test_one_that_is_ready_says_what_it_is_of_and_where() -> None:
    content = a_content(BOUND, snapshot_handle="fast/snapshot-1", policy="Retain")
    found = explained(ready(BOUND, content), content, waiting=[from_snapshot()])
    assert found.lines() == [
        "snapshot default/monday is Ready: it is of claim default/db, as that was at "
        "2026-01-02T03:04:05Z",
        "  it is fast/snapshot-1 of btrfs.mooring.dev, in content snapcontent-uid-monday",
        "  a claim that is restored from it needs at least 1Gi",
        "  by deletionPolicy Retain its data goes not with it, but stays in the pool",
        "  claims wait to be filled from it: default/new",
    ]


@pytest.mark.parametrize(
    ("snapshot", "things", "state", "why", "help_"),
    [
        (a_snapshot(class_="none"), a_pair(), "Failed", '"none" not found', "create Volume"),
        (a_snapshot(), a_pair(), "Failed", "cannot find default", "exactly one Volume"),
        (a_snapshot(class_="snaps"), (), "Failed", "claim db does not exist", "create claim db"),
        (
            a_snapshot(class_="snaps"),
            (*a_pair(), a_snapshot_class()),
            "Pending",
            "about to be made",
            "",
        ),
        (BOUND, (a_content(BOUND),), "Pending", "the host with pool fast is to cut it", ""),
        (
            BOUND,
            (a_content(BOUND, error=SnapshotError(message="pool fast is full")),),
            "Failed",
            "pool fast is full",
            "if that can be put right",
        ),
        (
            a_snapshot(of="", content="old"),
            (),
            "Failed",
            "VolumeSnapshotContent old is missing",
            "create the content again",
        ),
        (
            a_snapshot(finalizers=BOTH, deleted=True),
            (),
            "Terminating",
            "it goes in a moment",
            "",
        ),
    ],
)
def test_one_that_is_not_says_why(
    snapshot: Snapshot, things: tuple[View, ...], state: str, why: str, help_: str
) -> None:
    found = explained(snapshot, *things)
    assert found.state == state
    assert why in found.why
    assert found.help.startswith(help_)
    assert bool(found.help) == bool(help_)


def test_one_that_is_to_go_names_the_claims_that_keep_it() -> None:
    found = explained(a_snapshot(finalizers=BOTH, deleted=True), waiting=[from_snapshot()])
    assert "a claim is filled from it: default/new" in found.why
