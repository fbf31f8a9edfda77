"""How long ago each node's Lease was renewed, as it was seen here: no two clocks are compared."""

from collections.abc import Callable

import msgspec

from mooring.model.node import NODE_LEASES
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.store.interface import Check

LEASES = "leases.coordination.k8s.io"
LEASE_S = 40.0  # of a Lease that does not say


def lease_key(node: str) -> str:
    """Of a node's Lease in the store."""
    return f"{LEASES}/{NODE_LEASES}/{node}"


class _Spec(msgspec.Struct, rename="camel"):
    lease_duration_seconds: float | None = None


class _Lease(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decoder = msgspec.json.Decoder(_Lease)


class SeenLeases:
    """Of all nodes. What was there at the start counts from then on: a full term for each."""

    def __init__(self, objects: Objects) -> None:
        self._clock = objects.clock
        self._seen: dict[str, tuple[float, float]] = {}  # node → when it changed, how long it lasts
        self._shelf = objects.cache.shelves[LEASES]
        self._unfollow: Callable[[], None] | None = None

    def start(self) -> None:
        for entry in self._shelf.entries(NODE_LEASES):
            self._note(entry)
        self._unfollow = self._shelf.follow(self._changed, NODE_LEASES)

    def stop(self) -> None:
        if self._unfollow is not None:
            self._unfollow()

    def unheard_share(self, node: str) -> float:
        """Which share of its Lease a node has not been heard of; beyond 1 it has run out."""
        lasts_s = self._seen.get(node, (0.0, LEASE_S))[1]
        return self.late_s(node) / lasts_s + 1

    def unrenewed(self, node: str) -> Check:
        """For a commit that counts on a Lease: that it is as it is seen here now."""
        entry = self._shelf.get(f"{NODE_LEASES}/{node}")
        return Check(lease_key(node), 0 if entry is None else entry.revision)

    def late_s(self, node: str) -> float:
        """For how long a node's Lease has run out; below 0 while it is valid.

        A node without one was never there: for ever. One whose Lease was deleted may live, and make
        it anew: it has a full term from then on.
        """
        if node not in self._seen:
            return float("inf")
        changed_s, lasts_s = self._seen[node]
        return self._clock.monotonic_s() - changed_s - lasts_s

    def _changed(self, event: Event) -> None:
        if event.after is not None:
            self._note(event.after)
        elif event.before is not None:
            self._note(event.before)

    def _note(self, entry: Entry) -> None:
        lasts_s = _decoder.decode(entry.body).spec.lease_duration_seconds or LEASE_S
        self._seen[entry.name] = self._clock.monotonic_s(), lasts_s
