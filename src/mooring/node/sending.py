"""The host that has the data of a volume sends it to one that may have it. Decision 0033."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakValueDictionary

import msgspec

from mooring.crashpoints import crash_point, passing
from mooring.drivers.interface import asset_name
from mooring.errors import Effect, MooringError
from mooring.host import files, rsync
from mooring.model.home import MAY_BE_HOME
from mooring.model.peer import Answer
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.peers import Peers, Stream
from mooring.node.pools import Pools
from mooring.objects.objects import Objects

SENDING: Final = crash_point("move.sending")
ASK: Final = "ask"  # the call: whether a volume could be had, before anything is done for it
TREE: Final = "tree"  # the call: all that a volume has, by rsync
AT_ONCE: Final = 2  # more would only make each slower
HEARD_WITHIN_S: Final = 5.0  # of what the other host has written: by then it has come to us
LOOK_S: Final = 0.05

Users = Callable[[str], Awaitable[list[str]]]  # who uses a volume here, by its uid


class Asked(Protocol):
    """volume: its name."""

    volume: str
    uid: str


class Wanted(msgspec.Struct):
    """volume: its name."""

    volume: str
    uid: str


class NotGiven(MooringError):
    code, effect = "NotGiven", Effect.NONE

    def __init__(self, volume: str, why: str) -> None:
        self.what = f"volume {volume} is not sent: {why}"
        self.remedy = "it is asked for again"
        super().__init__(self.what)


class Sender:
    """Answers the calls of other agents about volumes whose home is here."""

    def __init__(
        self,
        objects: Objects,
        pools: Pools,
        attachments: Attachments,
        peers: Peers,
        node: str,
        users: Users,
    ) -> None:
        self._objects, self._pools, self._node = objects, pools, node
        self._attachments, self._users = attachments, users
        self._room = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        peers.serve(ASK, self._ask)
        peers.serve(TREE, self._tree)

    async def _ask(self, stream: Stream, about: msgspec.Raw) -> None:
        wanted = msgspec.json.decode(about, type=Wanted)
        volume = self._objects.view(Volume, wanted.volume)
        if volume is None or volume.uid != wanted.uid or volume.hosts != (self._node,):
            raise NotGiven(wanted.volume, f"it is not on {self._node}")
        rsync.refuse_without()
        await stream.send(Answer())

    async def _tree(self, stream: Stream, about: msgspec.Raw) -> None:
        wanted = msgspec.json.decode(about, type=Wanted)
        await self._given(wanted, stream.peer)
        await stream.send(Answer())  # so that it waits for us, and not for an answer
        async with self._turns.setdefault(wanted.uid, asyncio.Lock()), self._room:
            volume = await self._given(wanted, stream.peer)
            pool = self._pools.of_volume(volume)
            if pool is None:
                raise NotGiven(volume.name, f"pool {volume.pool} is not of {self._node}")
            driver, name = await self._pools.driver(pool), asset_name(volume.handle)
            root = await driver.publish(name)
            try:
                tree = await asyncio.to_thread(_opened, root)
                try:
                    passing(SENDING)
                    await rsync.sent(tree, rsync.Channel(stream.read, stream.write))
                finally:
                    os.close(tree)
            finally:
                with suppress(MooringError):
                    await driver.unpublish(name)

    async def _given(self, wanted: Wanted, peer: str) -> Volume:
        """The volume, if that host may have it now. Raises NotGiven."""
        refusal = partial(self._refusal, peer)
        return await given(self._objects, wanted, self._node, refusal, self._users)

    def _refusal(self, peer: str, volume: Volume) -> str:
        """Why a host may not have a volume of this one now, by all that is known here."""
        copy = volume.copy_on(peer)
        if copy is None or copy.state not in MAY_BE_HOME:
            return f"{peer} has not said that it wants it"
        # Who has the right to use it is one host: so nobody here writes to it from now on.
        if peer not in [one.node for one in self._attachments.of(volume.name)]:
            return f"{peer} has not the right to use it"
        return ""


async def given(
    objects: Objects,
    asked: Asked,
    node: str,
    refusal: Callable[[Volume], str],
    users: Users | None,
) -> Volume:
    """The volume that another host asks for, if its home is here and nothing is against it.

    What that host has written before it called may not have come to us yet.

    node     this one
    refusal  what is against it, "" nothing
    users    who uses it here, of which there may be none; None: they may go on
    raises   NotGiven
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + HEARD_WITHIN_S
    while True:
        volume = objects.view(Volume, asked.volume)
        if volume is None or volume.uid != asked.uid:
            why = "there is no such volume"
        elif volume.home is None or volume.home.node != node:
            why = f"its home is {volume.home}, not on {node}"
        elif not (why := refusal(volume)):
            if users is None:
                return volume
            if found := await users(asked.uid):
                raise NotGiven(asked.volume, f"it is used on {node}: {', '.join(found)}")
            users = None  # looked at once more, as that took a while
            continue
        if loop.time() >= until:
            raise NotGiven(asked.volume, why)
        await asyncio.sleep(LOOK_S)


def _opened(root: Path) -> int:
    """The directory itself, whatever its name leads to later."""
    return os.open(root, files.DIRECTORY)
