"""Which volumes are in use on which host, as VolumeAttachments: `kubectl get volumeattachments`.

For a volume that one host at most may use, the name comes from the volume alone, so making the
object is taking the lock; otherwise each host has one of its own.
"""

from contextlib import suppress
from hashlib import sha256
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.errors import Effect, MooringError
from mooring.model.attachment import Attachment
from mooring.model.names import ONE_HOST
from mooring.model.volume import Volume
from mooring.objects.cache import Entry
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.index import Index
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects, Preconditions
from mooring.objects.views import view

HOST_PATHS: Final = "host.mooring.dev"  # attacher of volumes without a driver: paths of the host

ATTACH_INTENDED: Final = crash_point("attach.intended")
DETACHED: Final = crash_point("attach.detached")


class AttachedElsewhere(MooringError):
    code, effect = "AttachedElsewhere", Effect.NONE

    def __init__(self, volume: Volume, node: str) -> None:
        claim = volume.claim_ref.key if volume.claim_ref is not None else "no claim"
        self.what = f"volume {volume.name} of {claim} is in use on {node}"
        self.remedy = f"stop what uses it on {node}, or start there what needs it"


def attachment_name(volume: str, node: str = "") -> str:
    """node  "" for a volume that is used on one host at most"""
    return "csi-" + sha256(f"{volume} {node}".rstrip().encode()).hexdigest()


class Attachments:
    """Of one host."""

    def __init__(self, objects: Objects, node: str) -> None:
        self._objects, self._node = objects, node
        self._kind = objects.kinds[Attachment.resource]
        self._by_node = Index(objects.cache.shelves[Attachment.resource], _node_of)

    def stop(self) -> None:
        """Follow no longer what is attached."""
        self._by_node.stop()

    async def intend(self, volume: Volume) -> None:
        """Take the right to use a volume here; repeatable. Raises AttachedElsewhere."""
        name = self._name(volume)
        doc: Doc = {
            "metadata": {"name": name},
            "spec": {
                "attacher": volume.driver or HOST_PATHS,
                "nodeName": self._node,
                "source": {"persistentVolumeName": volume.name},
            },
        }
        try:
            await self._objects.create(self._kind, "", doc)
        except AlreadyExists:
            holder = self._objects.view(Attachment, name)
            if holder is not None and holder.node != self._node:
                raise AttachedElsewhere(volume, holder.node) from None
        passing(ATTACH_INTENDED)

    async def confirm(self, volume: Volume) -> None:
        """The volume is at hand here."""
        name = self._name(volume)
        found = self._objects.view(Attachment, name)
        if found is not None and not found.is_attached:
            with suppress(NotFound):
                await self._objects.update(self._kind, name, _attached, subresource="status")

    async def detach(self, volume: str) -> None:
        """Nobody uses a volume here any more, or it never came to it; repeatable."""
        for one in self.of(volume):
            if one.node == self._node:
                with suppress(NotFound):
                    same = Preconditions(uid=one.uid)
                    await self._objects.delete(self._kind, one.name, preconditions=same)
        passing(DETACHED)

    def of(self, volume: str) -> list[Attachment]:
        """Of a volume, by name: here, or on the one host that may use it."""
        names = (attachment_name(volume), attachment_name(volume, self._node))
        found = (self._objects.view(Attachment, name) for name in names)
        return [one for one in found if one is not None and one.volume == volume]

    def here(self) -> list[Attachment]:
        """All of this host."""
        found = (self._objects.view(Attachment, key) for key in self._by_node.keys(self._node))
        return [one for one in found if one is not None]

    def _name(self, volume: Volume) -> str:
        only_one = volume.modes <= ONE_HOST
        return attachment_name(volume.name, "" if only_one else self._node)


def _node_of(entry: Entry) -> list[str]:
    return [view(Attachment, entry).node]


def _attached(doc: Doc) -> Doc:
    doc["status"] = {"attached": True}
    return doc
