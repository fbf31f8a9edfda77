"""The first consumer on a node, §6 at its end."""

from collections.abc import Iterable
from fractions import Fraction

import pytest

from mooring.model.claim import Claim
from mooring.model.names import HOSTNAME, Phase
from mooring.model.selector import LabelSelector, only_node
from mooring.model.volume import Volume
from mooring.rules.consumers import ConsumerIndex
from mooring.rules.matching import fits
from mooring.rules.waste import WasteLimit
from tests.rules.making import a_claim, a_volume, pointer
from tests.rules.worlds import Worlds

WORLDS = 1_000
ON_N1, ON_N2 = only_node(HOSTNAME, "n1"), only_node(HOSTNAME, "n2")
LABELS = {HOSTNAME: "n1", "zone": "a"}


class Volumes:
    """By name; counts those that are looked at."""

    def __init__(self, *volumes: Volume) -> None:
        self.all: dict[str, Volume] = {}
        self.index = ConsumerIndex()
        self.looked_at = 0
        for volume in volumes:
            self.put(volume)

    def put(self, volume: Volume) -> None:
        self.all[volume.name] = volume
        self.index.put(volume)

    def remove(self, name: str) -> None:
        self.all.pop(name, None)
        self.index.remove(name)

    def look(self, name: str) -> Volume | None:
        self.looked_at += 1
        return self.all.get(name)

    def chosen(self, claim: Claim, limit: WasteLimit | None = None) -> str | None:
        """What a consumer on n1 chooses."""
        found = self.index.choice(claim, self.look, LABELS, "n1", limit=limit)
        return found.name if found else None


def chosen(claim: Claim, *volumes: Volume) -> str | None:
    return Volumes(*volumes).chosen(claim)


def by_plain_scan(
    claim: Claim, volumes: Iterable[Volume], limit: WasteLimit | None = None
) -> str | None:
    fitting = [
        one
        for one in volumes
        if fits(claim, one, limit=limit)
        and not (one.claim_ref is not None and one.phase == Phase.BOUND)
    ]
    pointing = [one for one in fitting if one.claim_ref is not None]
    if pointing:
        fitting = pointing
    reached = [one for one in fitting if reaches(one)]
    smallest = min(reached, key=lambda one: (one.capacity.nanos, one.name), default=None)
    return smallest.name if smallest else None


def reaches(volume: Volume) -> bool:
    affinity = volume.spec.node_affinity
    return affinity is None or affinity.allows(LABELS, "n1")


@pytest.mark.rule("6.12")
def test_a_consumer_chooses_the_smallest_volume_that_its_node_reaches() -> None:
    volumes = [
        a_volume("a", size="1Gi", affinity=ON_N2),
        a_volume("b", size="3Gi"),
        a_volume("c", size="2Gi", affinity=ON_N1),
    ]
    assert chosen(a_claim(), *volumes) == "c"
    assert chosen(a_claim(), volumes[0]) is None


@pytest.mark.rule("6.12")
@pytest.mark.parametrize(
    ("label", "value", "found"),
    [("zone", "a", "near"), ("zone", "b", "other"), ("rack", "a", "other")],
)
def test_the_affinity_has_to_match_also_where_it_names_no_host(
    label: str, value: str, found: str
) -> None:
    volumes = a_volume("near", affinity=only_node(label, value)), a_volume("other", size="2Gi")
    assert chosen(a_claim(), *volumes) == found


@pytest.mark.rule("6.14")
def test_for_a_consumer_the_size_counts_whatever_the_modes() -> None:
    assert chosen(a_claim(), a_volume("a", modes="RWO,ROX"), a_volume("b", size="9Gi")) == "a"
    assert chosen(a_claim(modes="RWX"), a_volume(modes="RWO,ROX")) is None


def test_a_volume_that_points_at_the_claim_may_be_of_another_class() -> None:
    pointing = a_volume("a", class_="fast", claim=pointer(), phase=Phase.AVAILABLE)
    assert chosen(a_claim(), pointing, a_volume("b", size="9Gi")) == "a"


def test_a_volume_that_points_at_the_claim_is_taken_though_a_smaller_one_would_do() -> None:
    pointing = a_volume("a", size="9Gi", claim=pointer(), phase=Phase.AVAILABLE)
    assert chosen(a_claim(), pointing, a_volume("b")) == "a"


@pytest.mark.rule("6.13")
def test_where_the_node_does_not_reach_the_volume_that_points_at_the_claim_no_other_will_do() -> (
    None
):
    pointing = a_volume("a", claim=pointer(), phase=Phase.AVAILABLE, affinity=ON_N2)
    assert chosen(a_claim(), pointing, a_volume("b")) is None


def test_a_limit_of_waste_is_for_volumes_that_do_not_point_at_the_claim() -> None:
    limit, large = WasteLimit(Fraction(2), "class fast"), a_volume("a", size="9Gi")
    pointing = a_volume("b", size="9Gi", claim=pointer(), phase=Phase.AVAILABLE)
    assert Volumes(large).chosen(a_claim(), limit) is None
    assert Volumes(large, pointing).chosen(a_claim(), limit) == "b"


def test_volumes_that_cannot_be_chosen_are_not_looked_at() -> None:
    others = [a_volume(f"of-class-{number}", class_="fast") for number in range(100)]
    small = [a_volume(f"small-{number}", size="1Mi") for number in range(100)]
    bound = [a_volume(f"bound-{n}", claim=pointer(), phase=Phase.BOUND) for n in range(100)]
    elsewhere = [a_volume(f"elsewhere-{n}", affinity=ON_N2) for n in range(100)]
    volumes = Volumes(*others, *small, *bound, *elsewhere, a_volume("a"), a_volume("b", size="2Gi"))
    assert volumes.chosen(a_claim()) == "a"
    volumes.remove("a")
    assert volumes.chosen(a_claim(), WasteLimit(Fraction("1.5"), "class fast")) is None
    assert volumes.looked_at == 1


def test_volumes_of_other_modes_or_labels_are_not_looked_at() -> None:
    once = [a_volume(f"once-{number}") for number in range(100)]
    block = [a_volume(f"block-{number}", modes="RWX", volume_mode="Block") for number in range(100)]
    volumes = Volumes(*once, *block, a_volume("large", size="9Gi", modes="RWO,RWX"))
    assert volumes.chosen(a_claim(modes="RWX")) == "large"
    assert volumes.chosen(a_claim(selector=LabelSelector(match_labels={"disk": "ssd"}))) is None
    assert volumes.looked_at == 1


def test_the_index_agrees_with_a_plain_scan_whatever_happened_to_the_volumes() -> None:
    for seed in range(WORLDS):
        worlds, volumes = Worlds(seed), Volumes()
        for _ in range(12):
            name = f"v{worlds.below(10)}"
            if worlds.often(0.2):
                volumes.remove(name)
            else:
                volumes.put(worlds.volume(name))
            claim, limit = worlds.claim(), worlds.limit()
            right = by_plain_scan(claim, volumes.all.values(), limit)
            assert volumes.chosen(claim, limit) == right, seed
