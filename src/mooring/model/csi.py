"""CSIDriver and CSIStorageCapacity: what drivers say of themselves. Storage semantics §19."""

from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.quantity import Quantity, parse_quantity
from mooring.model.selector import LabelSelector

CAPACITY_NAMESPACE: Final = "kube-system"  # where ours are
# Labels of capacities, as Kubernetes' external-provisioner sets them.
DRIVER_LABEL: Final = "csi.storage.k8s.io/drivername"
MANAGER_LABEL: Final = "csi.storage.k8s.io/managed-by"


class DriverSpec(Part, frozen=True):
    storage_capacity: bool = False


class CsiDriver(View, frozen=True):
    kind_name: ClassVar[str] = "CSIDriver"
    api_version_name: ClassVar[str] = "storage.k8s.io/v1"
    resource: ClassVar[str] = "csidrivers.storage.k8s.io"

    spec: DriverSpec = msgspec.field(default_factory=DriverSpec)

    @property
    def tells_capacity(self) -> bool:
        """Whether a node without a sufficient capacity is not to be chosen."""
        return self.spec.storage_capacity


class StorageCapacity(View, frozen=True):
    kind_name: ClassVar[str] = "CSIStorageCapacity"
    api_version_name: ClassVar[str] = "storage.k8s.io/v1"
    resource: ClassVar[str] = "csistoragecapacities.storage.k8s.io"

    storage_class_name: str = ""
    node_topology: LabelSelector | None = None
    capacity: str | int | float | None = None
    maximum_volume_size: str | int | float | None = None

    @property
    def limit(self) -> Quantity | None:
        """The largest volume that can be made, None if nobody says."""
        size = self.maximum_volume_size
        size = self.capacity if size is None else size
        return None if size is None else parse_quantity(size)

    def reaches(self, labels: Mapping[str, str]) -> bool:
        """Whether it is one of a node of these labels; without a topology, of none."""
        return self.node_topology is not None and self.node_topology.matches(labels)

    def suffices(self, request: Quantity) -> bool:
        limit = self.limit
        return limit is not None and limit.bytes() >= request.bytes()
