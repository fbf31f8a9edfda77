"""Which class claims get that name none. Storage semantics §12."""

from collections.abc import Iterable

from mooring.model.storage_class import StorageClass


def default_of(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The newest default; of the same second, the first by name."""
    defaults = sorted((one for one in classes if one.is_default), key=lambda one: one.name)
    defaults.sort(key=lambda one: one.metadata.creation_timestamp or "", reverse=True)
    return defaults[0] if defaults else None
