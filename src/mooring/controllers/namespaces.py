"""Empties namespaces that are being deleted, then lets them go."""

from mooring.model.pod import Pod
from mooring.objects.cache import Entry
from mooring.objects.errors import NotFound
from mooring.objects.kind import Doc, Kind
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Again, Done, Outcome

LOOK_AGAIN_S = 0.5  # while finalizers of what is in it keep it


class Namespaces:
    """Looks at one namespace at a time."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def reconcile(self, name: str) -> Outcome:
        """Delete all that is in a namespace being deleted, then remove its finalizer."""
        doc = self._objects.one("namespaces", name)
        if doc is None or "deletionTimestamp" not in doc["metadata"]:
            return Done("nothing to do")
        kind = self._objects.kinds["namespaces"]
        if doc.get("status", {}).get("phase") != "Terminating":
            await self._objects.update(kind, name, _terminating)
        left = 0
        for inner in self._objects.kinds.values():
            if not inner.namespaced or inner.stored_as:
                continue
            for entry in list(self._objects.shelf(inner).entries(name)):
                if _is_mirror(inner, entry):
                    left += 1  # it goes with its container, and so do the claims that it protects
                    continue
                try:
                    _, gone = await self._objects.delete(inner, entry.key)
                    left += not gone
                except NotFound:
                    continue
        if left:
            return Again(LOOK_AGAIN_S, f"{left} objects are still there")
        await self._objects.update(kind, name, _let_go)
        return Done("emptied")


def _is_mirror(kind: Kind, entry: Entry) -> bool:
    return kind.resource == Pod.resource and view(Pod, entry).is_mirror


def _terminating(doc: Doc) -> Doc:
    doc.setdefault("status", {})["phase"] = "Terminating"
    return doc


def _let_go(doc: Doc) -> Doc:
    doc["spec"]["finalizers"] = []
    return doc
