"""Where the data of a volume is that may come to other hosts, and what its pools are charged."""

import msgspec
import pytest

from mooring.model.home import (
    NOWHERE,
    Copy,
    CopyState,
    Elsewhere,
    Home,
    home_of,
    replica_count,
    replica_every_s,
)
from mooring.model.names import COPIES, ELSEWHERE, GROWS_TO, HOME
from mooring.model.quantity import Quantity
from mooring.model.selector import only_node
from mooring.model.volume import CSISource, Volume
from tests.rules.making import a_volume

GIB = Quantity.parse("1Gi")
ARRIVING = Copy(node="b", pool="local-b", state=CopyState.ARRIVING, size="1Gi")


def movable(**annotations: str) -> Volume:
    told = {HOME: "a/local-a", ELSEWHERE: "move", **annotations}
    affinity = only_node("volume.mooring.dev/v1", "true")
    volume = a_volume("v1", annotations=told, affinity=affinity)
    csi = CSISource(
        driver="btrfs.mooring.dev", volume_attributes={"mooring.dev/pool": "local-first"}
    )
    return volume.with_spec(csi=csi)


def test_its_home_is_where_it_is_whatever_it_was_made_in() -> None:
    volume = movable()
    assert (volume.home, volume.pool, volume.hosts) == (Home("a", "local-a"), "local-a", ("a",))
    assert volume.reached_from({}, "a")
    assert not volume.reached_from({"volume.mooring.dev/v1": "true"}, "b")
    assert volume.elsewhere is Elsewhere.MOVE
    assert volume.is_for_one_host


def test_without_a_home_its_affinity_and_its_attributes_count() -> None:
    volume = movable().without_annotations(HOME, ELSEWHERE)
    assert (volume.home, volume.pool, volume.hosts) == (None, "local-first", ())
    assert volume.reached_from({"volume.mooring.dev/v1": "true"}, "b")
    assert volume.elsewhere is Elsewhere.REFUSE


@pytest.mark.parametrize("text", ["", "a", "/p", "a/", "a/b/c"])
def test_a_home_that_is_none_is_nowhere(text: str) -> None:
    assert home_of(text) == NOWHERE
    volume = movable(**{HOME: text})
    assert (volume.pool, volume.reached_from({}, "a")) == ("", False)


def test_each_pool_is_charged_with_what_is_there() -> None:
    volume = movable(**{GROWS_TO: "2Gi"}).with_copy(ARRIVING)
    assert volume.charges == {"local-a": Quantity.parse("2Gi"), "local-b": GIB}
    assert movable().without_annotations(HOME).charges == {"local-first": GIB}


def test_copies_are_written_and_read_and_the_same_look_the_same() -> None:
    other = Copy(node="c", pool="p", state=CopyState.REPLICA, size="5Gi", at="2026-01-01T00:00:00Z")
    volume = movable().with_copy(other).with_copy(ARRIVING)
    assert volume.annotations == movable().with_copies(ARRIVING, other).annotations
    assert volume.copies == (ARRIVING, other)
    assert volume.copy_on("b") == ARRIVING
    leaving = ARRIVING.as_(CopyState.LEAVING)
    assert volume.with_copy(leaving).copy_on("b") == leaving
    assert volume.without_copy("b").without_copy("c") == movable()


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"state":"none"}]'])
def test_copies_that_are_none_are_no_copies(text: str) -> None:
    assert movable(**{COPIES: text}).copies == ()


def test_its_home_passes_in_a_change_that_charges_nobody_else() -> None:
    before = movable().with_copy(ARRIVING)
    left = Copy(node="a", pool="local-a", state=CopyState.LEAVING, size="1Gi")
    after = before.at_home(Home("b", "local-b")).with_copies(left)
    assert after.charges == before.charges
    assert msgspec.json.encode(after)


@pytest.mark.parametrize(
    ("text", "time_s"),
    [(None, 10.0), ("5s", 5.0), ("2m", 120.0), ("1h", 3600.0), ("24h", 86400.0)]
    + [(text, None) for text in ("", "5", "0s", "25h", "1.5s", "-1s", "٣s", "5s\n", "999999s")],
)
def test_how_often_replicas_are_sent(text: str | None, time_s: float | None) -> None:
    assert replica_every_s(text) == time_s


@pytest.mark.parametrize(("text", "count"), [(None, 1), ("1", 1), ("4", 4), ("0", None),
                                             ("5", None), ("01", None), ("x", None)])  # fmt: skip
def test_how_many_replicas_there_are(text: str | None, count: int | None) -> None:
    assert replica_count(text) == count
