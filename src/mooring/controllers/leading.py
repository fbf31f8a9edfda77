"""Which of several servers leads: it alone runs the controllers. DESIGN §1, decision 0032.

The Lease kube-system/mooring-controllers is what servers and people look at. Beside it the document
FENCE is written by the commit that takes the lease, and by nothing else: everything that the
controllers write holds only while it is as their server wrote it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from mooring.background import Background
from mooring.clock import micro_timestamp
from mooring.errors import MooringError
from mooring.measures import leads
from mooring.objects.cache import Entry
from mooring.objects.documents import decoded, stored_form
from mooring.objects.errors import AlreadyExists, NotFound
from mooring.objects.fenced import NotLeader
from mooring.objects.kind import Doc
from mooring.objects.objects import Objects
from mooring.store.interface import ABSENT, Check, Conflict, Write

log = logging.getLogger(__name__)

NAMESPACE: Final = "kube-system"
LEASE: Final = "mooring-controllers"
LEASES: Final = "leases.coordination.k8s.io"
FENCE: Final = "leader/controllers"  # of no served kind
# As kube-controller-manager: whoever is gone is missed for as long as it is late, and a pause of a
# busy machine is none.
LEASE_S: Final = 15.0
RENEW_S: Final = 2.0
GIVE_UP_S: Final = 10.0  # without a renewal; by then nobody else leads
LOOK_S: Final = 0.5  # at the lease of another


class Term(Protocol):
    """What is done while we lead."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


Begin = Callable[[Objects], Term]


class Leading:
    """Takes part in who leads, from start to stop."""

    def __init__(self, objects: Objects, name: str, begin: Begin, lease_s: float = LEASE_S) -> None:
        """name: of this server, not of another. begin: what is to be done with these objects"""
        self._objects, self._name, self._begin = objects, name, begin
        self._lease_s, self._renew_s = lease_s, RENEW_S * lease_s / LEASE_S
        self._give_up_s = GIVE_UP_S * lease_s / LEASE_S
        self._seen: tuple[int, float] = (0, 0.0)  # revision of the lease, and when it was new
        self._lost = asyncio.Event()
        self._work = Background("leading")

    @property
    def _key(self) -> str:
        return f"{NAMESPACE}/{LEASE}"

    async def start(self) -> None:
        leads(LEASE, it_does=False)
        self._work.begin(self._run())

    async def stop(self) -> None:
        """Lead no more; another may at once."""
        await self._work.end()

    async def _run(self) -> None:
        while True:
            try:
                fence = await self._taken()
                if fence is not None:
                    await self._term(fence)
            except MooringError as error:
                log.warning("who leads is not known: %s", error)
            except Exception:  # a bug of ours; a server that takes part no more helps nobody
                log.exception("a term of this server ended")
            await asyncio.sleep(min(LOOK_S, self._lease_s / 10))

    async def _taken(self) -> Check | None:
        """Take the lease, if nobody has it. The fence of those that do."""
        entry = self._objects.entry(LEASES, self._key)
        if not self._is_free(entry):
            return None
        kind = self._objects.kinds[LEASES]
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": max(round(self._lease_s), 1),
            "acquireTime": self._now(),
            "renewTime": self._now(),
        }
        if entry is None:
            new: Doc = {"metadata": {"name": LEASE}, "spec": {"holderIdentity": ""}}
            try:
                entry = await self._objects.create(kind, NAMESPACE, new)
            except AlreadyExists:
                return None  # another was first
        doc = decoded(entry.body)
        turns = (doc.get("spec") or {}).get("leaseTransitions", 0) + 1
        doc["spec"] = {**spec, "leaseTransitions": turns}
        before = await self._objects.store.get(FENCE)
        key = f"{LEASES}/{self._key}"
        writes = [
            Write(key, stored_form(kind, doc), entry.revision),
            Write(FENCE, f"{self._name} {turns}".encode(), before.revision if before else ABSENT),
        ]
        try:
            revision = await self._objects.store.commit(writes)
        except Conflict:
            return None  # another was first
        await self._objects.cache.caught_up(revision)
        return Check(FENCE, revision)

    def _is_free(self, entry: Entry | None) -> bool:
        """By our own clock alone: for as long as a lease lasts nobody has renewed it."""
        now = self._objects.clock.monotonic_s()
        revision = entry.revision if entry is not None else 0
        if self._seen[0] != revision:
            self._seen = revision, now
        if entry is None:
            return True
        spec = decoded(entry.body).get("spec") or {}
        # Our own is of a term that is over, and could not be let go: the store was out of reach.
        if spec.get("holderIdentity") in (None, "", self._name):
            return True
        lasts_s = max(float(spec.get("leaseDurationSeconds") or 0), self._lease_s)
        return now - self._seen[1] >= lasts_s

    async def _term(self, fence: Check) -> None:
        """Lead until that is over."""
        log.info("this server leads: %s", self._name)
        self._lost.clear()
        objects = self._objects.under(fence, self._lost.set)
        term = self._begin(objects)
        renewing = asyncio.create_task(self._renew(objects), name="renewing the lease")
        losing = asyncio.create_task(self._lost.wait(), name="losing the lease")
        leads(LEASE, it_does=True)
        try:
            await term.start()
            await asyncio.wait({renewing, losing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leads(LEASE, it_does=False)
            for task in (renewing, losing):
                task.cancel()
            await asyncio.gather(renewing, losing, return_exceptions=True)
            await term.stop()
            if not self._lost.is_set():
                await self._release(objects)
            log.info("this server leads no more: %s", self._name)

    async def _renew(self, objects: Objects) -> None:
        """Until it cannot be for too long, or is another's.

        That we stood still ourselves is no reason to end: the fence says whether we lead.
        """
        clock = self._objects.clock
        renewed_s = clock.monotonic_s()
        while True:
            await asyncio.sleep(self._renew_s)
            sent_s = clock.monotonic_s()
            try:
                left_s = self._give_up_s - (sent_s - renewed_s)
                async with asyncio.timeout(max(left_s, self._renew_s)):
                    await self._put(objects, {"renewTime": self._now()})
                renewed_s = sent_s
            except NotLeader:
                return
            except (MooringError, TimeoutError) as error:
                log.warning("the lease of the leader is not renewed: %r", error)
                if clock.monotonic_s() - renewed_s >= self._give_up_s:
                    return

    async def _release(self, objects: Objects) -> None:
        """Who waits need not wait until it has run out."""
        with suppress(MooringError, TimeoutError):
            async with asyncio.timeout(self._renew_s):
                await self._put(objects, {"holderIdentity": "", "renewTime": self._now()})

    async def _put(self, objects: Objects, spec: Doc) -> None:
        def changed(doc: Doc) -> Doc:
            doc["spec"] = {**(doc.get("spec") or {}), **spec}
            return doc

        try:
            await objects.update(objects.kinds[LEASES], self._key, changed)
        except NotFound:  # somebody deleted it: whoever is quick leads
            raise NotLeader from None

    def _now(self) -> str:
        return micro_timestamp(self._objects.clock.now())
