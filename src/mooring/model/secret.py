"""Secret: what only those are told who need it."""

from typing import ClassVar

import msgspec

from mooring.model.metadata import View


class Secret(View, frozen=True):
    """data: in base64"""

    kind_name: ClassVar[str] = "Secret"
    resource: ClassVar[str] = "secrets"

    data: dict[str, str] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        """Without what is in it: this may come into a log."""
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"
