"""Who leads, and what becomes of whoever does not any more."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mooring.controllers.controllers import Controllers
from mooring.controllers.leading import FENCE, LEASE, LEASES, NAMESPACE, Leading
from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.objects.fenced import NotLeader
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.events import NORMAL, EventNote
from mooring.store.interface import Check, Write
from mooring.store.memory import MemoryStore
from tests.controllers.clocked import HandClock, a_claim_doc, a_volume_doc

CLAIMS, VOLUMES = Claim.resource, Volume.resource
WITHIN_S = 20.0


class Term:
    """Notes what it is told."""

    def __init__(self, objects: Objects, said: list[str], name: str) -> None:
        self.objects, self._said, self._name = objects, said, name

    async def start(self) -> None:
        self._said.append(f"{self._name} leads")

    async def stop(self) -> None:
        self._said.append(f"{self._name} is over")


class Servers:
    """Some, of one store, with a clock that stands."""

    def __init__(self) -> None:
        self.store, self.clock, self.said = MemoryStore(), HandClock(), list[str]()
        self.terms: dict[str, Term] = {}

    async def objects(self) -> Objects:
        """As a server has them, and the namespace of the lease."""
        objects = Objects(self.store, ALL_KINDS, self.clock)
        await objects.start()
        if not objects.cache.shelves["namespaces"].get(NAMESPACE):
            doc = {"metadata": {"name": NAMESPACE}}
            await objects.create(objects.kinds["namespaces"], "", doc)
        return objects

    async def server(self, name: str, lease_s: float = 0.5) -> tuple[Leading, Objects]:
        objects = await self.objects()

        def begin(fenced: Objects) -> Term:
            self.terms[name] = Term(fenced, self.said, name)
            return self.terms[name]

        leading = Leading(objects, name, begin, lease_s)
        await leading.start()
        return leading, objects

    async def says(self, *said: str) -> None:
        """Wait until just this was said."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.said) < len(said):  # noqa: ASYNC110  (there is nothing to be told by)
                await asyncio.sleep(0.01)
        assert self.said == [*said]


async def test_one_leads_and_hands_over_when_it_stops() -> None:
    servers = Servers()
    first, _ = await servers.server("a")
    await servers.says("a leads")
    second, objects = await servers.server("b")
    await asyncio.sleep(0.2)
    lease = objects.one(LEASES, f"{NAMESPACE}/{LEASE}")
    assert lease is not None
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("a", 1)
    await first.stop()
    # The clock stands: it was let go, and has not run out.
    await servers.says("a leads", "a is over", "b leads")
    await second.stop()


async def test_one_that_is_gone_is_missed_for_as_long_as_its_lease() -> None:
    servers = Servers()
    objects = await servers.objects()
    held = {"metadata": {"name": LEASE}, "spec": {"holderIdentity": "gone"}}
    await objects.create(objects.kinds[LEASES], NAMESPACE, held)
    leading, _ = await servers.server("b", lease_s=100)
    await asyncio.sleep(0.1)  # it has seen the lease, from when on it counts
    servers.clock.move(99)
    await asyncio.sleep(0.7)
    assert servers.said == []
    servers.clock.move(2)
    await servers.says("b leads")
    await leading.stop()


async def test_one_that_stood_still_goes_on_if_nobody_took_over() -> None:
    servers = Servers()
    leading, objects = await servers.server("a")
    await servers.says("a leads")
    entry = objects.entry(LEASES, f"{NAMESPACE}/{LEASE}")
    assert entry is not None
    servers.clock.move(100)
    async with asyncio.timeout(WITHIN_S):
        while objects.entry(LEASES, entry.key) is entry:  # noqa: ASYNC110  (nor here)
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert servers.said == ["a leads"]
    await leading.stop()


async def test_one_whose_term_fails_takes_part_again() -> None:
    servers = Servers()
    objects, failed = await servers.objects(), list[str]()

    class Failing(Term):
        async def start(self) -> None:
            if not failed:
                failed.append("once")
                raise ValueError("a bug of ours")
            await super().start()

    leading = Leading(objects, "a", lambda fenced: Failing(fenced, servers.said, "a"), 0.5)
    await leading.start()
    await servers.says("a is over", "a leads")
    await leading.stop()


async def test_what_was_ours_is_taken_without_waiting() -> None:
    """As after a time in which the store was out of reach, also for letting it go."""
    servers = Servers()
    objects = await servers.objects()
    held = {"metadata": {"name": LEASE}, "spec": {"holderIdentity": "b"}}
    await objects.create(objects.kinds[LEASES], NAMESPACE, held)
    leading, _ = await servers.server("b", lease_s=100)
    await servers.says("b leads")
    await leading.stop()


