"""VolumeAttachment: a volume that is in use, or about to be, on a host."""

from typing import ClassVar

import msgspec

from mooring.model.metadata import Part, View


class AttachmentSource(Part, frozen=True):
    persistent_volume_name: str = ""


class AttachmentSpec(Part, frozen=True):
    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource = msgspec.field(default_factory=AttachmentSource)


class AttachmentStatus(Part, frozen=True):
    attached: bool = False


class Attachment(View, frozen=True):
    kind_name: ClassVar[str] = "VolumeAttachment"
    api_version_name: ClassVar[str] = "storage.k8s.io/v1"
    resource: ClassVar[str] = "volumeattachments.storage.k8s.io"

    spec: AttachmentSpec = msgspec.field(default_factory=AttachmentSpec)
    status: AttachmentStatus = msgspec.field(default_factory=AttachmentStatus)

    @property
    def node(self) -> str:
        return self.spec.node_name

    @property
    def volume(self) -> str:
        """Name of the PersistentVolume."""
        return self.spec.source.persistent_volume_name

    @property
    def is_attached(self) -> bool:
        """Whether the host has it; before that it only has the right to."""
        return self.status.attached
