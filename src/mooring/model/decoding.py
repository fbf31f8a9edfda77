"""Views from stored bytes, whatever passed validation."""

from typing import Any, Generic, TypeVar

import msgspec

from mooring.model.metadata import View

V = TypeVar("V", bound=View)


class ViewDecoder(Generic[V]):
    """Decodes one kind. Fields that the view does not name are skipped."""

    def __init__(self, view: type[V]) -> None:
        self._view = view
        self._decoder = msgspec.json.Decoder(view)

    def decode(self, raw: bytes | bytearray | memoryview) -> V:
        """The view of a stored object. Raises msgspec.ValidationError if it is of another shape.

        A null means the same as an absent field, as it does to Kubernetes.
        """
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError:
            return msgspec.convert(_without_nulls(msgspec.json.decode(raw)), self._view)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value
