"""populator.storage.k8s.io/v1beta1 VolumePopulator. Storage semantics §18.

Kubernetes serves it as a custom resource, so its rules are told in the words of those.
"""

from typing import Final

from mooring.model.populator import GROUP, VERSION
from mooring.objects import printing
from mooring.objects.documents import encoded
from mooring.objects.kind import Cause, Column, Doc, Kind, Printing
from mooring.objects.kinds.common import metadata_causes, metadata_update_causes, required

SOURCE: Final = "sourceKind"


def _source_causes(doc: Doc) -> list[Cause]:
    source = doc.get(SOURCE)
    if source is None:
        return [required(SOURCE)]
    return [required(f"{SOURCE}.{key}") for key in ("group", "kind") if key not in source]


def _source(doc: Doc, _: Printing) -> str:
    """The whole of it, as kubectl shows an object of a custom resource."""
    return encoded(doc[SOURCE]).decode()


KIND: Final = Kind(
    group=GROUP,
    version=VERSION,
    kind="VolumePopulator",
    plural="volumepopulators",
    singular="volumepopulator",
    namespaced=False,
    columns=(Column("Name", printing.name, format="name"), Column("SourceKind", _source)),
    overwrites=False,
    generation=True,
    validate_create=lambda doc: metadata_causes(doc) + _source_causes(doc),
    validate_update=lambda doc, old: metadata_update_causes(doc, old) + _source_causes(doc),
)
