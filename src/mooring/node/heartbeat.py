"""Says that this host is alive: its Node, the condition Ready, and a Lease renewed all the time."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from mooring.background import Background
from mooring.clock import micro_timestamp, timestamp
from mooring.errors import MooringError
from mooring.model.names import HOSTNAME
from mooring.model.node import NODE_LEASES, Node
from mooring.node.fence import Fence
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects

log = logging.getLogger(__name__)

CONDITION_EVERY_S: Final = 300.0  # as kubelet: its heartbeat; the Lease is what is looked at


class Heartbeat:
    """Of one node."""

    def __init__(self, objects: Objects, node: str, fence: Fence) -> None:
        """fence: is told of each renewal, and has the times of the Lease"""
        self._objects, self._node, self._fence = objects, node, fence
        self._work = Background("heartbeat")
        self._shown_s: float | None = None  # when the condition was last written

    async def start(self) -> None:
        """The node is there and Ready when this returns. Raises MooringError."""
        namespace = {"metadata": {"name": NODE_LEASES}}
        with suppress(AlreadyExists):
            await self._objects.create(self._objects.kinds["namespaces"], "", namespace)
        await self.beat()
        self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._fence.times.renew_s)
            try:
                await self.beat()
            except (MooringError, OSError) as error:
                log.warning("no heartbeat node=%s error=%s", self._node, error)
                self._fence.told()  # which sees to it that somebody watches

    async def beat(self) -> None:
        """Renew the Lease; see that the Node is there and Ready."""
        node = self._objects.view(Node, self._node)
        if node is None:
            await self._register()
        sent_s = self._fence.now_s()
        await self._renew()
        await self._fence.renewed(sent_s)
        now_s = self._objects.clock.monotonic_s()
        stale = self._shown_s is None or now_s - self._shown_s >= CONDITION_EVERY_S
        if node is None or not node.is_ready or stale:
            kind = self._objects.kinds[Node.resource]
            await self._objects.update(kind, self._node, self._ready, subresource="status")
            self._shown_s = now_s

    async def _register(self) -> None:
        labels = {HOSTNAME: self._node}
        doc: Doc = {"metadata": {"name": self._node, "labels": labels}}
        with suppress(AlreadyExists):
            await self._objects.create(self._objects.kinds[Node.resource], "", doc)

    async def _renew(self) -> None:
        now = micro_timestamp(self._objects.clock.now())

        def renewed(doc: Doc) -> Doc:
            doc["spec"] = {**(doc.get("spec") or {}), **spec}
            return doc

        kind = self._objects.kinds["leases.coordination.k8s.io"]
        spec: Doc = {
            "holderIdentity": self._node,
            "leaseDurationSeconds": max(round(self._fence.times.lease_s), 1),
            "renewTime": now,
        }
        try:
            await self._objects.update(kind, f"{NODE_LEASES}/{self._node}", renewed)
        except NotFound:
            doc = {"metadata": {"name": self._node}, "spec": {**spec, "acquireTime": now}}
            await self._objects.create(kind, NODE_LEASES, doc)

    def _ready(self, doc: Doc) -> Doc:
        now = timestamp(self._objects.clock.now())
        conditions = doc.setdefault("status", {}).setdefault("conditions", [])
        old = next((one for one in conditions if one.get("type") == "Ready"), None)
        since = now
        if old is not None:
            conditions.remove(old)
            since = old.get("lastTransitionTime", now) if old.get("status") == "True" else now
        conditions.append(
            {
                "type": "Ready",
                "status": "True",
                "reason": "AgentReady",
                "message": "the node agent is running",
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            }
        )
        return doc
