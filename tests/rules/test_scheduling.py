"""The scheduler's part of §10 and §19, sentence by sentence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from mooring.model.claim import Claim
from mooring.model.csi import CsiDriver, StorageCapacity
from mooring.model.metadata import OwnerReference
from mooring.model.names import BIND_COMPLETED, HOSTNAME, SELECTED_NODE, Phase
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.selector import NodeAffinity, only_node
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.consumers import ConsumerIndex
from mooring.rules.scheduling import (
    NO_NODES,
    NO_SPACE,
    NO_SUCH_VOLUME,
    NO_VOLUMES,
    NODE_CONFLICT,
    UNBOUND_IMMEDIATE,
    USED_BY_OTHER,
    Plan,
    assigned,
    not_scheduled,
    placement,
    setback,
)
from tests.rules.making import NOW, a_claim, a_class, a_volume, pointer
from tests.rules.test_nodes import a_node
from tests.spec.plugin import case

ON_N1, ON_N2 = only_node(HOSTNAME, "n1"), only_node(HOSTNAME, "n2")
LATE = a_class("late", waits=True, provisioner="example.com")
AT_ONCE = a_class("now", provisioner="example.com")
BY_HAND = a_class("hand", waits=True, provisioner="kubernetes.io/no-provisioner")
N1, N2 = a_node("n1"), a_node("n2")


@dataclass
class World:
    """Answers rules.scheduling.World from what it was given."""

    claims: Sequence[Claim] = ()
    volumes: Sequence[Volume] = ()
    classes: Sequence[StorageClass] = (LATE, AT_ONCE, BY_HAND)
    drivers: Sequence[CsiDriver] = ()
    told: Sequence[StorageCapacity] = ()
    rivals: Collection[str] = field(default=())

    def claim(self, key: str) -> Claim | None:
        return next((one for one in self.claims if one.key == key), None)

    def volume(self, name: str) -> Volume | None:
        return next((one for one in self.volumes if one.name == name), None)

    def storage_class(self, name: str) -> StorageClass | None:
        return next((one for one in self.classes if one.name == name), None)

    def csi_driver(self, name: str) -> CsiDriver | None:
        return next((one for one in self.drivers if one.name == name), None)

    def capacities(self, class_name: str) -> Sequence[StorageCapacity]:
        return [one for one in self.told if one.storage_class_name == class_name]

    def free_volume(self, claim: Claim, node: Node, taken: Collection[str]) -> Volume | None:
        index = ConsumerIndex()
        for volume in self.volumes:
            index.put(volume)
        return index.choice(claim, self.volume, node.labels, node.name, taken)

    def has_rival(self, claim: Claim, pod: Pod) -> bool:
        return claim.name in self.rivals


def a_pod(*claims: str, own: Sequence[str] = (), **spec: Any) -> Pod:
    """own: names of volumes with a claim of the pod's own."""
    volumes: list[Any] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims
    ]
    volumes += [{"name": name, "ephemeral": {}} for name in own]
    metadata = {"name": "p", "namespace": "default", "uid": "uid-p"}
    return msgspec.convert({"metadata": metadata, "spec": {**spec, "volumes": volumes}}, Pod)


def bound(name: str = "db", volume: str = "v1", **fields: Any) -> Claim:
    marks = {BIND_COMPLETED: "yes"}
    return a_claim(name, volume=volume, annotations=marks, phase=Phase.BOUND, **fields)


def its(claim: Claim, *, uid: str = "uid-p", controller: bool = True) -> Claim:
    """A claim that was made for the pod."""
    owner = OwnerReference(kind="Pod", name="p", uid=uid, controller=controller)
    return claim.with_metadata(owner_references=(owner,))


def late(name: str = "db", selected: str | None = None, **fields: Any) -> Claim:
    marks = {} if selected is None else {SELECTED_NODE: selected}
    return a_claim(name, class_="late", annotations=marks, **fields)


def a_driver(*, tells: bool = True) -> CsiDriver:
    doc = {"metadata": {"name": "example.com"}, "spec": {"storageCapacity": tells}}
    return msgspec.convert(doc, CsiDriver)


def room(node: str | None = "n1", class_: str = "late", **sizes: str) -> StorageCapacity:
    doc: dict[str, Any] = {"metadata": {"name": "c"}, "storageClassName": class_, **sizes}
    if node is not None:
        doc["nodeTopology"] = {"matchLabels": {HOSTNAME: node}}
    return msgspec.convert(doc, StorageCapacity)


def why(count: int, *reasons: str) -> str:
    return f"0/{count} nodes are available: {', '.join(reasons)}."


# Claims that must be bound before


