"""What people are told whose claim cannot be had on this host. Docker volumes §8 and §10.

Docker prints the text alone, so it names the claim, the host and what would help.
"""

import pytest

from mooring.errors import MooringError
from mooring.model.selector import NodeAffinity, NodeSelector, NodeSelectorTerm, Requirement
from mooring.model.selector import only_node as only
from mooring.node.errors import (
    ClaimLost,
    DataMissing,
    DataOnOtherNode,
    MountsNotVisible,
    NoCapacityHere,
    ProvisioningElsewhere,
)
from tests.rules.making import a_claim, a_volume

ON_A = a_volume("v1").with_spec(node_affinity=only("kubernetes.io/hostname", "A"))
CLAIM = a_claim("data", volume="v1", phase="Bound")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            DataOnOtherNode("default/data", ON_A, "B"),
            "default/data is on A; constrain the service: --constraint "
            "node.labels.mooring.vol.default.data==true",
        ),
        (
            DataOnOtherNode("default/data", ON_A, "B", is_gone=True),
            "default/data is on A; constrain the service: --constraint "
            "node.labels.mooring.vol.default.data==true; "
            "if A is gone for good, restore a snapshot into a new claim, or begin anew: "
            "kubectl delete pvc data -n default",
        ),
        (
            DataOnOtherNode("default/data", a_volume("v1"), "B"),
            "default/data is not on B; constrain the service: --constraint "
            "node.labels.mooring.vol.default.data==true",
        ),
        (
            ClaimLost(CLAIM),
            "claim default/data is Lost: its volume v1 is gone, or another claim's; kubectl apply "
            "the PersistentVolume v1 as it was; or delete the claim and restore the data into a "
            "new one",
        ),
        (
            DataMissing(ON_A.claimed_by(CLAIM), "A"),
            "volume v1 of claim default/data was used before, and its data is not in its place on "
            "A; nothing is made anew there: put the data back, or delete the claim if it is not "
            "needed",
        ),
        (
            DataMissing(ON_A.claimed_by(CLAIM), "A", "/srv/data"),
            "volume v1 of claim default/data was used before, and its data is not in /srv/data on "
            "A; mount the disk that holds it; nothing is made anew there: put the data back, or "
            "delete the claim if it is not needed",
        ),
        (
            ProvisioningElsewhere(CLAIM, "A", "B"),
            "the volume of claim default/data is to be made on A, not on B; run the container on "
            "A, or take that choice back: kubectl annotate pvc data -n default "
            "volume.kubernetes.io/selected-node-",
        ),
        (
            NoCapacityHere(CLAIM, "B", "pool local is full"),
            "no volume for claim default/data can be made on B: pool local is full; run the "
            "container on another node, or make room here; mooring explain pvc data -n default "
            "says more",
        ),
        (
            MountsNotVisible("default/data", "/var/lib/mooring/mounts", "B", 7),
            "default/data cannot be mounted on B: dockerd, process 7, does not see what Mooring "
            "mounts below /var/lib/mooring/mounts; run both in one mount namespace, so without "
            "PrivateMounts=, PrivateTmp= or ProtectSystem= in either unit, and restart both",
        ),
    ],
    ids=lambda one: one.code if isinstance(one, MooringError) else "",
)
def test_the_text_names_the_claim_the_host_and_what_would_help(
    error: MooringError, text: str
) -> None:
    assert str(error) == text
    assert error.code == type(error).__name__


def test_data_that_several_nodes_have_is_said_to_be_on_any_of_them() -> None:
    by_label = Requirement(key="kubernetes.io/hostname", operator="In", values=("A", "B"))
    by_name = Requirement(key="metadata.name", operator="In", values=("B", "C"))
    terms = (
        NodeSelectorTerm(match_expressions=(by_label,)),
        NodeSelectorTerm(match_fields=(by_name,)),
    )
    affinity = NodeAffinity(required=NodeSelector(node_selector_terms=terms))
    volume = a_volume("v1").with_spec(node_affinity=affinity)
    assert DataOnOtherNode("default/data", volume, "D").what == "default/data is on A or B or C"


def test_nodes_that_are_only_excluded_are_not_where_the_data_is() -> None:
    elsewhere = Requirement(key="kubernetes.io/hostname", operator="NotIn", values=("B",))
    terms = (NodeSelectorTerm(match_expressions=(elsewhere,)),)
    affinity = NodeAffinity(required=NodeSelector(node_selector_terms=terms))
    volume = a_volume("v1").with_spec(node_affinity=affinity)
    assert DataOnOtherNode("default/data", volume, "B").what == "default/data is not on B"
