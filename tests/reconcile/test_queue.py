"""When a key is looked at, and what is stored of many looks at once."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from mooring.model.claim import Claim
from mooring.model.metadata import Metadata
from mooring.reconcile.queue import AT_ONCE, Done, Outcome, Queue, Step, Writes
from mooring.store.interface import Conflict, Unavailable

LONG_S = 3600.0


class Looks:
    """Counts looks, and waits for them."""

    def __init__(self) -> None:
        self.queue = Queue("test", self._look)
        self.looked = asyncio.Event()
        self.keys: list[str] = []

    async def _look(self, key: str) -> Outcome:
        self.keys.append(key)
        self.looked.set()
        return Done("looked")


async def test_of_two_times_the_sooner_counts_whichever_was_asked_for_first() -> None:
    for delays_s in ((LONG_S, 0.0), (0.0, LONG_S)):
        looks = Looks()
        looks.queue.start()
        for delay_s in delays_s:
            looks.queue.add_after("key", delay_s)
        await looks.looked.wait()
        await looks.queue.until_idle()
        assert looks.keys == ["key"]
        assert looks.queue.delayed == frozenset()
        await looks.queue.stop()


async def test_a_key_that_is_added_is_not_looked_at_again_for_a_time_asked_for_before() -> None:
    looks = Looks()
    looks.queue.start()
    looks.queue.add_after("key", LONG_S)
    looks.queue.add("key")
    await looks.queue.until_idle()
    assert looks.keys == ["key"]
    assert looks.queue.delayed == frozenset()
    await looks.queue.stop()


@pytest.mark.rule("3.1", "3.8")
async def test_a_key_is_in_work_once_at_a_time_and_looked_at_anew_if_it_was_added_meanwhile() -> (
    None
):
    working: list[str] = []
    looks: list[str] = []

    async def look(key: str) -> Outcome:
        assert key not in working
        working.append(key)
        looks.append(key)
        if len(looks) < 5:
            queue.add(key)
        for _ in range(5):
            await asyncio.sleep(0)
        working.remove(key)
        return Done("looked")

    queue = Queue("test", look)
    queue.start()
    for key in ("a", "b", "a"):
        queue.add(key)
    await queue.until_idle()
    assert sorted(looks) == ["a", "a", "a", "b", "b", "b"]
    await queue.stop()


class Steps:
    """A store that keeps what was handed to it together, and refuses what it is told to."""

    def __init__(self, **refusals: Exception) -> None:
        self.queue = Queue("test", self._look, self._commit_each)
        self.refusals = refusals
        self.together: list[list[str]] = []
        self.told: list[tuple[str, str]] = []

    def _look(self, key: str) -> Step | Done:
        if key in self.refusals and key.startswith("look"):
            raise self.refusals.pop(key)
        claim = Claim(metadata=Metadata(name=key))
        return Step("to be stored", [(claim, claim)], partial(self._tell, key))

    def _tell(self, key: str, error: Exception | None) -> None:
        self.told.append((key, type(error).__name__ if error else ""))

    async def _commit_each(self, several: Sequence[Writes]) -> list[Exception | None]:
        keys = [claim.name for ((claim, _),) in several]
        self.together.append(keys)
        await asyncio.sleep(0)
        return [self.refusals.pop(key, None) for key in keys]

    async def run(self, *keys: str) -> None:
        self.queue.start()
        for key in keys:
            self.queue.add(key)
        await self.queue.until_idle()


async def test_the_steps_of_one_turn_are_stored_together() -> None:
    steps = Steps()
    await steps.run("a", "b", "a", "c")
    assert steps.together == [["a", "b", "c"]]
    assert steps.told == [("a", ""), ("b", ""), ("c", "")]
    await steps.queue.stop()


@pytest.mark.rule("3.7")
async def test_a_step_that_somebody_came_before_is_looked_at_anew_at_once() -> None:
    steps = Steps(b=Conflict("claims/b", 1, 2))
    await steps.run("a", "b")
    assert steps.together == [["a", "b"], ["b"]]
    assert steps.told == [("a", ""), ("b", "Conflict"), ("b", "")]
    await steps.queue.stop()


async def test_what_fails_waits_for_its_time_and_keeps_nobody_else() -> None:
    steps = Steps(b=Unavailable("full", "make room"), look_c=ValueError("a fault of ours"))
    await steps.run("a", "b", "look_c", "d")
    assert steps.together == [["a", "b", "d"]]
    assert steps.queue.delayed == {"b", "look_c"}
    steps.queue.hurry()
    await steps.queue.until_idle()
    assert steps.together[1:] == [["look_c", "b"]]
    assert steps.queue.delayed == frozenset()
    await steps.queue.stop()


async def test_no_more_keys_are_in_work_than_share_a_commit_and_all_have_their_turn() -> None:
    steps, keys = Steps(), [f"k{number}" for number in range(3 * AT_ONCE + 1)]
    await steps.run(*keys)
    assert [len(one) for one in steps.together] == [AT_ONCE, AT_ONCE, AT_ONCE, 1]
    assert [key for key, _ in steps.told] == keys
    await steps.queue.stop()
