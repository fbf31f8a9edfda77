"""Hosts that share a volume, as a model: their agents are real, their kernels and time are not.

Each has its own cache of one store, from which it can be cut off. What the real watchdog does by
signals and unmounts is done here to two facts: whether the volume is mounted, and who writes to it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from mooring.errors import Effect, MooringError
from mooring.host.errors import MountBusy
from mooring.model.attachment import Attachment
from mooring.model.node import NODE_LEASES
from mooring.model.volume import Volume
from mooring.node.attachments import Attachments
from mooring.node.fence import Fence, Times
from mooring.node.heartbeat import Heartbeat
from mooring.node.ids import User
from mooring.node.published import Published
from mooring.node.use import Users
from mooring.node.watch import FILE, Watch
from mooring.node.watchdog import LOOK_WELL_S, read
from mooring.objects.kind import Doc
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote
from mooring.rules.fencing import OUT_OF_SERVICE
from mooring.store.interface import Changes, Check, Document, Page, Unavailable, Write
from mooring.store.memory import MemoryStore
from tests.controllers.clocked import HandClock
from tests.controllers.plant import CLAIMS, CLASSES, VOLUMES

CLAIM: Final = "default/db"
VOLUME: Final = "v1"
NAMES: Final = ("a", "b")
QUIET_S: Final = 18.0
DIRECTORY: Final = "directory.mooring.dev"


class CableStore:
    """A store behind a cable that can be pulled."""

    is_shared = False

    def __init__(self, store: MemoryStore) -> None:
        self._store, self.plugged = store, asyncio.Event()
        self.plugged.set()

    def _reached(self) -> None:
        if not self.plugged.is_set():
            raise Unavailable("the cable is pulled", "plug it in", Effect.NONE)

    async def get(self, key: str) -> Document | None:
        self._reached()
        return await self._store.get(key)

    async def list(
        self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0
    ) -> Page:
        self._reached()
        return await self._store.list(prefix, limit=limit, after=after, revision=revision)

    async def commit(self, writes: Sequence[Write], checks: Sequence[Check] = ()) -> int:
        self._reached()
        return await self._store.commit(writes, checks)

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Changes]:
        async for changes in self._store.watch(prefix, from_revision):
            await self.plugged.wait()
            yield changes

    async def revision(self) -> int:
        self._reached()
        return await self._store.revision()

    async def compact(self, before: int) -> None:
        await self._store.compact(before)

    async def close(self) -> None:
        """The store is of all hosts."""


class Kernel:
    """What there is on a host, whatever its agent does: a mount, and who writes to it."""

    def __init__(self, place: Path) -> None:
        self.place, self.point = place, place / "mounts" / "fs"
        self.is_mounted = False
        self.containers: set[str] = set()  # IDs
        self.is_open = False  # by a process that is no container's

    @property
    def writes(self) -> bool:
        return self.is_mounted and (bool(self.containers) or self.is_open)

    def fence(self) -> bool:
        """As the watchdog does."""
        self.is_mounted = self.is_open = False
        self.containers.clear()
        return True


class KernelMounting:
    """Of an agent: `Mounting`, `Publisher` and `Ids`, as far as `Users` and `Fence` ask."""

    def __init__(self, objects: Objects, kernel: Kernel) -> None:
        self._objects, self._kernel = objects, kernel
        self.ids: dict[str, User] = {}

    # Mounting

    async def bound(self, key: str, within_s: float) -> Volume:
        return self.bound_now(key)

    def bound_now(self, key: str) -> Volume:
        found = self._objects.view(Volume, VOLUME)
        assert found is not None
        return found

    def reaches(self, volume: Volume) -> bool:
        return True

    async def stage(self, volume: Volume) -> Published:
        self._kernel.is_mounted = True
        return Published(volume.uid, self._kernel.point, "", "")

    async def release_uid(self, uid: str) -> str:
        if self._kernel.writes:
            raise MountBusy(str(self._kernel.point))
        self._kernel.is_mounted = False
        return VOLUME

    async def volumes(self, uids: Set[str]) -> dict[str, Volume]:
        volume = self.bound_now("")
        return {volume.uid: volume}

    def known(self, uid: str) -> Volume | None:
        return self.bound_now("")

    # Publisher

    def point(self, uid: str) -> Path:
        return self._kernel.point

    def published_path(self, uid: str) -> Path | None:
        return self._kernel.point if self._kernel.is_mounted else None

    def may_have(self, uid: str) -> bool:
        return self._kernel.is_mounted

    async def held_by(self, uid: str, *, engine: int | None = None) -> list[str]:
        return sorted(self._kernel.containers)

    # Ids

    def of(self, uid: str) -> list[User]:
        return list(self.ids.values())

    def uids_of(self, key: str) -> set[str]:
        return {self.bound_now("").uid} if self.ids else set()

    def ages_s(self, uid: str) -> list[float]:
        return []

    async def add(self, uid: str, user: str, key: str) -> None:
        self.ids[user] = User(user, uid, key, 0, 0.0, 0.0)

    async def drop(self, uid: str, user: str) -> None:
        self.ids.pop(user, None)

    async def drop_all(self, uid: str) -> None:
        self.ids.clear()


class Parts:
    """What an agent is made of; a test plants a fault by another one."""

    attachments: type[Attachments] = Attachments
    fence: type[Fence] = Fence
    users: type[Users] = Users
    has_watchdog = True


class ModelHost:
    """One host, and its agent while that runs."""

    def __init__(self, world: "World", name: str, parts: Parts) -> None:
        self.world, self.name, self.parts = world, name, parts
        self.kernel = Kernel(world.place / name)
        self.kernel.place.mkdir()
        self.store = CableStore(world.store)
        self.is_up = False
        self.given_away = False  # by the word of an operator, and it does not know yet

    async def start(self) -> None:
        """As an agent does: what was lost is ended before anything else. Without a server it does
        not start."""
        self.objects = Objects(cast(Any, self.store), ALL_KINDS, self.world.clock)
        try:
            await self.objects.start()
        except Unavailable:
            return
        self.attachments = self.parts.attachments(self.objects, self.name, self._told)
        kernel, state = self.kernel, self.kernel.place
        mounting: Any = KernelMounting(self.objects, kernel)
        watch = Watch(state, state / "run", self.world.clock.monotonic_s, lambda _: None)
        self.fence = self.parts.fence(
            *(self.objects, mounting, self.attachments, self.name, watch, self._told),
            *(Times(), lambda _: kernel.fence()),
        )
        self.users = self.parts.users(
            *(self.objects, mounting, mounting, mounting, self.attachments, self.name),
            *(None, self._told, self.fence),
        )
        self.heartbeat = Heartbeat(self.objects, self.name, self.fence)
        volume = self.objects.view(Volume, VOLUME)
        assert volume is not None
        await self.fence.begin([volume] if kernel.is_mounted else [])
        self.given_away = False
        self.is_up = True

    async def stop(self) -> None:
        """As `kill -9` does."""
        if self.is_up:
            self.is_up = False
            self.attachments.stop()
            await self.objects.close()

    def _told(self, note: EventNote) -> None:
        if note.reason == "ForcedDetach":
            self.world.other(self.name).given_away = True

    def looks(self) -> None:
        """The watchdog, at the file that it is told in."""
        told = read(self.kernel.place / FILE)
        late = float(told.get("until") or 0) <= self.world.clock.monotonic_s()
        if told.get("volumes") and late and self.parts.has_watchdog:
            self.kernel.fence()

    # What happens to it

    async def beat(self) -> None:
        await self.heartbeat.beat()
        self.given_away = False

    async def give(self) -> None:
        await self.users.give(CLAIM, "id", 0.0)
        self.kernel.containers.add("id")

    async def take(self) -> None:
        """The container ends."""
        self.kernel.containers.clear()
        await self.users.take(CLAIM, "id")
        await self.users.settle(self.world.volume(self))

    async def take_busy(self) -> None:
        """It ends, and something else of this host has a file open in its volume."""
        self.kernel.is_open = self.kernel.is_mounted
        await self.take()

    async def close(self) -> None:
        self.kernel.is_open = False
        await self.users.settle(self.world.volume(self))

    async def cut(self) -> None:
        self.store.plugged.clear()

    async def restart(self) -> None:
        await self.stop()
        await self.start()


class World:
    """Two hosts, one volume, and somebody who changes its class."""

    def __init__(self, place: Path, parts: Parts) -> None:
        self.place, self.clock = place, HandClock()
        self.store = MemoryStore(clock=self.clock)
        self.hosts = {name: ModelHost(self, name, parts) for name in NAMES}

    async def start(self) -> None:
        self.objects = Objects(self.store, ALL_KINDS, self.clock)
        await self.objects.start()
        for name in ("default", NODE_LEASES):
            await self._put("namespaces", {"metadata": {"name": name}})
        await self.class_("lease")
        await self._put(VOLUMES, _VOLUME)
        await self._put(CLAIMS, _CLAIM, "default")
        for host in self.hosts.values():
            await host.start()
            await host.beat()

    async def stop(self) -> None:
        for host in self.hosts.values():
            host.store.plugged.set()
            await host.stop()
        await self.objects.close()
        await self.store.close()

    def other(self, name: str) -> ModelHost:
        return next(host for host in self.hosts.values() if host.name != name)

    def volume(self, host: ModelHost) -> Volume:
        found = host.objects.view(Volume, VOLUME)
        assert found is not None
        return found

    async def _put(self, resource: str, doc: Doc, namespace: str = "") -> None:
        kind = self.objects.kinds[resource]
        await self.objects.create(kind, namespace, cast(Doc, _copied(doc)))

    async def class_(self, fencing: str) -> None:
        """It is deleted and made anew."""
        kind = self.objects.kinds[CLASSES]
        if self.objects.entry(CLASSES, "c") is not None:
            await self.objects.delete(kind, "c")
        parameters = {"fencing": fencing} if fencing else {}
        doc = {"metadata": {"name": "c"}, "provisioner": DIRECTORY, "parameters": parameters}
        await self._put(CLASSES, doc)

    async def taint(self, name: str) -> None:
        await self._taints(name, [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}])

    async def untaint(self, name: str) -> None:
        await self._taints(name, [])

    async def _taints(self, name: str, taints: list[Doc]) -> None:
        def tainted(doc: Doc) -> Doc:
            return {**doc, "spec": {**(doc.get("spec") or {}), "taints": taints}}

        await self.objects.update(self.objects.kinds["nodes"], name, tainted)

    async def pass_time(self, seconds: float) -> None:
        """Watchdogs look meanwhile; agents are heard of only when a step says so."""
        until_s = self.clock.monotonic_s() + seconds
        while (left_s := until_s - self.clock.monotonic_s()) > 1e-9:
            self.clock.move(min(left_s, LOOK_WELL_S))
            for host in self.hosts.values():
                host.looks()
            self.check()

    async def quiet(self, name: str) -> None:
        """A host is not heard of until its Lease has run out, the other one is, and wants it."""
        other = self.other(name)
        for _ in range(int(QUIET_S / Times().renew_s)):
            await self.pass_time(Times().renew_s)
            await self.do(f"beat {other.name}")
        await self.do(f"give {other.name}")

    async def settle(self) -> None:
        """Who can hear has heard of all that happened."""
        revision = await self.store.revision()
        for host in self.hosts.values():
            if host.is_up and host.store.plugged.is_set():
                await host.objects.cache.caught_up(revision)

    def check(self) -> None:
        """What an operator gave away may be written to until its host is heard of again."""
        writers = [one.name for one in self.hosts.values() if one.kernel.writes]
        known = [name for name in writers if not self.hosts[name].given_away]
        assert len(known) <= 1, f"{writers} write, {self._holders()} has it"

    def _holders(self) -> list[str]:
        return [one.node for one in self.objects.views(Attachment)]

    async def do(self, step: str) -> None:
        """step: what, and to what: "beat a", "pass 2", "class lease" """
        what, _, whom = step.partition(" ")
        if what == "pass":
            await self.pass_time(float(whom))
        elif what == "class":
            await self.class_(whom)
        elif what in ("taint", "untaint", "quiet"):
            await getattr(self, what)(whom)
        elif what == "heal":
            self.hosts[whom].store.plugged.set()
        elif what in ("cut", "restart") or self.hosts[whom].is_up:
            with suppress(MooringError):  # it is refused, or not heard
                await getattr(self.hosts[whom], what)()
        await self.settle()
        self.check()


def walked(place: Path, steps: Iterable[str], parts: Parts) -> None:
    """Raises AssertionError if two hosts write."""

    async def walk() -> None:
        world = World(place, parts)
        await world.start()
        try:
            for step in steps:
                await world.do(step)
        finally:
            await world.stop()

    asyncio.run(walk())


def _copied(doc: Doc) -> object:
    if isinstance(doc, dict):
        return {key: _copied(value) for key, value in doc.items()}
    return list(doc) if isinstance(doc, list) else doc


_SPEC: Final[Doc] = {
    "accessModes": ["ReadWriteOnce"],
    "storageClassName": "c",
    "volumeMode": "Filesystem",
}
_VOLUME: Final[Doc] = {
    "metadata": {"name": VOLUME, "annotations": {"mooring.dev/used": "true"}},
    "spec": {
        **_SPEC,
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "csi": {"driver": DIRECTORY, "volumeHandle": VOLUME},
        "claimRef": {"namespace": "default", "name": "db"},
    },
}
_CLAIM: Final[Doc] = {
    "metadata": {"name": "db"},
    "spec": {**_SPEC, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": VOLUME},
}
