"""`from=snapshot:NAME` and `from=volume:NAME`: what a new Docker volume is filled from.

Source: Docker volumes §5, storage semantics §18.
"""

from mooring.dockerplugin.errors import (
    BadName,
    NoSuchSource,
    NotSupported,
    SizeTooSmall,
    SourceNotReady,
)
from mooring.dockerplugin.names import DockerName, Namespaces, claim_named
from mooring.dockerplugin.options import Source
from mooring.errors import MooringError
from mooring.model.claim import Claim
from mooring.model.quantity import Quantity
from mooring.model.snapshot import GROUP, Snapshot, SnapshotContent
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.rules.sources import cloned, restored


class Sources:
    """Looks sources up, in the namespace of the volume that is to be made."""

    def __init__(self, objects: Objects, namespaces: Namespaces) -> None:
        self._objects, self._namespaces = objects, namespaces

    def exists(self, wanted: DockerName, source: Source) -> bool:
        type_ = Snapshot if source.kind == "snapshot" else Claim
        return self._objects.entry(type_.resource, self._key(wanted, source)) is not None

    def document(self, wanted: DockerName, source: Source) -> Doc:
        """As spec.dataSource of a claim has it."""
        if source.kind == "snapshot":
            return {"apiGroup": GROUP, "kind": Snapshot.kind_name, "name": source.name}
        return {"kind": Claim.kind_name, "name": self._key(wanted, source).rpartition("/")[2]}

    def class_name(self, wanted: DockerName, source: Source) -> str | None:
        """The class of what is filled from it, where none is said: its own. None if it has none."""
        if (claim := self._claim(wanted, source)) is not None:
            return claim.class_name or None
        if (content := self._content(wanted, source)) is None:
            return None
        classes = self._objects.views(StorageClass)
        fitting = (
            one.name
            for one in classes
            if (one.provisioner, one.pool) == (content.driver, content.pool)
        )
        return next(fitting, None)

    def size(self, wanted: DockerName, source: Source) -> Quantity | None:
        """How large what is filled from it has to be at least; None if that is not known."""
        if source.kind == "snapshot":
            snapshot = self._objects.view(Snapshot, self._key(wanted, source))
            return snapshot.restore_size if snapshot is not None else None
        claim = self._claim(wanted, source)
        return max(claim.request, claim.capacity) if claim is not None else None

    def refusal(
        self, claim: Claim, wanted: DockerName, source: Source, class_: StorageClass
    ) -> MooringError | None:
        """Why a claim cannot be filled from it now, None if it can.

        claim  that would be made for `wanted`
        """
        said, key = shown(source), self._key(wanted, source)
        if source.kind == "snapshot":
            snapshot = self._objects.view(Snapshot, key)
            if snapshot is None:
                return NoSuchSource(said)
            content = self._content(wanted, source)
            driver = content.driver if content is not None else class_.provisioner
            needed = snapshot.restore_size
            found = restored(claim, class_, snapshot, content)
        else:
            other = self._claim(wanted, source)
            if other is None:
                return NoSuchSource(said)
            volume = self._objects.view(Volume, other.volume_name) if other.volume_name else None
            driver = volume.driver if volume is not None else class_.provisioner
            needed = other.request
            found = cloned(claim, class_, other, volume)
        if not isinstance(found, str):
            return None
        if driver != class_.provisioner:
            return NotSupported(f"from={said}", f"class {class_.name}")
        if needed is not None and claim.request < needed:
            return SizeTooSmall(said, str(claim.request), str(needed))
        return SourceNotReady(said, found)

    def _key(self, wanted: DockerName, source: Source) -> str:
        """ "namespace/name" of the object that it means. Raises NoSuchSource."""
        if source.kind == "snapshot":
            return f"{wanted.namespace}/{source.name}"
        is_default = wanted.namespace == self._namespaces.default
        name = source.name if is_default else f"{wanted.namespace}/{source.name}"
        try:
            return claim_named(name, self._namespaces).key
        except BadName as error:
            raise NoSuchSource(shown(source)) from error

    def _claim(self, wanted: DockerName, source: Source) -> Claim | None:
        """It, or the one that a snapshot is of."""
        key = self._key(wanted, source)
        if source.kind == "volume":
            return self._objects.view(Claim, key)
        snapshot = self._objects.view(Snapshot, key)
        of = snapshot.claim_key if snapshot is not None else ""
        return self._objects.view(Claim, of) if of else None

    def _content(self, wanted: DockerName, source: Source) -> SnapshotContent | None:
        """What a snapshot is bound to."""
        snapshot = self._objects.view(Snapshot, self._key(wanted, source))
        if source.kind != "snapshot" or snapshot is None or not snapshot.content_name:
            return None
        return self._objects.view(SnapshotContent, snapshot.content_name)


def shown(source: Source) -> str:
    """As the option says it."""
    return f"{source.kind}:{source.name}"
