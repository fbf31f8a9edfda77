"""StorageClass: a kind of storage that claims may ask for by name."""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

import msgspec

from mooring.model.factor import factor
from mooring.model.home import Elsewhere, elsewhere
from mooring.model.metadata import Part, View
from mooring.model.names import (
    DEFAULT_CLASS,
    DEFAULT_CLASS_BETA,
    DELETE,
    ELSEWHERE_PARAMETER,
    IMMEDIATE,
    MAX_WASTE,
    POOL_PARAMETER,
    WAIT_FOR_FIRST_CONSUMER,
)


class TopologyExpression(Part, frozen=True):
    key: str = ""
    values: tuple[str, ...] = ()


class TopologyTerm(Part, frozen=True):
    """Expressions that must all match; a term without any matches no node."""

    match_label_expressions: tuple[TopologyExpression, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node of these labels is meant."""
        expressions = self.match_label_expressions
        return bool(expressions) and all(
            one.key in labels and labels[one.key] in one.values for one in expressions
        )


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

    def allows(self, labels: Mapping[str, str]) -> bool:
        """Whether its volumes may be made on a node of these labels; any, if it says nothing."""
        terms = self.allowed_topologies
        return not terms or any(term.matches(labels) for term in terms)

    @property
    def pool(self) -> str:
        """The Pool it is served from, "" for the driver's only one."""
        return self.parameters.get(POOL_PARAMETER, "")

    @property
    def elsewhere(self) -> Elsewhere:
        """What becomes of a use of its volumes on a host that has not the data."""
        return elsewhere(self.parameters.get(ELSEWHERE_PARAMETER))

    @property
    def max_waste(self) -> Fraction | None:
        """How many times as large as its claims ask their volumes may be; None: any."""
        return factor(self.parameters.get(MAX_WASTE))
