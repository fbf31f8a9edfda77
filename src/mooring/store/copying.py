"""Everything of one store into another, while nobody serves either.

Both are held by a document: a server does not start on a store that has it. It stays where a copy
was broken off, and says which copy goes on there.
"""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Final

from mooring.errors import MooringError
from mooring.store.interface import ANY, MAX_WRITES, Document, Store, Write

HOLD: Final = "copying/hold"  # of no served kind
PAGE: Final = 500  # documents that are read at once
COMMIT_BYTES: Final = 512 * 1024  # etcd takes 1.5 MiB at once, of which one document may be 1


class StoreHeld(MooringError):
    """A copy goes on there, or was broken off."""

    code = "StoreHeld"

    def __init__(self, place: str, what: str) -> None:
        self.what = f"{place} is held by a copy, which has not ended: {what}"
        self.remedy = (
            "run that `mooring store copy` again, which goes on where it was; or give it up: "
            "`mooring store release`"
        )
        super().__init__(self.what)


class StoreNotEmpty(MooringError):
    """A copy is made into a new store alone."""

    code = "StoreNotEmpty"

    def __init__(self, place: str, key: str) -> None:
        self.what = f"{place} has documents of its own, such as {key}"
        self.remedy = "copy into a new data directory, or to another name in etcd's URL"
        super().__init__(self.what)


class StoreServed(MooringError):
    """Somebody wrote into a store while it was copied."""

    code = "StoreServed"

    def __init__(self, place: str) -> None:
        self.what = f"{place} is served: something was written there meanwhile"
        self.remedy = "stop all its servers, then run the copy again: it goes on where it was"
        super().__init__(self.what)


class CopyDiffers(MooringError):
    code = "CopyDiffers"

    def __init__(self, place: str, key: str) -> None:
        self.what = f"{place} does not have {key} as it was written"
        self.remedy = "see that the disks work and nobody else writes there, then copy again"
        super().__init__(self.what)


@dataclass(frozen=True)
class Amount:
    documents: int = 0
    size_bytes: int = 0

    def __add__(self, one: Document) -> "Amount":
        return Amount(self.documents + 1, self.size_bytes + len(one.value))


Tell = Callable[[Amount], None]


@dataclass(frozen=True)
class Place:
    """A store, and what people call it."""

    store: Store
    name: str


class Copy:
    """Of one store into another. May be begun again as often as it was broken off."""

    def __init__(self, source: Place, target: Place, left: Collection[str] = ()) -> None:
        """left: keys that are nothing to the target"""
        self._left = {HOLD, *left}
        self._source, self._target = source, target
        self._hold = f"{source.name} to {target.name}".encode()
        self._revision = 0  # of the source, which must stay

    async def begin(self) -> Amount:
        """Hold both, and say how much there is. Raises StoreHeld, StoreNotEmpty."""
        for place in (self._source, self._target):
            held = await place.store.get(HOLD)
            if held is not None and held.value != self._hold:
                raise StoreHeld(place.name, held.value.decode(errors="replace"))
            if held is None and place is self._target:
                page = await place.store.list("", limit=1)
                if page.documents:
                    raise StoreNotEmpty(place.name, page.documents[0].key)
        for place in (self._target, self._source):
            await place.store.commit([Write(HOLD, self._hold, ANY)])
        self._revision = await self._source.store.revision()
        amount = Amount()
        async for one in self._documents(self._source):
            amount += one
        return amount

    async def run(self, tell: Tell) -> None:
        """Write what is not there yet. Raises StoreServed."""
        writes: list[Write] = []
        size_bytes, done = 0, Amount()
        async for write, one in self._differences():
            if one is not None:
                done += one
            if write is not None:
                new_bytes = len(write.value or b"")
                if len(writes) == MAX_WRITES or size_bytes + new_bytes > COMMIT_BYTES:
                    await self._written(writes)
                    writes, size_bytes = [], 0
                writes.append(write)
                size_bytes += new_bytes
            tell(done)
        await self._written(writes)
        await self._require_still()

    async def check(self, tell: Tell) -> Amount:
        """Read both again, and compare each byte. Raises CopyDiffers, StoreServed."""
        done = Amount()
        async for write, one in self._differences():
            if write is not None:
                raise CopyDiffers(self._target.name, write.key)
            assert one is not None
            done += one
            tell(done)
        await self._require_still()
        return done

    async def end(self) -> None:
        """Let both be served. The target last: until then the copy may go on."""
        for place in (self._source, self._target):
            await release(place.store)

    async def _written(self, writes: list[Write]) -> None:
        if writes:
            await self._target.store.commit(writes)

    async def _differences(self) -> AsyncIterator[tuple[Write | None, Document | None]]:
        """For each document of the source itself, and what has to be written for it; for each
        that only the target has, a deletion."""
        theirs = self._documents(self._target)
        there = await anext(theirs, None)
        async for one in self._documents(self._source):
            while there is not None and there.key < one.key:
                yield Write(there.key, None), None
                there = await anext(theirs, None)
            is_there = there is not None and there.key == one.key
            is_same = is_there and there is not None and there.value == one.value
            yield None if is_same else Write(one.key, one.value), one
            if is_there:
                there = await anext(theirs, None)
        while there is not None:
            yield Write(there.key, None), None
            there = await anext(theirs, None)

    async def _documents(self, place: Place) -> AsyncIterator[Document]:
        """All that is to be the same, in the order of keys."""
        after = ""
        while True:
            page = await place.store.list("", limit=PAGE, after=after)
            for one in page.documents:
                if one.key not in self._left:
                    yield one
            if not page.more:
                return
            after = page.documents[-1].key

    async def _require_still(self) -> None:
        if await self._source.store.revision() != self._revision:
            raise StoreServed(self._source.name)


async def require_free(store: Store, place: str) -> None:
    """That a server may start there. Raises StoreHeld."""
    held = await store.get(HOLD)
    if held is not None:
        raise StoreHeld(place, held.value.decode(errors="replace"))


async def release(store: Store) -> bool:
    """Let it be served, whatever became of a copy. Says whether it was held."""
    before = await store.revision()
    return await store.commit([Write(HOLD, None, ANY)]) != before
