"""What would let a volume be made that could not: the action is named where it is known."""

import pytest

from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim
from mooring.model.names import Phase
from mooring.model.snapshot import Snapshot
from mooring.rules.making_explanation import BY_ITSELF, mending
from mooring.rules.sight import Sight
from tests.rules.making import a_claim, a_class
from tests.rules.snapshot_making import a_snapshot, from_claim, from_snapshot

OTHERWISE = "; or a new claim with another source or none"


@pytest.mark.parametrize(
    ("claim", "source", "help_"),
    [
        (from_claim(), None, f"create PersistentVolumeClaim db in namespace default{OTHERWISE}"),
        (
            from_claim(),
            a_claim("db", phase=Phase.PENDING),
            f"mooring explain pvc db -n default says what that waits for{OTHERWISE}",
        ),
        (from_claim(), a_claim("db", phase=Phase.BOUND), BY_ITSELF),
        (from_snapshot(), None, f"create VolumeSnapshot monday in namespace default{OTHERWISE}"),
        (
            from_snapshot(),
            a_snapshot(),
            f"mooring explain snapshot monday -n default says what that waits for{OTHERWISE}",
        ),
        (from_snapshot(), a_snapshot(content="c", ready_to_use=True), BY_ITSELF),
        (a_claim(), None, BY_ITSELF),
    ],
)
def test_what_a_claim_is_filled_from_is_seen_to(
    claim: Claim, source: Claim | Snapshot | None, help_: str
) -> None:
    assert mending(claim, a_class(), Sight(source=source)) == help_


def test_an_attributes_class_that_is_missing_can_be_created_and_one_that_is_there_cannot() -> None:
    claim, class_ = a_claim(attributes_class="gold"), a_class(provisioner="btrfs.mooring.dev")
    assert mending(claim, class_, Sight()) == (
        "a new claim without spec.volumeAttributesClassName; or create VolumeAttributesClass "
        "gold, if btrfs.mooring.dev offers attributes"
    )
    assert mending(claim, class_, Sight(attributes=AttributesClass())) == BY_ITSELF
