"""The limit of waste: how many times as large as it asks a claim's volume may be."""

from fractions import Fraction

import msgspec
import pytest

from mooring.model.metadata import Metadata
from mooring.model.names import MAX_WASTE
from mooring.model.namespace import Namespace
from mooring.model.storage_class import StorageClass
from mooring.rules.explanation import explained_claim
from mooring.rules.sight import Sight
from mooring.rules.waste import WasteLimit, waste, waste_limit
from tests.rules.making import a_claim, a_class, a_volume, pointer
from tests.rules.test_matching import indexed

TWICE = WasteLimit(Fraction(2), "namespace default")


def a_namespace(times: str | None) -> Namespace:
    annotations = {} if times is None else {MAX_WASTE: times}
    return Namespace(metadata=Metadata(name="default", annotations=annotations))


def a_limited_class(times: str | None) -> StorageClass:
    parameters = {} if times is None else {MAX_WASTE: times}
    return msgspec.structs.replace(a_class(), parameters=parameters)


@pytest.mark.parametrize(
    ("namespace", "class_", "times", "by"),
    [
        ("4", None, 4, "namespace default"),
        (None, "4", 4, "class fast"),
        ("4", "2", 2, "class fast"),
        ("1.5", "2", Fraction(3, 2), "namespace default"),
        ("2", "2", 2, "namespace default"),
        ("x", "2", 2, "class fast"),
    ],
)
def test_the_stricter_of_namespace_and_class_counts(
    namespace: str | None, class_: str | None, times: Fraction, by: str
) -> None:
    claim = a_claim(class_="fast")
    found = waste_limit(claim, a_namespace(namespace), a_limited_class(class_))
    assert found == WasteLimit(Fraction(times), by)


def test_there_is_no_limit_unless_one_is_said() -> None:
    assert waste_limit(a_claim(), a_namespace(None), a_limited_class(None)) is None
    assert waste_limit(a_claim(), None, None) is None


@pytest.mark.parametrize(
    ("asked", "times", "largest"),
    [("1Gi", "4", "4Gi"), ("1Gi", "1.5", "1536Mi"), ("1Gi", "1", "1Gi"), ("10G", "1.25", "12500M")],
)
def test_the_largest_volume_is_so_many_times_what_was_asked(
    asked: str, times: str, largest: str
) -> None:
    limit = WasteLimit(Fraction(times), "class fast")
    assert limit.most(a_claim(size=asked)).canonical() == largest


def test_a_volume_of_just_that_size_is_taken_and_one_byte_more_is_too_much() -> None:
    just = 2 * 2**30
    assert indexed(a_volume("a", size=str(just))).best(a_claim(), limit=TWICE) == "a"
    assert indexed(a_volume("a", size=str(just + 1))).best(a_claim(), limit=TWICE) is None


def test_a_group_of_more_modes_is_searched_where_the_smaller_would_waste_too_much() -> None:
    few, many = a_volume("a", size="9Gi"), a_volume("b", size="2Gi", modes="RWO,ROX")
    assert indexed(few, many).best(a_claim(), limit=TWICE) == "b"


def test_a_volume_that_points_at_the_claim_is_its_own_whatever_its_size() -> None:
    pointing = a_volume("a", size="9Ti", claim=pointer())
    assert indexed(pointing, a_volume("b")).best(a_claim(), limit=TWICE) == "a"


def test_what_the_limit_keeps_from_a_claim_is_explained_and_how_to_have_it_nevertheless() -> None:
    volumes = {"huge": a_volume("huge", size="1Ti"), "other": a_volume("other", class_="fast")}
    sight = Sight(volumes=volumes, namespace=a_namespace("4"))
    command = """kubectl patch pvc db -n default -p '{"spec":{"volumeName":"huge"}}'"""
    assert explained_claim(a_claim(), sight).lines() == [
        "pvc default/db is Pending: what fits is more than 4 times as large as asked, and class "
        '"" makes none',
        "  2 volumes looked at: 1 too large (smallest 1Ti), 1 of class fast",
        "  nearest is huge (1Ti, RWO): more than 4 times as large as asked, which namespace "
        "default forbids by mooring.dev/max-waste",
        '  would help: a volume of class "", RWO, 1Gi to 4Gi; or to have huge nevertheless: '
        f"{command}; or a class with a pool",
    ]


@pytest.mark.parametrize(("size", "wasted"), [("1Ti", "1023Gi"), ("1Gi", "0"), ("1Mi", "0")])
def test_waste_is_what_was_not_asked_for(size: str, wasted: str) -> None:
    assert waste(a_claim(size="1Gi"), a_volume(size=size)).canonical() == wasted
