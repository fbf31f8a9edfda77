"""Storage semantics §6, a test for each rule and tie-break, and the index against a plain scan."""

import pytest
from msgspec.structs import replace

from mooring.model.claim import Claim, DataSource
from mooring.model.names import HOSTNAME, STORAGE_CLASS_BETA, Phase
from mooring.model.selector import LabelSelector, only_node
from mooring.model.volume import Volume
from mooring.rules.matching import VolumeIndex, fits
from tests.rules.making import a_claim, a_volume, labelled, pointer
from tests.rules.plain_scan import acceptable
from tests.rules.worlds import Worlds

QUICK, LONG = 1_000, 100_000  # random worlds
PARTS = 8  # of the long run


def indexed(*volumes: Volume) -> VolumeIndex:
    index = VolumeIndex()
    for volume in volumes:
        index.put(volume)
    return index


def best(claim: Claim, *volumes: Volume, delay: bool = False) -> str | None:
    """What the index finds; that the plain scan agrees is part of every test here."""
    found = indexed(*volumes).best(claim, delay=delay)
    assert found in (acceptable(volumes, claim, delay=delay) or {None})
    return found


# Groups of access modes


@pytest.mark.rule("6.0", "22.1")
def test_fewest_modes_come_before_the_smallest_capacity() -> None:
    assert best(a_claim(), a_volume("a", modes="RWO,ROX"), a_volume("b", size="100Gi")) == "b"


@pytest.mark.rule("6.0", "6.0a")
def test_a_group_with_more_modes_is_searched_when_the_smaller_yields_nothing() -> None:
    few, many = a_volume("a", size="1Mi"), a_volume("b", modes="RWO,ROX,RWX")
    assert best(a_claim(), few, many) == "b"


@pytest.mark.rule("6.0")
def test_a_volume_that_lacks_a_mode_is_out_of_the_question() -> None:
    assert best(a_claim(modes="RWO,RWX"), a_volume(modes="RWO"), a_volume(modes="RWX")) is None


@pytest.mark.rule("6.0a")
def test_the_order_of_the_modes_does_not_matter() -> None:
    assert best(a_claim(modes="RWX,RWO"), a_volume(modes="RWO,RWX")) == "v1"


@pytest.mark.rule("19.14")
def test_a_pod_exclusive_mode_is_one_mode_more() -> None:
    assert best(a_claim(modes="RWOP"), a_volume("a"), a_volume("b", modes="RWOP")) == "b"


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_groups_of_equally_many_modes_are_searched_in_the_same_order_every_time(names: str) -> None:
    volumes = {"a": a_volume("a", modes="RWO,RWX"), "b": a_volume("b", modes="RWO,ROX")}
    assert best(a_claim(), *[volumes[name] for name in names]) == "b"


# Rules 1 to 9


@pytest.mark.rule("6.1")
@pytest.mark.parametrize(
    "ref", [pointer("other"), pointer(uid="uid-of-old")], ids=["another name", "another uid"]
)
def test_rule_1_a_volume_that_points_elsewhere_is_skipped(ref) -> None:
    assert best(a_claim(), a_volume(claim=ref)) is None


@pytest.mark.rule("6.1")
def test_rule_1_the_namespace_counts() -> None:
    other = pointer().__class__(namespace="prod", name="db")
    assert best(a_claim(), a_volume(claim=other)) is None


@pytest.mark.rule("6.2")
@pytest.mark.parametrize(
    ("claim_size", "volume_size", "fits"),
    [
        ("1Gi", "1024Mi", True),
        ("1Gi", "1G", False),
        ("1500m", "1501m", True),
        ("1500m", "1400m", False),
        ("1G", "1e9", True),
    ],
)
def test_rule_2_sizes_are_compared_exactly(claim_size: str, volume_size: str, fits: bool) -> None:
    assert (best(a_claim(size=claim_size), a_volume(size=volume_size)) is not None) is fits


@pytest.mark.rule("6.2", "6.6a")
def test_rule_2_a_volume_that_points_at_the_claim_but_is_too_small_is_skipped() -> None:
    volumes = a_volume("a", size="1Mi", claim=pointer()), a_volume("b", size="5Gi")
    assert best(a_claim(), *volumes) == "b"


