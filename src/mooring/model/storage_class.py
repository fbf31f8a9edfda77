"""StorageClass: a kind of storage that claims may ask for by name."""

from typing import ClassVar

import msgspec

from mooring.model.metadata import Part, View
from mooring.model.names import (
    DEFAULT_CLASS,
    DEFAULT_CLASS_BETA,
    DELETE,
    IMMEDIATE,
    POOL_PARAMETER,
    WAIT_FOR_FIRST_CONSUMER,
)


class TopologyExpression(Part, frozen=True):
    key: str = ""
    values: tuple[str, ...] = ()


class TopologyTerm(Part, frozen=True):
    match_label_expressions: tuple[TopologyExpression, ...] = ()


class StorageClass(View, frozen=True):
    kind_name: ClassVar[str] = "StorageClass"
    api_version_name: ClassVar[str] = "storage.k8s.io/v1"
    resource: ClassVar[str] = "storageclasses.storage.k8s.io"

    provisioner: str = ""
    parameters: dict[str, str] = msgspec.field(default_factory=dict)
    reclaim_policy: str = DELETE
    volume_binding_mode: str = IMMEDIATE
    allow_volume_expansion: bool | None = None
    mount_options: tuple[str, ...] = ()
    allowed_topologies: tuple[TopologyTerm, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether claims that name no class get this one; the value must be exactly "true"."""
        annotations = self.metadata.annotations
        return "true" in (annotations.get(DEFAULT_CLASS), annotations.get(DEFAULT_CLASS_BETA))

    @property
    def waits_for_consumer(self) -> bool:
        return self.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER

    @property
    def pool(self) -> str:
        """The Pool it is served from, "" for the driver's only one."""
        return self.parameters.get(POOL_PARAMETER, "")
