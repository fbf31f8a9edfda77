"""What every object has: its metadata, references to it, and the base of all views.

A view is the part of a stored object that Mooring decides on, decoded straight from its bytes.
Fields it does not name are left alone by whoever writes a changed view back.
"""

from typing import ClassVar, Self

import msgspec


class Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename="camel",
    gc=False,  # views never form cycles
):
    """A piece of a view."""


class OwnerReference(Part, frozen=True):
    """An object that this one goes with."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectReference(Part, frozen=True):
    """A full pointer to an object, as PV.spec.claimRef and Events carry it."""

    kind: str = ""
    api_version: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    @property
    def key(self) -> str:
        """ "namespace/name", or the name of a cluster scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Metadata(Part, frozen=True):
    """Of one object. Timestamps are RFC 3339 text as stored."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class View(Part, frozen=True):
    """An object seen through the fields that Mooring decides on."""

    kind_name: ClassVar[str] = ""
    api_version_name: ClassVar[str] = "v1"
    resource: ClassVar[str] = ""  # as in store keys: plural, or plural.group

    metadata: Metadata = msgspec.field(default_factory=Metadata)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """ "" for cluster scoped objects."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def key(self) -> str:
        """ "namespace/name", or the name of a cluster scoped object."""
        metadata = self.metadata
        return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name

    @property
    def annotations(self) -> dict[str, str]:
        """Not to be changed; see `annotated`."""
        return self.metadata.annotations

    @property
    def being_deleted(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    def reference(self) -> ObjectReference:
        """A full pointer to this object as it is now."""
        metadata = self.metadata
        return ObjectReference(
            kind=self.kind_name,
            api_version=self.api_version_name,
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            resource_version=metadata.resource_version,
        )

    def with_metadata(self, **changes: object) -> Self:
        """The same object with these fields of its metadata changed."""
        metadata = msgspec.structs.replace(self.metadata, **changes)
        return msgspec.structs.replace(self, metadata=metadata)

    def annotated(self, **values: str) -> Self:
        """With these annotations set: annotated(**{KEY: "yes"})."""
        if all(self.annotations.get(key) == value for key, value in values.items()):
            return self
        return self.with_metadata(annotations={**self.annotations, **values})

    def without_annotations(self, *keys: str) -> Self:
        """With these annotations gone."""
        if not any(key in self.annotations for key in keys):
            return self
        kept = {key: value for key, value in self.annotations.items() if key not in keys}
        return self.with_metadata(annotations=kept)

    def has_finalizer(self, finalizer: str) -> bool:
        return finalizer in self.metadata.finalizers

    def with_finalizer(self, finalizer: str) -> Self:
        """With this finalizer, appended if it is not there."""
        if self.has_finalizer(finalizer):
            return self
        return self.with_metadata(finalizers=(*self.metadata.finalizers, finalizer))

    def without_finalizer(self, finalizer: str) -> Self:
        """With this finalizer gone."""
        if not self.has_finalizer(finalizer):
            return self
        kept = tuple(one for one in self.metadata.finalizers if one != finalizer)
        return self.with_metadata(finalizers=kept)