@pytest.mark.rule("6.3")
@pytest.mark.parametrize(
    ("claim_mode", "volume_mode", "fits"),
    [
        (None, "Filesystem", True),
        ("Filesystem", None, True),
        (None, None, True),
        ("Block", None, False),
        (None, "Block", False),
        ("Block", "Block", True),
    ],
)
def test_rule_3_volume_modes_are_equal(claim_mode, volume_mode, fits: bool) -> None:
    for ref in (None, pointer()):
        volume = a_volume(volume_mode=volume_mode, claim=ref)
        assert (best(a_claim(volume_mode=claim_mode), volume) is not None) is fits


@pytest.mark.rule("6.4", "15.3")
@pytest.mark.parametrize(
    ("claim_class", "volume_class", "fits"),
    [
        (None, "", True),
        ("", None, True),
        ("gold", "gold", True),
        ("gold", None, False),
        (None, "gold", False),
        ("gold", "tin", False),
    ],
)
def test_rule_4_attributes_classes_are_equal(claim_class, volume_class, fits: bool) -> None:
    for ref in (None, pointer()):
        volume = a_volume(attributes_class=volume_class, claim=ref)
        assert (best(a_claim(attributes_class=claim_class), volume) is not None) is fits


@pytest.mark.rule("6.5")
@pytest.mark.parametrize("ref", [None, pointer()], ids=["free", "pointing"])
def test_rule_5_a_volume_being_deleted_is_skipped(ref) -> None:
    assert best(a_claim(), a_volume(deleted=True, claim=ref)) is None


@pytest.mark.rule("6.6")
@pytest.mark.parametrize("uid", ["", "uid-db"], ids=["by name", "by uid"])
def test_rule_6_a_volume_that_points_at_the_claim_comes_before_a_smaller_one(uid: str) -> None:
    pointing = a_volume("z", size="9Gi", claim=pointer(uid=uid))
    assert best(a_claim(), a_volume("a"), pointing) == "z"


UNREAD = {
    "phase": a_volume(claim=pointer(), class_="c", labels={"app": "db"}, phase=Phase.RELEASED),
    "selector": a_volume(claim=pointer(), class_="c"),
    "class": a_volume(claim=pointer(), class_="d", labels={"app": "db"}),
}


@pytest.mark.rule("6.6")
@pytest.mark.parametrize("volume", UNREAD.values(), ids=UNREAD)
def test_rule_6_of_a_volume_that_points_at_the_claim_these_are_not_looked_at(volume) -> None:
    assert best(a_claim(class_="c", selector=labelled(app="db")), volume) == "v1"


@pytest.mark.rule("6.6a")
def test_rule_6_a_pointing_volume_is_noticed_only_when_the_turn_of_its_group_comes() -> None:
    pointing = a_volume("a", modes="RWO,ROX", claim=pointer())
    assert best(a_claim(), a_volume("b", size="9Gi"), pointing) == "b"


@pytest.mark.rule("6.6a")
def test_rule_6_a_pointing_volume_that_lacks_a_mode_is_never_noticed() -> None:
    pointing = a_volume("a", modes="RWO", claim=pointer())
    assert best(a_claim(modes="RWO,RWX"), pointing) is None


@pytest.mark.rule("6.7", "22.13")
def test_rule_7_a_claim_that_waits_for_its_consumer_gets_only_what_points_at_it() -> None:
    volumes = a_volume("a"), a_volume("b", modes="RWO,ROX", claim=pointer())
    assert best(a_claim(), *volumes, delay=True) == "b"
    assert best(a_claim(), volumes[0], delay=True) is None


@pytest.mark.rule("6.8")
@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.BOUND, Phase.RELEASED, Phase.FAILED, ""])
def test_rule_8_a_volume_that_is_not_available_is_skipped(phase: str) -> None:
    assert best(a_claim(), a_volume(phase=phase)) is None