@pytest.mark.rule("10.38")
@pytest.mark.parametrize(
    ("world", "said"),
    [
        (World(), 'persistentvolumeclaim "db" not found'),
        (
            World([a_claim(phase=Phase.LOST, volume="v9")]),
            'persistentvolumeclaim "db" bound to non-existent persistentvolume "v9"',
        ),
        (World([bound(deleted=True)]), 'persistentvolumeclaim "db" is being deleted'),
        (World([a_claim(class_="now")]), UNBOUND_IMMEDIATE),
        (World([a_claim(class_="")]), UNBOUND_IMMEDIATE),
        (World([a_claim(class_="missing")]), UNBOUND_IMMEDIATE),
        (World([late(volume="v1")]), UNBOUND_IMMEDIATE),  # it names one itself
    ],
)
def test_immediate_and_pre_bound_claims_must_be_bound_before(world: World, said: str) -> None:
    assert placement(a_pod("db"), [N1, N2], world) == why(2, said)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ([], 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-own"'),
        (
            [bound("p-own")],
            "PVC default/p-own was not created for pod default/p (pod is not owner)",
        ),
        (
            [its(bound("p-own"), uid="old")],
            "PVC default/p-own was not created for pod default/p (pod is not owner)",
        ),
        (
            [its(bound("p-own"), controller=False)],
            "PVC default/p-own was not created for pod default/p (pod is not owner)",
        ),
    ],
)
def test_a_claim_of_the_pods_own_is_waited_for_and_must_be_its_own(
    claims: list[Claim], said: str
) -> None:
    world = World(claims, [a_volume()])
    assert placement(a_pod(own=["own"]), [N1], world) == why(1, said)


def test_a_pod_with_a_claim_of_its_own_is_placed() -> None:
    world = World([its(bound("p-own"))], [a_volume()])
    assert placement(a_pod(own=["own"]), [N1], world) == Plan("n1")


def test_where_there_is_no_node_nothing_is_placed() -> None:
    assert placement(a_pod("db"), [], World([bound()], [a_volume()])) == NO_NODES


# Bound volumes


@pytest.mark.rule("6.12")
@pytest.mark.parametrize(
    ("affinity", "found"),
    [
        (None, Plan("n1")),
        (ON_N1, Plan("n1")),
        (ON_N2, Plan("n2")),
        (only_node(HOSTNAME, "n3"), why(2, f"2 {NODE_CONFLICT}")),
    ],
)
def test_the_affinity_of_bound_volumes_must_match(
    affinity: NodeAffinity | None, found: Plan | str
) -> None:
    world = World([bound()], [a_volume(affinity=affinity)])
    assert placement(a_pod("db"), [N1, N2], world) == found


def test_a_volume_that_is_gone_keeps_every_node_away() -> None:
    assert placement(a_pod("db"), [N1], World([bound()])) == why(1, f"1 {NO_SUCH_VOLUME}")


def test_reasons_are_counted_and_in_order_and_all_of_a_nodes_volumes_count() -> None:
    claims = [bound("a", "va"), bound("b", "vb"), a_claim("c", class_="hand")]
    world = World(claims, [a_volume("va", affinity=ON_N1)])
    nodes = [N1, N2, a_node("n3", unschedulable=True)]
    assert placement(a_pod("a", "b", "c"), nodes, world) == why(
        3,
        f"1 {NODE_CONFLICT}",
        "1 node(s) were unschedulable",
        f"2 {NO_VOLUMES}",
        f"2 {NO_SUCH_VOLUME}",
    )


# One pod at most


@pytest.mark.rule("19.13")
def test_a_claim_for_one_pod_is_not_for_a_second() -> None:
    world = World([bound(modes="RWOP")], [a_volume(modes="RWOP")])
    assert placement(a_pod("db"), [N1], world) == Plan("n1")
    world.rivals = ["db"]
    assert placement(a_pod("db"), [N1, N2], world) == why(2, f"2 {USED_BY_OTHER}")
    world.claims = [bound()]
    assert placement(a_pod("db"), [N1], world) == Plan("n1")


# Claims that wait for the pod: volumes that are there


@pytest.mark.rule("10.31")
def test_first_a_volume_that_is_there_and_reached_is_chosen() -> None:
    volumes = [
        a_volume("a", class_="late", affinity=ON_N2),
        a_volume("b", class_="late", size="9Gi"),
    ]
    world = World([late()], volumes)
    assert placement(a_pod("db"), [N1], world) == Plan("n1", (("default/db", "b"),))
    assert placement(a_pod("db"), [N2], world) == Plan("n2", (("default/db", "a"),))


@pytest.mark.rule("6.11")
def test_the_smallest_claim_chooses_first_and_no_volume_is_for_two() -> None:
    volumes = [a_volume("small", class_="late"), a_volume("large", class_="late", size="5Gi")]
    world = World([late("x", size="3Gi"), late("y")], volumes)
    plan = Plan("n1", (("default/y", "small"), ("default/x", "large")))
    assert placement(a_pod("x", "y"), [N1], world) == plan