async def taken_over(servers: Servers) -> Objects:
    """The objects of a leader that does not know yet that it is none any more."""
    _, objects = await servers.server("a", lease_s=100)
    await servers.says("a leads")
    await objects.create(objects.kinds["namespaces"], "", {"metadata": {"name": "default"}})
    await objects.create(objects.kinds[VOLUMES], "", a_volume_doc())
    await objects.create(objects.kinds[CLAIMS], "default", a_claim_doc())
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"persistentvolumeclaims": "5"}}}
    await objects.create(objects.kinds["resourcequotas"], "default", quota)
    spec = {"driver": "directory.mooring.dev", "node": "n", "root": "/p"}
    await objects.create(
        objects.kinds[Pool.resource], "", {"metadata": {"name": "p"}, "spec": spec}
    )
    await servers.store.commit([Write(FENCE, b"another")])
    return servers.terms["a"].objects


def pooled() -> dict[str, object]:
    csi = {
        "driver": "directory.mooring.dev",
        "volumeHandle": "p/x",
        "volumeAttributes": {"mooring.dev/pool": "p"},
    }
    return a_volume_doc("pooled", hostPath=None, csi=csi)


async def create(objects: Objects) -> object:
    return await objects.create(objects.kinds["configmaps"], "default", {"metadata": {"name": "m"}})


async def create_charged(objects: Objects) -> object:
    return await objects.create(objects.kinds[CLAIMS], "default", a_claim_doc("more"))


async def create_pooled(objects: Objects) -> object:
    return await objects.create(objects.kinds[VOLUMES], "", pooled())


def labelled(doc: Doc) -> Doc:
    doc["metadata"]["labels"] = {"a": "b"}
    return doc


async def update(objects: Objects) -> object:
    return await objects.update(objects.kinds[VOLUMES], "v1", labelled)


async def delete(objects: Objects) -> object:
    return await objects.delete(objects.kinds[VOLUMES], "v1")


async def update_charged(objects: Objects) -> object:
    return await objects.update(objects.kinds[CLAIMS], "default/db", labelled)


async def renew(objects: Objects) -> object:
    """The lease itself."""

    def renewed(doc: Doc) -> Doc:
        doc["spec"]["renewTime"] = "2026-01-02T03:04:06.000000Z"
        return doc

    return await objects.update(objects.kinds[LEASES], f"{NAMESPACE}/{LEASE}", renewed)


async def commit_pooled(objects: Objects) -> object:
    pool = objects.view(Pool, "p")
    assert pool is not None
    return await objects.commit([(pool, pool.annotated(a="b"))])


async def commit(objects: Objects) -> object:
    volume = objects.view(Volume, "v1")
    assert volume is not None
    return await objects.commit([(volume, volume.annotated(a="b"))])


async def commit_each(objects: Objects) -> object:
    volume = objects.view(Volume, "v1")
    assert volume is not None
    (error,) = await objects.commit_each([[(volume, volume.annotated(a="b"))]])
    if error is not None:
        raise error
    return None


@pytest.mark.parametrize(
    "write",
    [
        *(create, create_charged, create_pooled, update, update_charged, renew, delete),
        *(commit, commit_pooled, commit_each),
    ],
)
async def test_nothing_is_written_by_one_that_was_taken_over(
    write: Callable[[Objects], Awaitable[object]],
) -> None:
    servers = Servers()
    fenced = await taken_over(servers)
    before = await servers.store.revision()
    with pytest.raises(NotLeader):
        await write(fenced)
    assert await servers.store.revision() == before
    await servers.says("a leads", "a is over")


async def test_no_event_is_told_by_one_that_was_taken_over() -> None:
    servers = Servers()
    fenced = await taken_over(servers)
    recorder = Controllers(fenced).recorder
    claim = fenced.view(Claim, "default/db")
    assert claim is not None
    recorder.note(EventNote(claim.reference(), NORMAL, "Late", "too late", "tester"))
    await recorder.start()
    await recorder.written()
    await recorder.stop()
    assert fenced.all("events") == []


async def test_its_own_writes_and_those_of_its_clients_take_turns() -> None:
    """Else each would have to be done again for the other's."""
    servers = Servers()
    objects = await servers.objects()
    fence = await servers.store.commit([Write(FENCE, b"us")])
    fenced = objects.under(Check(FENCE, fence), lambda: None)
    assert fenced.quotas.turn("default") is objects.quotas.turn("default")


async def test_what_leads_again_and_again_leaves_nothing_behind() -> None:
    objects = Objects(MemoryStore(), ALL_KINDS)
    await objects.start()
    fence = await objects.store.commit([Write(FENCE, b"us")])

    def followers() -> int:
        shelves = objects.cache.shelves.values()
        return sum(len(one._followers) + len(one._inside) for one in shelves)

    counts = []
    for _ in range(3):
        controllers = Controllers(objects.under(Check(FENCE, fence), lambda: None))
        await controllers.start()
        await controllers.idle()
        await controllers.stop()
        counts.append((followers(), len(asyncio.all_tasks())))
    assert len(set(counts)) == 1, counts
    await objects.close()
