"""VolumePopulator: somebody fills new volumes from sources of a kind. Storage semantics §18."""

from typing import ClassVar, Final

import msgspec

from mooring.model.claim import DataSource
from mooring.model.metadata import Part, View

GROUP: Final = "populator.storage.k8s.io"
VERSION: Final = "v1beta1"


class SourceKind(Part, frozen=True):
    """What a claim's spec.dataSourceRef names. Nothing of that kind has to be served here."""

    group: str = ""
    kind: str = ""

    def is_of(self, source: DataSource) -> bool:
        return (self.group, self.kind) == (source.api_group, source.kind)


class VolumePopulator(View, frozen=True):
    kind_name: ClassVar[str] = "VolumePopulator"
    api_version_name: ClassVar[str] = f"{GROUP}/{VERSION}"
    resource: ClassVar[str] = f"volumepopulators.{GROUP}"

    source_kind: SourceKind = msgspec.field(default_factory=SourceKind)
