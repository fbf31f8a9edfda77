"""What a pool still has: capacity, grants and quotas, and its account whatever volumes do."""

import random

import msgspec
import pytest

from mooring.model.metadata import Metadata
from mooring.model.pool import Pool, PoolNamespace, PoolSpec
from mooring.model.quantity import Quantity
from mooring.model.volume import Volume
from mooring.rules.pool_room import charged, recharged, refusal, refused_change, room_for
from tests.rules.making import LONG_AGO, a_volume, pointer

GIB = Quantity.parse("1Gi")


def a_pool(capacity: str | None = None, **grants: str) -> Pool:
    """Granted to everybody, or as said: a_pool(default="2Gi", other="")."""
    named = tuple(PoolNamespace(name=name, quota=quota or None) for name, quota in grants.items())
    spec = PoolSpec(root="/srv/pool", capacity=capacity, namespaces=named if grants else None)
    return Pool(metadata=Metadata(name="p"), spec=spec)


def of(namespace: str, size: str = "1Gi", name: str = "v") -> Volume:
    ref = msgspec.structs.replace(pointer("db"), namespace=namespace) if namespace else None
    return a_volume(name, size=size, claim=ref, pool="p")


def filled(pool: Pool, *volumes: Volume) -> Pool:
    for volume in volumes:
        pool = recharged(pool, None, volume)
    return pool


@pytest.mark.parametrize(
    ("pool", "namespace", "size", "why"),
    [
        (a_pool(), "any", "100Ti", ""),
        (a_pool("2Gi"), "any", "1Gi", ""),
        (
            a_pool("2Gi"), "any", "1025Mi",
            "pool p has 2Gi, 1Gi is taken, asked for 1025Mi",
        ),
        (a_pool(default=""), "default", "100Ti", ""),
        (a_pool(other=""), "default", "1Gi", "pool p is not granted to namespace default"),
        (a_pool(default="2Gi"), "default", "1Gi", ""),
        (
            a_pool(default="2Gi"), "default", "1025Mi",
            "pool p: namespace default may take 2Gi, has 1Gi, asked for 1025Mi more",
        ),
        (a_pool(**{"*": "2Gi"}), "default", "1Gi", ""),
        (a_pool(**{"*": "", "default": "1Gi"}), "default", "1Gi",
         "pool p: namespace default may take 1Gi, has 1Gi, asked for 1Gi more"),
    ],
)  # fmt: skip
def test_a_volume_finds_room_or_is_told_why_not(
    pool: Pool, namespace: str, size: str, why: str
) -> None:
    pool = filled(pool, of("default"))
    assert refusal(pool, namespace, Quantity.parse(size)) == why


def test_a_pool_being_deleted_gives_no_more_and_takes_back() -> None:
    metadata = Metadata(name="p", deletion_timestamp=LONG_AGO)
    pool = msgspec.structs.replace(filled(a_pool(), of("a")), metadata=metadata)
    assert refusal(pool, "a", GIB) == "pool p is being deleted"
    assert room_for(pool, "a") == Quantity(0)
    assert refused_change(pool, of("a"), None) == ""


def test_the_quota_of_star_is_for_each_namespace_alone() -> None:
    pool = filled(a_pool(**{"*": "1Gi"}), of("a"))
    assert refusal(pool, "a", GIB)
    assert refusal(pool, "b", GIB) == ""


@pytest.mark.parametrize(
    ("pool", "left"),
    [
        (a_pool(), None),
        (a_pool("3Gi"), "2Gi"),
        (a_pool("1Gi"), "0"),
        (a_pool(default="2Gi"), "1Gi"),
        (a_pool("10Gi", default="2Gi"), "1Gi"),
        (a_pool("1536Mi", default="4Gi"), "512Mi"),
        (a_pool(other=""), "0"),
    ],
)
def test_room_left_for_a_namespace(pool: Pool, left: str | None) -> None:
    found = room_for(filled(pool, of("default")), "default")
    assert (found and found.canonical()) == left or (found == Quantity(0) and left == "0")


def test_the_account_names_volumes_and_sizes_by_namespace() -> None:
    pool = filled(a_pool(), of("a"), of("a", "2Gi"), of("b"), of(""))
    assert (pool.status.volumes, pool.status.allocated) == (4, "5Gi")
    by = {name: (use.volumes, use.allocated) for name, use in pool.status.namespaces.items()}
    assert by == {"a": (2, "3Gi"), "b": (1, "1Gi"), "": (1, "1Gi")}


def test_the_account_of_an_empty_pool_is_as_at_first() -> None:
    pool = filled(a_pool(), of("a"), of("b", "2Gi"))
    for volume in (of("a"), of("b", "2Gi")):
        pool = recharged(pool, volume, None)
    assert (pool.status.volumes, pool.allocated, pool.status.namespaces) == (0, Quantity(0), {})


def test_no_account_goes_below_nothing() -> None:
    pool = charged(filled(a_pool(), of("a")), "a", Quantity.parse("5Gi"), -1)
    pool = charged(pool, "a", GIB, -1)
    assert (pool.status.volumes, pool.allocated, pool.status.namespaces) == (0, Quantity(0), {})


def test_a_volume_that_did_not_change_changes_no_account() -> None:
    pool = filled(a_pool(), of("a"))
    assert recharged(pool, of("a"), of("a")) is pool
    assert recharged(pool, of("a"), of("a").with_status(phase="Bound")) is pool


def test_a_volume_that_changes_is_charged_as_it_is_now() -> None:
    pool = filled(a_pool(), of("a"))
    grown = recharged(pool, of("a"), of("a", "3Gi"))
    assert (grown.status.volumes, grown.status.allocated) == (1, "3Gi")
    moved = recharged(grown, of("a", "3Gi"), of("b", "3Gi"))
    assert set(moved.status.namespaces) == {"b"}
    freed = recharged(moved, of("b", "3Gi"), of("", "3Gi"))
    assert (freed.status.allocated, set(freed.status.namespaces)) == ("3Gi", {""})


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        (None, of("default", "2Gi"), False),
        (None, of("default", "3Gi"), True),
        (None, of("other"), True),
        (of("default"), of("default", "2Gi"), False),
        (of("default"), of("default", "4Gi"), True),
        (of("default", "4Gi"), of("default", "3Gi"), False),
        (of("default"), of("other"), False),
        (of("other", "9Gi"), None, False),
    ],
)
def test_what_takes_more_room_is_asked_for(
    old: Volume | None, new: Volume | None, refused: bool
) -> None:
    pool = a_pool(default="2Gi")
    assert bool(refused_change(pool, old, new)) == refused


def test_whatever_volumes_do_the_account_is_their_sum() -> None:
    choice = random.Random(7)
    pool, there = a_pool(), dict[str, Volume]()
    for _ in range(500):
        name = f"v{choice.randrange(12)}"
        old = there.pop(name, None)
        new = None
        if old is None or choice.random() < 0.6:
            size = choice.choice(["1Gi", "2Gi", "1G", "100Mi", "1500m"])
            new = there[name] = of(choice.choice(["a", "b", ""]), size, name)
        pool = recharged(pool, old, new)
        total = Quantity(0)
        for volume in there.values():
            total = total.plus(volume.capacity)
        assert (pool.allocated, pool.status.volumes) == (total, len(there))
        counts = {key: use.volumes for key, use in pool.status.namespaces.items()}
        assert sum(counts.values()) == len(there)
