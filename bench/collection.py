"""Listing, following and clearing one collection of objects."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

import msgspec

from bench.client import (
    Answer,
    BenchError,
    Connection,
    Refused,
    Target,
    connect,
    connections,
    drive,
)
from bench.objects import (
    CLAIMS,
    CONFIG_MAPS,
    NAMESPACE,
    NAMESPACES,
    ROW,
    VOLUMES,
    Event,
    Listed,
    Seen,
    namespace,
    selector,
)

CONNECTIONS: Final = 32
PAGE: Final = 1000  # objects per page of a list
POLL_S: Final = 0.05  # between two looks whether something is gone
GONE_S: Final = 120.0  # beyond the deletions themselves, for controllers to follow
SLOWEST_PER_S: Final = 20.0  # a server slower than this is not waited for
RELIST_S: Final = 0.2  # pause after a watch that the server ended
ENDED: Final = Answer(200, b"")
EXPIRED: Final = 410  # the status of a watch from before the history that is kept

_EVENT: Final = msgspec.json.Decoder(Event)
_LIST: Final = msgspec.json.Decoder(Listed)


async def ask(target: Target, method: str, path: str, body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    connection = await connect(target)
    try:
        return await connection.exchange(target.request(method, path, body))
    finally:
        connection.close()


async def listed(target: Target, path: str, label: str) -> tuple[list[Seen], str]:
    """All objects of a collection with this label, and the revision they are of."""
    found: list[Seen] = []
    connection, more = await connect(target), ""
    try:
        while True:
            query = f"{path}?limit={PAGE}&{selector(label)}{f'&continue={more}' if more else ''}"
            answer = await connection.exchange(target.request("GET", query))
            if answer.status != 200:
                raise Refused(answer.status, answer.body)
            page = _LIST.decode(answer.body)
            found += page.items
            more = page.metadata.continue_
            if not more:
                return found, page.metadata.resource_version
    finally:
        connection.close()


class Follower:
    """When each object of a collection was first seen to be as wanted, by list and watch."""

    def __init__(
        self, target: Target, path: str, wanted: Callable[[Seen], bool], label: str
    ) -> None:
        self.at_s: dict[str, float] = {}  # name → perf_counter()
        self._target, self._path, self._wanted = target, path, wanted
        self._label = label
        self._connection: Connection | None = None
        self._tail = b""  # of a line not yet whole
        self._revision = ""
        self._changed = asyncio.Event()

    async def reach(self, count: int, within_s: float) -> float:
        """Wait until so many were seen as wanted; returns when the last of them was."""
        try:
            async with asyncio.timeout(within_s):
                while len(self.at_s) < count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BenchError(
                f"{len(self.at_s)} of {count} objects of {self._path} came to be as wanted "
                f"within {within_s:.0f} s"
            ) from None
        return max(self.at_s.values())

    async def see(self, name: str, within_s: float) -> float:
        """Wait until this one was seen as wanted; returns when."""
        try:
            async with asyncio.timeout(within_s):
                while name not in self.at_s:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BenchError(f"{name} did not come to be as wanted in {within_s:.0f} s") from None
        return self.at_s[name]

    async def look(self) -> None:
        """See all there is now, and note where a watch has to begin."""
        found, self._revision = await listed(self._target, self._path, self._label)
        for each in found:
            self._see(each)

    async def follow(self) -> None:
        """Watch for ever. A watch that the server ends is taken up again by a new list."""
        query = f"{self._path}?watch=true&{selector(self._label)}&resourceVersion="
        while True:
            self._connection, self._tail = await connect(self._target, self._piece), b""
            request = self._target.request("GET", query + self._revision)
            try:
                answer = await self._connection.exchange(request, wait_s=None)
            except BenchError:  # cut off: as good as ended
                answer = ENDED
            finally:
                self._connection.close()
            if answer.status not in (ENDED.status, EXPIRED):
                raise Refused(answer.status, answer.body)
            await asyncio.sleep(RELIST_S)
            await self.look()

    def _piece(self, data: bytes) -> None:
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in lines:
            if line:
                self._event(_EVENT.decode(line))

    def _event(self, event: Event) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._see(event.object)
        elif event.type == "ERROR" and self._connection is not None:
            self._connection.close()  # history is gone; not every server ends the watch itself

    def _see(self, found: Seen) -> None:
        name = found.metadata.name
        if name not in self.at_s and self._wanted(found):
            self.at_s[name] = perf_counter()
            self._changed.set()


@asynccontextmanager
async def following(
    target: Target, path: str, wanted: Callable[[Seen], bool] = lambda _: True, label: str = ROW
) -> AsyncIterator[Follower]:
    """A follower at work. What fails in it fails the body."""
    follower = Follower(target, path, wanted, label)
    await follower.look()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(follower.follow())
            yield follower
            task.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def load(target: Target, path: str, objects: Sequence[bytes], within_s: float) -> None:
    """Create all of them, as fast as the server takes them."""
    async with connections(target, min(CONNECTIONS, len(objects))) as pool:
        requests = (target.request("POST", path, each) for each in objects)
        await drive(pool, requests, 201, within_s)


async def clear(target: Target, label: str = ROW) -> None:
    """Remove what was made with this label, claims before volumes, and wait until it is gone."""
    for path in (CLAIMS, CONFIG_MAPS, VOLUMES):
        found, _ = await listed(target, path, label)
        if found:
            within_s = GONE_S + len(found) / SLOWEST_PER_S
            async with connections(target, min(CONNECTIONS, len(found))) as pool:
                requests = (
                    target.request("DELETE", f"{path}/{each.metadata.name}") for each in found
                )
                await drive(pool, requests, 200, within_s)
            await _until_gone(target, path, label, within_s)


async def _until_gone(target: Target, path: str, label: str, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            while True:
                if not await _any(target, path, label):
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise BenchError(f"objects of {path} are still there after their deletion") from None


async def _any(target: Target, path: str, label: str) -> bool:
    answer = await ask(target, "GET", f"{path}?limit=1&{selector(label)}")
    if answer.status != 200:
        raise Refused(answer.status, answer.body)
    return bool(_LIST.decode(answer.body).items)


async def make_namespace(target: Target) -> None:
    """The namespace of the measurement, present and usable. Waits for an earlier one to go."""
    path = f"{NAMESPACES}/{NAMESPACE}"
    try:
        async with asyncio.timeout(GONE_S):
            while True:
                answer = await ask(target, "POST", NAMESPACES, namespace())
                if answer.status == 201:
                    return
                if answer.status != 409:
                    raise Refused(answer.status, answer.body)
                found = await ask(target, "GET", path)
                if found.status == 200 and b'"deletionTimestamp"' not in found.body:
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise BenchError(f"the namespace {NAMESPACE} of an earlier run does not go away") from None


async def remove_namespace(target: Target) -> None:
    answer = await ask(target, "DELETE", f"{NAMESPACES}/{NAMESPACE}")
    if answer.status not in (200, 202, 404):
        raise Refused(answer.status, answer.body)