@pytest.mark.rule("6.11")
def test_of_two_equal_claims_each_gets_a_volume_of_its_own() -> None:
    volumes = [a_volume("small", class_="late"), a_volume("large", class_="late", size="5Gi")]
    world = World([late("x"), late("y")], volumes)
    plan = Plan("n1", (("default/x", "small"), ("default/y", "large")))
    assert placement(a_pod("x", "y"), [N1], world) == plan


def test_volumes_that_other_pods_are_about_to_get_are_not_chosen() -> None:
    world = World([a_claim(class_="hand")], [a_volume(class_="hand")])
    assert placement(a_pod("db"), [N1], world, {"v1"}) == why(1, f"1 {NO_VOLUMES}")


@pytest.mark.rule("6.13")
def test_a_volume_that_points_at_the_claim_decides_the_node() -> None:
    pointing = a_volume(claim=pointer(), affinity=ON_N2, class_="late")
    world = World([late()], [pointing, a_volume("v2", class_="late")], drivers=[a_driver()])
    found = placement(a_pod("db"), [N1, N2], world)
    assert found == Plan("n2", (("default/db", "v1"),))


def test_a_node_where_all_is_there_is_better_than_one_where_it_is_to_be_made() -> None:
    world = World([late()], [a_volume(class_="late", affinity=ON_N2)])
    assert placement(a_pod("db"), [N1, N2], world) == Plan("n2", (("default/db", "v1"),))


# Claims that wait for the pod: volumes that are to be made


@pytest.mark.rule("10.32")
def test_else_the_volume_is_made_on_the_node() -> None:
    assert placement(a_pod("db"), [N1], World([late()])) == Plan("n1", (), ("default/db",))


@pytest.mark.rule("10.32")
def test_where_nobody_makes_volumes_the_node_will_not_do() -> None:
    world = World([a_claim(class_="hand")])
    assert placement(a_pod("db"), [N1], world) == why(1, f"1 {NO_VOLUMES}")


@pytest.mark.rule("10.33")
@pytest.mark.parametrize(
    ("topologies", "found"),
    [
        ([], Plan("n1", (), ("default/db",))),
        ([{HOSTNAME: ["n1"]}], Plan("n1", (), ("default/db",))),
        ([{HOSTNAME: ["n1"], "zone": ["a"]}, {HOSTNAME: ["n1"]}], Plan("n1", (), ("default/db",))),
        ([{HOSTNAME: ["n2", "n3"]}], why(1, f"1 {NO_VOLUMES}")),
        ([{HOSTNAME: ["n1"], "zone": ["a"]}], why(1, f"1 {NO_VOLUMES}")),
        ([{}], why(1, f"1 {NO_VOLUMES}")),
    ],
)
def test_the_topologies_that_a_class_allows_must_match(
    topologies: Sequence[Mapping[str, list[str]]], found: Plan | str
) -> None:
    terms = [
        {"matchLabelExpressions": [{"key": key, "values": values} for key, values in one.items()]}
        for one in topologies
    ]
    class_ = msgspec.convert(
        {**msgspec.to_builtins(LATE), "allowedTopologies": terms}, StorageClass
    )
    assert placement(a_pod("db"), [N1], World([late()], classes=[class_])) == found


@pytest.mark.rule("19.9", "19.10", "19.11", "19.12")
@pytest.mark.parametrize(
    ("told", "suffices"),
    [
        ([], False),
        ([room(capacity="1Gi")], True),
        ([room(capacity="1023Mi")], False),
        ([room(capacity="9Gi", maximumVolumeSize="1Mi")], False),
        ([room(capacity="1Mi", maximumVolumeSize="1Gi")], True),
        ([room(capacity="1Mi"), room(capacity="9Gi")], True),
        ([room(None, capacity="9Gi")], False),  # of no node
        ([room("n2", capacity="9Gi")], False),
        ([room(class_="other", capacity="9Gi")], False),
        ([room()], False),  # nobody says
    ],
)
def test_some_capacity_of_class_and_node_must_suffice_if_the_driver_tells(
    told: list[StorageCapacity], suffices: bool
) -> None:
    made = Plan("n1", (), ("default/db",))
    found = placement(a_pod("db"), [N1], World([late()], drivers=[a_driver()], told=told))
    assert found == (made if suffices else why(1, f"1 {NO_SPACE}"))
    silent = World([late()], drivers=[a_driver(tells=False)], told=told)
    assert placement(a_pod("db"), [N1], silent) == made


