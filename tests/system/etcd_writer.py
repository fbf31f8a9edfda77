"""Writes into a store in etcd, and watches it, until it is killed: what it says is compared later.

    write|history ENDPOINTS WORKERS

Each worker counts in keys of its own, which nobody else writes: it makes, changes and deletes one
document, and has its number in a second one, in the same commit. A line of JSON tells each answer.
"""

import asyncio
import json
import sys
from typing import Any

from mooring.errors import Effect
from mooring.store.etcd import EtcdStore
from mooring.store.etcd_calls import Access
from mooring.store.interface import ABSENT, Unavailable, Write

DELETES_EACH = 5  # number of it


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def work(store: EtcdStore, worker: int) -> None:
    """Whatever is wrong ends it: a Conflict most of all, as nobody else writes here."""
    document, counter = f"a/{worker}", f"b/{worker}"
    while True:
        try:
            number, has = await store.get(counter), await store.get(document)
            break
        except Unavailable:
            continue
    n, at, there = (int(number.value), number.revision, has) if number else (0, 0, None)
    written = there.revision if there else 0
    while True:
        n += 1
        value = None if n % DELETES_EACH == 0 else str(n).encode()
        writes = [
            Write(document, value, written or ABSENT),
            Write(counter, str(n).encode(), at or ABSENT),
        ]
        while True:
            try:
                at = await store.commit(writes)
            except Unavailable as error:
                if error.effect is Effect.NONE:
                    continue
                say(unsure=[worker, n, str(error)])
                return await work(store, worker)
            written = 0 if value is None else at
            say(did=[worker, n, at])
            break


async def follow(store: EtcdStore) -> None:
    """Each number of each worker comes once, after the one before."""
    told: dict[str, int] = {}
    async for batch in store.watch("b/", await store.revision()):
        for change in batch:
            n = int(change.after or b"0")
            if change.key in told and n != told[change.key] + 1:
                say(wrong=[change.key, told[change.key], n])
            told[change.key] = n


async def write(access: Access, workers: int) -> None:
    while True:
        try:
            store = await EtcdStore.opened(access)
            break
        except Unavailable:
            continue
    say(begun=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(store))
        for worker in range(workers):
            tasks.create_task(work(store, worker))


async def history(access: Access) -> None:
    """All that was ever committed."""
    store = await EtcdStore.opened(access)
    last = await store.revision()
    changes: list[Any] = []
    async for batch in store.watch("", 0):
        changes += [[one.key, (one.after or b"").decode(), one.revision] for one in batch]
        if batch[-1].revision >= last:
            break
    say(history=changes)
    await store.close()


def main() -> None:
    what, endpoints, workers = sys.argv[1:]
    access = Access(tuple(endpoints.split(",")))
    asyncio.run(write(access, int(workers)) if what == "write" else history(access))


if __name__ == "__main__":
    main()
