"""A world for the rules of kinds: what admission may look at beside the object itself."""

from mooring.objects.kind import Doc
from mooring.store.schema import LATEST


class Nothing:
    """Without any object."""

    schema = LATEST

    def one(self, resource: str, key: str) -> Doc | None:
        return None

    def all(self, resource: str) -> list[Doc]:
        return []

    def inside(self, resource: str, namespace: str) -> list[Doc]:
        return []
