"""Mirrors of containers are written by the node agent alone; clients are told so: 403.

They say what runs on a host. Were one taken away by a client, its claim could be deleted under the
container. Docker volumes §11.
"""

from typing import Final

from mooring.model.pod import MIRROR, Pod
from mooring.objects.cache import Entry
from mooring.objects.errors import Forbidden
from mooring.objects.kind import Doc, Kind
from mooring.objects.objects import Change

WHY: Final = (
    f"Pods with the label {MIRROR} mirror containers, and the agent of their node alone writes "
    "them; remove the container instead, or all of a node: `mooring node drain NODE`"
)


def refuse_mirror(kind: Kind, found: Doc | Entry | None) -> None:
    """Raises Forbidden if this is such a Pod, and passes over all else."""
    if kind.resource != Pod.resource or found is None:
        return
    if isinstance(found, Entry):
        name, labels = found.name, found.labels
    else:
        name, labels = found["metadata"].get("name", ""), found["metadata"].get("labels")
    if labels and MIRROR in labels:
        raise Forbidden(kind, name, WHY)


def guarded(kind: Kind, change: Change) -> Change:
    """The same change, that neither changes a mirror nor makes one."""
    if kind.resource != Pod.resource:
        return change

    def refusing(old: Doc) -> Doc:
        refuse_mirror(kind, old)
        new = change(old)
        refuse_mirror(kind, new)
        return new

    return refusing
