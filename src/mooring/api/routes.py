"""What a path of the resource API means."""

from collections.abc import Iterable
from typing import NamedTuple

from mooring.objects.kind import Kind


class Route(NamedTuple):
    """A place in the API: a collection (name ""), an object, or a subresource of one."""

    kind: Kind
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> str:
        """Of the object in its shelf."""
        return f"{self.namespace}/{self.name}" if self.kind.namespaced else self.name


class Routes:
    """Finds the kind that a path is about."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def find(self, path: str) -> Route | None:
        """None if nothing is served there."""
        parts = path.split("/")
        if len(parts) < 4:
            return None
        if parts[1] == "api":
            group, version, rest = "", parts[2], parts[3:]
        elif parts[1] == "apis":
            group, version, rest = parts[2], parts[3], parts[4:]
        else:
            return None
        if not rest or not all(rest):
            return None
        namespace = ""
        # /namespaces/NAME and its subresources are the kind Namespace itself.
        if rest[0] == "namespaces" and len(rest) > 2:
            kind = self._kinds.get((group, version, rest[2]))
            if kind is not None and kind.namespaced:
                namespace, rest = rest[1], rest[2:]
        kind = self._kinds.get((group, version, rest[0]))
        if kind is None or len(rest) > 3:
            return None
        if kind.namespaced and not namespace and len(rest) > 1:
            return None
        name = rest[1] if len(rest) > 1 else ""
        subresource = rest[2] if len(rest) > 2 else ""
        if subresource and subresource not in kind.subresources:
            return None
        return Route(kind, namespace, name, subresource)