SELECTORS = {
    "label": labelled(app="db"),
    "two labels": labelled(app="db", tier="a"),
    "In": labelled(("tier", "In", ["z", "a"])),
    "NotIn": labelled(("tier", "NotIn", ["b"]), ("app", "Exists", [])),
    "Exists": labelled(("disk", "Exists", [])),
    "DoesNotExist": labelled(("web", "DoesNotExist", []), app="db"),
}


@pytest.mark.rule("6.8a")
@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS)
def test_rule_8_the_smallest_volume_that_the_selector_matches_is_taken(
    selector: LabelSelector,
) -> None:
    labels = {"app": "db", "tier": "a", "disk": "ssd"}
    volumes = [
        a_volume("a", labels={"app": "web", "tier": "b", "web": ""}),
        a_volume("b", size="2Gi"),
        a_volume("c", size="4Gi", labels=labels),
        a_volume("d", size="3Gi", labels=labels),
    ]
    assert best(a_claim(selector=selector), *volumes) == "d"


@pytest.mark.rule("6.8a")
def test_rule_8_an_empty_selector_matches_everything() -> None:
    assert best(a_claim(selector=LabelSelector()), a_volume()) == "v1"


@pytest.mark.rule("6.8a")
@pytest.mark.parametrize("missing", [labelled(app="none"), labelled(("x", "In", ["y"]), app="db")])
def test_rule_8_a_label_that_no_volume_has_matches_nothing(missing: LabelSelector) -> None:
    assert best(a_claim(selector=missing), a_volume(labels={"app": "db"})) is None


@pytest.mark.rule("1.1.18", "6.8b")
@pytest.mark.parametrize(
    ("claim_class", "volume_class", "fits"),
    [
        ("", "", True),
        (None, "", True),
        ("c", "c", True),
        ("c", "", False),
        ("", "c", False),
        (None, "c", False),
        ("c", "d", False),
    ],
)
def test_rule_8_classes_are_equal_and_there_is_no_wildcard(
    claim_class, volume_class, fits: bool
) -> None:
    found = best(a_claim(class_=claim_class), a_volume(class_=volume_class))
    assert (found is not None) is fits


@pytest.mark.rule("2.11", "6.8b")
def test_rule_8_the_class_in_the_annotation_counts_on_both_sides() -> None:
    annotated = {STORAGE_CLASS_BETA: "c"}
    claim = a_claim(class_="d", annotations=annotated)
    assert best(claim, a_volume(class_="e", annotations=annotated)) == "v1"


@pytest.mark.rule("6.9")
def test_rule_9_the_smallest_capacity_is_taken() -> None:
    volumes = [a_volume(name, size=f"{size}Gi") for name, size in (("a", 9), ("b", 3), ("c", 4))]
    assert best(a_claim(size="2Gi"), *volumes) == "b"


def test_rule_9_of_equal_capacities_the_first_by_name_is_taken() -> None:
    assert best(a_claim(), a_volume("b", size="1Gi"), a_volume("a", size="1024Mi")) == "a"


@pytest.mark.rule("18.10")
def test_what_the_claim_is_to_be_filled_from_is_not_looked_at() -> None:
    source = DataSource(kind="PersistentVolumeClaim", name="other")
    claim = a_claim()
    filled = replace(claim, spec=replace(claim.spec, data_source=source, data_source_ref=source))
    assert best(filled, a_volume()) == "v1"


@pytest.mark.rule("6.10")
def test_node_affinity_is_not_looked_at() -> None:
    assert best(a_claim(), a_volume(affinity=only_node(HOSTNAME, "n1"))) == "v1"


def test_a_volume_about_to_be_bound_is_offered_to_nobody_until_that_failed() -> None:
    index = indexed(a_volume("a"), a_volume("b", size="2Gi"))
    index.assume("a")
    assert (index.best(a_claim()), index.is_free("a")) == ("b", False)
    index.release("a")
    assert (index.best(a_claim()), index.is_free("a")) == ("a", True)


def test_volumes_are_found_by_the_uid_they_point_at() -> None:
    index = indexed(a_volume("a", claim=pointer(uid="u")), a_volume("b", claim=pointer()))
    assert index.pointing_at("default/db", "u") == ["a"]
    assert index.pointing_at("default/db", "") == ["b"]


# The traps of §22


