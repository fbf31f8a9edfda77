"""Says of a node whose agent renews its Lease no longer that nobody knows how it is."""

from typing import Final

from mooring.clock import timestamp
from mooring.model.node import NODE_LEASES, Node
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.reconcile.queue import Again, Done, Outcome

LEASES: Final = "leases.coordination.k8s.io"
LEASE_S: Final = 40.0  # of a Lease that does not say


class Liveness:
    """Looks at one node at a time.

    A Lease has run out when it was not seen to change for as long as it lasts: the clocks of the
    hosts need not agree, and after a start each node has a full term.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._seen: dict[
            str, tuple[str, float]
        ] = {}  # node → renewTime, and since when (monotonic)

    async def reconcile(self, name: str) -> Outcome:
        """Look whether its Lease was renewed since it was looked at last."""
        node = self._objects.view(Node, name)
        lease = self._objects.one(LEASES, f"{NODE_LEASES}/{name}")
        if node is None or lease is None:
            self._seen.pop(name, None)
            return Done("no agent looks after it")
        spec, now_s = lease.get("spec") or {}, self._objects.clock.monotonic_s()
        renewed, lasts_s = spec.get("renewTime", ""), spec.get("leaseDurationSeconds") or LEASE_S
        known, since_s = self._seen.get(name, ("", now_s))
        if known != renewed:
            since_s = now_s
        self._seen[name] = renewed, since_s
        if (left_s := since_s + lasts_s - now_s) > 0:
            return Again(left_s, "its Lease is valid")
        if node.is_ready:
            kind = self._objects.kinds[Node.resource]
            await self._objects.update(kind, name, self._unknown, subresource="status")
        return Again(lasts_s, "its Lease has run out")

    def _unknown(self, doc: Doc) -> Doc:
        now = timestamp(self._objects.clock.now())
        for condition in doc["status"]["conditions"]:
            if condition.get("type") == "Ready" and condition.get("status") == "True":
                condition |= {
                    "status": "Unknown",
                    "reason": "NodeStatusUnknown",
                    "message": "the node agent stopped renewing its Lease",
                    "lastTransitionTime": now,
                }
        return doc
