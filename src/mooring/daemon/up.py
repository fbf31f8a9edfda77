"""`mooring up`: store, objects, controllers, node agent and API in one process."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import uvicorn

from mooring.api.app import App
from mooring.api.certificates import Authority, names_of, private_file
from mooring.api.door import Door
from mooring.api.host import Host
from mooring.api.identity import Identities
from mooring.api.joining import Joining
from mooring.api.nodes import Nodes
from mooring.api.tokens import Token, Tokens
from mooring.controllers.controllers import Controllers
from mooring.daemon.access import users_of
from mooring.daemon.docker import adoptions_of, docker_of, engine_of, plugin_parts
from mooring.daemon.errors import BadNodeName, NodeRenamed, usable
from mooring.daemon.parts import Part
from mooring.daemon.serving import config, listener_of, url_of, without_signals
from mooring.daemon.settings import Settings
from mooring.host.allocator import Trimmer, share_one_heap
from mooring.model.names import DEFAULT_CLASS, DIRECTORY_DRIVER
from mooring.model.populator import VolumePopulator
from mooring.node.agent import Agent
from mooring.objects.errors import AlreadyExists
from mooring.objects.kind import Doc
from mooring.objects.kinds.common import is_subdomain
from mooring.objects.kinds.registry import ALL_KINDS
from mooring.objects.objects import Objects
from mooring.rules.filling import FILLED_FROM, GROUP
from mooring.store.interface import Store
from mooring.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

COLLECT_AFTER: Final = (20_000, 20, 50)  # allocations, then collections of the younger generation
# Made once, so that what an admin deletes stays deleted; holds the name of the node.
FIRST_START: Final = "first-start-done"


async def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises MooringError if it cannot start.

    on_ready  is told the server's URL once it serves
    """
    share_one_heap()
    if not is_subdomain(settings.node_name):
        raise BadNodeName(settings.node_name)
    with listener_of(settings) as listener:
        with usable(settings.data_dir):
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = await SqliteStore.opened(settings.data_dir / "mooring.db")
        try:
            await _run(settings, listener, store, on_ready)
        finally:
            await store.close()


async def _run(
    settings: Settings, listener: socket.socket, store: Store, on_ready: Callable[[str], None]
) -> None:
    url = url_of(settings.host, listener.getsockname()[1])
    authority = Authority(settings.data_dir / "pki")
    with usable(settings.data_dir / "pki"):
        await asyncio.to_thread(authority.ensure, [*names_of(settings.host), *settings.tls_sans])
    users = users_of(settings, authority, url)
    objects = Objects(store, ALL_KINDS)
    await objects.start()
    tokens = Tokens(store, objects.clock)
    await tokens.start()
    await _shared(tokens, users, settings)
    identities = Identities(users, tokens)
    controllers = Controllers(objects)
    tell = controllers.recorder.note
    engine = engine_of(settings.docker) if settings.docker is not None else None
    docker = docker_of(engine, settings.docker) if engine and settings.docker else None
    name, state, allowed = settings.node_name, settings.data_dir, settings.import_dirs
    agent = Agent(objects, name, state, tell, docker, allowed, settings.backup_dirs)
    parts: list[Part] = [Trimmer(), controllers, agent]
    adoptions = None
    if engine is not None and settings.docker is not None:
        served = plugin_parts(objects, agent, engine, settings.docker, settings.node_name)
        adoptions = adoptions_of(objects, agent, engine, served, settings, tell)
        parts += served if adoptions is None else [*served, adoptions]
    host = Host(agent.users, adoptions, agent.health, agent.usages)
    joining = Joining(objects, tokens, authority.ca)
    nodes = Nodes(identities, tokens, Door(objects, tell), joining)
    app = App(objects, ALL_KINDS, identities, host, nodes)
    server = uvicorn.Server(config(app, authority))
    await _first_start(objects, settings)
    await _serve(server, listener, app, objects, parts, lambda: on_ready(url))
    if engine is not None:
        await engine.stop()
    await tokens.stop()
    await objects.close()


async def _shared(tokens: Tokens, users: Mapping[str, str], settings: Settings) -> None:
    """Have every server of the store know the token in our kubeconfig."""
    for hashed, user in users.items():
        maker = f"{settings.node_name}:{settings.kubeconfig.absolute()}"
        await tokens.known(hashed, Token("user", user, maker=maker))


async def _serve(
    server: uvicorn.Server,
    listener: socket.socket,
    app: App,
    objects: Objects,
    parts: list[Part],
    on_ready: Callable[[], None],
) -> None:
    _calm_collector()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for part in parts:
        await part.start()
    serving = asyncio.create_task(without_signals(server, listener))
    app.ready = True
    on_ready()
    stopping = asyncio.create_task(stop.wait())
    # The cache must never stop following the store: rather no server than one that shows old news.
    feed = objects.cache.feed_task()
    await asyncio.wait({serving, stopping, feed}, return_when=asyncio.FIRST_COMPLETED)
    app.stop()
    server.should_exit = True
    stopping.cancel()
    for part in reversed(parts):
        await part.stop()
    await serving
    if feed.done() and not feed.cancelled() and (error := feed.exception()):
        raise error


def _calm_collector() -> None:
    """Cycles are rare here and the cache is large: looking through all of it often costs a fifth
    of the time under load."""
    gc.collect()
    gc.freeze()  # what was loaded at the start is not looked through again
    gc.set_threshold(*COLLECT_AFTER)


async def _first_start(objects: Objects, settings: Settings) -> None:
    """Namespaces and what Mooring fills from always; Pool and StorageClass `local` once.

    Raises NodeRenamed.
    """
    marker = settings.data_dir / FIRST_START
    before = _text(marker)
    if before and before != settings.node_name:
        raise NodeRenamed(settings.data_dir, before, settings.node_name)
    for name in ("default", "kube-system"):
        await _made(objects, "namespaces", {"metadata": {"name": name}})
    for kind in sorted(FILLED_FROM):
        await _made(objects, VolumePopulator.resource, _registration(kind))
    if marker.exists():
        return
    pool = {
        "metadata": {"name": "local"},
        "spec": {
            "driver": DIRECTORY_DRIVER,
            "node": settings.node_name,
            "root": str(settings.pool.absolute()),
        },
    }
    await _made(objects, "pools.mooring.dev", pool)
    class_ = {
        "metadata": {"name": "local", "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": DIRECTORY_DRIVER,
        "parameters": {"pool": "local"},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }
    await _made(objects, "storageclasses.storage.k8s.io", class_)
    private_file(marker, settings.node_name.encode())


def _registration(kind: str) -> Doc:
    """Tells clients of a kind that Mooring itself fills new volumes from."""
    source = {"group": GROUP, "kind": kind}
    return {"metadata": {"name": f"{kind.lower()}.{GROUP}"}, "sourceKind": source}


def _text(path: Path) -> str:
    """Empty if there is no such file."""
    return path.read_text(errors="replace").strip() if path.exists() else ""


async def _made(objects: Objects, resource: str, doc: Doc) -> None:
    try:
        await objects.create(objects.kinds[resource], "", doc)
    except AlreadyExists:
        log.debug("%s is there already", doc["metadata"]["name"])
