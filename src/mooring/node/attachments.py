"""Which volumes are in use on which host, as VolumeAttachments: `kubectl get volumeattachments`.

For a volume that one host at most may use, the name comes from the volume alone, so making the
object is taking the lock; otherwise each host has one of its own.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from hashlib import sha256
from typing import Final

from mooring.crashpoints import crash_point, passing
from mooring.errors import Effect, MooringError
from mooring.host.mountinfo import Mountinfo
from mooring.model.attachment import Attachment
from mooring.model.names import FENCING
from mooring.model.node import Node
from mooring.model.pod import Pod
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.objects.cache import Entry
from mooring.objects.errors import AlreadyExists, NotFound, Stale
from mooring.objects.index import Index
from mooring.objects.kind import Doc
from mooring.objects.leases import SeenLeases
from mooring.objects.objects import Objects, Preconditions
from mooring.objects.views import view
from mooring.rules.events import WARNING, EventNote
from mooring.rules.fencing import (
    BY_LEASE,
    OUT_OF_SERVICE,
    Holder,
    fences_itself,
    has_promised,
    holder_of,
    is_out_of_service,
)
from mooring.rules.fencing import passing as may_pass
from mooring.store.interface import Conflict

HOST_PATHS: Final = "host.mooring.dev"  # attacher of volumes without a driver: paths of the host

ATTACH_INTENDED: Final = crash_point("attach.intended")
DETACHED: Final = crash_point("attach.detached")
TAKING_OVER: Final = crash_point("attach.taking-over")
TAKEN_OVER: Final = crash_point("attach.taken-over")


class HolderUnreachable(MooringError):
    code, effect = "HolderUnreachable", Effect.NONE

    def __init__(self, volume: Volume, node: str, passes_in_s: float | None = None) -> None:
        """passes_in_s: None if it never passes by itself"""
        claim = volume.claim_ref.key if volume.claim_ref is not None else "no claim"
        self.what = f"volume {volume.name} of {claim} is held by {node}, which is silent"
        self.remedy = (
            f"if {node} is off for sure: kubectl taint node {node} {OUT_OF_SERVICE}=:NoExecute; "
            "what is of a class with fencing: lease when it is mounted needs no such word"
        )
        if passes_in_s is not None:
            self.remedy = f"try again in {passes_in_s:.1f} s: {node} has stopped by then"
        super().__init__(self.what)


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

    def __init__(self, objects: Objects, node: str, tell: Callable[[EventNote], None]) -> None:
        self._objects, self._node, self._tell = objects, node, tell
        self._kind = objects.kinds[Attachment.resource]
        self._by_node = Index(objects.cache.shelves[Attachment.resource], _node_of)
        self._by_volume = Index(objects.cache.shelves[Attachment.resource], _volume_of)
        self._leases = SeenLeases(objects)
        self._leases.start()

    def stop(self) -> None:
        """Follow no longer what is attached."""
        self._by_node.stop()
        self._by_volume.stop()
        self._leases.stop()

    async def intend(self, volume: Volume, within_s: float = 0.0) -> None:
        """Take the right to use a volume here; repeatable.

        within_s  how long to wait for what ends by itself: another host that lets it go, or that
                  is silent and stops by itself
        raises    AttachedElsewhere, HolderUnreachable
        """
        name, until_s = self._name(volume), self._objects.clock.monotonic_s() + within_s
        metadata: Doc = {"name": name}
        if self.would_promise(volume):
            metadata["annotations"] = {FENCING: BY_LEASE}
        doc: Doc = {
            "metadata": metadata,
            "spec": {
                "attacher": volume.driver or HOST_PATHS,
                "nodeName": self._node,
                "source": {"persistentVolumeName": volume.name},
            },
        }
        while True:
            try:
                await self._objects.create(self._kind, "", deepcopy(doc))
                break
            except AlreadyExists:
                holder = self._objects.view(Attachment, name)
            if holder is not None and holder.node == self._node:
                break
            if holder is not None:
                await self._passed(volume, holder, until_s)
        passing(ATTACH_INTENDED)

    async def _passed(self, volume: Volume, holder: Attachment, until_s: float) -> None:
        """Have another host's right end, if it may, or wait a little for that. Raises as intend."""
        late_s, node = self._leases.late_s(holder.node), self._objects.view(Node, holder.node)
        out_of_service = is_out_of_service(node)
        unrenewed = self._leases.unrenewed(holder.node)
        share = self._leases.unheard_share(holder.node)
        state = holder_of(share, has_users=self._has_users(volume, holder.node))
        fences = has_promised(holder.annotations)
        found = may_pass(state, late_s, fences=fences, out_of_service=out_of_service)
        if found.may:
            passing(TAKING_OVER)
            # Nobody else was first, and in the same commit: it has not come back either, and the
            # promise stands. Else it would never know that it has lost the volume.
            same = Preconditions(holder.uid, holder.metadata.resource_version)
            with suppress(NotFound, Stale, Conflict):
                await self._objects.delete(
                    self._kind, holder.name, preconditions=same, checks=[unrenewed]
                )
                self._told_of(volume, holder.node, is_forced=found.is_forced)
            passing(TAKEN_OVER)
            return
        now_s = self._objects.clock.monotonic_s()
        if found.wait_s is None or now_s + found.wait_s > until_s:
            if state is Holder.SILENT:
                raise HolderUnreachable(volume, holder.node, found.wait_s)
            raise AttachedElsewhere(volume, holder.node)
        await asyncio.sleep(found.wait_s)

    def would_promise(self, volume: Volume) -> bool:
        """Whether a host that takes a volume now promises to fence itself."""
        class_ = self._objects.view(StorageClass, volume.spec.storage_class_name or "")
        return fences_itself(volume, class_) and not self._writes_late(volume)

    def _writes_late(self, volume: Volume) -> bool:
        """A pool may be a directory of NFS, whatever driver makes its volumes."""
        pool = self._objects.view(Pool, volume.pool) if volume.pool else None
        found = Mountinfo.of().covering(pool.root) if pool is not None else None
        return found is not None and found.writes_late

    def _has_users(self, volume: Volume, node: str) -> bool:
        """Whether containers there have it, or something else that nobody tells of."""
        ref = volume.claim_ref
        if ref is None:
            return True
        return any(
            one.node_name == node and not one.has_ended and ref.name in one.claim_names
            for one in self._objects.views(Pod, ref.namespace)
        )

    def _told_of(self, volume: Volume, node: str, *, is_forced: bool) -> None:
        reason = "ForcedDetach" if is_forced else "TakenOver"
        why = "is out of service, as its taint says" if is_forced else "is silent, and has stopped"
        message = f"{node} {why}: {self._node} has the volume now"
        self._tell(EventNote(volume.reference(), WARNING, reason, message, "mooring"))

    def is_silent(self, node: str) -> bool:
        """Whether a host has not been heard of for the whole of its Lease."""
        return self._leases.unheard_share(node) >= 1

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
                with suppress(NotFound, Stale):  # another host has taken it over
                    same = Preconditions(uid=one.uid)
                    await self._objects.delete(self._kind, one.name, preconditions=same)
        passing(DETACHED)

    def of(self, volume: str) -> list[Attachment]:
        """Of a volume, by name: here, or on the one host that may use it."""
        names = (attachment_name(volume), attachment_name(volume, self._node))
        found = (self._objects.view(Attachment, name) for name in names)
        return [one for one in found if one is not None and one.volume == volume]

    def elsewhere(self, volume: str) -> list[str]:
        """Other hosts that have a volume."""
        found = (self._objects.view(Attachment, key) for key in self._by_volume.keys(volume))
        return sorted(one.node for one in found if one is not None and one.node != self._node)

    def here(self) -> list[Attachment]:
        """All of this host."""
        found = (self._objects.view(Attachment, key) for key in self._by_node.keys(self._node))
        return [one for one in found if one is not None]

    def _name(self, volume: Volume) -> str:
        return attachment_name(volume.name, "" if volume.is_for_one_host else self._node)


def _node_of(entry: Entry) -> list[str]:
    return [view(Attachment, entry).node]


def _volume_of(entry: Entry) -> list[str]:
    return [view(Attachment, entry).volume]


def _attached(doc: Doc) -> Doc:
    doc["status"] = {"attached": True}
    return doc
