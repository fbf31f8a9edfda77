"""Moving all documents from one store to another, of which nobody may be served meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from mooring.controllers.leading import LEASE, LEASE_S, LEASES, NAMESPACE
from mooring.daemon.settings import StoreSettings
from mooring.daemon.stores import FILE, place_of, store_at
from mooring.errors import MooringError
from mooring.store.copying import Amount, Copy, Place, StoreServed, Tell, release
from mooring.store.schema import SERVERS, require_known

ETCD: Final = "etcd://"
LOOK_S: Final = 0.2
QUIET_S: Final = 3.0  # in which any server that is there takes a lease that nobody has


class _LeaseSpec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: float | None = None


class _Lease(msgspec.Struct):
    spec: _LeaseSpec


class NoStore(MooringError):
    """There is nothing to copy."""

    code = "NoStore"

    def __init__(self, place: str) -> None:
        self.what = f"there is no store in {place}"
        self.remedy = "name the --data-dir of `mooring up`, or a URL like etcd://HOST:PORT/NAME"
        super().__init__(self.what)


def settings_of(place: str, common: StoreSettings) -> tuple[StoreSettings, Path]:
    """Of a URL of etcd, which takes all the rest from what is common; or of a data directory."""
    if place.startswith(ETCD):
        return replace(common, url=place), Path()
    return StoreSettings(), Path(place).absolute()


@asynccontextmanager
async def _opened(place: str, common: StoreSettings, base: int = 0) -> AsyncIterator[Place]:
    settings, directory = settings_of(place, common)
    store = await store_at(settings, directory, base)
    try:
        yield Place(store, place_of(settings, directory))
    finally:
        await store.close()


@asynccontextmanager
async def _source(place: str, common: StoreSettings) -> AsyncIterator[Place]:
    """Raises NoStore, StoreServed, StoreNewer."""
    settings, directory = settings_of(place, common)
    if not settings.url and not (directory / FILE).exists():
        raise NoStore(str(directory))
    async with _opened(place, common) as opened:
        if not (await opened.store.list("", limit=1)).documents:
            raise NoStore(opened.name)
        await require_known(opened.store, opened.name)
        if opened.store.is_shared:
            await _require_unserved(opened)
        yield opened


async def _require_unserved(place: Place) -> None:
    """That no server is there: one of them would lead, and renew its lease. Raises StoreServed.

    A file tells by itself whether another process has it.
    """
    before, wait_s = await place.store.revision(), QUIET_S
    lease = await place.store.get(f"{LEASES}/{NAMESPACE}/{LEASE}")
    if lease is not None:
        spec = msgspec.json.decode(lease.value, type=_Lease).spec
        if spec.holder_identity:  # it may have been killed
            wait_s = max(QUIET_S, spec.lease_duration_seconds or LEASE_S)
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while loop.time() < until:
        await asyncio.sleep(LOOK_S)
        if await place.store.revision() != before:
            raise StoreServed(place.name)


Told = Callable[[int, int], None]  # documents and bytes of what was done, of that phase
# A phase by its name, and the documents and bytes that there are: who is told how far it is.
Begin = Callable[[str, int, int], Told]


async def copy(source: str, target: str, common: StoreSettings, begin: Begin) -> Amount:
    """Copy all, compare it, and say how much it was. Raises MooringError."""

    def shown(name: str, total: Amount) -> Tell:
        tell = begin(name, total.documents, total.size_bytes)
        return lambda done: tell(done.documents, done.size_bytes)

    async with _source(source, common) as origin:
        # Clients go on from revisions that they know: those of the target must not be lower.
        base = await origin.store.revision() + 1
        async with _opened(target, common, base) as goal:
            work = Copy(origin, goal, left=(SERVERS,))
            total = await work.begin()
            await work.run(shown("copied", total))
            amount = await work.check(shown("compared", total))
            await work.end()
            return amount


async def released(place: str, common: StoreSettings) -> bool:
    """Whether it was held by a copy. Raises MooringError."""
    settings, directory = settings_of(place, common)
    if not settings.url and not (directory / FILE).exists():
        raise NoStore(str(directory))
    async with _opened(place, common) as opened:
        return await release(opened.store)
