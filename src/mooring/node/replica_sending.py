"""The home of a volume gives other hosts what is new in it, as snapshots. Decision 0037."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import asset_name
from mooring.model.peer import Answer
from mooring.model.pool import Pool
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.kept_replicas import KeptReplicas
from mooring.node.peers import Peers, PeerUnreachable, Stream
from mooring.node.pools import Pools
from mooring.node.sending import NotGiven, Users, given
from mooring.objects.objects import Objects
from mooring.rules.replicas import cut_ms, is_kept_on, kept_at_home, newest, replica_name

PULL: Final = "replica"  # the call: what is newer than what the other host has
NEWEST: Final = "newest replica"  # the call: of those that this host has
LENGTH_BYTES: Final = 4
PART_AT_MOST: Final = 1 << 20
CUT: Final = crash_point("replica.cut")


class Pull(msgspec.Struct):
    """have: names of what the other host has. is_last: it becomes the home then."""

    volume: str
    uid: str
    have: list[str] = []
    is_last: bool = False


class Coming(msgspec.Struct):
    """name: of the snapshot that the other host has after this, "" none. since: without what this
    earlier one has; the same as `name`: nothing is new. seen_ms: when that was so, by our clock."""

    name: str = ""
    since: str = ""
    size_bytes: int = 0
    seen_ms: int = 0


class ReplicaSender:
    """Answers the calls of other agents about volumes whose home is here, or of which replicas are.

    users  who uses a volume here, by its uid
    """

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        attachments: Attachments,
        peers: Peers,
        node: str,
        kept: KeptReplicas,
        users: Users,
    ) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._attachments, self._kept, self._users = attachments, kept, users
        self._had: dict[str, dict[str, frozenset[str]]] = {}  # uid of a volume → node → names
        self._sent: Counter[str] = Counter()  # names of those that are being sent, or left out
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        peers.serve(PULL, self._pulled)
        peers.serve(NEWEST, self._newest)

    async def _newest(self, stream: Stream, about: msgspec.Raw) -> None:
        wanted = msgspec.json.decode(about, type=Pull)
        volume = self._objects.view(Volume, wanted.volume)
        copy = volume.copy_on(self._node) if volume is not None else None
        pool = self._objects.view(Pool, copy.pool) if copy is not None else None
        names = await self._kept.of(pool, wanted.uid) if pool is not None else ()
        told = msgspec.json.encode(Coming(newest(names)))
        await stream.send(Answer(msgspec.Raw(told)))

    async def _pulled(self, stream: Stream, about: msgspec.Raw) -> None:
        wanted = msgspec.json.decode(about, type=Pull)
        volume = await self._given(wanted, stream.peer)
        pool = self._pools.of_volume(volume)
        if pool is None:
            raise NotGiven(volume.name, f"pool {volume.pool} is not of {self._node}")
        coming = await self._cut(volume, pool, wanted, stream.peer)
        using = {coming.name, coming.since} - {""}
        self._sent.update(using)
        try:
            await stream.send(Answer(msgspec.Raw(msgspec.json.encode(coming))))
            if coming.name != coming.since:
                since = asset_name(coming.since) if coming.since else None
                driver = await self._kept.streaming(pool)
                await driver.send(asset_name(coming.name), partial(_framed, stream), since)
                await stream.write(bytes(LENGTH_BYTES))
                had = self._had.setdefault(volume.uid, {})
                had[stream.peer] = had.get(stream.peer, frozenset()) | {coming.name}
        finally:
            self._sent.subtract(using)
            self._sent += Counter()  # those that are used no more are forgotten

    async def _cut(self, volume: Volume, pool: Pool, wanted: Pull, peer: str) -> Coming:
        """What the other host is to get: a new snapshot, unless nothing is new."""
        async with self._turns.setdefault(volume.uid, asyncio.Lock()):
            mine = await self._kept.of(pool, volume.uid)
            had = self._had.setdefault(volume.uid, {})
            had[peer] = frozenset(wanted.have)
            common, seen_ms = newest(mine & had[peer]), self._now_ms()
            driver, streaming = await self._kept.driver(pool), await self._kept.streaming(pool)
            asset, size_bytes = asset_name(volume.handle), volume.takes.bytes()
            name = newest(mine)
            if not name or not await streaming.is_unchanged(asset, asset_name(name)):
                name = replica_name(
                    volume.uid, max(seen_ms, cut_ms(name) + 1), secrets.token_hex(4)
                )
                await driver.snapshot(asset_name(name), asset)
                await self._kept.came(pool, name)
                passing(CUT)
            await self._tidied(volume, pool)
            return Coming(name, common, size_bytes, seen_ms)

    def _now_ms(self) -> int:
        return int(self._objects.clock.now().timestamp() * 1000)

    async def _tidied(self, volume: Volume, pool: Pool) -> None:
        """Delete what no other host needs to go on from."""
        mine = set(await self._kept.of(pool, volume.uid))
        others = {one.node for one in volume.copies if is_kept_on(volume, one.node)}
        keep = kept_at_home(mine, self._had.get(volume.uid, {}), others)
        for name in mine - keep - set(self._sent):
            await self._kept.drop(pool, name)

    async def _given(self, wanted: Pull, peer: str) -> Volume:
        """The volume, if that host may have a replica of it. Raises NotGiven."""
        refusal = partial(self._refusal, wanted, peer)
        users = self._users if wanted.is_last else None
        return await given(self._objects, wanted, self._node, refusal, users)

    def _refusal(self, wanted: Pull, peer: str, volume: Volume) -> str:
        """Why a host may not have a volume of this one now, by all that is known here."""
        if not is_kept_on(volume, peer):
            return f"{peer} is not to have a replica of it"
        holders = [one.node for one in self._attachments.of(volume.name)]
        if wanted.is_last and peer not in holders:
            return f"{peer} has not the right to use it"
        return ""


async def _framed(stream: Stream, content: bytes) -> None:
    await stream.write(len(content).to_bytes(LENGTH_BYTES) + content)


def frames(stream: Stream) -> Callable[[], Awaitable[bytes]]:
    """Reads what was framed: b"" at an end that was said, and no other."""
    waiting = bytearray()

    async def exactly(count: int) -> bytes:
        while len(waiting) < count:
            if not (content := await stream.read()):
                raise PeerUnreachable(stream.peer, "it hung up before all was sent")
            waiting.extend(content)
        taken = bytes(waiting[:count])
        del waiting[:count]
        return taken

    async def read() -> bytes:
        length = int.from_bytes(await exactly(LENGTH_BYTES))
        if length > PART_AT_MOST:
            raise PeerUnreachable(stream.peer, f"it sends a part of {length} bytes")
        return await exactly(length) if length else b""

    return read
