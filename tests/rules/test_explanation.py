"""What `mooring explain` says, row by row, and that it agrees with what is decided."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mooring.model.claim import Claim, ClaimCondition
from mooring.model.metadata import Metadata
from mooring.model.names import BIND_COMPLETED, MAKER, SELECTED_NODE, Phase
from mooring.model.node import Node, NodeCondition, NodeStatus
from mooring.model.pod import ClaimUse, Pod, PodSpec, PodStatus, PodVolume
from mooring.model.pool import NamespaceUse, Pool, PoolNamespace, PoolSpec, PoolStatus
from mooring.model.selector import LabelSelector
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.rules.claims import claim_decision
from mooring.rules.explanation import LINES_AT_MOST, Explanation, explained_claim
from mooring.rules.filling import POPULATING
from mooring.rules.matching import VolumeIndex, refusals
from mooring.rules.outlook import Supply
from mooring.rules.sight import Sight
from tests.rules.making import LONG_AGO, a_claim, a_class, a_volume, labelled, pointer
from tests.rules.plain_scan import acceptable
from tests.rules.worlds import Worlds


def a_pool(
    name: str = "local",
    *,
    capacity: str | None = None,
    taken: str = "0",
    namespaces: tuple[PoolNamespace, ...] | None = None,
    driver: str = "directory.mooring.dev",
    node: str = "here",
    deleted: bool = False,
) -> Pool:
    """A pool of which the namespace default has taken something."""
    uses = {"default": NamespaceUse(allocated=taken, volumes=1)}
    return Pool(
        metadata=Metadata(name=name, deletion_timestamp=LONG_AGO if deleted else None),
        spec=PoolSpec(
            driver=driver, node=node, root="/srv/pool", capacity=capacity, namespaces=namespaces
        ),
        status=PoolStatus(allocated=taken, volumes=1, namespaces=uses),
    )


def a_pod(name: str, claim: str = "db", *, node: str = "", phase: str = "Pending") -> Pod:
    use = PodVolume(name="data", persistent_volume_claim=ClaimUse(claim_name=claim))
    return Pod(
        metadata=Metadata(name=name, namespace="default"),
        spec=PodSpec(node_name=node, volumes=(use,)),
        status=PodStatus(phase=phase),
    )


def a_node(name: str = "here", *, ready: bool = True) -> Node:
    condition = NodeCondition(type="Ready", status="True" if ready else "Unknown")
    return Node(metadata=Metadata(name=name), status=NodeStatus(conditions=(condition,)))


def seeing(*things: Volume | StorageClass | Pool | Pod | Node) -> Sight:
    """With a Ready node "here", unless nodes are said."""
    return Sight(
        volumes={one.name: one for one in things if isinstance(one, Volume)},
        supply=Supply(
            {one.name: one for one in things if isinstance(one, StorageClass)},
            [one for one in things if isinstance(one, Pool)],
            [one for one in things if isinstance(one, Node)] or [a_node()],
        ),
        pods=[one for one in things if isinstance(one, Pod)],
    )


def explained(claim: Claim, *things: Volume | StorageClass | Pool | Pod | Node) -> Explanation:
    return explained_claim(claim, seeing(*things))


# Pending: no volume fits


def test_without_any_volume_it_says_so_and_what_to_create() -> None:
    found = explained(a_claim(size="5Gi", modes="RWX"))
    assert found.state == "Pending"
    assert found.why == 'no volume fits, and class "" makes none'
    assert found.details == ("there are no volumes at all",)
    assert found.help.startswith('a volume of class "", RWX, 5Gi or more')


def test_a_class_that_makes_volumes_is_named_the_default_one_first() -> None:
    quick, usual = a_class("a"), a_class("b", default=True)
    assert explained(a_claim(), a_pool(), quick).help.endswith("or a new claim of class a")
    assert explained(a_claim(), a_pool(), quick, usual).help.endswith("or a new claim of class b")


def test_refusals_are_counted_by_rule_and_the_largest_of_the_small_is_told() -> None:
    small = [a_volume(f"s{size}", size=f"{size}Gi") for size in (1, 3, 5)]
    others = [a_volume("f", class_="fast"), a_volume("o", claim=pointer("web", uid="u"))]
    found = explained(a_claim(size="10Gi"), *small, *others)
    assert found.details[0] == (
        "5 volumes looked at: 3 too small (largest 5Gi), 1 of class fast, 1 of another claim"
    )
    assert found.details[1] == "nearest is s5 (5Gi, RWO): 5Gi too small"


@pytest.mark.parametrize(
    ("count", "others"), [(5, "1 for another reason"), (50, "46 for other reasons")]
)
def test_what_is_counted_apart_is_bounded(count: int, others: str) -> None:
    classes = [a_volume(f"v{number}", class_=f"c{number}") for number in range(count)]
    assert others in explained(a_claim(), *classes).details[0]


@pytest.mark.parametrize(
    ("volume", "one", "two"),
    [
        (
            a_volume(claim=pointer("web", uid="u")),
            "1 volume looked at: 1 of another claim",
            "2 volumes looked at: 2 of other claims",
        ),
        (
            a_volume(claim=pointer(uid="old")),
            "1 volume looked at: 1 of an earlier claim of this name",
            "2 volumes looked at: 2 of earlier claims of this name",
        ),
        (
            a_volume(),
            "1 volume looked at: 1 not selected by its labels",
            "2 volumes looked at: 2 not selected by their labels",
        ),
    ],
)
def test_one_volume_is_spoken_of_in_the_singular(volume: Volume, one: str, two: str) -> None:
    claim = a_claim(selector=LabelSelector(match_labels={"disk": "ssd"}))
    again = volume.with_metadata(name="again")
    assert explained(claim, volume).details[0] == one
    assert explained(claim, volume, again).details[0] == two


@pytest.mark.parametrize(
    ("claim", "volume", "rule", "why"),
    [
        (a_claim(), a_volume(modes="ROX"), 0, "without RWO"),
        (a_claim(), a_volume(claim=pointer("web", uid="u")), 1, "of claim default/web"),
        (a_claim(), a_volume(claim=pointer(uid="old")), 1, "of an earlier claim of this name"),
        (a_claim(size="3Gi"), a_volume(), 2, "2Gi too small"),
        (a_claim(), a_volume(volume_mode="Block"), 3, "of volumeMode Block, not Filesystem"),
        (a_claim(attributes_class="a"), a_volume(), 4, 'of attributes class "", not a'),
        (a_claim(), a_volume(deleted=True), 5, "being deleted"),
        (a_claim(), a_volume(phase=Phase.FAILED), 8, "Failed"),
        (a_claim(), a_volume(phase=""), 8, "not Available yet"),
        (a_claim(class_="slow"), a_volume(class_="fast"), 8, "of class fast, not slow"),
        (a_claim(selector=labelled(a="b")), a_volume(), 8, "not selected by its labels"),
    ],
)
def test_each_rule_of_section_6_says_why(claim: Claim, volume: Volume, rule: int, why: str) -> None:
    assert [(one.rule, one.why) for one in refusals(claim, volume)] == [(rule, why)]


def test_rule_6_a_volume_that_points_at_the_claim_is_not_asked_for_class_labels_and_phase() -> None:
    claim = a_claim(class_="slow", selector=labelled(a="b"))
    pointing = a_volume(class_="fast", claim=pointer(), phase=Phase.FAILED)
    assert list(refusals(claim, pointing, delay=True)) == []


def test_rule_7_a_first_consumer_chooses_among_the_volumes_that_point_nowhere() -> None:
    assert [one.rule for one in refusals(a_claim(), a_volume(), delay=True)] == [7]


def test_refusals_agree_with_the_index_and_with_a_plain_scan_in_random_worlds() -> None:
    worlds = Worlds(9)
    for _ in range(1_000):
        volumes = [worlds.volume(f"v{number}") for number in range(worlds.below(9))]
        claim, delay = worlds.claim(), worlds.often(0.2)
        index = VolumeIndex()
        for volume in volumes:
            index.put(volume)
        sight = Sight(volumes={one.name: one for one in volumes})
        found = sight.best_volume(claim, delay=delay)
        assert (found is None) == (index.best(claim, delay=delay) is None)
        assert found is None or found.name in acceptable(volumes, claim, delay=delay)


def test_it_announces_a_bind_exactly_when_one_is_decided() -> None:
    worlds = Worlds(10)
    for _ in range(300):
        sight = seeing(*[worlds.volume(f"v{number}") for number in range(worlds.below(5))])
        claim = worlds.claim()
        decided = [new.name for _, new in claim_decision(claim, sight, "").writes[1:]]
        why = explained_claim(claim, sight).why
        assert why.startswith("it is about to be bound to ") == bool(decided)
        assert not decided or why.endswith(f" {decided[0]}")


# Pending: classes and pools


@pytest.mark.parametrize(
    ("class_", "things", "why", "help_"),
    [
        (None, [], "there is no default class", "or a default StorageClass"),
        (None, [a_class(default=True)], "about to get the default class fast", ""),
        (
            "fast",
            [],
            "class fast, which could make one, does not exist",
            "create StorageClass fast",
        ),
        (
            "fast",
            [a_class(provisioner="kubernetes.io/no-provisioner")],
            "makes none",
            "a volume of",
        ),
        ("fast", [a_class(provisioner="csi.example.com")], "made none yet", "provisioner runs"),
        ("fast", [a_class()], "has not one pool on here but: none", "create a Pool of driver"),
        (
            "fast",
            [a_class(), a_pool(), a_pool("two")],
            "but: local, two",
            "parameter pool, such as pool: local",
        ),
        ("fast", [a_class(), a_pool()], "the agent of here is to make its volume", ""),
        (
            "fast",
            [a_class(), a_pool(capacity="10Gi", taken="9.5Gi")],
            "pool local has 10Gi, 9728Mi is taken, asked for 1Gi",
            "a claim of at most 512Mi, fewer other claims, or kubectl edit pool local",
        ),
        (
            "fast",
            [
                a_class(),
                a_pool(taken="2Gi", namespaces=(PoolNamespace(name="default", quota="2Gi"),)),
            ],
            "namespace default may take 2Gi, has 2Gi",
            "fewer other claims, or kubectl edit pool local",
        ),
        (
            "fast",
            [a_class(), a_pool(namespaces=(PoolNamespace(name="prod"),))],
            "not granted to namespace default",
            "kubectl edit pool local, to name default in spec.namespaces",
        ),
    ],
)
def test_what_its_class_comes_to(
    class_: str | None, things: list[StorageClass | Pool], why: str, help_: str
) -> None:
    found = explained(a_claim(class_=class_), *things)
    assert why in found.why
    assert help_ in found.help


def test_it_says_how_far_a_volume_is_filled() -> None:
    told = ClaimCondition(type=POPULATING, status="True", message="42 % of 1.2 GiB, 12 s left")
    claim = a_claim(class_="fast").with_status(conditions=(told,))
    found = explained(claim, a_class(), a_pool())
    assert found.why == "its volume is being filled: 42 % of 1.2 GiB, 12 s left"


WAITS = "has not one pool on here but: "


@pytest.mark.parametrize(
    ("things", "why", "help_"),
    [
        # Of this host are several, of another without an agent is one: its agent would take that.
        (
            [a_pool("a"), a_pool("b"), a_pool("c", node="there")],
            WAITS + "a, b",
            "a class with parameter pool",
        ),
        (
            [a_pool("a"), a_pool("b"), a_pool("c", node="there"), a_node(), a_node("there")],
            "the agent of there is to make its volume in pool c",
            "",
        ),
        # A shared pool beside one of its own: that is meant. Beside two of its own: none is.
        ([a_pool("a"), a_pool("b", node="")], "is to make its volume in pool a", ""),
        (
            [a_pool("a"), a_pool("b"), a_pool("c", node="")],
            WAITS + "a, b, c",
            "a class with parameter pool",
        ),
        ([a_pool("a", node="")], "the agent of any host is to make its volume in pool a", ""),
        (
            [a_pool("a", node=""), a_node(ready=False)],
            "pool a is of every host, and no Node is Ready",
            "the agent of a host at work",
        ),
        # The host of the pool has no agent.
        (
            [a_pool("a", node="there")],
            "for the agent of there, in pool a, and there is no Node there",
            "the agent of there at work; or a volume of class fast",
        ),
        (
            [a_pool("a", node="there"), a_node("there", ready=False)],
            "for the agent of there, in pool a, and Node there is not Ready",
            "the agent of there at work; or a volume of class fast",
        ),
        # Full ones are passed over for one that another host can take from.
        (
            [a_pool("a", capacity="1Mi"), a_pool("b", node="there"), a_node(), a_node("there")],
            "the agent of there is to make its volume in pool b",
            "",
        ),
        # Deleted ones give nothing.
        ([a_pool(deleted=True)], "pool local is being deleted", "a new claim of another class"),
        ([a_pool(deleted=True), a_pool("b")], "is to make its volume in pool b", ""),
        (
            [a_pool("a", deleted=True), a_pool("b", deleted=True)],
            WAITS + "a, b",
            "a class with parameter pool",
        ),
        (
            [a_pool(capacity="10Gi", deleted=True)],
            "is being deleted",
            "a new claim of another class",
        ),
    ],
)
def test_who_makes_a_volume_and_where_is_what_the_agents_would_find(
    things: list[Pool | Node], why: str, help_: str
) -> None:
    found = explained(a_claim(class_="fast"), a_class(), *things)
    assert why in found.why
    assert help_ in found.help


@pytest.mark.parametrize(
    ("selected", "pool", "why"),
    [
        ("here", a_pool(), "the agent of here is to make its volume in pool local"),
        ("here", a_pool(node=""), "the agent of here is to make its volume in pool local"),
        ("there", a_pool(node=""), "the agent of there, in pool local, and there is no Node there"),
        ("here", a_pool(node="there"), "consumer is on here, and pool local is on there"),
    ],
)
def test_the_node_of_the_first_consumer_makes_the_volume_or_nobody_does(
    selected: str, pool: Pool, why: str
) -> None:
    claim = a_claim(class_="fast", annotations={SELECTED_NODE: selected})
    class_ = msgspec.structs.replace(a_class(waits=True), parameters={"pool": "local"})
    assert why in explained(claim, class_, pool).why


def test_a_node_chosen_for_a_claim_whose_class_does_not_wait_is_of_no_matter() -> None:
    claim = a_claim(class_="fast", annotations={SELECTED_NODE: "there"})
    assert "the agent of here" in explained(claim, a_class(), a_pool()).why


def test_of_several_hosts_that_could_make_it_the_chosen_one_is_named() -> None:
    claim = a_claim(class_="fast", annotations={MAKER: "there"})
    pools = a_pool(), a_pool("other", node="there")
    nodes = a_node("here"), a_node("there")
    assert "the agent of there" in explained(claim, a_class(), *pools, *nodes).why


def test_before_the_first_consumer_it_is_said_that_nothing_could_be_made() -> None:
    found = explained(a_claim(class_="fast"), a_class(waits=True), a_pool(capacity="1Mi"))
    assert found.details[0] == (
        "should no volume fit then, none can be made: pool local has 1Mi, 0 is taken, asked for 1Gi"
    )


@pytest.mark.parametrize(
    "things",
    [
        [],
        [a_pool("a"), a_pool("b")],
        [a_pool(capacity="1Mi")],
        [a_pool(node="there")],
        [a_pool(deleted=True)],
        [a_pool(namespaces=(PoolNamespace(name="prod"),))],
        [a_pool(), a_node(ready=False)],
    ],
)
def test_a_class_that_could_make_nothing_is_not_recommended(things: list[Pool | Node]) -> None:
    claim = a_bound_claim()
    volume = a_volume(size="1Ti", claim=pointer(claim), phase=Phase.BOUND)
    assert explained(claim, volume, a_class("local", default=True), *things).help == ""
    assert explained(a_claim(), a_class("local"), *things).help.endswith("a class with a pool")


@pytest.mark.parametrize("provisioner", ["directory.mooring.dev", "csi.example.com"])
def test_what_kept_a_volume_from_being_made_is_told(provisioner: str) -> None:
    sight = seeing(a_class(provisioner=provisioner), a_pool())
    found = explained_claim(a_claim(class_="fast"), replace(sight, told="there is no /srv/pool"))
    assert found.details[0] == "it failed last with: there is no /srv/pool"
    assert found.help


def test_a_class_that_waits_says_how_to_be_the_first_consumer() -> None:
    found = explained(a_claim(class_="fast"), a_class(waits=True), a_pool())
    assert found.why == "by class fast it waits for its first consumer, and there is none"
    assert found.help == "mooring mount db -n default, or a pod that uses it"


def test_a_volume_that_would_fit_is_not_announced_while_the_class_waits() -> None:
    volume = a_volume(class_="fast")
    found = explained(a_claim(class_="fast"), a_class(waits=True), a_pool(), volume)
    assert "first consumer" in found.why
    assert found.details == ("1 volume looked at: 1 fitting",)


def test_a_pod_without_a_node_is_what_it_waits_for() -> None:
    pod = a_pod("web")
    found = explained(a_claim(class_="fast"), a_class(waits=True), a_pool(), pod)
    assert "waits for the node of pod default/web" in found.why


def test_once_a_node_is_chosen_its_agent_is_to_make_the_volume() -> None:
    claim = a_claim(class_="fast", annotations={SELECTED_NODE: "here"})
    assert "the agent of here" in explained(claim, a_class(waits=True), a_pool()).why


def test_what_no_driver_makes_is_said_before_room_is_asked_for() -> None:
    claim = a_claim(class_="fast", volume_mode="Block")
    found = explained(claim, a_class(), a_pool(capacity="1Mi"))
    assert "makes no Block volumes" in found.why
    assert found.help.startswith("a new claim of another class")


# Claims that name a volume


@pytest.mark.parametrize(
    ("volumes", "why", "help_"),
    [
        ([], "it names volume v1, which does not exist", "create volume v1"),
        ([a_volume(size="1Mi")], "v1, which is 1023Mi too small", "a new claim that it fits"),
        ([a_volume(claim=pointer("web", uid="u"))], "of claim default/web", "names a free volume"),
        ([a_volume()], "it is about to be bound to v1", ""),
    ],
)
def test_a_claim_that_names_a_volume(volumes: list[Volume], why: str, help_: str) -> None:
    found = explained(a_claim(volume="v1"), *volumes)
    assert why in found.why
    assert help_ in found.help


# Bound, Lost, Terminating


def a_bound_claim(phase: str = Phase.BOUND, **fields: str) -> Claim:
    return a_claim(volume="v1", annotations={BIND_COMPLETED: "yes"}, phase=phase, **fields)


def test_a_small_claim_of_a_huge_volume_is_told_of_the_waste_and_how_to_avoid_it() -> None:
    claim = a_bound_claim()
    volume = a_volume(size="1Ti", claim=pointer(claim), phase=Phase.BOUND)
    found = explained(claim, volume, a_pool(), a_class("local", default=True))
    assert (found.state, found.why) == ("Bound", "it has volume v1")
    assert found.details[1].startswith("1023Gi of it are more than was asked for")
    assert (
        found.help == "to waste nothing, a claim of class local: it gets a volume of its own size"
    )


def test_a_bound_claim_that_fits_needs_no_help_and_names_its_users() -> None:
    claim = a_bound_claim()
    users = [a_pod(f"web-{number}", node="here") for number in range(5)]
    found = explained(claim, a_volume(claim=pointer(claim), phase=Phase.BOUND), *users)
    assert found.help == ""
    assert found.details[-1] == "used by default/web-0, default/web-1, default/web-2 and 2 more"


def test_a_lost_claim_says_that_its_volume_is_gone() -> None:
    found = explained(a_bound_claim(Phase.LOST))
    assert found.why == "its volume v1 is gone"
    assert "create volume v1 again" in found.help


def test_a_claim_whose_volume_is_of_another_claim_says_of_which() -> None:
    found = explained(a_bound_claim(Phase.LOST), a_volume(claim=pointer("web", uid="u")))
    assert found.why == "its volume v1 is of claim default/web, which does not exist"


def test_a_claim_whose_volume_is_of_a_claim_that_was_made_anew_says_so() -> None:
    sight = seeing(a_volume(claim=pointer("web", uid="old")))
    found = explained_claim(a_bound_claim(Phase.LOST), replace(sight, holder=a_claim("web")))
    assert found.why == "its volume v1 is of an earlier claim default/web"
    assert found.help.startswith("to have it back: kubectl patch pv v1 ")


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_a_claim_being_deleted_waits_for_pods_that_have_a_node_ended_or_not(phase: str) -> None:
    pods = [a_pod("web", node="here", phase=phase), a_pod("new")]
    found = explained(a_claim(deleted=True), *pods)
    assert (found.state, found.why) == (
        "Terminating",
        "it stays until its user is gone: default/web",
    )
    both = explained(a_claim(deleted=True), *pods, a_pod("old", node="here", phase=phase))
    assert both.why == "it stays until its users are gone: default/web, default/old"


# Lines


texts = some.text(max_size=30)


@settings(max_examples=200, deadline=None)
@given(
    some.tuples(texts, texts, texts, some.lists(texts, max_size=30).map(tuple), texts).map(
        lambda parts: Explanation(*parts)
    )
)
def test_lines_are_at_most_eight_and_hold_nothing_that_a_terminal_obeys(one: Explanation) -> None:
    lines = one.lines()
    assert len(lines) <= LINES_AT_MOST
    assert all(line.isprintable() for line in lines)
    assert not one.help or "would help: " in lines[-1]


def test_every_explanation_of_random_worlds_is_short() -> None:
    worlds = Worlds(11)
    for _ in range(200):
        volumes = [worlds.volume(f"v{number}") for number in range(worlds.below(30))]
        classes = [a_class(waits=worlds.often(0.5))] if worlds.often(0.5) else []
        found = explained(worlds.claim(), *volumes, *classes)
        assert 1 <= len(found.lines()) <= LINES_AT_MOST


def test_in_short_it_says_the_same_but_for_details() -> None:
    volumes = {one.name: one for one in (a_volume("a"), a_volume("b", size="9Gi"))}
    index = VolumeIndex()
    for volume in volumes.values():
        index.put(volume)
    for claim in (a_claim(), a_claim(size="5Gi"), a_claim(size="1Ti")):
        long = explained_claim(claim, Sight(volumes=volumes))
        short = explained_claim(claim, Sight(volumes=volumes, index=index), in_short=True)
        assert short == long._replace(details=())
