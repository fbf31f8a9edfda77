"""Storage semantics §12, and trap 2 of §22, through admission and the controllers."""

import pytest

from tests.controllers.clocked import (
    ClockedPlant,
    a_claim_doc,
    a_class_doc,
    a_volume_doc,
    make_default,
)
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

GA = "storageclass.kubernetes.io/is-default-class"
BETA = "storageclass.beta.kubernetes.io/is-default-class"
OLD_KEY = "volume.beta.kubernetes.io/storage-class"


def class_of(plant: ClockedPlant, name: str = "db") -> str | None:
    return plant.claim(name).spec.storage_class_name


# At creation


@pytest.mark.rule("2.12", "12.1", "12.2")
@pytest.mark.parametrize("key", [GA, BETA])
def test_a_new_claim_that_says_no_class_gets_the_default(plant: ClockedPlant, key: str) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{key: "true"}))
    plant.create(CLAIMS, a_claim_doc())
    assert class_of(plant) == "fast"


@pytest.mark.rule("2.12", "12.2")
@pytest.mark.parametrize("value", ["false", "True", "TRUE", "yes", "1", "", " true"])
def test_a_class_is_default_only_if_the_value_is_exactly_true(
    plant: ClockedPlant, value: str
) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{GA: value}))
    plant.put(CLAIMS, a_claim_doc())
    assert class_of(plant) is None


@pytest.mark.rule("12.5")
def test_without_a_default_the_claim_says_no_class(plant: ClockedPlant) -> None:
    plant.create(CLASSES, a_class_doc("fast"))
    plant.put(CLAIMS, a_claim_doc())
    assert class_of(plant) is None
    assert plant.told("db") == [("Normal", "FailedBinding")]


@pytest.mark.rule("12.6", "22.2")
def test_trap_2_an_empty_class_is_never_defaulted(plant: ClockedPlant) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{GA: "true"}))
    plant.put(CLAIMS, a_claim_doc(class_=""))
    make_default(plant, "fast", "false")
    make_default(plant, "fast")
    plant.settle()
    assert class_of(plant) == ""


@pytest.mark.rule("1.2.36")
def test_a_class_in_the_old_annotation_counts_even_if_empty(plant: ClockedPlant) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{GA: "true"}))
    for name, value in (("a", ""), ("b", "other")):
        doc = a_claim_doc(name)
        doc["metadata"]["annotations"] = {OLD_KEY: value}
        plant.put(CLAIMS, doc)
        assert class_of(plant, name) is None
        assert plant.claim(name).class_name == value


@pytest.mark.rule("12.3")
def test_of_several_defaults_the_newest_wins(plant: ClockedPlant) -> None:
    for name in ("b-old", "c-newest", "a-older"):
        plant.create(CLASSES, a_class_doc(name, **{GA: "true"}))
        plant.clock.move(1 if name != "c-newest" else -5)
    plant.create(CLAIMS, a_claim_doc())
    assert class_of(plant) == "c-newest"


@pytest.mark.rule("12.4")
def test_of_defaults_of_the_same_second_the_first_by_name_wins(plant: ClockedPlant) -> None:
    for name in ("b", "a", "c"):
        plant.create(CLASSES, a_class_doc(name, **{GA: "true"}))
    plant.create(CLAIMS, a_claim_doc())
    assert class_of(plant) == "a"


@pytest.mark.rule("12.7")
def test_a_claim_that_names_a_volume_gets_the_default_and_then_does_not_fit_it(
    plant: ClockedPlant,
) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{GA: "true"}))
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc(volumeName="v1"))
    assert class_of(plant) == "fast"
    assert plant.claim().phase == "Pending"
    assert plant.told("db") == [("Warning", "VolumeMismatch")]


# Later


@pytest.mark.rule("4.A2", "12.8")
def test_pending_claims_without_class_get_the_default_when_one_comes(plant: ClockedPlant) -> None:
    for name in ("a", "b"):
        plant.put(CLAIMS, a_claim_doc(name))
    plant.put(CLASSES, a_class_doc("fast", **{GA: "true"}))
    assert [class_of(plant, name) for name in ("a", "b")] == ["fast", "fast"]
    assert ("Normal", "ExternalProvisioning") in plant.told("a")


@pytest.mark.rule("12.8")
def test_pending_claims_get_the_default_when_a_class_becomes_it(plant: ClockedPlant) -> None:
    plant.create(CLASSES, a_class_doc("fast"))
    plant.put(CLAIMS, a_claim_doc())
    make_default(plant, "fast")
    plant.settle()
    assert class_of(plant) == "fast"


@pytest.mark.rule("12.8")
def test_the_choice_among_several_is_the_same_later(plant: ClockedPlant) -> None:
    for name in ("old", "b-new", "a-new"):
        plant.create(CLASSES, a_class_doc(name))
        plant.clock.move(1 if name == "old" else 0)
    plant.put(CLAIMS, a_claim_doc())
    plant.away()
    for name in ("old", "b-new", "a-new"):
        make_default(plant, name)
    plant.back()
    assert class_of(plant) == "a-new"


@pytest.mark.rule("4.A1", "12.8")
def test_a_claim_that_a_volume_fits_is_bound_and_gets_no_class_later(plant: ClockedPlant) -> None:
    plant.put(VOLUMES, a_volume_doc())
    plant.put(CLAIMS, a_claim_doc())
    plant.put(CLASSES, a_class_doc("fast", **{GA: "true"}))
    assert (class_of(plant), plant.claim().phase) == (None, "Bound")


@pytest.mark.rule("4.B5", "12.9")
def test_a_claim_that_names_a_volume_gets_no_class_later(plant: ClockedPlant) -> None:
    plant.put(CLAIMS, a_claim_doc(volumeName="v1"))
    plant.put(CLASSES, a_class_doc("fast", **{GA: "true"}))
    assert class_of(plant) is None
    plant.put(VOLUMES, a_volume_doc())
    assert plant.claim().phase == "Bound"


@pytest.mark.rule("12.10")
def test_another_default_changes_no_claim_that_has_a_class(plant: ClockedPlant) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{GA: "true"}))
    plant.put(CLAIMS, a_claim_doc())
    plant.clock.move(10)
    plant.put(CLASSES, a_class_doc("newer", **{GA: "true"}))
    make_default(plant, "fast", "false")
    plant.settle()
    assert class_of(plant) == "fast"


@pytest.mark.rule("4.A1a", "12.11", "12.12")
def test_a_class_that_is_deleted_takes_nothing_from_bound_claims_nor_from_matching(
    plant: ClockedPlant,
) -> None:
    plant.create(CLASSES, a_class_doc("fast", **{GA: "true"}))
    plant.put(VOLUMES, a_volume_doc(storageClassName="fast"))
    plant.put(CLAIMS, a_claim_doc())
    plant.delete(CLASSES, "fast")
    plant.settle()
    assert plant.claim().phase == "Bound"
    plant.put(CLAIMS, a_claim_doc("next", class_="fast"))
    plant.put(VOLUMES, a_volume_doc("v2", storageClassName="fast"))
    assert plant.claim("next").phase == "Bound"
