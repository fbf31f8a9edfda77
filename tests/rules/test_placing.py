"""Which host makes a volume that waits for no consumer."""

from collections.abc import Mapping, Set

import msgspec
import pytest

from mooring.model.metadata import Metadata
from mooring.model.names import DIRECTORY_DRIVER, IMMEDIATE, WAIT_FOR_FIRST_CONSUMER
from mooring.model.node import Node, NodeCondition, NodeStatus
from mooring.model.pool import Condition, Pool, PoolCapacity, PoolNamespace, PoolSpec, PoolStatus
from mooring.model.quantity import parse_quantity
from mooring.model.storage_class import StorageClass, TopologyExpression, TopologyTerm
from mooring.rules.placing import Place, Rooms, has_to_be_placed
from tests.rules.making import a_claim

HOSTS = {"a", "b", "c"}


def a_class(mode: str = IMMEDIATE, **parameters: str) -> StorageClass:
    return StorageClass(
        metadata=Metadata(name="local"),
        provisioner=DIRECTORY_DRIVER,
        volume_binding_mode=mode,
        parameters=parameters,
    )


def a_pool(
    node: str,
    *,
    name: str = "",
    capacity: str | None = None,
    allocated: str = "0",
    disk: str | None = None,
    ready: str = "True",
    driver: str = DIRECTORY_DRIVER,
    namespaces: tuple[PoolNamespace, ...] | None = None,
) -> Pool:
    place = PoolCapacity(total=disk) if disk is not None else None
    return Pool(
        metadata=Metadata(name=name or f"local-{node}"),
        spec=PoolSpec(driver=driver, node=node, capacity=capacity, namespaces=namespaces),
        status=PoolStatus(
            allocated=allocated,
            capacity=place,
            conditions=(Condition(type="Ready", status=ready),),
        ),
    )


def rooms(*pools: Pool, hosts: Set[str] = HOSTS, **labels: str) -> Rooms:
    """labels: zones of hosts by name"""
    made = Rooms()
    for name in hosts:
        condition = NodeCondition(type="Ready", status="True")
        named = Metadata(name=name, labels={"zone": labels.get(name, "")})
        made.put_node(name, Node(metadata=named, status=NodeStatus(conditions=(condition,))))
    for pool in pools:
        made.put_pool(pool.name, pool)
    return made


def chosen(
    *pools: Pool,
    size: str = "1Gi",
    hosts: Set[str] = HOSTS,
    promised: Mapping[str, str] | None = None,
    refused: Set[str] = frozenset(),
    only: str = "",
) -> Place:
    known = rooms(*pools, hosts=hosts)
    for name, one in (promised or {}).items():
        known.promise(name, parse_quantity(one))
    return known.best(a_claim(size=size), a_class(), refused, only)


@pytest.mark.parametrize(
    ("class_", "pools", "wanted"),
    [
        (a_class(), [a_pool("a"), a_pool("b")], True),
        (a_class(), [a_pool("a")], False),
        (a_class(), [a_pool("a"), a_pool("")], False),
        (a_class(), [a_pool("a"), a_pool("a", name="other")], False),
        (a_class(), [a_pool("a"), a_pool("b", driver="btrfs.mooring.dev")], False),
        (a_class(pool="local-a"), [a_pool("a"), a_pool("b")], False),
        (a_class(WAIT_FOR_FIRST_CONSUMER), [a_pool("a"), a_pool("b")], False),
    ],
)
def test_a_host_is_chosen_where_several_could_make_it(
    class_: StorageClass, pools: list[Pool], wanted: bool
) -> None:
    assert has_to_be_placed(class_, pools) is wanted


def test_the_one_with_most_room_by_its_limits() -> None:
    found = chosen(a_pool("a", capacity="10Gi", allocated="7Gi"), a_pool("b", capacity="5Gi"))
    assert found == Place("b", "local-b")


def test_the_one_with_most_room_on_its_disk_that_is_not_promised() -> None:
    found = chosen(a_pool("a", disk="100Gi", allocated="90Gi"), a_pool("b", disk="50Gi"))
    assert found.node == "b"


def test_the_lesser_of_both_counts() -> None:
    tight = a_pool("a", disk="100Gi", capacity="2Gi")
    assert chosen(tight, a_pool("b", disk="50Gi", capacity="40Gi")).node == "b"


