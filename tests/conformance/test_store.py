"""What every store does. A new store is one line in stores.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mooring.errors import Effect
from mooring.store.interface import (
    ABSENT,
    ANY,
    MAX_VALUE_BYTES,
    MAX_WRITES,
    Change,
    Check,
    Conflict,
    Document,
    Expired,
    Store,
    TooLarge,
    Unavailable,
    Write,
)
from mooring.store.retention import Limits
from tests.conformance.stores import KINDS, MAKERS, WAIT_S, StepClock, taken


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def store(kind: str, tmp_path: Path) -> AsyncIterator[Store]:
    made = await MAKERS[kind](tmp_path)
    yield made
    await made.close()


async def put(store: Store, key: str, text: str) -> int:
    return await store.commit([Write(key, text.encode())])


async def keys(store: Store, prefix: str = "") -> list[str]:
    return [document.key for document in (await store.list(prefix)).documents]


async def test_an_empty_store_has_nothing_at_revision_0(store: Store) -> None:
    page = await store.list("")
    assert (page.documents, page.revision, page.more) == ([], 0, False)
    assert await store.get("a/x") is None
    assert await store.revision() == 0


async def test_what_is_written_is_read_with_its_revision(store: Store) -> None:
    revision = await put(store, "a/x", "1")
    assert await store.get("a/x") == Document("a/x", b"1", revision)
    assert (await store.list("a/")).documents == [Document("a/x", b"1", revision)]


async def test_values_are_any_bytes(store: Store) -> None:
    value = bytes(range(256)) * 3
    await store.commit([Write("a/x", value), Write("a/empty", b"")])
    assert [document.value for document in (await store.list("a/")).documents] == [b"", value]


async def test_revisions_grow_with_each_commit(store: Store) -> None:
    revisions = [await put(store, f"a/{n % 3}", str(n)) for n in range(10)]
    assert revisions == sorted(set(revisions))
    assert await store.revision() == revisions[-1]


async def test_all_writes_of_a_commit_have_its_revision(store: Store) -> None:
    revision = await store.commit([Write("a/x", b"1"), Write("b/y", b"2")])
    assert {document.revision for document in (await store.list("")).documents} == {revision}


async def test_a_commit_with_one_conflict_writes_nothing(store: Store) -> None:
    await put(store, "a/x", "1")
    with pytest.raises(Conflict) as refused:
        await store.commit([Write("b/y", b"2", ABSENT), Write("a/x", b"2", ABSENT)])
    assert refused.value.effect is Effect.NONE
    assert (refused.value.key, refused.value.found) == ("a/x", 1)
    assert await keys(store) == ["a/x"]
    assert await store.revision() == 1


async def test_an_exact_revision_must_be_the_current_one(store: Store) -> None:
    first = await put(store, "a/x", "1")
    second = await store.commit([Write("a/x", b"2", first)])
    for outdated in (first, second + 1):
        with pytest.raises(Conflict):
            await store.commit([Write("a/x", b"3", outdated)])
    assert await store.get("a/x") == Document("a/x", b"2", second)


async def test_an_exact_revision_of_a_missing_key_is_a_conflict(store: Store) -> None:
    with pytest.raises(Conflict) as refused:
        await store.commit([Write("a/x", b"1", 7)])
    assert refused.value.found == 0
    with pytest.raises(Conflict):
        await store.commit([Write("a/x", None, 7)])


async def test_absent_refuses_what_exists_and_takes_what_was_deleted(store: Store) -> None:
    await store.commit([Write("a/x", b"1", ABSENT)])
    with pytest.raises(Conflict):
        await store.commit([Write("a/x", b"2", ABSENT)])
    await store.commit([Write("a/x", None)])
    await store.commit([Write("a/x", b"3", ABSENT)])
    assert await keys(store) == ["a/x"]


async def test_any_takes_whatever_is_there(store: Store) -> None:
    await store.commit([Write("a/x", b"1", ANY)])
    await store.commit([Write("a/x", b"2", ANY)])
    await store.commit([Write("a/x", None, ANY)])
    assert await store.get("a/x") is None


async def test_a_check_holds_a_commit_to_a_revision(store: Store) -> None:
    fence = await put(store, "leases/leader", "me")
    await store.commit([Write("a/x", b"1")], [Check("leases/leader", fence), Check("b/none", 0)])
    await put(store, "leases/leader", "you")
    for check in (Check("leases/leader", fence), Check("a/x", 0), Check("b/none", 5)):
        with pytest.raises(Conflict) as refused:
            await store.commit([Write("a/x", b"2")], [check])
        assert refused.value.key == check.key
    assert (await store.get("a/x") or Document("", b"", 0)).value == b"1"


async def test_a_commit_of_checks_alone_tells_whether_they_hold(store: Store) -> None:
    revision = await put(store, "a/x", "1")
    assert await store.commit([], [Check("a/x", revision)]) == revision
    with pytest.raises(Conflict):
        await store.commit([], [Check("a/x", 0)])


async def test_equal_bytes_make_no_revision(store: Store) -> None:
    first = await put(store, "a/x", "1")
    second = await put(store, "a/y", "1")
    assert await store.commit([Write("a/x", b"1", first), Write("a/z", None)]) == second
    assert await store.get("a/x") == Document("a/x", b"1", first)


async def test_the_unchanged_half_of_a_commit_keeps_its_revision(store: Store) -> None:
    first = await put(store, "a/x", "1")
    second = await store.commit([Write("a/x", b"1"), Write("a/y", b"2")])
    assert [d.revision for d in (await store.list("")).documents] == [first, second]
    assert await taken(store.watch("", first), 1) == [Change("a/y", None, b"2", second, 0)]


async def test_a_value_too_large_is_refused_and_the_largest_taken(store: Store) -> None:
    with pytest.raises(TooLarge):
        await store.commit([Write("a/y", b"1"), Write("a/x", bytes(MAX_VALUE_BYTES + 1))])
    assert await store.revision() == 0
    await store.commit([Write("a/x", bytes(MAX_VALUE_BYTES))])


async def test_a_commit_that_no_store_could_take_is_our_bug(store: Store) -> None:
    with pytest.raises(ValueError, match="once"):
        await store.commit([Write("a/x", b"1"), Write("a/x", b"2")])
    with pytest.raises(ValueError, match="at most"):
        await store.commit([Write(f"a/{n}", b"") for n in range(MAX_WRITES + 1)])
    await store.commit([Write(f"a/{n}", b"") for n in range(MAX_WRITES)])


async def test_a_revision_that_none_has_is_our_bug(store: Store) -> None:
    """None at all is one, to a store that counts otherwise inside."""
    for writes, checks in (([Write("a/x", None, -1)], []), ([Write("a/x", b"")], [Check("b", -1)])):
        with pytest.raises(ValueError, match="no revision"):
            await store.commit(writes, checks)
    assert not (await store.list("")).documents


async def test_of_commits_of_one_moment_that_exclude_each_other_one_wins(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.commit([Write("a/x", str(n).encode(), ABSENT)]) for n in range(20)),
        return_exceptions=True,
    )
    assert [isinstance(answer, Conflict) for answer in answers].count(False) == 1
    assert [answer for answer in answers if not isinstance(answer, Conflict)] == [1]


async def test_commits_of_one_moment_see_each_other_in_order(store: Store) -> None:
    answers = await asyncio.gather(
        store.commit([Write("a/x", b"1", ABSENT)]),
        store.commit([Write("a/x", b"2", 1)], [Check("a/x", 1)]),
        store.commit([Write("a/x", None, 2)]),
        store.commit([Write("a/x", b"3", ABSENT), Write("a/y", b"1")]),
        store.commit([Write("a/x", b"3", 4)]),
        store.commit([Write("a/y", None)]),
    )
    # The last two have no key in common, so whichever is first. One of them changes nothing.
    assert answers in ([1, 2, 3, 4, 4, 5], [1, 2, 3, 4, 5, 5])
    assert (await store.list("")).documents == [Document("a/x", b"3", 4)]


async def test_a_prefix_is_not_a_neighbour_that_begins_alike(store: Store) -> None:
    for key in ("a/x", "a/y/z", "ab/x", "a.b/x", "a", "b/a/x", "A/x", "aé/x"):
        await put(store, key, key)
    assert await keys(store, "a/") == ["a/x", "a/y/z"]
    assert await keys(store, "ab/") == ["ab/x"]
    assert await keys(store, "aé") == ["aé/x"]
    assert await keys(store, "zz") == []
    watched = await taken(store.watch("a/", 0), 2)
    assert [change.key for change in watched] == ["a/x", "a/y/z"]


async def test_a_list_is_in_the_order_of_keys(store: Store) -> None:
    names = ["b", "a", "a.b", "a/b", "a-b", "é", "z", "aa", "\U0001f6a2", "￿"]
    await store.commit([Write(f"k/{name}", b"") for name in names])
    assert await keys(store) == [f"k/{name}" for name in sorted(names)]


async def test_pages_show_one_moment_whatever_is_written_between(store: Store) -> None:
    for n in range(10):
        await put(store, f"a/{n}", "old")
    seen = []
    page = await store.list("a/", limit=4)
    while True:
        seen += page.documents
        if not page.more:
            break
        await store.commit([Write("a/5", b"new"), Write("a/7", None), Write("a/95", b"new")])
        await store.commit([Write("a/5", b"newer"), Write("ab/0", b"new")])
        page = await store.list("a/", limit=4, after=seen[-1].key, revision=page.revision)
    assert [(d.key, d.value, d.revision) for d in seen] == [
        (f"a/{n}", b"old", n + 1) for n in range(10)
    ]
    assert page.revision == 10


async def test_a_page_says_whether_there_is_more(store: Store) -> None:
    for n in range(4):
        await put(store, f"a/{n}", "")
    assert (await store.list("a/", limit=3)).more
    assert not (await store.list("a/", limit=4)).more
    assert not (await store.list("a/", limit=3, after="a/0")).more
    assert (await store.list("a/", limit=3, after="A")).more  # sorts before the prefix


async def test_a_key_deleted_and_made_again_is_listed_as_it_was(store: Store) -> None:
    for value in (b"1", None, b"3"):
        await store.commit([Write("a/x", value)])
    pages = [await store.list("a/", revision=revision) for revision in (1, 2, 3)]
    assert [page.documents for page in pages] == [
        [Document("a/x", b"1", 1)],
        [],
        [Document("a/x", b"3", 3)],
    ]


async def test_a_watch_tells_before_and_after_and_a_deletion_its_own_revision(
    store: Store,
) -> None:
    watch = store.watch("a/", 0)
    for value in (b"1", b"2", None, b"3"):
        await store.commit([Write("a/x", value)])
    assert await taken(watch, 4) == [
        Change("a/x", None, b"1", 1, 0),
        Change("a/x", b"1", b"2", 2, 1),
        Change("a/x", b"2", None, 3, 2),
        Change("a/x", None, b"3", 4, 0),
    ]


async def test_a_watch_resumes_from_any_revision(store: Store) -> None:
    for n in range(12):
        await store.commit([Write(f"a/{n % 4}", str(n).encode() if n % 3 else None)])
    last = await store.revision()
    everything = await taken(store.watch("", 0), last)
    for revision in range(last):
        rest = [change for change in everything if change.revision > revision]
        assert await taken(store.watch("", revision), len(rest)) == rest


async def test_a_watch_is_handed_changes_before_the_commit_returns(store: Store) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async for batch in store.watch("a/", 0):
            seen.extend(change.revision for change in batch)

    follower = asyncio.create_task(follow())
    await asyncio.sleep(0)
    for n in range(20):
        revision = await put(store, "a/x", str(n))
        await asyncio.sleep(0)  # a turn for the follower, that is all it may need
        assert seen[-1] == revision
    follower.cancel()


async def test_watches_that_begin_amid_concurrent_commits_have_no_gap(store: Store) -> None:
    async def write(writer: int) -> None:
        for n in range(25):
            await store.commit([Write(f"a/{writer}", b"%d" % n), Write(f"b/{writer}", b"%d" % n)])

    async def follow(after_writes: int) -> None:
        watch = store.watch("a/", 0)
        await taken(watch, after_writes)
        page = await store.list("a/")
        changes = await taken(store.watch("", page.revision), 2 * (200 - page.revision))
        revisions = [change.revision for change in changes]
        assert revisions == sorted(revisions)
        assert sorted(set(revisions)) == list(range(page.revision + 1, 201))

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(write(n) for n in range(8)), *(follow(n) for n in range(1, 180, 20)))


async def test_a_batch_never_splits_a_commit(store: Store) -> None:
    async def write(writer: int) -> None:
        for n in range(20):
            await store.commit([Write(f"a/{writer}-{part}", b"%d" % n) for part in range(5)])

    async def follow(from_revision: int) -> None:
        rest = 5 * (80 - from_revision)
        async for batch in store.watch("", from_revision):
            for revision in {change.revision for change in batch}:
                assert [change.revision for change in batch].count(revision) == 5
            rest -= len(batch)
            if not rest:
                return

    async with asyncio.timeout(WAIT_S):
        live = asyncio.create_task(follow(0))
        await asyncio.gather(*(write(n) for n in range(4)))
        await live
        await follow(0)
        await follow(33)


async def test_history_longer_than_one_replay_is_told_whole(store: Store) -> None:
    """More commits of more writes than a store may want to hand over at once."""
    await asyncio.gather(
        *(
            store.commit([Write(f"a/{part}", b"%d" % n) for part in range(MAX_WRITES)])
            for n in range(20)
        )
    )
    changes = await taken(store.watch("a/", 0), 20 * MAX_WRITES)
    expected = [revision for revision in range(1, 21) for _ in range(MAX_WRITES)]
    assert [change.revision for change in changes] == expected


async def test_after_compaction_what_is_older_is_expired(store: Store) -> None:
    for n in range(6):
        await store.commit([Write("a/x", b"%d" % n), Write(f"a/{n}", b"" if n < 3 else None)])
    for gone in range(3):
        await store.commit([Write(f"a/{gone}", None)])
    await store.compact(5)
    with pytest.raises(Expired) as refused:
        await anext(store.watch("a/", 4))
    assert (refused.value.revision, refused.value.oldest) == (4, 5)
    with pytest.raises(Expired):
        await store.list("a/", revision=4)
    page = await store.list("a/", revision=5)
    assert [document.key for document in page.documents] == ["a/0", "a/1", "a/2", "a/x"]
    changes = await taken(store.watch("a/", 5), 4)
    assert changes[0] == Change("a/x", b"4", b"5", 6, 5)
    assert await keys(store) == ["a/x"]


async def test_compaction_of_everything_keeps_documents_and_revision(store: Store) -> None:
    await put(store, "a/x", "1")
    await put(store, "a/y", "1")
    await store.commit([Write("a/y", None)])
    await store.compact(1_000)
    await store.compact(1)
    assert await keys(store) == ["a/x"]
    assert await store.revision() == 3
    watch = store.watch("", 3)
    assert await put(store, "a/y", "2") == 4
    assert await taken(watch, 1) == [Change("a/y", None, b"2", 4, 0)]


async def test_history_is_forgotten_by_age(kind: str, tmp_path: Path) -> None:
    clock = StepClock()
    store = await MAKERS[kind](tmp_path, clock=clock)
    for n in range(5):
        await put(store, "a/x", str(n))
        clock.passed_s += 100.0
    await put(store, "a/x", "last")
    # What is current at revision 3 has been out of date for 200 s, at revision 2 for 300 s.
    assert (await store.list("", revision=3)).documents == [Document("a/x", b"2", 3)]
    await put(store, "b/x", "wait until the last commit has been tidied up after")
    with pytest.raises(Expired):
        await store.list("", revision=1)
    await store.close()


async def test_history_is_bounded_in_number_and_size(kind: str, tmp_path: Path) -> None:
    for name, limits in (("few", Limits(revisions=64)), ("small", Limits(size_bytes=64_000))):
        (tmp_path / name).mkdir()
        store = await MAKERS[kind](tmp_path / name, limits=limits)
        for n in range(100):
            await put(store, "a/x", f"{n:1000}")
        with pytest.raises(Expired):
            await store.list("", revision=10)
        assert (await store.list("", revision=70)).documents[0].revision == 70
        await store.close()


async def test_a_slow_watcher_is_told_everything_from_the_history(
    kind: str, tmp_path: Path
) -> None:
    store = await MAKERS[kind](tmp_path, queued_at_most=10)
    watch = store.watch("a/", 0)
    await put(store, "a/x", "first")
    assert len(await taken(watch, 1)) == 1
    for key in ("b/x", "b/y", *(f"a/{n}" for n in range(50))):
        await put(store, key, "")
    await store.compact(3)  # the last it was told is gone, nothing that it was not told is
    assert [change.revision for change in await taken(watch, 50)] == list(range(4, 54))
    await put(store, "a/x", "live again")
    assert (await taken(watch, 1))[0].after == b"live again"
    await store.close()


async def test_a_watcher_too_slow_for_the_history_is_expired(kind: str, tmp_path: Path) -> None:
    store = await MAKERS[kind](tmp_path, queued_at_most=10)
    watch = store.watch("a/", 0)
    await put(store, "a/x", "first")
    await taken(watch, 1)
    for n in range(50):
        await put(store, "a/x", str(n))
    await store.compact(30)
    with pytest.raises(Expired):
        await taken(watch, 50)
    await store.close()


async def test_a_cancelled_commit_harms_nobody(store: Store) -> None:
    doomed = asyncio.create_task(put(store, "a/x", "1"))
    await asyncio.sleep(0)
    doomed.cancel()
    await put(store, "a/y", "2")
    assert "a/y" in await keys(store)


async def test_close_ends_watches_and_refuses_commits(store: Store) -> None:
    watch, untold = store.watch("", 0), store.watch("", 0)
    waiting = asyncio.create_task(taken(watch, 2))
    await put(store, "a/x", "1")
    accepted = asyncio.create_task(put(store, "a/y", "1"))
    await asyncio.sleep(0)
    await store.close()
    assert await accepted == 2
    assert [change.key for change in await waiting] == ["a/x", "a/y"]
    with pytest.raises(StopAsyncIteration):
        await anext(watch)
    with pytest.raises(StopAsyncIteration):
        await anext(untold)
    for call in (put(store, "a/z", "1"), store.get("a/x"), store.list(""), store.compact(1)):
        with pytest.raises(Unavailable) as refused:
            await call
        assert refused.value.effect is Effect.NONE
    await store.close()
