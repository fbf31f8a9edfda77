"""Calls that hang keep their threads, and nobody else's."""

import asyncio
import threading
from contextlib import suppress

import pytest

from mooring.host.blocking import IDLE_AT_MOST, Blocking
from mooring.host.errors import HostStuck
from testbed.hosts import eventually

AMPLE_S = 30


async def test_the_answer_or_the_error_comes_back() -> None:
    blocking = Blocking("a disk", deadline_s=AMPLE_S)
    assert await blocking.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await blocking.run(lambda: 1 // 0)


async def test_the_loop_runs_on_while_a_call_hangs() -> None:
    let_go = threading.Event()
    hanging = asyncio.create_task(Blocking("a disk", deadline_s=AMPLE_S).run(let_go.wait))
    assert await Blocking("another disk", deadline_s=AMPLE_S).run(lambda: 7) == 7
    let_go.set()
    assert await hanging


async def test_a_call_that_hangs_is_given_up_and_its_place_stays_taken_until_it_ends() -> None:
    let_go = threading.Event()
    blocking = Blocking("a disk", width=1, deadline_s=AMPLE_S)
    with pytest.raises(HostStuck, match="a disk"):
        await blocking.run(let_go.wait, deadline_s=0.01)
    with pytest.raises(HostStuck):
        await blocking.run(lambda: 7, deadline_s=0.01)
    let_go.set()
    assert await blocking.run(lambda: 7) == 7


async def test_one_thing_that_hangs_and_is_tried_again_and_again_takes_no_place_of_others() -> None:
    let_go, held = threading.Event(), list[int]()

    def hang() -> None:
        held.append(threading.get_ident())
        let_go.wait()

    blocking = Blocking("a disk", width=2, deadline_s=AMPLE_S)
    limits_s = [0.01, *[AMPLE_S] * 4]
    for limit_s in limits_s:  # all but the first have time, and are told of the first at once
        with pytest.raises(HostStuck, match=r"a disk about a volume took longer than 0.01 s"):
            await blocking.run(hang, limit_s, "a volume")
    assert len(held) == 1
    both = threading.Barrier(2)
    beside = (blocking.run(both.wait, about=name) for name in ("another", "one more"))
    assert sorted(await asyncio.gather(*beside)) == [0, 1]
    let_go.set()
    assert await _when_it_goes_again(blocking, "a volume") == 7


async def _when_it_goes_again(blocking: Blocking, about: str) -> int:
    while True:
        with suppress(HostStuck):
            return await blocking.run(lambda: 7, about=about)
        await asyncio.sleep(0)


async def test_calls_about_one_thing_go_in_turn_and_beside_those_about_another() -> None:
    let_go, ended = threading.Event(), list[int]()
    blocking = Blocking("a disk", deadline_s=AMPLE_S)
    first = asyncio.create_task(blocking.run(let_go.wait, about="a volume"))
    second = asyncio.create_task(blocking.run(lambda: ended.append(2), about="a volume"))
    assert await blocking.run(lambda: 7, about="another volume") == 7
    assert ended == []
    let_go.set()
    await asyncio.gather(first, second)
    assert ended == [2]


async def test_a_call_whose_caller_went_away_is_late_all_the_same() -> None:
    let_go, began = threading.Event(), threading.Event()
    blocking = Blocking("a disk", width=1, deadline_s=AMPLE_S)

    def hang() -> None:
        began.set()
        let_go.wait()

    hanging = asyncio.create_task(blocking.run(hang, 1, "a volume"))
    await asyncio.to_thread(began.wait)
    hanging.cancel()
    assert await blocking.run(lambda: 7, about="another volume") == 7
    let_go.set()


async def test_no_more_calls_than_allowed_run_at_once() -> None:
    blocking, lock, running, most = Blocking("a disk", width=2, deadline_s=AMPLE_S), *_counters()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1

    await asyncio.gather(*(blocking.run(work) for _ in range(50)))
    assert 1 <= most[0] <= 2


def _counters() -> tuple[threading.Lock, list[int], list[int]]:
    return threading.Lock(), [0], [0]


async def test_a_thread_that_is_done_does_the_next_call_and_one_that_hangs_does_not() -> None:
    blocking, let_go = Blocking("a disk", deadline_s=AMPLE_S), threading.Event()
    first = await blocking.run(threading.get_ident)
    assert await blocking.run(threading.get_ident) == first
    began, held = threading.Event(), list[int]()

    def hang() -> None:
        held.append(threading.get_ident())
        began.set()
        let_go.wait()

    hanging = asyncio.create_task(blocking.run(hang))
    await asyncio.to_thread(began.wait)
    others = {await Blocking("another disk").run(threading.get_ident) for _ in range(20)}
    assert held[0] not in others
    let_go.set()
    await hanging


async def test_few_threads_are_left_when_nothing_is_called() -> None:
    count, before = 100, threading.active_count()
    blocking, together = Blocking("a disk", width=count), threading.Barrier(count)
    await asyncio.gather(*(blocking.run(together.wait) for _ in range(count)))
    few = before + 2 * IDLE_AT_MOST
    await asyncio.to_thread(eventually, lambda: threading.active_count() < few, "they ended")
