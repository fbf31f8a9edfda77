"""When a key is looked at, of all the times that were asked for."""

import asyncio

from mooring.reconcile.queue import Done, Outcome, Queue

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
