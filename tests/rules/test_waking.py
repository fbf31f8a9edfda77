"""Which claim a volume that became free wakes: the one that makes the best of it, and no other."""

import random
from fractions import Fraction

import pytest

from mooring.rules.waking import WaitingClaims
from mooring.rules.waste import WasteLimit
from tests.rules.making import a_claim, a_volume, labelled
from tests.rules.plain_scan import acceptable
from tests.rules.worlds import Worlds


def waiting(*claims):
    """All of them, the first since the longest time."""
    index = WaitingClaims()
    for claim in claims:
        index.put(claim)
    return index


def test_the_largest_claim_that_fits_is_woken() -> None:
    index = waiting(a_claim("a", size="1Gi"), a_claim("b", size="3Gi"), a_claim("c", size="4Gi"))
    assert index.take_for(a_volume(size="3Gi")) == "default/b"


def test_of_equal_claims_the_one_that_waits_longest_is_woken() -> None:
    index = waiting(a_claim("z"), a_claim("a"))
    assert index.take_for(a_volume()) == "default/z"


def test_a_claim_that_is_looked_at_again_keeps_its_turn() -> None:
    index = waiting(a_claim("z"), a_claim("a"), a_claim("z"))
    assert index.take_for(a_volume()) == "default/z"


def test_the_claim_that_needs_most_access_modes_is_woken_before_a_larger_one() -> None:
    index = waiting(a_claim("a", size="2Gi"), a_claim("b", modes="RWO,RWX"))
    assert index.take_for(a_volume(size="2Gi", modes="RWO,ROX,RWX")) == "default/b"


def test_a_claim_is_woken_once() -> None:
    index = waiting(a_claim())
    assert [index.take_for(a_volume()), index.take_for(a_volume("v2"))] == ["default/db", None]
    assert len(index) == 0


NOT_FOR = {
    "a larger request": a_claim(size="1025Mi"),
    "an access mode more": a_claim(modes="RWO,ROX"),
    "another class": a_claim(class_="c"),
    "another volume mode": a_claim(volume_mode="Block"),
    "another attributes class": a_claim(attributes_class="gold"),
    "a selector that does not match": a_claim(selector=labelled(app="web")),
    "a selector that excludes it": a_claim(selector=labelled(("app", "NotIn", ["db"]))),
}


@pytest.mark.parametrize("claim", NOT_FOR.values(), ids=NOT_FOR)
def test_a_claim_is_left_alone_that_has(claim) -> None:
    index = waiting(claim)
    assert index.take_for(a_volume(labels={"app": "db"})) is None
    assert claim.key in index


def test_a_claim_put_again_waits_as_it_is_now() -> None:
    index = waiting(a_claim(size="1Gi"), a_claim(size="2Gi"))
    assert index.take_for(a_volume(size="1Gi")) is None
    assert index.take_for(a_volume(size="2Gi")) == "default/db"


def within(times: str) -> WasteLimit:
    return WasteLimit(Fraction(times), "namespace default")


def test_a_claim_is_left_alone_by_a_volume_that_would_waste_too_much() -> None:
    index = WaitingClaims()
    index.put(a_claim(size="1Gi"), within("1.5"))
    assert index.take_for(a_volume(size="1537Mi")) is None
    assert index.take_for(a_volume(size="1536Mi")) == "default/db"


def test_a_smaller_claim_that_may_waste_is_woken_where_a_larger_one_may_not() -> None:
    index = WaitingClaims()
    index.put(a_claim("a", size="3Gi"), within("2"))
    index.put(a_claim("b", size="1Gi"))
    assert index.take_for(a_volume(size="7Gi")) == "default/b"
    assert "default/a" in index


def test_a_claim_whose_limit_changed_waits_by_the_new_one() -> None:
    index = WaitingClaims()
    index.put(a_claim(), within("2"))
    index.put(a_claim())
    assert index.take_for(a_volume(size="9Gi")) == "default/db"


@pytest.mark.parametrize("seed", range(50))
def test_a_volume_wakes_a_claim_if_and_only_if_it_would_satisfy_one(seed: int) -> None:
    worlds, chance = Worlds(seed), random.Random(seed)
    index, claims, limits = WaitingClaims(), {}, {}
    for number in range(60):
        claim = worlds.claim(f"c{number % 20}")
        if chance.random() < 0.2:
            index.remove(claim.key)
            claims.pop(claim.key, None)
        else:
            limits[claim.key] = worlds.limit()
            index.put(claim, limits[claim.key])
            claims[claim.key] = claim
        volume = worlds.free_volume("v")
        would = {key for key, one in claims.items() if acceptable([volume], one, limit=limits[key])}
        woken = index.take_for(volume)
        assert woken in (would or {None})
        claims.pop(woken, None)
        assert len(index) == len(claims)