@pytest.mark.rule("22.1")
def test_trap_1_the_mode_group_counts_before_the_size() -> None:
    assert best(a_claim(), a_volume("a", modes="RWO,ROX"), a_volume("b", size="100Gi")) == "b"


@pytest.mark.rule("22.2")
def test_trap_2_no_class_and_an_empty_class_both_match_volumes_without_class() -> None:
    assert best(a_claim(class_=None), a_volume()) == best(a_claim(class_=""), a_volume()) == "v1"


@pytest.mark.rule("9.1a", "22.5")
def test_trap_5_clearing_only_the_uid_lets_a_new_claim_of_the_name_have_the_volume() -> None:
    kept = a_volume(claim=pointer(uid="uid-of-old"), phase=Phase.RELEASED)
    assert best(a_claim(), kept) is None
    assert best(a_claim(), kept.with_spec(claim_ref=pointer())) == "v1"


@pytest.mark.rule("22.14")
def test_trap_14_matching_needs_available_and_does_not_believe_a_pointer_away() -> None:
    forged = a_volume(claim=pointer("other"), phase=Phase.AVAILABLE)
    assert best(a_claim(), forged, a_volume("v2", phase=Phase.PENDING)) is None


# The index against a plain scan


def disagreement(seed: int) -> str:
    """How index and plain scan differ in a random world, "" if they agree all along."""
    worlds, index, volumes = Worlds(seed), VolumeIndex(), {}
    for step in range(12):
        name = f"v{worlds.below(10)}"
        if worlds.often(0.2):
            index.remove(name)
            volumes.pop(name, None)
        else:
            volumes[name] = worlds.volume(name)
            index.put(volumes[name])
        claim, delay, limit = worlds.claim(), worlds.often(0.1), worlds.limit()
        right = acceptable(volumes.values(), claim, delay=delay, limit=limit) or {None}
        if (found := index.best(claim, delay=delay, limit=limit)) not in right:
            return f"seed {seed} step {step}: {found} instead of {right} for {claim} within {limit}"
    if len(index) != len(volumes):
        return f"seed {seed}: {len(index)} volumes instead of {len(volumes)}"
    for name in volumes:
        index.remove(name)
    return f"seed {seed}: not empty at the end" if index.best(worlds.claim()) else ""


# Of what both would have to get wrong alike. Each has a test of its own above besides.
BY_COMPARISON = pytest.mark.rule(
    "6.0",
    "6.0a",
    "6.1",
    "6.2",
    "6.3",
    "6.4",
    "6.5",
    "6.6",
    "6.7",
    "6.8",
    "6.8a",
    "6.8b",
    "6.9",
    "6.10",
)


@BY_COMPARISON
def test_the_index_agrees_with_a_plain_scan_in_random_worlds() -> None:
    assert [why for seed in range(QUICK) if (why := disagreement(seed))] == []


@BY_COMPARISON
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_index_agrees_with_a_plain_scan_in_many_random_worlds(part: int) -> None:
    assert [why for seed in range(part, LONG, PARTS) if (why := disagreement(seed))] == []


def test_a_volume_fits_exactly_if_a_plain_scan_of_it_alone_accepts_it() -> None:
    for seed in range(QUICK):
        worlds = Worlds(seed)
        claim, volume, delay = worlds.claim(), worlds.volume("v"), worlds.often(0.1)
        limit = worlds.limit()
        accepted = acceptable([volume], claim, delay=delay, limit=limit) == {"v"}
        assert fits(claim, volume, delay=delay, limit=limit) is accepted, (claim, volume, limit)


def test_the_index_agrees_with_a_plain_scan_when_there_are_many_volumes() -> None:
    worlds = Worlds(1)
    volumes = {f"v{number}": worlds.free_volume(f"v{number}") for number in range(5_000)}
    index = indexed(*volumes.values())
    for number in range(0, 5_000, 100):
        claim, limit = worlds.claim(), worlds.limit()
        right = acceptable(volumes.values(), claim, limit=limit) or {None}
        assert index.best(claim, limit=limit) in right
        for name in (f"v{one}" for one in range(number, number + 50)):
            index.remove(name)
            del volumes[name]
