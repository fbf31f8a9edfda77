"""A copy of a whole store: begun again, refused, compared."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.store.copying import (
    HOLD,
    Amount,
    Copy,
    CopyDiffers,
    Place,
    StoreHeld,
    StoreNotEmpty,
    StoreServed,
    release,
    require_free,
)
from mooring.store.interface import MAX_VALUE_BYTES, Document, Store, Write
from mooring.store.memory import MemoryStore
from mooring.store.sqlite import SqliteStore


async def filled(documents: int = 1200) -> MemoryStore:
    store = MemoryStore()
    chance = random.Random("always")
    for number in range(documents):
        await store.commit([Write(f"a/ä-{number}", chance.randbytes(number % 700))])
    await store.commit([Write("b/large", bytes(MAX_VALUE_BYTES)), Write("b/empty", b"")])
    return store


async def contents(store: Store) -> dict[str, bytes]:
    return {one.key: one.value for one in (await store.list("")).documents}


def between(source: Store, target: Store) -> Copy:
    return Copy(Place(source, "there"), Place(target, "here"))


def quietly(_: Amount) -> None:
    pass


class BrokenOff(Exception):
    pass


def broken_off_after(documents: int) -> Callable[[Amount], None]:
    def tell(done: Amount) -> None:
        if done.documents >= documents:
            raise BrokenOff

    return tell


async def test_everything_is_copied_and_compared() -> None:
    source, target = await filled(), MemoryStore()
    before = await contents(source)
    copy, told = between(source, target), []
    total = await copy.begin()
    await copy.run(told.append)
    assert await copy.check(quietly) == total == told[-1]
    await copy.end()
    assert await contents(target) == await contents(source) == before
    assert total == Amount(len(before), sum(map(len, before.values())))


async def test_what_was_broken_off_goes_on_and_writes_nothing_twice() -> None:
    source, target = await filled(), MemoryStore()
    copy = between(source, target)
    await copy.begin()
    with pytest.raises(BrokenOff):
        await copy.run(broken_off_after(900))
    kept = await contents(target)
    assert 500 < len(kept) < 900
    for store in (source, target):
        with pytest.raises(StoreHeld):
            await require_free(store, "it")
    revisions = {one.key: one.revision for one in (await target.list("")).documents}
    again = between(source, target)
    await again.begin()
    await again.run(quietly)
    await again.check(quietly)
    await again.end()
    assert await contents(target) == await contents(source)
    now = {one.key: one.revision for one in (await target.list("")).documents}
    assert {key: now[key] for key in kept if key != HOLD} == {
        key: revision for key, revision in revisions.items() if key != HOLD
    }
    for store in (source, target):
        await require_free(store, "it")


async def test_what_the_source_lost_since_it_was_broken_off_goes_too() -> None:
    source, target = await filled(700), MemoryStore()
    copy = between(source, target)
    await copy.begin()
    await copy.run(quietly)
    await source.commit([Write("a/ä-1", None), Write("a/ä-2", b"new")])
    again = between(source, target)
    await again.begin()
    await again.run(quietly)
    await again.check(quietly)
    await again.end()
    assert await contents(target) == await contents(source)


async def test_a_target_with_other_data_or_another_copy_is_refused() -> None:
    source, target = await filled(3), await filled(1)
    with pytest.raises(StoreNotEmpty):
        await between(source, target).begin()
    await require_free(source, "it")  # nothing was begun
    other = MemoryStore()
    await Copy(Place(source, "elsewhere"), Place(other, "here")).begin()
    with pytest.raises(StoreHeld, match="elsewhere to here"):
        await between(source, other).begin()
    assert await release(other)
    assert not await release(other)
    await require_free(other, "it")


async def test_a_source_that_is_served_meanwhile_is_found_out() -> None:
    source, target = await filled(), MemoryStore()
    copy = between(source, target)
    await copy.begin()
    await source.commit([Write("c/x", b"1")])
    with pytest.raises(StoreServed):
        await copy.run(quietly)


@pytest.mark.parametrize("write", [Write("a/ä-7", b"x"), Write("a/ä-7", None), Write("z/z", b"")])
async def test_a_copy_that_differs_is_found_out(write: Write) -> None:
    source, target = await filled(20), MemoryStore()
    copy = between(source, target)
    await copy.begin()
    await copy.run(quietly)
    await target.commit([write])
    with pytest.raises(CopyDiffers, match=write.key):
        await copy.check(quietly)


async def test_a_new_file_counts_from_the_revisions_of_another_store(tmp_path: Path) -> None:
    for base in (1_000_000, 5):  # the second is too late
        store = await SqliteStore.opened(tmp_path / "store.db", base=base)
        before = await store.revision()
        watch = store.watch("", before)
        revision = await store.commit([Write("a/x", str(base).encode())])
        assert revision == before + 1 > 1_000_000
        assert (await anext(watch))[0].revision == revision
        assert (await store.list("")).documents == [Document("a/x", str(base).encode(), revision)]
        await store.compact(revision)
        await store.close()
