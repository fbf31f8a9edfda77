"""What `mooring explain` says of a claim that a populator is to fill. Storage semantics §18."""

from dataclasses import replace

import pytest

from mooring.model.metadata import Metadata
from mooring.model.populator import SourceKind, VolumePopulator
from mooring.model.storage_class import StorageClass
from mooring.rules.explanation import explained_claim
from mooring.rules.outlook import Supply
from mooring.rules.sight import Sight
from tests.rules.making import a_class
from tests.rules.snapshot_making import DRIVER, a_pool, from_other

WANTED = "a volume of class fast, RWO, 1Gi or more"


def a_populator(kind: str = "Archive", name: str = "archives") -> VolumePopulator:
    source = SourceKind(group="example.com", kind=kind)
    return VolumePopulator(metadata=Metadata(name=name), source_kind=source)


def seeing(*populators: VolumePopulator, class_: StorageClass | None = None) -> Sight:
    class_ = class_ or a_class("fast", provisioner=DRIVER)
    supply = Supply({class_.name: class_}, [a_pool("fast")])
    return Sight(supply=supply, populators=populators)


def test_a_populator_that_has_not_filled_it_yet_is_named() -> None:
    assert explained_claim(from_other(), seeing(a_populator())).lines() == [
        "pvc default/new is Pending: no volume fits, and populator archives, which is to fill one "
        "from Archive.example.com a, gave it none yet",
        "  there are no volumes at all",
        "  would help: see that this populator runs, and that there is a Archive a; or " + WANTED,
    ]


@pytest.mark.parametrize("populators", [[], [a_populator("Image")]])
def test_a_kind_that_nobody_registered_is_named(populators: list[VolumePopulator]) -> None:
    assert explained_claim(from_other(), seeing(*populators)).lines() == [
        "pvc default/new is Pending: no volume fits, and no VolumePopulator is registered for its "
        "dataSourceRef: Archive.example.com",
        "  there are no volumes at all",
        "  would help: install the populator of Archive.example.com, or a new claim with another "
        "source or none; or " + WANTED,
    ]


def test_it_is_the_same_whoever_makes_the_volumes_of_its_class() -> None:
    others = seeing(a_populator(), class_=a_class("fast", provisioner="csi.example.com"))
    assert explained_claim(from_other(), others) == explained_claim(
        from_other(), seeing(a_populator())
    )


def test_what_the_populator_told_last_is_told() -> None:
    sight = replace(seeing(a_populator()), told="the disk is full")
    assert "it failed last with: the disk is full" in explained_claim(from_other(), sight).details


def test_before_its_first_consumer_a_claim_waits_for_that() -> None:
    waits = a_class("fast", provisioner=DRIVER, waits=True)
    why = explained_claim(from_other(), seeing(class_=waits)).why
    assert why == "by class fast it waits for its first consumer, and there is none"