@pytest.mark.rule("19.9")
def test_capacity_does_not_matter_to_volumes_that_are_there() -> None:
    world = World([late()], [a_volume(class_="late")], drivers=[a_driver()])
    assert placement(a_pod("db"), [N1], world) == Plan("n1", (("default/db", "v1"),))


def test_of_several_nodes_the_one_with_most_room_is_chosen() -> None:
    told = [room("n1", capacity="5Gi"), room("n2", capacity="7Gi")]
    world = World([late()], drivers=[a_driver()], told=told)
    assert placement(a_pod("db"), [N1, N2], world) == Plan("n2", (), ("default/db",))


def test_what_the_pod_prefers_comes_before_room() -> None:
    term = {"key": HOSTNAME, "operator": "In", "values": ["n1"]}
    preferred = [{"weight": 1, "preference": {"matchExpressions": [term]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    told = [room("n1", capacity="5Gi"), room("n2", capacity="7Gi")]
    world = World([late()], drivers=[a_driver()], told=told)
    found = placement(a_pod("db", affinity=affinity), [N1, N2], world)
    assert found == Plan("n1", (), ("default/db",))


@pytest.mark.rule("10.39", "22.13")
def test_a_selected_node_stays_and_no_volume_that_is_there_is_taken_any_longer() -> None:
    world = World([late(selected="n2")], [a_volume(class_="late")])
    assert placement(a_pod("db"), [N1, N2], world) == Plan("n2", (), ("default/db",))
    assert placement(a_pod("db"), [N1], world) == why(1, f"1 {NO_VOLUMES}")


# A plan under way


MADE_ON_N1 = Plan("n1", (), ("default/db",))
POINTED = Plan("n1", (("default/db", "v1"),))
WRITTEN = {"default/db"}


@pytest.mark.parametrize(
    ("plan", "world", "said"),
    [
        (MADE_ON_N1, World([late(selected="n1")]), ""),
        case("10.35", MADE_ON_N1, World([late()]), 'selectedNode annotation reset for PVC "db"'),
        (MADE_ON_N1, World([late(selected="n2")]), 'provisioning failed for PVC "db"'),
        (
            MADE_ON_N1,
            World([bound(class_="late")]),
            'failed to check binding: persistentvolume "v1" not found',
        ),
        (MADE_ON_N1, World(), 'persistentvolumeclaim "db" not found'),
        case(
            "10.37",
            MADE_ON_N1,
            World([bound(class_="late")], [a_volume(affinity=ON_N2)]),
            'pv "v1" node affinity doesn\'t match node "n1": no matching NodeSelectorTerms',
        ),
        (MADE_ON_N1, World([bound(class_="late")], [a_volume(affinity=ON_N1)]), ""),
        (POINTED, World([late()], [a_volume(claim=pointer(late()))]), ""),
        case("10.36", POINTED, World([late()], [a_volume()]), 'ClaimRef got reset for pv "v1"'),
        (POINTED, World([late()]), 'ClaimRef got reset for pv "v1"'),
        case(
            "10.36",
            POINTED,
            World([late()], [a_volume(claim=pointer())]),
            'ClaimRef got reset for pv "v1"',
        ),
        case(
            "10.37",
            POINTED,
            World([late()], [a_volume(claim=pointer(late()), affinity=ON_N2)]),
            'pv "v1" node affinity doesn\'t match node "n1": no matching NodeSelectorTerms',
        ),
    ],
)
def test_a_plan_fails_early_when_its_part_is_taken_back(
    plan: Plan, world: World, said: str
) -> None:
    assert setback(plan, WRITTEN, N1, world) == said


def test_what_is_not_written_yet_cannot_have_been_taken_back() -> None:
    assert setback(MADE_ON_N1, (), N1, World([late()])) == ""


def test_a_plan_fails_with_its_node() -> None:
    assert setback(MADE_ON_N1, (), None, World([late()])) == 'node "n1" not found'


# What the pod says


def test_why_a_pod_has_no_node_is_a_condition_and_its_time_stays_with_its_status() -> None:
    first = not_scheduled(a_pod("db"), "Unschedulable", "no", NOW)
    second = not_scheduled(first, "Unschedulable", "still no", "2026-02-02T00:00:00Z")
    (condition,) = second.status.conditions
    assert (condition.type, condition.status) == ("PodScheduled", "False")
    assert (condition.message, condition.last_transition_time) == ("still no", NOW)
    assert not_scheduled(second, "Unschedulable", "still no", "2027-01-01T00:00:00Z") is second


def test_an_assigned_pod_has_a_node_and_says_so() -> None:
    placed = assigned(not_scheduled(a_pod("db"), "Unschedulable", "no", NOW), "n1", "later")
    (condition,) = placed.status.conditions
    assert placed.node_name == "n1"
    assert (condition.status, condition.reason, condition.message) == ("True", "", "")
    assert condition.last_transition_time == "later"
