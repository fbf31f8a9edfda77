"""VolumeAttributesClass (storage.k8s.io/v1): qualities of a volume that may change while it lives.

Source: storage semantics §15.
"""

from typing import ClassVar

import msgspec

from mooring.model.metadata import View


class AttributesClass(View, frozen=True):
    kind_name: ClassVar[str] = "VolumeAttributesClass"
    api_version_name: ClassVar[str] = "storage.k8s.io/v1"
    resource: ClassVar[str] = "volumeattributesclasses.storage.k8s.io"

    driver_name: str = ""
    parameters: dict[str, str] = msgspec.field(default_factory=dict)
