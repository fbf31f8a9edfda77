"""Storage semantics §15, as decisions."""

import pytest

from mooring.model.attributes_class import AttributesClass
from mooring.model.claim import Claim, ClaimCondition, ModifyVolumeStatus
from mooring.model.metadata import Metadata
from mooring.model.names import Phase
from mooring.rules import modifying as rules
from tests.rules.making import LONG_AGO, NOW, a_claim, a_volume

OTHER = ClaimCondition(type="Resizing", status="True", last_transition_time=LONG_AGO)
OFFERED = {"compression": ("none", "zstd"), "speed": ("1", "2")}


def of(named: str, current: str = "", progress: str = "", target: str = "") -> Claim:
    status: dict[str, object] = {"current_volume_attributes_class_name": current or None}
    if progress:
        status["modify_volume_status"] = ModifyVolumeStatus(
            target_volume_attributes_class_name=target or named, status=progress
        )
    return a_claim(attributes_class=named or None, volume="v1", phase=Phase.BOUND, **status)


@pytest.mark.parametrize(
    ("claim", "target", "looked_at"),
    [
        (of(""), "", False),
        (of("a", "a"), "", False),
        (of("a"), "a", True),
        (of("b", "a"), "b", True),
        (of("b", "a", "Pending"), "b", True),
        (of("c", "a", "Infeasible", "b"), "c", True),
        (of("a", "a", "Infeasible", "b"), "", True),  # taken back: nothing was changed
        # What is in progress may be done already.
        (of("c", "a", "InProgress", "b"), "b", True),
        (of("a", "a", "InProgress", "b"), "b", True),
        (a_claim(attributes_class="a", volume="v1"), "", False),  # not Bound
    ],
)
def test_what_a_volume_is_to_be_of(claim: Claim, target: str, looked_at: bool) -> None:
    assert rules.target(claim) == target
    assert rules.is_modifying(claim) is looked_at


def states(claim: Claim) -> tuple[str, list[str]]:
    return rules.progress(claim), [one.type for one in claim.status.conditions]


@pytest.mark.rule("15.6", "15.7", "15.8", "15.9")
def test_a_change_is_marked_at_each_step() -> None:
    claim = of("b", "a").with_status(conditions=(OTHER,))
    assert states(rules.pending(claim, "b")) == ("Pending", ["Resizing"])
    begun = rules.begun(claim, "b", NOW)
    assert states(begun) == ("InProgress", ["Resizing", "ModifyingVolume"])
    assert rules.begun(begun, "b", "later") is begun
    failed = rules.infeasible(begun, "b", "why", NOW)
    assert states(failed) == ("Infeasible", ["Resizing", "ModifyVolumeError"])
    assert rules.infeasible(failed, "b", "why", "later") is failed
    done = rules.modified(rules.begun(failed, "b", NOW), "b")
    assert states(done) == ("", ["Resizing"])
    assert rules.current(done) == "b"


@pytest.mark.rule("15.4")
@pytest.mark.parametrize(
    ("driver", "parameters", "what", "remedy"),
    [
        ("d", {"compression": "zstd", "speed": "1"}, "", ""),
        (
            "e", {"compression": "zstd"},
            "VolumeAttributesClass a is of e, not of d", "name one whose driverName is d",
        ),
        (
            "d", {"compression": "gzip"}, "VolumeAttributesClass a says compression=gzip",
            "d knows compression: none or zstd; speed: 1 or 2",
        ),
        (
            "d", {"size": "1"}, "VolumeAttributesClass a says size=1",
            "d knows compression: none or zstd; speed: 1 or 2",
        ),
    ],
)  # fmt: skip
def test_a_class_has_to_fit_the_driver(
    driver: str, parameters: dict[str, str], what: str, remedy: str
) -> None:
    named = Metadata(name="a")
    class_ = AttributesClass(metadata=named, driver_name=driver, parameters=parameters)
    assert rules.unfit(class_, "d", OFFERED) == (what, remedy)


@pytest.mark.rule("15.10")
def test_a_class_is_named_by_spec_current_target_and_volume() -> None:
    assert rules.names_of_claim(of("c", "a", "InProgress", "b")) == {"a", "b", "c"}
    assert rules.names_of_claim(of("")) == set()
    assert rules.names_of_volume(a_volume(attributes_class="a")) == {"a"}
    assert rules.names_of_volume(a_volume()) == set()