def test_what_was_promised_a_moment_ago_counts_as_taken() -> None:
    pools = a_pool("a", capacity="10Gi"), a_pool("b", capacity="9Gi")
    assert chosen(*pools).node == "a"
    assert chosen(*pools, promised={"local-a": "2Gi"}).node == "b"


def test_one_that_is_promised_away_is_full() -> None:
    found = chosen(a_pool("a", capacity="10Gi"), size="2Gi", promised={"local-a": "9Gi"})
    assert found == Place(why="pool local-a has 1Gi left, asked for 2Gi")


def test_a_place_that_nobody_has_looked_at_comes_last() -> None:
    assert chosen(a_pool("a"), a_pool("b", disk="2Gi")).node == "b"
    assert chosen(a_pool("a", allocated="1Gi"), a_pool("b")).node == "b"


def test_a_host_that_is_away_or_takes_nothing_new_is_left_out() -> None:
    pools = a_pool("a", disk="100Gi"), a_pool("b", disk="10Gi")
    assert chosen(*pools, hosts={"b"}).node == "b"
    none = f"no host is Ready with one pool of {DIRECTORY_DRIVER} that is well"
    assert chosen(*pools, hosts=set()).why == none


def test_why_no_host_can_make_it_names_some_and_counts_the_others() -> None:
    hosts = {f"h{number}" for number in range(10)}
    full = [a_pool(name, capacity="1Gi", allocated="1Gi") for name in sorted(hosts)]
    found = chosen(
        *full[:1], a_pool("c", namespaces=(PoolNamespace(name="other"),)), hosts={"h0", "c"}
    )
    assert found.why == (
        "pool local-h0 has 0 left, asked for 1Gi; pool local-c is not granted to namespace default"
    )
    assert chosen(*full, hosts=hosts).why.endswith(
        "pool local-h2 has 0 left, asked for 1Gi; nor can 7 others"
    )


def test_a_pool_that_is_not_well_is_left_out() -> None:
    assert chosen(a_pool("a", disk="9Gi", ready="False"), a_pool("b", disk="2Gi")).node == "b"


def test_the_one_host_that_has_what_it_is_filled_from() -> None:
    pools = a_pool("a", disk="100Gi"), a_pool("b", disk="10Gi")
    assert chosen(*pools, only="b").node == "b"
    assert chosen(*pools, only="c").why.startswith("c is not Ready with one pool")


def test_a_host_where_the_class_allows_it() -> None:
    term = TopologyTerm(match_label_expressions=(TopologyExpression(key="zone", values=("zb",)),))
    class_ = msgspec.structs.replace(a_class(), allowed_topologies=(term,))
    pools = a_pool("a", disk="100Gi"), a_pool("b", disk="10Gi")
    assert rooms(*pools, a="za", b="zb").best(a_claim(), class_).node == "b"
    assert "allowedTopologies" in rooms(*pools, a="za", b="zc").best(a_claim(), class_).why


def test_what_changes_is_known_by_the_next_claim() -> None:
    known = rooms(a_pool("a", disk="10Gi"), a_pool("b", disk="9Gi"))
    known.put_pool("local-a", a_pool("a", disk="10Gi", allocated="5Gi"))
    assert known.best(a_claim(), a_class()).node == "b"
    known.promise("local-b", parse_quantity("5Gi"))
    assert known.best(a_claim(), a_class()).node == "a"
    known.put_pool("local-b", a_pool("b", disk="11Gi"))  # what was promised of it stays promised
    assert known.best(a_claim(size="7Gi"), a_class()).why
    known.promise("local-b", parse_quantity("-5Gi"))
    assert known.best(a_claim(size="7Gi"), a_class()).node == "b"
    known.put_pool("local-b", None)
    assert not known.has_several(DIRECTORY_DRIVER)


def test_a_host_with_two_pools_of_the_driver_cannot_say_which() -> None:
    found = chosen(a_pool("a"), a_pool("a", name="other"), a_pool("b"))
    assert found.node == "b"


def test_one_that_has_tried_and_failed_is_the_last_resort() -> None:
    pools = a_pool("a", disk="100Gi"), a_pool("b", disk="10Gi")
    assert chosen(*pools, refused={"a"}).node == "b"
    assert chosen(*pools, refused={"a", "b"}).node == "a"
