"""`mooring node run`: the node agent of a host, at a server somewhere else."""

import asyncio
import logging
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from mooring.api.joining import NODE_DAYS
from mooring.background import Background
from mooring.daemon.docker import docker_of, engine_of, plugin_parts
from mooring.daemon.membership import Membership, keep, membership
from mooring.daemon.parts import Part
from mooring.daemon.peers import Certificate, by_server
from mooring.daemon.settings import AgentSettings
from mooring.errors import MooringError
from mooring.host.allocator import Trimmer, share_one_heap
from mooring.model import door
from mooring.node.agent import Agent
from mooring.node.fence import Times
from mooring.node.peers import Peers
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.leases import lease_key
from mooring.objects.objects import Objects
from mooring.rules.events import EventNote
from mooring.store.interface import Unavailable
from mooring.store.remote import RemoteStore

log = logging.getLogger(__name__)

NOTES_AT_MOST: Final = 1000  # events that wait for a server; more are not told
TELL_AFTER_S: Final = 0.1  # what comes together is told together
LOOK_EVERY_S: Final = 3600.0  # at the age of the token
RETRY_S: Final = 2.0  # until a server answers for the first time


class Teller:
    """Tells the server of events, in the order in which they were noted."""

    def __init__(self, store: RemoteStore) -> None:
        self._store = store
        self._waiting: asyncio.Queue[EventNote] = asyncio.Queue(NOTES_AT_MOST)
        self._work = Background("teller")

    def note(self, note: EventNote) -> None:
        try:
            self._waiting.put_nowait(note)
        except asyncio.QueueFull:
            log.warning("event not told reason=%s about=%s", note.reason, note.about.key)

    async def start(self) -> None:
        self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()

    async def _run(self) -> None:
        while True:
            notes = [await self._waiting.get()]
            await asyncio.sleep(TELL_AFTER_S)
            while not self._waiting.empty():
                notes.append(self._waiting.get_nowait())
            while True:
                try:
                    await self._store.posted("events", notes)
                    break
                except Unavailable as error:
                    log.debug("events wait: %s", error)
                    await asyncio.sleep(RETRY_S)


class Renewal:
    """Keeps the token of this node from ending."""

    def __init__(
        self, data_dir: Path, joined: Membership, store: Callable[[], RemoteStore]
    ) -> None:
        self._data_dir, self.joined, self._store = data_dir, joined, store
        self._work = Background("renewal")

    async def start(self) -> None:
        self._work.begin(self._run())

    async def stop(self) -> None:
        await self._work.end()

    async def _run(self) -> None:
        while True:
            if self._is_due():
                try:
                    await self.renew()
                except MooringError as error:
                    log.warning("the token of this node is not renewed: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def _is_due(self) -> bool:
        left = datetime.fromisoformat(self.joined.expires) - datetime.now(UTC)
        return left.total_seconds() < NODE_DAYS * 86400 * 2 / 3

    async def renew(self) -> None:
        """The new one is on disk before it is used; the old one is good for some minutes yet."""
        body = await self._store().posted("renew", {})
        new = msgspec.json.decode(body, type=door.NodeToken)
        renewed = msgspec.structs.replace(self.joined, token=new.token, expires=new.expires)
        keep(self._data_dir, renewed)
        self.joined = renewed
        log.info("token renewed node=%s expires=%s", new.node, new.expires)


async def run(settings: AgentSettings, on_ready: Callable[[str], None]) -> None:
    """Serve this host until SIGTERM or SIGINT. Raises MooringError if it cannot start.

    on_ready  is told the server's URL once Docker is served
    """
    share_one_heap()
    ends = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ends.set)
    joined = membership(settings.data_dir)
    renewal = Renewal(settings.data_dir, joined, lambda: store)
    times = Times(settings.node_lease_s)
    store = RemoteStore(
        joined.servers,
        joined.tls,
        lambda: renewal.joined.token,
        {lease_key(joined.node): times.call_s},
        round(times.renew_s / 3 * 1000),  # that others live is soon enough told by that
    )
    try:
        objects = Objects(store, ALL_KINDS)
        if await _begun(objects, ends):
            await _serve(settings, joined.node, objects, store, renewal, ends, on_ready)
    finally:
        await store.close()


async def _begun(objects: Objects, ends: asyncio.Event) -> bool:
    """Whether a server told what there is, before we were told to end."""
    while not ends.is_set():
        try:
            await objects.start()
            return True
        except Unavailable as error:
            log.warning("it is tried again: %s", error)
        ending = asyncio.create_task(ends.wait())
        await asyncio.wait({ending}, timeout=RETRY_S)
        ending.cancel()
    return False


async def _serve(
    settings: AgentSettings,
    node: str,
    objects: Objects,
    store: RemoteStore,
    renewal: Renewal,
    ends: asyncio.Event,
    on_ready: Callable[[str], None],
) -> None:
    teller = Teller(store)
    engine = engine_of(settings.docker) if settings.docker is not None else None
    docker = docker_of(engine, settings.docker) if engine and settings.docker else None
    state, imports = settings.data_dir, settings.import_dirs
    times = Times(settings.node_lease_s)
    certificate = Certificate(
        objects, node, state / "peer", lambda: renewal.joined.ca, by_server(lambda: store)
    )
    peers = Peers(objects, node, settings.peers, certificate)
    agent = Agent(
        *(objects, node, state, teller.note, docker, imports, settings.backup_dirs, times, peers)
    )
    parts: list[Part] = [Trimmer(), renewal, teller, agent]
    if engine is not None and settings.docker is not None:
        parts += plugin_parts(objects, agent, engine, settings.docker, node)
    for part in parts:
        await part.start()
    on_ready(store.server)
    ending = asyncio.create_task(ends.wait())
    feed = objects.cache.feed_task()
    await asyncio.wait({ending, feed}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    for part in reversed(parts):
        await part.stop()
    if engine is not None:
        await engine.stop()
    await objects.close()
    if feed.done() and not feed.cancelled() and (error := feed.exception()):
        raise error
