"""Many watches of config maps, in a process of their own, that note what they are told.

    python -m tests.system.watchers ORDER RESULT

ORDER and RESULT are files. It says "ready" when all watches are asked for, and is done when each
has seen the config map `end` of every namespace that it watches.
"""

import asyncio
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.client import BenchError, Target, connect

HANDSHAKES: Final = 32  # at a time
END: Final = "end"


class Watching(msgspec.Struct):
    """One watch that is to be kept up.

    namespace  "" for all
    ends_s     after which the server is to end it; it is resumed then. 0: as the server likes
    pause_s    before it is resumed
    """

    namespace: str = ""
    ends_s: int = 0
    pause_s: float = 0.0


class Order(msgspec.Struct):
    """What to watch, and from which revision on."""

    url: str
    token: str
    revision: int
    namespaces: int
    within_s: float
    watches: list[Watching]


class Seen(msgspec.Struct):
    """What a watch was told: (type, key, revision), bookmarks left out."""

    events: list[tuple[str, str, int]] = []
    bookmarks: int = 0
    resumed: int = 0
    wrong: str = ""  # what ended it too early


class _Metadata(msgspec.Struct, frozen=True):
    resourceVersion: str = "0"  # as it is called there
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: _Object


class Watch:
    """Keeps one watch up until it has seen the end of all its namespaces."""

    def __init__(self, target: Target, watching: Watching, order: Order) -> None:
        self._target, self._watching = target, watching
        self._revision = order.revision
        self._ends_left = 1 if watching.namespace else order.namespaces
        self._rest = b""
        self._decode = msgspec.json.Decoder(_Event).decode
        self.seen = Seen()
        self.asked, self.ended = asyncio.Event(), asyncio.Event()

    async def run(self, doors: asyncio.Semaphore) -> None:
        try:
            while not self.ended.is_set():
                await self._once(doors)
                if not self.ended.is_set():
                    self.seen.resumed += 1
                    await asyncio.sleep(self._watching.pause_s)
        except (BenchError, msgspec.MsgspecError, AssertionError) as error:
            self.seen.wrong = repr(error)
            self.asked.set()
            self.ended.set()

    async def _once(self, doors: asyncio.Semaphore) -> None:
        home = f"/namespaces/{self._watching.namespace}" if self._watching.namespace else ""
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={self._revision}"
        if self._watching.ends_s:
            query += f"&timeoutSeconds={self._watching.ends_s}"
        async with doors:
            connection = await connect(self._target, self._take)
        request = self._target.request("GET", f"/api/v1{home}/configmaps?{query}")
        answer = asyncio.ensure_future(connection.exchange(request, None))
        self.asked.set()
        end = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait({answer, end}, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        connection.close()
        if self.ended.is_set():
            await asyncio.gather(answer, return_exceptions=True)
            return
        found = await answer
        assert found.status == 200, found
        assert not self._rest, self._rest

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = self._decode(line)
            metadata = event.object.metadata
            self._revision = int(metadata.resourceVersion)
            if event.type == "BOOKMARK":
                self.seen.bookmarks += 1
                continue
            key = f"{metadata.namespace}/{metadata.name}"
            self.seen.events.append((event.type, key, self._revision))
            self._ends_left -= metadata.name == END
        if not self._ends_left:
            self.ended.set()


async def watched(order: Order) -> list[Seen]:
    """What each watch saw until its end, or until the time is over."""
    target, doors = Target.of(order.url, order.token), asyncio.Semaphore(HANDSHAKES)
    watches = [Watch(target, one, order) for one in order.watches]
    tasks = [asyncio.create_task(one.run(doors)) for one in watches]
    for one in watches:
        await one.asked.wait()
    print("ready", flush=True)
    _, late = await asyncio.wait(tasks, timeout=order.within_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for one in watches:
        if not one.ended.is_set():
            one.seen.wrong = "its time was over"
    return [one.seen for one in watches]


def main(arguments: Sequence[str]) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    order = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Order)
    found: Any = asyncio.run(watched(order))
    Path(arguments[1]).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
