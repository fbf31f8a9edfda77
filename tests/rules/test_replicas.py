"""Which hosts have replicas, what they are called, and what becomes of the former home."""

import msgspec
import pytest

from mooring.model.home import Copy, CopyState, Elsewhere, Home
from mooring.model.names import ELSEWHERE, HOME
from mooring.model.volume import Volume
from mooring.rules.moving import is_to_be_deleted
from mooring.rules.replicas import (
    beginning,
    cut_at,
    cut_ms,
    is_kept_on,
    is_replicated,
    kept_at_home,
    lacks,
    newest,
    promoted,
    received,
    replica_name,
    uid_in,
)
from mooring.rules.volume_explanation import explained_volume
from tests.rules.making import a_volume

UID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
MARK = "0a1b2c3d"
AT_MS = 1_767_323_045_678
WHOLE = CopyState.REPLICA


def replicated(*copies: Copy, elsewhere: str = Elsewhere.REPLICA) -> Volume:
    volume = a_volume(annotations={ELSEWHERE: elsewhere, HOME: "a/pool-a"})
    return volume.with_copies(*copies)


def copy(node: str, state: CopyState = CopyState.REPLICA) -> Copy:
    return Copy(node=node, pool=f"pool-{node}", state=state, size="1Gi")


def test_a_name_says_of_what_and_when() -> None:
    name = replica_name(UID, AT_MS, MARK)
    assert (uid_in(name), cut_ms(name)) == (UID, AT_MS)
    assert cut_at(name) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("name", ["replica-x-1", f"replica-{UID}-12", f"snapshot-{UID}", ""])
def test_other_snapshots_are_no_replicas(name: str) -> None:
    assert (uid_in(name), cut_ms(name)) == ("", 0)


def test_the_newest_is_the_one_that_was_cut_last() -> None:
    assert newest([replica_name(UID, 9, MARK), replica_name(UID, 10, MARK)]) == replica_name(
        UID, 10, MARK
    )
    assert newest([]) == ""


def test_replicas_are_of_volumes_of_such_a_class_while_anybody_may_want_them() -> None:
    assert is_replicated(replicated())
    assert not is_replicated(replicated(elsewhere=Elsewhere.MOVE))
    released = msgspec.structs.replace(replicated().status, phase="Released")
    kept = msgspec.structs.replace(replicated(), status=released)
    kept = kept.with_spec(persistent_volume_reclaim_policy="Retain")
    assert is_replicated(kept)
    assert not is_to_be_deleted(kept, copy("b"))
    gone = kept.with_spec(persistent_volume_reclaim_policy="Delete")
    assert not is_replicated(gone)
    assert is_to_be_deleted(gone, copy("b"))


def test_what_is_to_go_is_no_replica() -> None:
    volume = replicated(copy("b"), copy("c", CopyState.LEAVING))
    assert (is_kept_on(volume, "b"), is_kept_on(volume, "c")) == (True, False)
    assert not is_kept_on(volume, "d")


def test_hosts_that_are_gone_are_made_up_for() -> None:
    volume = replicated(copy("b"), copy("c", CopyState.STALE))
    assert lacks(volume, 2, {"a", "b", "c"}) == 0
    assert lacks(volume, 2, {"a", "c"}) == 1
    assert lacks(volume, 3, {"a", "b", "c"}) == 1
    assert lacks(replicated(elsewhere=Elsewhere.MOVE), 2, {"a"}) == 0


def test_a_replica_is_charged_before_it_is_there_and_whole_as_of_a_snapshot() -> None:
    begun = beginning(replicated(), Home("b", "pool-b"))
    assert begun.copies == (Copy(node="b", pool="pool-b", size="1Gi"),)
    whole = received(begun, "b", replica_name(UID, AT_MS, MARK))
    assert whole.copies == (
        Copy(node="b", pool="pool-b", state=WHOLE, size="1Gi", at="2026-01-02T03:04:05Z"),
    )


def test_the_former_home_has_something_stale_and_other_replicas_stay() -> None:
    after = promoted(replicated(copy("b"), copy("c")), "c")
    assert after.home == Home("c", "pool-c")
    assert after.copies == (
        Copy(node="a", pool="pool-a", state=CopyState.STALE, size="1Gi"),
        copy("b"),
    )


def test_a_home_keeps_the_newest_and_what_each_other_has_as_well() -> None:
    oldest, old, middle, new = (replica_name(UID, at, MARK) for at in (1, 2, 3, 4))
    mine = {oldest, old, middle, new}
    # What was sent last may not have come to its disk: then the one before is gone on from.
    assert kept_at_home(mine, {"b": {oldest, old, middle}}, {"b"}) == {old, middle, new}
    assert kept_at_home(mine, {"b": {old}, "c": {middle}}, {"b", "c"}) == {old, middle, new}
    assert kept_at_home(mine, {"b": set()}, {"b"}) == {new}
    assert kept_at_home(mine, {}, set()) == {new}
    assert kept_at_home(mine, {}, {"b"}) == mine  # nobody knows yet what it has


def test_people_are_told_where_it_is_and_how_old_its_replicas_are() -> None:
    volume = replicated(copy("b", CopyState.STALE), copy("c").as_(WHOLE, at="2026-01-02T03:04:05Z"))
    found = explained_volume(volume, None, [])
    assert found.details[1:4] == (
        "its data is at home on a, in pool pool-a",
        "b: stale",
        "c: replica as of 2026-01-02T03:04:05Z",
    )
