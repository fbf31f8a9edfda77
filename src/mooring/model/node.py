"""Node: a host."""

from typing import ClassVar, Final

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.names import HOSTNAME

NODE_LEASES: Final = "kube-node-lease"  # the namespace with a Lease for each node


class NodeCondition(Part, frozen=True):
    type: str = ""
    status: str = ""


class Taint(Part, frozen=True):
    """What keeps pods away that do not tolerate it. Effects: NoSchedule, NoExecute, Prefer…"""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Part, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(Part, frozen=True):
    conditions: tuple[NodeCondition, ...] = ()


class Node(View, frozen=True):
    kind_name: ClassVar[str] = "Node"
    resource: ClassVar[str] = "nodes"

    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels

    @property
    def hostname(self) -> str:
        """What the affinity of host-local volumes names it by."""
        return self.metadata.labels.get(HOSTNAME, self.metadata.name)

    @property
    def is_ready(self) -> bool:
        return self.readiness == "True"

    @property
    def readiness(self) -> str:
        """True, False or Unknown; "" if nobody ever said."""
        conditions = self.status.conditions
        return next((one.status for one in conditions if one.type == "Ready"), "")
